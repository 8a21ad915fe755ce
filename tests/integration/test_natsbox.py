"""The servers that other tests run against: started, killed, started again, alone and three together."""

from __future__ import annotations

import asyncio

import nats
from nats.js.api import StreamConfig

from holdfast.natsbox import NatsCluster, NatsServer


def test_a_server_that_was_killed_comes_back_with_what_it_had() -> None:
    async def store(url: str) -> None:
        async with await nats.connect(url) as client:
            stream = client.jetstream()
            await stream.add_stream(StreamConfig(name="s", subjects=["s"]))
            await stream.publish("s", b"kept")

    async def look(url: str) -> bytes | None:
        async with await nats.connect(url) as client:
            return (await client.jetstream().get_msg("s", 1)).data

    with NatsServer.temporary() as server:
        url = server.url
        asyncio.run(store(url))
        server.kill()
        assert not server.running
        server.start()
        assert server.url == url
        assert asyncio.run(look(url)) == b"kept"
    assert not server.running


def test_two_servers_do_not_meet() -> None:
    with NatsServer.temporary() as one, NatsServer.temporary(max_payload=4096) as other:
        assert one.url != other.url
        assert other.monitor("varz")["max_payload"] == 4096


def test_three_servers_share_a_stream() -> None:
    async def main(cluster: NatsCluster) -> None:
        async with await nats.connect(cluster.urls) as client:
            info = await client.jetstream().add_stream(StreamConfig(name="s", subjects=["s"], num_replicas=3))
            assert info.cluster is not None
            assert info.cluster.leader is not None
            assert cluster.server(info.cluster.leader).running

    with NatsCluster.temporary() as cluster:
        asyncio.run(main(cluster))
        cluster.servers[0].kill()
        cluster.start()
        assert all(server.running for server in cluster.servers)
