"""``holdfast session``, ``provider`` and ``pub``, as they are typed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from holdfast.testing import NodeBox, wait_until


def text(box: NodeBox, *arguments: str, code: int = 0, input: bytes = b"") -> str:
    done = box.run(*arguments, code=code, input=input)
    return (done.stdout if code == 0 else done.stderr).decode().strip()


def test_a_session_from_making_to_removal(node_box: NodeBox, tmp_path: Path) -> None:
    box = node_box
    session = text(box, "session", "new", "channels.>", "bus.news.*", "--idle-after", "2h")
    text(box, "channel", "create", "deploy/events")
    text(box, "channel", "append", "deploy/events", "started")
    text(box, "pub", "bus.news.eu", "hello", "-H", "from=me")
    assert text(box, "pub", "channels.deploy.events", "published") == "2"
    found = text(box, "session", "attach", session[:8], "-n", "2", "-o", "text")
    assert sorted(found.splitlines()) == ["bus.news.eu  hello", "channels.deploy.events  started"]
    assert text(box, "session", "attach", session, "-n", "1", "-o", "raw") == "published"
    text(box, "pub", "bus.news.a", "--lines", input=b"one\ntwo\n")
    done = box.run("session", "attach", session, "-n", "2", "-o", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["payload"] for line in lines] == ["one", "two"]

    listed = json.loads(text(box, "session", "ls", "-o", "json"))
    assert [(one["id"], one["idle_after"], one["attached"]) for one in listed] == [(session, 7200.0, False)]
    assert "channels.> bus.news.*" in text(box, "session", "ls")

    plan = text(box, "session", "apply", session, "--plan", "bus.news.*", "jobs.*.output", "--policy", "conflate")
    assert plan.splitlines() == [
        "+ jobs.*.output",
        "~ bus.news.*",
        "- channels.>",
        "nothing was changed; version 1, 0 bytes would be replayed",
    ]
    patterns = tmp_path / "patterns.json"
    patterns.write_text('["jobs.*.output", {"pattern": "bus.news.*", "policy": "conflate", "buffer_messages": 7}]')
    assert text(box, "session", "apply", session, "-f", str(patterns)).splitlines()[-1] == "version 2"
    info = json.loads(text(box, "session", "info", session))
    assert [(one["pattern"], one["policy"], one["buffer_messages"]) for one in info["patterns"]] == [
        ("jobs.*.output", "drop-oldest", 0),
        ("bus.news.*", "conflate", 7),
    ]
    assert text(box, "session", "subjects", "channels.>", "-o", "subject") == "channels.deploy.events"
    assert text(box, "session", "rm", session[:6], "--reason", "done") == session
    assert text(box, "session", "ls", "-o", "id") == ""


def test_without_acknowledgements_it_does_not_stop_and_all_comes_again(box: NodeBox) -> None:
    box.env["HOLDFAST_LIMIT_SESSION_UNACKNOWLEDGED_MAX"] = "2"
    box.start_node()
    session = text(box, "session", "new", "channels.>")
    for channel in ("p/c", "p/d"):
        text(box, "channel", "create", channel)
        text(box, "channel", "append", channel, "--lines", input=b"line\n" * 5)
    for _ in range(2):
        found = text(box, "session", "attach", session, "--no-ack", "-n", "10", "-o", "text").splitlines()
        assert sorted(found) == ["channels.p.c  line"] * 5 + ["channels.p.d  line"] * 5


def test_what_is_wrong_is_said(node_box: NodeBox, tmp_path: Path) -> None:
    box = node_box
    session = text(box, "session", "new", "bus.>")
    assert "no session 'nix'" in text(box, "session", "attach", "nix", code=3)
    assert "no session" in text(box, "session", "rm", session.replace(session[0], "x"), code=3)
    assert "no client" in text(box, "session", "detach", session, code=125)
    assert "there is no provider 'nix'" in text(box, "session", "new", "nix.>", code=3)
    assert "goes on after '>'" in text(box, "session", "apply", session, "bus.>.a", code=125)
    assert "version 1, not 9" in text(box, "session", "apply", session, "bus.x", "--version", "9", code=4)
    bad = tmp_path / "bad.json"
    bad.write_text('[{"patern": "bus.x"}]')
    assert "not a list of patterns" in text(box, "session", "new", "-f", str(bad), code=125)
    assert "NAME=VALUE" in text(box, "pub", "bus.x", "y", "-H", "nix", code=125)
    assert "no kind of provider" in text(box, "provider", "add", "x", "no-such-kind", code=3)
    assert "belongs to the node" in text(box, "provider", "rm", "jobs", code=5)
    assert "no provider 'x'" in text(box, "provider", "rm", "x", code=3)


def test_two_clients_and_an_interruption(node_box: NodeBox) -> None:
    box = node_box
    session = text(box, "session", "new", "bus.>")
    first = box.spawn("session", "attach", session, "--name", "first", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: json.loads(text(box, "session", "info", session))["client"] == "first", "it is attached")
    assert "has a client: first" in text(box, "session", "attach", session, code=4)
    second = box.spawn("session", "attach", session, "--steal", "--name", "second", "-n", "1", stdout=subprocess.PIPE)
    assert first.wait() == 4
    assert first.stderr is not None
    assert b"taken over by second" in first.stderr.read()
    text(box, "pub", "bus.x", "for the second")
    assert second.wait() == 0
    assert second.stdout is not None
    assert second.stdout.read() == b"bus.x  for the second\n"
    third = box.spawn("session", "attach", session, "--name", "third", stdout=subprocess.PIPE)
    wait_until(lambda: json.loads(text(box, "session", "info", session))["client"] == "third", "it is attached")
    text(box, "session", "detach", session)
    assert third.wait() == 0


def test_providers_are_listed(node_box: NodeBox) -> None:
    assert text(node_box, "provider", "ls", "-o", "name").splitlines() == ["bus", "channels", "jobs"]
    text(node_box, "session", "new", "bus.>", "bus.a")
    rows = {one["name"]: one for one in json.loads(text(node_box, "provider", "ls", "-o", "json"))}
    assert (rows["bus"]["feeds"], rows["bus"]["sessions"], rows["bus"]["built_in"]) == (2, 1, True)
    assert text(node_box, "provider", "ls").splitlines()[0].split() == [
        *("PROVIDER", "KIND", "STATE", "FEEDS", "SESSIONS", "OPTIONS")
    ]


def test_interrupted_in_the_middle_it_goes_on_after_the_last_line(node_box: NodeBox) -> None:
    box = node_box
    text(box, "channel", "create", "p/c")
    for start in range(0, 3_000, 1_000):
        numbers = b"".join(b"%d\n" % number for number in range(start, start + 1_000))
        box.run("channel", "append", "p/c", "--lines", input=numbers)
    session = text(box, "session", "new", "channels.>")
    printed: list[int] = []
    while len(printed) < 3_000:
        attached = box.spawn("session", "attach", session, "--steal", "-o", "jsonl", stdout=subprocess.PIPE)
        assert attached.stdout is not None
        for taken, line in enumerate(attached.stdout, 1):
            printed.append(int(json.loads(line)["payload"]))
            if taken == 700 or len(printed) == 3_000:
                attached.send_signal(signal.SIGINT)
                break
        printed += [int(json.loads(line)["payload"]) for line in attached.stdout]
        assert attached.wait() == 130
    assert printed == list(range(3_000))
