"""What each command does, in the words of the policy: a command that is not here is answered to nobody.

A line is all that a new command needs.
"""

from __future__ import annotations

from typing import NamedTuple

from ..security.policy import Action


class Permit(NamedTuple):
    """The policy's action, and which parameter of the command names the resource."""

    action: Action
    parameter: str = ""


PERMITS: dict[str, Permit] = {
    "node.info": Permit("node.read"),
    "tokens.mint": Permit("tokens.manage"),
    "tokens.list": Permit("tokens.manage"),
    "tokens.revoke": Permit("tokens.manage"),
    "jobs.list": Permit("jobs.list"),
    "jobs.start": Permit("jobs.start"),
    "jobs.get": Permit("jobs.read", "job"),
    "jobs.output": Permit("jobs.read", "job"),
    "jobs.wait": Permit("jobs.read", "job"),
    "jobs.send": Permit("jobs.write", "job"),
    "jobs.signal": Permit("jobs.write", "job"),
    "jobs.resize": Permit("jobs.write", "job"),
    "jobs.stop": Permit("jobs.write", "job"),
    "jobs.remove": Permit("jobs.write", "job"),
}
