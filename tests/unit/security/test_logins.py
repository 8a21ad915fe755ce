"""Links are good once, logins end with their tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.clock import VirtualClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import CorruptionError, LimitExceeded, NotFound, Unauthenticated, UsageError
from holdfast.limits import LIMITS
from holdfast.security.authority import Authority
from holdfast.security.identity import Identity, owner
from holdfast.security.logins import Entered, check_page
from holdfast.security.model import TokenSpec
from tests.conftest import Run

MakeAuthority = Callable[..., Any]
OWNER = owner(1000)
SPEC = TokenSpec(subject="ann", scopes=["channels:read"], ttl_s=3600.0, channel="p/c", role="reader")


@pytest.fixture
def run(run: Run, engine: MemoryEngine) -> Run:
    """As everywhere, with the engine started."""

    async def started(main: Coroutine[Any, Any, Any]) -> None:
        await engine.start()
        await main
        await engine.stop()

    return lambda main: run(started(main))


async def mint(authority: Authority, spec: TokenSpec = SPEC) -> str:
    return (await authority.mint(OWNER, spec)).info.id


async def log_in(authority: Authority, token_id: str, page: str = "") -> Entered:
    _, code = authority.link(OWNER, token_id, page)
    return await authority.logins.enter(code.text)


def test_a_link_lets_one_browser_in_with_the_rights_of_the_token(run: Run, make_authority: MakeAuthority) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            token_id = await mint(authority)
            info, code = authority.link(OWNER, token_id, "/page")
            assert info.id == token_id
            assert authority.logins.look(code.text).subject == "ann"
            assert authority.logins.look(code.text).subject == "ann"
            entered = await authority.logins.enter(code.text)
            assert entered.page == "/page" and entered.max_age_s == 3600
            identity = authority.logins.identify(entered.cookie)
            assert identity == entered.identity
            assert (identity.scopes, identity.channel, identity.role) == ({"channels:read"}, "p/c", "reader")
            authority.check_in_force(identity)

    run(main())


def test_a_used_code_is_worthless_also_for_who_is_as_fast(run: Run, make_authority: MakeAuthority) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            _, code = authority.link(OWNER, await mint(authority), "")
            results = await asyncio.gather(
                *(authority.logins.enter(code.text) for _ in range(5)), return_exceptions=True
            )
            assert sum(isinstance(result, Entered) for result in results) == 1
            assert sum(isinstance(result, Unauthenticated) for result in results) == 4
            for wrong in (code.text, "", "x", "\udce4"):
                with pytest.raises(Unauthenticated):
                    authority.logins.look(wrong)

    run(main())


def test_a_code_gets_too_old(run: Run, make_authority: MakeAuthority, clock: VirtualClock) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            _, code = authority.link(OWNER, await mint(authority), "")
            clock.step_wall(-1_000_000)  # what a clock that is set back must not prolong
            clock.advance(LIMITS.login_link_s)
            with pytest.raises(Unauthenticated, match="too old"):
                await authority.logins.enter(code.text)

    run(main())


@pytest.mark.parametrize("way", ["token", "login"])
def test_a_login_ends_with_its_token_or_by_itself(
    run: Run, make_authority: MakeAuthority, clock: VirtualClock, way: str
) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            ttl_s = 60.0 if way == "token" else 10 * LIMITS.login_s
            spec = TokenSpec(subject="ann", scopes=["streams:read"], ttl_s=ttl_s)
            entered = await log_in(authority, await mint(authority, spec))
            clock.advance(min(ttl_s, LIMITS.login_s) - 0.5)
            authority.check_in_force(authority.logins.identify(entered.cookie))
            clock.advance(1.0)
            with pytest.raises(Unauthenticated):
                authority.logins.identify(entered.cookie)
            with pytest.raises(Unauthenticated):
                authority.check_in_force(entered.identity)

    run(main())


def test_revoking_the_token_ends_its_codes_and_logins_and_no_others(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine
) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            revoked, kept = await mint(authority), await mint(authority)
            mine, other = await log_in(authority, revoked), await log_in(authority, kept)
            _, code = authority.link(OWNER, revoked, "")
            await authority.revoke(OWNER, revoked)
            for cookie_or_code, use in (
                (mine.cookie, authority.logins.identify),
                (code.text, authority.logins.look),
            ):
                with pytest.raises(Unauthenticated):
                    use(cookie_or_code)
            with pytest.raises(Unauthenticated):
                authority.check_in_force(mine.identity)
            with pytest.raises(UsageError, match="revoked"):
                authority.link(OWNER, revoked, "")
            assert authority.logins.identify(other.cookie).token_id == kept
            assert len(await engine.kv.list("logins/")) == 1

    run(main())


def test_a_revocation_that_overtakes_a_login_wins(run: Run, make_authority: MakeAuthority) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            token_id = await mint(authority)
            _, code = authority.link(OWNER, token_id, "")
            results = await asyncio.gather(
                authority.logins.enter(code.text), authority.revoke(OWNER, token_id), return_exceptions=True
            )
            if isinstance(results[0], Entered):
                with pytest.raises(Unauthenticated):
                    authority.logins.identify(results[0].cookie)
            assert len(authority.logins) == 0

    run(main())


def test_leaving_ends_this_login_only(run: Run, make_authority: MakeAuthority) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            token_id = await mint(authority)
            one, two = await log_in(authority, token_id), await log_in(authority, token_id)
            await authority.logins.leave(one.identity)
            await authority.logins.leave(one.identity)
            with pytest.raises(Unauthenticated):
                authority.logins.identify(one.cookie)
            assert authority.logins.identify(two.cookie)

    run(main())


def test_logins_outlive_the_node_and_codes_do_not(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, clock: VirtualClock
) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            token_id = await mint(authority)
            entered = await log_in(authority, token_id)
            _, code = authority.link(OWNER, token_id, "")
        async with make_authority() as authority:
            assert authority.logins.identify(entered.cookie).subject == "ann"
            with pytest.raises(Unauthenticated):
                authority.logins.look(code.text)
        clock.advance(LIMITS.login_s)
        async with make_authority():
            assert not await engine.kv.list("logins/")
        await engine.kv.put("logins/x", b"{}")
        with pytest.raises(CorruptionError):
            async with make_authority():
                pass

    run(main())


def test_neither_code_nor_cookie_is_kept_or_told(
    run: Run, make_authority: MakeAuthority, engine: MemoryEngine, audit_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            token_id = await mint(authority)
            _, code = authority.link(OWNER, token_id, "")
            entered = await authority.logins.enter(code.text, "1.2.3.4:5")
            with pytest.raises(Unauthenticated) as caught:
                await authority.logins.enter(code.text)
            await authority.logins.leave(entered.identity, "1.2.3.4:5")
            kept = [str(item) for item in await engine.kv.list("")]
            for text in (str(caught.value), json.dumps(audit_lines()), *kept):
                assert code.text not in text and entered.cookie not in text
            events = [line["event"] for line in audit_lines()]
            assert events == ["token.minted", "login.linked", "login.entered", "denied", "login.left"]

    run(main())


def test_bounds(run: Run, make_authority: MakeAuthority, clock: VirtualClock) -> None:
    async def main() -> None:
        limits = LIMITS._replace(login_links_max=2, logins_max=3, logins_per_token_max=2)
        async with make_authority(limits) as authority:
            tokens = [await mint(authority) for _ in range(3)]
            first, second, third = [await log_in(authority, tokens[0]) for _ in range(3)]
            assert len(authority.logins) == 2
            with pytest.raises(Unauthenticated):
                authority.logins.identify(first.cookie)
            assert authority.logins.identify(second.cookie) and authority.logins.identify(third.cookie)
            await log_in(authority, tokens[1])
            with pytest.raises(LimitExceeded, match="logins_max"):
                await log_in(authority, tokens[2])
            codes = [authority.link(OWNER, tokens[0], "")[1] for _ in range(3)]
            with pytest.raises(Unauthenticated):
                authority.logins.look(codes[0].text)
            assert authority.logins.look(codes[1].text) and authority.logins.look(codes[2].text)
            with pytest.raises(LimitExceeded, match="login_links_max"):
                authority.link(OWNER, tokens[1], "")
            clock.advance(limits.login_link_s)
            authority.link(OWNER, tokens[1], "")

    run(main())


def test_links_are_for_tokens_that_are_there_and_in_force(
    run: Run, make_authority: MakeAuthority, clock: VirtualClock
) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            minted = await authority.mint(OWNER, SPEC)
            with pytest.raises(NotFound):
                authority.link(OWNER, "000000000000", "")
            with pytest.raises(UsageError) as caught:
                authority.link(OWNER, minted.token, "")
            assert minted.token not in str(caught.value)
            clock.advance(SPEC.ttl_s)
            with pytest.raises(UsageError, match="expired"):
                authority.link(OWNER, minted.info.id, "")

    run(main())


def test_who_shows_a_token_gets_a_link_for_itself(run: Run, make_authority: MakeAuthority) -> None:
    async def main() -> None:
        async with make_authority() as authority:
            identity: Identity = authority.authenticate((await authority.mint(OWNER, SPEC)).token)
            code = authority.logins.link(identity, identity, "")
            assert (await authority.logins.enter(code.text)).identity._replace(login="") == identity

    run(main())


@pytest.mark.parametrize(
    "page",
    [
        "//evil.example",
        "/\\evil.example",
        "http://evil.example",
        "evil",
        "/a b",
        "/\t",
        "/\n",
        '/"',
        "/<",
        "/" + "x" * 2_000,
    ],
)
def test_a_link_leads_nowhere_else(page: str) -> None:
    with pytest.raises(UsageError, match=r"^to: "):
        check_page(page)


@given(st.text(max_size=30))
def test_a_page_is_a_path_of_ours_whatever_it_holds(page: str) -> None:
    from urllib.parse import urljoin, urlsplit

    try:
        check_page(page)
    except UsageError:
        return
    assert urlsplit(urljoin("http://node.example:1/v1/enter", page)).netloc == "node.example:1"


@pytest.mark.parametrize("page", ["", "/", "/watch.html?channel=a/b#x", "/%5cevil"])
def test_pages_of_ours_are_fine(page: str) -> None:
    assert check_page(page) == page
