"""When a change counts as done."""

from __future__ import annotations

from typing import Literal

AckLevel = Literal["disk", "os", "memory"]
"""When an append counts as done.

``disk``: fsynced, survives a power cut (the default).  ``os``: handed to the operating system, survives the
death of the process.  ``memory``: visible to readers of this node, survives nothing until a later commit stores it;
if that fails, those who read it are told (StorageError).  A log's appends become visible in order, so one with a lower
level waits for those before it.
"""
