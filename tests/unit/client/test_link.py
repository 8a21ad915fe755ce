"""The client's one connection, when there is none to be had."""

from __future__ import annotations

import asyncio
from pathlib import Path

from holdfast.client.credentials import target
from holdfast.client.link import Link
from holdfast.errors import Unavailable
from holdfast.status.api import StatusApi
from tests.conftest import Run


def test_all_who_lost_the_link_try_again_together(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        nowhere = target(f"unix://{tmp_path}/none.sock", token=None, token_callback=None, ca_file=None, env={})
        link = Link(nowhere, autostart=False, reconnect_s=0.2)
        errors = await asyncio.gather(*(link.ask(StatusApi.info) for _ in range(100)), return_exceptions=True)
        assert {type(error) for error in errors} == {Unavailable}
        assert all("none.sock" in str(error) for error in errors)
        assert link._backoff.attempts < 50  # one delay for all of them, not one for each
        await link.close()

    run(main())
