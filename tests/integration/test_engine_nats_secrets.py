"""Getting into NATS servers that ask who we are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nkeys
import pytest

from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.errors import StorageError
from holdfast.limits import LIMITS
from holdfast.natsbox import NatsServer
from holdfast.security.certificates import self_signed

PATIENT = LIMITS._replace(nats_connect_s=1_000.0)
"""Who is refused is told so at once, and does not try for so long."""


@contextmanager
def asking(settings: str) -> Iterator[NatsOptions]:
    with NatsServer.temporary(settings=settings) as server:
        yield NatsOptions(url=server.url)


def gets_in(options: NatsOptions) -> None:
    async def main() -> None:
        engine = NatsEngine(options, limits=PATIENT)
        await engine.start()
        await engine.kv.put("k", b"v")
        await engine.stop()

    asyncio.run(main())


def is_refused(options: NatsOptions) -> None:
    with pytest.raises(StorageError, match="cannot connect") as caught:
        gets_in(options)
    assert "wrong" not in str(caught.value)


def test_a_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    with asking('authorization { token: "s3cret" }') as options:
        gets_in(options._replace(token="s3cret"))
        gets_in(options._replace(token_file=str(path)))
        gets_in(options._replace(url=options.url.replace("//", "//s3cret@")))
        is_refused(options._replace(token="wrong"))
        is_refused(options)


def test_a_user_and_password(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret")
    with asking('authorization { user: "hf", password: "s3cret" }') as options:
        gets_in(options._replace(user="hf", password_file=str(path)))
        is_refused(options._replace(user="hf", password="wrong"))


def test_an_nkey(tmp_path: Path) -> None:
    seed, other = (nkeys.encode_seed(bytes([number]) * 32, nkeys.PREFIX_BYTE_USER) for number in (1, 2))
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "seed").write_bytes(seed)
    (tmp_path / "other").write_bytes(other)
    with asking(f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as options:
        gets_in(options._replace(nkey=str(tmp_path / "seed")))
        is_refused(options._replace(nkey=str(tmp_path / "other")))


def test_tls(tmp_path: Path) -> None:
    cert, key, _ = self_signed(str(tmp_path), ["127.0.0.1"], time.time())
    with asking(f'tls {{ cert_file: "{cert}", key_file: "{key}" }}') as options:
        gets_in(options._replace(url=options.url.replace("nats:", "tls:"), ca=cert))
        is_refused(options._replace(url=options.url.replace("nats:", "tls:")))


def test_who_may_not_write_is_told_so() -> None:
    user = '{ user: hf, password: x, permissions: { publish: "other.>" } }'
    with asking(f"authorization {{ users: [ {user} ] }}") as options:
        engine = NatsEngine(options._replace(user="hf", password="x"), limits=LIMITS._replace(nats_request_s=0.3))
        with pytest.raises(StorageError, match=r"(?i)permissions violation for publish"):
            asyncio.run(engine.start())
