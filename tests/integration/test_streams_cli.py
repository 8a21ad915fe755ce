"""``holdfast stream`` against a real node: what each command prints, and what it exits with."""

from __future__ import annotations

import json
import os
import random
import subprocess
from typing import Any

import holdfast
from holdfast.testing import NodeBox, wait_until

PART = 8 << 20
"""Size of the parts of what is too large for one append."""


def stream(box: NodeBox, *arguments: str, input: bytes = b"", code: int = 0) -> str:
    return box.run("stream", *arguments, input=input, code=code).stdout.decode()


def complaint(box: NodeBox, *arguments: str, code: int, input: bytes = b"") -> str:
    return box.run("stream", *arguments, code=code, input=input).stderr.decode()


def info(box: NodeBox, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stream(box, "info", path))
    return found


def test_a_streams_life(node_box: NodeBox) -> None:
    box = node_box
    assert stream(box, "create", "a/log", "--content-type", "text/plain", "--ttl", "1h") == "a/log\n"
    again = json.loads(stream(box, "create", "a/log", "--content-type", "text/plain", "--ttl", "3600", "-o", "json"))
    assert (again["created"], again["tail"], again["ttl_s"]) == (False, 0, 3600)
    assert stream(box, "append", "a/log", "one", "line") == "8\n"
    assert stream(box, "append", "a/log", input=b"\ntwo\nthree\n") == "19\n"
    (box.directory / "file").write_bytes(b"\xff\x00")
    assert json.loads(stream(box, "append", "a/log", "-o", "json", "-f", str(box.directory / "file"))) == {
        "tail": 21, "closed": False, "duplicate": False,
    }  # fmt: skip
    assert box.run("stream", "read", "a/log").stdout == b"one line\ntwo\nthree\n\xff\x00"
    assert box.run("stream", "read", "a/log", "--from", "-2").stdout == b"\xff\x00"
    assert box.run("stream", "read", "a/log", "--from", f"{0:016}_{13:016}").stdout == b"three\n\xff\x00"
    assert box.run("stream", "read", "a/log", "--tail", "2").stdout == b"three\n\xff\x00"
    assert stream(box, "fork", "a/log", "a/fork", "--at", "8") == "a/fork\n"
    assert stream(box, "create", "b", "--fork-of", "a/log", "--at", "-3", "--expires-at", "2099-01-01T00:00:00Z")
    assert stream(box, "read", "a/fork") == "one line"
    assert stream(box, "close", "a/fork", "b") == ""
    table = [line.split() for line in stream(box, "ls").splitlines()]
    assert table[0] == ["PATH", "STATE", "TAIL", "TYPE", "ENDS", "AGE"]
    assert [row[:4] for row in table[1:]] == [
        ["a/fork", "closed", "8", "text/plain"], ["a/log", "open", "21", "text/plain"],
        ["b", "closed", "18", "text/plain"],
    ]  # fmt: skip
    assert stream(box, "ls", "a/", "-o", "name") == "a/fork\na/log\n"
    assert [each["path"] for each in json.loads(stream(box, "ls", "-o", "json"))] == ["a/fork", "a/log", "b"]
    assert info(box, "b")["source"] == "a/log"
    assert stream(box, "rm", "a/log", "a/fork") == "a/log\na/fork\n"
    assert "forks live on" in complaint(box, "info", "a/log", code=6)
    assert stream(box, "read", "b") == "one line\ntwo\nthree"


def test_messages(node_box: NodeBox) -> None:
    box = node_box
    stream(box, "create", "j", "--json")
    assert stream(box, "append", "j", '{"a": 1}') == "1\n"
    assert stream(box, "append", "--json", "j", input=b'[2,\n"three"]') == "3\n"
    assert stream(box, "append", "--lines", "j", input=b'{"four":4}\n\n[5]\n6') == "6\n"
    assert stream(box, "read", "j") == '{"a": 1}\n2\n"three"\n{"four":4}\n[5]\n6\n'
    assert stream(box, "read", "j", "--tail", "2") == "[5]\n6\n"
    last = [json.loads(line) for line in stream(box, "read", "j", "--from", "4", "-o", "jsonl").splitlines()]
    assert last == [{"position": 4, "next": 5, "data": [5]}, {"position": 5, "next": 6, "data": 6}]
    assert "body" in complaint(box, "append", "j", "not json", code=125)


def test_what_goes_wrong_is_said(node_box: NodeBox) -> None:
    box = node_box
    stream(box, "create", "s", "--content-type", "text/plain")
    stream(box, "append", "s", "text")
    for arguments, code, words in (
        (("append", "none", "x"), 3, "no stream 'none'"),
        (("read", "none"), 3, "no stream 'none'"),
        (("info", "channels/p/c"), 3, "no stream 'channels/p/c'"),
        (("create", "jobs/x"), 125, "jobs"),
        (("append", "channels/p/c", "x"), 125, "channels"),
        (("create", "s", "--content-type", "text/html"), 4, "created otherwise"),
        (("append", "--json", "s", "1"), 4, "text/plain"),
        (("append", "--lines", "s"), 125, "holds no messages"),
        (("append", "s"), 125, "nothing to append"),
        (("read", "s", "--from", "5"), 125, "beyond the tail"),
        (("read", "s", "--from", "x"), 125, "not an offset"),
        (("read", "s", "--from", "1", "--tail", "1"), 125, "exclude"),
        (("create", "t", "--ttl", "1s", "--expires-at", "2099-01-01"), 125, "exclude"),
        (("create", "t", "--ttl", "100ms"), 125, "whole number"),
        (("create", "t", "--at", "1"), 125, "--fork-of"),
        (("fork", "s", "t", "--at", "9"), 125, "beyond"),
        (("append", "s", "x", "--producer", "me:1"), 125, "ID:EPOCH:SEQ"),
        (("append", "s", "x", "--producer", "me:0:7"), 125, "me"),
    ):
        said = complaint(box, *arguments, code=code)
        assert words in said, (arguments, said)
    stream(box, "close", "s")
    assert "closed" in complaint(box, "append", "s", "x", code=125)


