"""What a set of patterns would have replayed, found out for somebody who only asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model import Change, SourceReplay
from ..patterns import provider_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..access import Caller
    from ..model import PatternSpec, SubjectInfo
    from ..providers.base import Provider


async def plan_replay(
    added: Sequence[PatternSpec], caller: Caller, providers: Mapping[str, Provider]
) -> list[SourceReplay]:
    """What ``caller`` would be given of the durable sources that match ``added``; fails as the providers do."""
    replay: list[SourceReplay] = []
    for spec in added:
        name = provider_of(spec.pattern)
        found = await providers[name].subjects(spec.pattern)
        readable = [info for info in found if caller.reads_all(name) or caller.reads(info.subject)]
        replay += [_replay(spec, info) for info in readable if info.durable]
    return replay


def with_replay(change: Change, replay: list[SourceReplay]) -> Change:
    """``change``, and what it would have replayed."""
    return Change(
        version=change.version,
        added=change.added,
        changed=change.changed,
        removed=change.removed,
        kept=change.kept,
        replay=replay,
        replay_bytes=sum(one.replay_bytes for one in replay),
    )


def _replay(spec: PatternSpec, info: SubjectInfo) -> SourceReplay:
    """What the session would be given of one source to begin with."""
    position = info.tail if spec.start == "now" else info.oldest
    size = 0 if spec.start == "now" else info.stored_bytes
    return SourceReplay(
        pattern=spec.pattern, subject=info.subject, position=position, tail=info.tail, replay_bytes=size
    )
