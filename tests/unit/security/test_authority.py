"""Minting, knowing, revoking; over a restart too."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import VirtualClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import CorruptionError, LimitExceeded, NotFound, StorageError, Unauthenticated, UsageError
from holdfast.limits import LIMITS
from holdfast.security.identity import owner
from holdfast.security.model import TokenSpec

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MakeAuthority = Any
JOB = "0123456789ab"
ME = owner(7)


def spec(**changes: Any) -> TokenSpec:
    return TokenSpec(**{"subject": "alice", "scopes": ["jobs:read"], **changes})


def test_a_minted_token_is_known_until_it_expires(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, clock: VirtualClock, audit_lines: Any
) -> None:
    async def main() -> None:
        await engine.start()
        async with make_authority() as authority:
            minted = await authority.mint(ME, spec(job="train", channel="chat", role="reader", ttl_s=60.5))
            identity = authority.authenticate(minted.token)
            assert (identity.subject, identity.scopes, identity.role) == ("alice", {"jobs:read"}, "reader")
            assert (identity.job, identity.channel) == (JOB, f"{JOB}/chat")
            assert identity.token_id == minted.info.id
            assert authority.tokens() == [minted.info]
            clock.advance(60)
            authority.check_in_force(authority.authenticate(minted.token))
            clock.advance(1)
            with pytest.raises(Unauthenticated, match="expired"):
                authority.authenticate(minted.token)
            with pytest.raises(Unauthenticated, match="expired"):
                authority.check_in_force(identity)
            forged = minted.token[:-8] + "AAAAAAAA"
            with pytest.raises(Unauthenticated, match="not one of"):
                authority.authenticate(forged)
            denied = [line for line in audit_lines() if line["event"] == "denied"]
            assert [(line["by"], line.get("by_token", "")) for line in denied] == [
                ("alice", identity.token_id),
                ("", ""),
            ]
        await engine.stop()

    run(main())


def test_a_revoked_token_is_worthless_at_once_and_for_good(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, clock: VirtualClock, audit_lines: Any
) -> None:
    async def main() -> None:
        await engine.start()
        async with make_authority() as authority:
            minted, other = await authority.mint(ME, spec()), await authority.mint(ME, spec())
            identity = authority.authenticate(minted.token)
            told: list[str] = []
            authority.on_revoked = told.append
            info = await authority.revoke(ME, minted.info.id)
            assert info.revoked_at == clock.wall()
            assert await authority.revoke(ME, minted.info.id) == info
            assert told == [minted.info.id]
            with pytest.raises(Unauthenticated, match="revoked"):
                authority.check_in_force(identity)
        async with make_authority() as authority:
            with pytest.raises(Unauthenticated, match="revoked"):
                authority.authenticate(minted.token, "somewhere")
            assert authority.authenticate(other.token).token_id == other.info.id
        await engine.stop()

    run(main())
    events = [(line["event"], line.get("token", line.get("peer"))) for line in audit_lines()]
    assert [event for event, _ in events] == ["token.minted", "token.minted", "token.revoked", "denied"]
    assert events[-1][1] == "somewhere"
    assert audit_lines()[-1]["by"] == "alice"


def test_a_jobs_token_speaks_for_its_job_and_can_be_revoked(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, clock: VirtualClock
) -> None:
    async def main() -> None:
        await engine.start()
        async with make_authority() as authority:
            token = authority.mint_for_job(JOB)
            identity = authority.authenticate(token)
            assert (identity.subject, identity.job, identity.role) == (f"job:{JOB}", JOB, "executor")
            assert identity.scopes == {"channels:read", "channels:write"}
            assert authority.tokens() == []
            clock.advance(LIMITS.job_retention_s * 50)
            authority.authenticate(token)
            await authority.revoke(ME, f"job-{JOB}")
        async with make_authority() as authority:
            with pytest.raises(Unauthenticated, match="revoked"):
                authority.authenticate(token)
        await engine.stop()

    run(main())


@pytest.mark.parametrize("token_id", ["eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2ln", "", "job-", "job-x", "../x"])
def test_what_is_no_id_is_not_repeated(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, token_id: str
) -> None:
    async def main() -> None:
        await engine.start()
        async with make_authority() as authority:
            with pytest.raises(UsageError, match="token_id") as caught:
                await authority.revoke(ME, token_id)
            assert not token_id or token_id not in str(caught.value)
            with pytest.raises(NotFound):
                await authority.revoke(ME, JOB)
        await engine.stop()

    run(main())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subject": ""}, "subject"),
        ({"subject": "local:0"}, "subject"),
        ({"subject": "a b"}, "subject"),
        ({"subject": "holdfast"}, "subject"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["jobs:read", "jobs:eat"]}, "scopes"),
        ({"role": "owner"}, "role"),
        ({"ttl_s": 0.0}, "ttl_s"),
        ({"ttl_s": float("nan")}, "ttl_s"),
        ({"ttl_s": float("inf")}, "ttl_s"),
        ({"ttl_s": LIMITS.token_ttl_s_max + 1}, "ttl_s"),
        ({"channel": "chat"}, "channel"),
        ({"channel": "a/b/c"}, "channel"),
        ({"channel": "/c"}, "channel"),
        ({"channel": "p/"}, "channel"),
        ({"channel": "other/chat", "job": "train"}, "channel"),
    ],
    ids=str,
)
def test_bad_wishes_name_their_field(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, changes: dict[str, Any], field: str
) -> None:
    async def main() -> None:
        await engine.start()
        async with make_authority() as authority:
            with pytest.raises(UsageError) as caught:
                await authority.mint(ME, spec(**changes))
            assert caught.value.field == field
            with pytest.raises(NotFound):
                await authority.mint(ME, spec(job="nobody"))
            assert authority.tokens() == []
        await engine.stop()

    run(main())


def test_records_are_bounded_and_expired_ones_go(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, clock: VirtualClock
) -> None:
    async def main() -> None:
        await engine.start()
        async with make_authority(LIMITS._replace(tokens_max=2)) as authority:
            for _ in range(2):
                await authority.mint(ME, spec())
            with pytest.raises(LimitExceeded, match="tokens_max"):
                await authority.mint(ME, spec())
            clock.advance(8 * 86_400)
            assert await authority.mint(ME, spec()) is not None
            assert len(authority.tokens()) == 1
        assert len(await engine.kv.list("tokens/")) == 1
        await engine.stop()

    run(main())


def test_a_record_that_cannot_be_read_is_said(run: Run, make_authority: MakeAuthority, engine: MemoryEngine) -> None:
    async def main() -> None:
        await engine.start()
        await engine.kv.put("tokens/x", b"{")
        with pytest.raises(CorruptionError, match="tokens/x"):
            async with make_authority():
                pass
        await engine.stop()

    run(main())


def test_no_token_is_kept_anywhere(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, state_dir: Path
) -> None:
    async def main() -> tuple[list[str], list[bytes]]:
        await engine.start()
        async with make_authority() as authority:
            minted = await authority.mint(ME, spec())
            tokens = [minted.token, authority.mint_for_job(JOB)]
            assert minted.token not in repr(minted)
        values = [item.value for item in await engine.kv.list()]
        await engine.stop()
        return tokens, values

    tokens, values = run(main())
    kept = b"".join([*values, *(path.read_bytes() for path in state_dir.rglob("*") if path.is_file())])
    for token in tokens:
        assert token.rpartition(".")[2].encode() not in kept
    for path in state_dir.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_key_that_others_could_read_is_not_used(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, state_dir: Path
) -> None:
    async def opened() -> None:
        async with make_authority():
            return

    async def main() -> None:
        await engine.start()
        await opened()
        path = state_dir / "keys" / "node.pem"
        os.chmod(path, 0o640)
        with pytest.raises(StorageError, match="others may read"):
            await opened()
        os.chmod(path, 0o600)
        path.write_text("no key")
        with pytest.raises(CorruptionError, match="Ed25519"):
            await opened()
        await engine.stop()

    run(main())