def test_an_append_with_a_producer_counts_once(node_box: NodeBox) -> None:
    box = node_box
    stream(box, "create", "s")
    for duplicate in (False, True):
        done = json.loads(stream(box, "append", "-o", "json", "--producer", "me:0:0", "s", "text"))
        assert (done["tail"], done["duplicate"]) == (4, duplicate)
    large = random.Random(3).randbytes(PART + 5)
    (box.directory / "large").write_bytes(large)
    for _ in range(2):
        stream(box, "append", "--producer", "me:0:1", "--close", "s", "-f", str(box.directory / "large"))
    assert box.run("stream", "read", "s").stdout == b"text" + large
    assert info(box, "s")["closed"]


def test_standard_input_is_appended_as_it_comes(node_box: NodeBox) -> None:
    box = node_box
    stream(box, "create", "s")
    producer = box.spawn("stream", "append", "--close", "s", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert producer.stdin is not None and producer.stdout is not None
    with holdfast.connect_sync(box.url, autostart=False) as node:
        reading = node.streams.stream("s").read(follow=True)
        for text in (b"one\n", b"two\n"):
            producer.stdin.write(text)
            producer.stdin.flush()
            chunk = reading.read()
            assert chunk is not None and chunk.data == text
        producer.stdin.close()
        assert producer.stdout.read() == b"8\n"
        assert producer.wait() == 0
        assert reading.read() is None


def test_a_large_file_and_a_tail_go_on_when_the_node_is_killed(node_box: NodeBox) -> None:
    """Over the node's death in the middle of it: every byte once, in order, and the tail ends at the close."""
    box = node_box
    large = random.Random(4).randbytes(6 * PART + 123)
    (box.directory / "large").write_bytes(large)
    stream(box, "create", "s")
    with (box.directory / "tailed").open("wb") as tailed:
        tail = box.spawn("stream", "tail", "--from", "0", "s", stdout=tailed)
        append = box.spawn(
            "stream", "append", "--close", "s", "-f", str(box.directory / "large"), stdout=subprocess.PIPE
        )
        assert append.stdout is not None
        wait_until(lambda: os.path.getsize(box.directory / "tailed") > 0, "something was appended and seen")
        box.kill_node()
        box.start_node(ready=False)
        assert append.stdout.read() == b"%d\n" % len(large)
        assert append.wait() == 0
        assert tail.wait() == 0
    assert (box.directory / "tailed").read_bytes() == large
    assert box.run("stream", "read", "s").stdout == large


def test_tail_begins_with_the_last_lines_and_ends_at_the_close(node_box: NodeBox) -> None:
    box = node_box
    lines = [b"%d %s\n" % (number, b"x" * 1000) for number in range(200)]
    stream(box, "create", "s", "--content-type", "text/plain")
    stream(box, "append", "--close", "s", input=b"".join(lines))
    assert box.run("stream", "tail", "s").stdout == b"".join(lines[-10:])
    assert box.run("stream", "tail", "-n", "150", "s").stdout == b"".join(lines[-150:])
    assert box.run("stream", "tail", "-n", "1000", "s").stdout == b"".join(lines)
    assert box.run("stream", "tail", "-n", "0", "s").stdout == b""


def test_paths_are_completed(node_box: NodeBox) -> None:
    box = node_box
    for path in ("logs/a", "logs/b", "other"):
        stream(box, "create", path)
    words = {"COMP_WORDS": "holdfast stream read lo", "COMP_CWORD": "3", "_HOLDFAST_COMPLETE": "bash_complete"}
    done = subprocess.run(box.command()[:3], env={**box.env, **words}, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["plain,logs/a", "plain,logs/b"]


def test_outputs_of_jobs_are_read_too(node_box: NodeBox) -> None:
    box = node_box
    box.run("run", "--name", "echoes", "--", "echo", "hi")
    assert stream(box, "read", "jobs/echoes/output") == "hi\n"
    assert stream(box, "tail", "jobs/echoes/output") == "hi\n"


def test_words_that_are_not_utf8_are_kept_as_they_were_typed_or_refused(node_box: NodeBox) -> None:
    box, typed = node_box, "\udcff"  # how Python has the byte 0xff of a command line
    stream(box, "create", "s", "--content-type", "text/plain")
    assert stream(box, "append", "s", "a", typed) == "3\n"
    assert box.run("stream", "read", "s").stdout == b"a \xff"
    for arguments in (["stream", "create", typed], ["channel", "create", f"{typed}/x"], ["logs", typed]):
        assert b"a text is not UTF-8" in box.run(*arguments, code=125).stderr
    refused = box.run("stream", "create", "t", "--expires-at", "nan", code=125)
    assert b"expires_at_s: nan is no number in JSON" in refused.stderr
