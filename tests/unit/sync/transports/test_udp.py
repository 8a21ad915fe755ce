from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.errors import LimitExceeded, UsageError
from holdfast.limits import LIMITS
from holdfast.sync.transports.udp import Udp, parse_endpoint

Run = Callable[[Coroutine[Any, Any, Any]], Any]
KEY = b"k" * 32


async def pair(**options: float) -> tuple[Udp, Udp, asyncio.Queue[bytes]]:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    first = Udp(listen="127.0.0.1:0", **options)  # type: ignore[arg-type]
    second = Udp(listen="127.0.0.1:0")
    await first.open(lambda message: None)
    await second.open(heard.put_nowait)
    first.set_peers([f"127.0.0.1:{second.address[1]}"])
    second.set_peers([f"127.0.0.1:{first.address[1]}"])
    return first, second, heard


def test_messages_of_every_size_arrive_whole(run_on_both: Run) -> None:
    async def story() -> None:
        first, second, heard = await pair()
        for size in (0, 1, 1396, 1397, 20_000):
            first.send(bytes([size % 251]) * size)
            assert await heard.get() == bytes([size % 251]) * size
        assert first.stats.datagrams_sent == 1 + 1 + 1 + 2 + 15
        assert first.stats.bytes_sent == second.stats.bytes_received
        assert second.stats.messages_received == 5
        await first.close()
        await second.close()
        await second.close()

    run_on_both(asyncio.wait_for(story(), 20))


def test_no_more_leaves_than_the_rate_and_what_waits_too_long_is_dropped(run_on_both: Run) -> None:
    async def story() -> None:
        first, second, heard = await pair(rate_bytes_s=2_000_000.0)
        for _ in range(2):
            first.send(bytes(200_000))
        assert first.stats.datagrams_sent < 60
        assert len(await heard.get()) == 200_000
        for _ in range(100):
            first.send(bytes(200_000))
        assert first.stats.dropped > 50
        await first.close()
        first.send(b"too late")
        await second.close()

    run_on_both(asyncio.wait_for(story(), 20))


def test_strangers_are_not_heard(run_on_both: Run) -> None:
    async def story() -> None:
        first, second, heard = await pair()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"HS\x01\0let me in", second.address)
            first.send(b"hello")
            assert await heard.get() == b"hello"
        assert second.stats.malformed == 1
        assert heard.empty()
        await first.close()
        await second.close()

    run_on_both(asyncio.wait_for(story(), 20))


def test_datagrams_can_be_lost_on_purpose(run_on_both: Run) -> None:
    async def story() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        second = Udp(listen="127.0.0.1:0", drop=lambda datagram: b"lost" in datagram)
        await second.open(heard.put_nowait)
        first = Udp(listen="127.0.0.1:0", peers=[f"127.0.0.1:{second.address[1]}"])
        await first.open(lambda message: None)
        second.set_peers([f"127.0.0.1:{first.address[1]}"])
        first.send(b"lost")
        first.send(b"found")
        assert await heard.get() == b"found"
        await first.close()
        await second.close()

    run_on_both(asyncio.wait_for(story(), 20))


def test_nobody_there_is_no_error(run_on_both: Run) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        first = Udp(listen="127.0.0.1:0", peers=[f"127.0.0.1:{port}"])
        await first.open(lambda message: None)
        for _ in range(3):
            first.send(b"anybody?")
            await asyncio.sleep(0)
        await first.close()

    run_on_both(asyncio.wait_for(story(), 20))


def test_a_taken_address_is_an_error_and_leaves_nothing_open(run_on_both: Run) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(OSError, match="in use"):
                await Udp(listen=f"127.0.0.1:{taken.getsockname()[1]}").open(lambda message: None)

    run_on_both(asyncio.wait_for(story(), 20))


def test_with_a_key_only_those_who_have_it_are_heard(run_on_both: Run) -> None:
    async def story() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        second = Udp(listen="127.0.0.1:0", key=KEY)
        first, stranger, robber = [Udp(listen="127.0.0.1:0", key=key) for key in (KEY, None, b"x" * 32)]
        await second.open(heard.put_nowait)
        for udp in (first, stranger, robber):
            await udp.open(lambda message: None)
            udp.set_peers([f"127.0.0.1:{second.address[1]}"])
        second.set_peers([f"127.0.0.1:{udp.address[1]}" for udp in (first, stranger, robber)])
        for udp in (stranger, robber):
            udp.send(b"let me in")
        for size in (0, 1, 1_352, 1_353, 20_000):
            first.send(bytes([size % 251]) * size)
            assert await heard.get() == bytes([size % 251]) * size
        assert first.stats.datagrams_sent == 1 + 1 + 1 + 2 + 15
        assert (second.stats.unverified, second.stats.malformed) == (2, 0)
        second.set_key(b"y" * 32)
        first.send(b"too late")
        first.set_key(b"y" * 32)
        first.send(b"again")
        assert await heard.get() == b"again"
        assert second.stats.unverified == 3
        for udp in (first, second, stranger, robber):
            await udp.close()

    run_on_both(asyncio.wait_for(story(), 20))


def test_what_leaves_with_a_key_shows_nothing_and_is_none_too_large(run_on_both: Run) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
            tap.bind(("127.0.0.1", 0))
            tap.setblocking(False)
            first = Udp(listen="127.0.0.1:0", key=KEY, peers=[f"127.0.0.1:{tap.getsockname()[1]}"])
            await first.open(lambda message: None)
            first.send(b"attack at dawn" * 200)
            seen = [await loop.sock_recv(tap, 65_536) for _ in range(3)]
            await first.close()
        assert [len(datagram) for datagram in seen[:2]] == [LIMITS.group_datagram_bytes] * 2
        assert all(datagram.startswith(b"HS\x01\x02") and b"dawn" not in datagram for datagram in seen)

    run_on_both(asyncio.wait_for(story(), 20))


def test_what_cannot_be_is_named() -> None:
    assert parse_endpoint("[::1]:7946", "peers") == ("::1", 7946)
    with pytest.raises(UsageError, match="either"):
        Udp()
    with pytest.raises(UsageError, match="either"):
        Udp(multicast="239.1.2.3:7946", listen="127.0.0.1:0")
    with pytest.raises(UsageError, match="multicast"):
        Udp(multicast="10.0.0.1:7946")
    with pytest.raises(UsageError, match="reaches all"):
        Udp(multicast="239.1.2.3:7946", peers=["10.0.0.1:1"])
    for text in ("10.0.0.1", "host:1", "10.0.0.1:99999", "10.0.0.1:x"):
        with pytest.raises(UsageError, match="listen"):
            Udp(listen=text)
    for listen, peer in (("[::1]:0", "127.0.0.1:9"), ("127.0.0.1:0", "[::1]:9")):
        with pytest.raises(UsageError, match=r"peers: .* cannot be reached from"):
            Udp(listen=listen, peers=[peer])
    for options in ({"multicast": "239.1.2.3:0"}, {"listen": "127.0.0.1:0", "peers": ["127.0.0.1:0"]}):
        with pytest.raises(UsageError, match="has no port to send to"):
            Udp(**options)
    with pytest.raises(UsageError, match="key"):
        Udp(listen="127.0.0.1:0", key=b"secret")
    with pytest.raises(UsageError, match="ttl"):
        Udp(multicast="239.1.2.3:7946", ttl=256)
    with pytest.raises(LimitExceeded, match="group_wire_bytes_max"):
        Udp(listen="127.0.0.1:0").send(bytes(3 * 1024 * 1024))
