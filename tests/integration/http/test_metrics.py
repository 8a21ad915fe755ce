"""What Prometheus is told of a real node."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

from holdfast.client.sync import connect_sync
from holdfast.testing import wait_until
from tests.integration.http.conftest import Web


def read(web: Web) -> dict[str, float]:
    """Each series and its value."""
    got = web.ask("GET", "/metrics")
    assert got.status == 200
    lines = [line.rpartition(" ") for line in got.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_readers_over_http_and_rpc_are_counted_and_their_lag_is_told(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    with connect_sync(web.box.url, autostart=False) as node:
        channel = node.channels.create("p", "c")
        channel.append("one")
        events = urllib.request.urlopen(f"{web.url}/v1/stream/channels/p/c?offset=-1&live=sse", timeout=30)
        with events, channel.subscribe() as subscription:
            assert events.readline() == b"event: data\n"
            assert subscription.read() is not None
            wait_until(lambda: read(web)['holdfast_readers_behind_entries{door="rpc",le="0"}'] == 1, "it has all of it")
            found = read(web)
            assert found['holdfast_readers{door="http"}'] == 1 and found['holdfast_readers{door="rpc"}'] == 1
            assert found['holdfast_readers_behind_entries{door="http",le="0"}'] == 1
            assert found["holdfast_channel_subscribers"] == 2
            assert json.loads(web.box.run("channel", "info", "p/c").stdout)["subscribers"] == 2
            assert found['holdfast_channel_entries_total{outcome="appended"}'] == 1
            assert found["holdfast_rpc_streams"] == 1 and found["holdfast_rpc_window_free_bytes"] > 0
            subscription.close()
            for _ in range(100):  # which the closed one does not take, and the other one is given
                channel.append("x" * 100)
        wait_until(lambda: read(web)["holdfast_channel_subscribers"] == 0, "both have left")
        wait_until(lambda: read(web)['holdfast_readers{door="http"}'] == 0, "the browser has left")


def test_a_reader_that_stands_still_is_shown_by_name(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    with connect_sync(web.box.url, autostart=False) as node:
        channel = node.channels.create("p", "c")
        subscription = channel.subscribe()
        assert subscription.open() is not None
        channel.append_batch(["x" * 1_000] * 5_000)  # more than a window, and nobody reads
        name = 'holdfast_reader_lag_entries{door="rpc",place="1",stream="channels/p/c"}'
        assert wait_until(lambda: read(web).get(name), "it is behind") > 1_000
        found = read(web)
        assert found['holdfast_readers_behind_entries{door="rpc",le="1000"}'] == 0
        assert found["holdfast_rpc_ring_bytes"] > 0
        subscription.close()


def test_commits_reconnects_and_jobs(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    web.box.run("run", "-d", "-n", "sleeper", "--", "sleep", "600")
    wait_until(lambda: read(web)["holdfast_job_links_made_total"] == 1, "the node has found the keeper")
    before = read(web)
    assert before['holdfast_commit_seconds_bucket{le="+Inf"}'] == before["holdfast_commit_seconds_count"] > 0
    assert before["holdfast_commit_seconds_sum"] > 0
    assert before["holdfast_job_pending_bytes"] == 0
    web.box.run("ps")
    assert read(web)["holdfast_rpc_connections_made_total"] > before["holdfast_rpc_connections_made_total"]
    web.ask("PUT", "/v1/stream/s", "", b"x", Content_Type="text/plain", Stream_Closed="true")
    resumed = {"Last_Event_ID": "0000000000000000_0000000000000001"}
    assert web.ask("GET", "/v1/stream/s?offset=-1&live=sse", "", None, **resumed).status == 204
    assert read(web)["holdfast_http_resumed_total"] == 1
    web.box.kill_node()
    web.start()
    wait_until(lambda: read(web)["holdfast_job_links_made_total"] == 1, "the new node has found the keeper")
