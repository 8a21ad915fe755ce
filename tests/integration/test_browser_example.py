"""The page of ``examples/browser`` in Debian's Chromium, beside subscribers of the SDK: all see the same tokens."""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from holdfast.client.jobs.sync import SyncJob
from holdfast.client.sync import SyncNode, connect_sync
from holdfast.testing import PATIENCE_S, NodeBox, wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

AGENT = """
import sys, types
import token_stream
token_stream.time = types.SimpleNamespace(sleep=lambda _: sys.stdin.readline())
token_stream.agent()
"""
"""The example's agent, which writes its next token when it is given a line."""

VIEWER = """
import sys
import holdfast
url, channel, after = sys.argv[1:]
with holdfast.connect_sync(url, autostart=False) as node:
    for entry in node.channels.channel(channel).subscribe(after=int(after)):
        if entry.type == "end":
            break
        print(entry.index, entry.text, flush=True)
"""

Seen = list[tuple[int, str]]


def tokens() -> list[str]:
    """What the example's agent writes."""
    names: dict[str, object] = {"__name__": "token_stream", "__file__": ""}
    exec((EXAMPLES / "token_stream.py").read_text(), names)
    return [word + " " for word in str(names["ANSWER"]).split()]


EXPECTED: Seen = list(enumerate(tokens(), 1))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[BrowserContext]:
    """Chromium with a fresh profile."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not on this machine; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=chromium, headless=True, args=FLAGS, timeout=PATIENCE_S * 1000
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context
        context.close()


@pytest.fixture
def port() -> int:
    """One that is free, and that no system gives to somebody else before the node comes back to it."""
    while True:
        found = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", found))
            except OSError:
                continue
            return found


def start(box: NodeBox, port: int = 0) -> None:
    box.start_node("--http", f"127.0.0.1:{port}", "--http-root", str(EXAMPLES / "browser"))


def enter(browser: BrowserContext, url: str) -> Page:
    """Follow a login link, as its user does."""
    page = browser.new_page()
    page.goto(url)
    page.get_by_role("button").click()
    page.wait_for_url(re.compile(r"/\?channel="))
    return page


def link_to(node: SyncNode, channel: str) -> tuple[str, str]:
    """A login link to the page that watches ``channel``, and the id of its token."""
    rights = node.tokens.mint("browser", ["channels:read"], channel=channel, role="reader")
    return node.tokens.link(rights.info.id, to=f"/?channel={quote(channel, safe='/')}").url, rights.info.id


def feed(node: SyncNode, job_id: str, count: int) -> None:
    """Let the agent write so many tokens, once its keeper can be reached."""
    job = wait_until(lambda: _connected(node, job_id), "the node has found the keeper")
    job.send(b"\n" * count)


def _connected(node: SyncNode, job_id: str) -> SyncJob | None:
    job = node.jobs.get(job_id)
    return job if job.info.link == "connected" else None


def shown(page: Page) -> Seen:
    """The tokens on the page."""
    found = page.evaluate("[...document.querySelectorAll('#answer span')].map(t => [+t.dataset.index, t.textContent])")
    return [(index, text) for index, text in found]


def wait_for(page: Page, state: str, count: int = 0) -> None:
    """Until the page says so and shows so many tokens."""
    page.wait_for_function(
        "([state, count]) => document.body.dataset.state === state"
        " && document.querySelectorAll('#answer span').length >= count",
        arg=[state, count],
    )


class Viewer:
    """A subscriber, as a process of its own."""

    def __init__(self, box: NodeBox, channel: str, after: int = 0) -> None:
        self.seen: Seen = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", VIEWER, box.url, channel, str(after)], stdout=subprocess.PIPE, env=box.env
        )

    def read(self, count: int = sys.maxsize) -> None:
        """Until it has ended, or has told of so many."""
        assert self._process.stdout is not None
        while len(self.seen) < count and (line := self._process.stdout.readline()):
            index, _, token = line.decode().rstrip("\n").partition(" ")
            self.seen.append((int(index), token))

    def wait(self) -> int:
        """Until it has ended by itself."""
        return self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        """Idempotent; nothing of it is left."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def watch(box: NodeBox) -> Iterator[Callable[..., Viewer]]:
    """Starts viewers; they end with the test."""
    viewers: list[Viewer] = []

    def start(channel: str, after: int = 0) -> Viewer:
        viewers.append(Viewer(box, channel, after))
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.kill()


def test_a_browser_and_two_subscribers_see_every_token_once_in_order(
    box: NodeBox, browser: BrowserContext, port: int, watch: Callable[..., Viewer]
) -> None:
    """One subscriber is killed and resumed, then the node is killed and started again, while tokens come."""
    start(box, port)
    with connect_sync(box.url, autostart=False) as node:
        job = node.jobs.start(
            [sys.executable, "-c", AGENT], channels=["tokens"], cwd=EXAMPLES, env={**box.env, "PYTHONPATH": "."}
        )
        channel = job.channel("tokens").id
        page = enter(browser, link_to(node, channel)[0])
        lasting, killed = watch(channel), watch(channel)

        feed(node, job.id, 40)
        wait_for(page, "live", 40)
        lasting.read(1)  # it is there, and will have to come back
        killed.read(30)
        killed.kill()

        feed(node, job.id, 30)
        box.kill_node()
        wait_for(page, "cut")
        start(box, port)
        resumed = watch(channel, after=killed.seen[-1][0])
        wait_for(page, "live", 70)

        feed(node, job.id, len(EXPECTED))
        wait_for(page, "ended")
        lasting.read()
        resumed.read()
        assert lasting.wait() == resumed.wait() == 0
        assert shown(page) == EXPECTED
        assert lasting.seen == EXPECTED
        assert killed.seen + resumed.seen == EXPECTED
        assert page.inner_text("#cuts") != "0"

        page.reload()
        wait_for(page, "ended")
        assert shown(page) == EXPECTED


def test_the_example_does_what_it_says(box: NodeBox, browser: BrowserContext) -> None:
    start(box)
    command = [sys.executable, str(EXAMPLES / "tokens_in_a_browser.py"), "0.005"]
    with subprocess.Popen(command, env=box.env, stdout=subprocess.PIPE, text=True) as example:
        assert example.stdout is not None
        assert example.stdout.readline().startswith("open in a browser")
        page = enter(browser, example.stdout.readline().strip())
        wait_for(page, "ended")
        assert shown(page) == EXPECTED
        assert example.stdout.read().startswith("the agent has ended with 0")
    assert example.returncode == 0


def test_the_page_says_when_nobody_is_logged_in_any_more(box: NodeBox, browser: BrowserContext) -> None:
    box.env["HOLDFAST_LIMIT_HTTP_HEARTBEAT_S"] = "50ms"
    start(box)
    with connect_sync(box.url, autostart=False) as node:
        channel = node.channels.create("somebodys", "tokens")
        stranger = browser.new_page()
        stranger.goto(f"{box.listening('http')}/?channel={channel.id}")
        wait_for(stranger, "locked")
        url, token_id = link_to(node, channel.id)
        page = enter(browser, url)
        channel.append("one")
        wait_for(page, "live", 1)
        assert "holdfast" not in page.evaluate("document.cookie")
        node.tokens.revoke(token_id)
        wait_for(page, "locked")
        wait_until(lambda: b'"login.entered"' in (box.state_dir / "audit.log").read_bytes(), "the login was noted")
