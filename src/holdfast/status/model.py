"""What a node says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """Who answers."""

    version: str
    pid: int
    url: str
    state_dir: str
    runtime_dir: str
    engine: str
    started_at: float
    jobs: int
    connections: int
    listening: list[str] = field(default_factory=list)
    """Addresses besides ``url``."""
