"""``holdfast channel`` against a real node: what each command prints, and what it exits with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from holdfast.testing import NodeBox, wait_until

HOLDFAST = f"{sys.executable} -m holdfast"


@pytest.fixture
def chat(node_box: NodeBox) -> NodeBox:
    """A node with one channel, p/chat."""
    node_box.run("channel", "create", "p/chat")
    return node_box


def channel(box: NodeBox, *arguments: str, input: bytes = b"", code: int = 0) -> str:
    return box.run("channel", *arguments, input=input, code=code).stdout.decode()


def entries(box: NodeBox, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in channel(box, "read", "-o", "jsonl", *arguments).splitlines()]


def test_create_append_read_and_info(node_box: NodeBox) -> None:
    assert channel(node_box, "create", "p/chat", "p/log") == "p/chat\np/log\n"
    assert channel(node_box, "append", "p/chat", "hello", "world") == "1\n"
    assert channel(node_box, "append", "p/chat", input=b"from stdin") == "2\n"
    (node_box.directory / "file").write_bytes(b"from a file")
    assert channel(node_box, "append", "-f", str(node_box.directory / "file"), "p/chat") == "3\n"
    assert channel(node_box, "read", "-o", "text", "p/chat") == "hello world\nfrom stdin\nfrom a file\n"
    assert channel(node_box, "read", "-o", "raw", "--last", "2", "p/chat") == "from stdinfrom a file"
    assert channel(node_box, "read", "-o", "text", "--after", "1", "--limit", "1", "p/chat") == "from stdin\n"
    table = channel(node_box, "read", "p/chat").splitlines()
    assert table[0].split() == ["INDEX", "TIME", "SENDER", "TYPE", "PAYLOAD"]
    assert table[1].endswith("hello world")
    info = json.loads(channel(node_box, "info", "p/chat"))
    assert (info["id"], info["last_index"], info["state"]) == ("p/chat", 3, "open")
    assert [sender["last_sequence"] for sender in info["senders"]] == [3]
    assert channel(node_box, "ls", "-o", "name") == "p/chat\np/log\n"
    assert "p/chat" in channel(node_box, "ls", "p")
    assert channel(node_box, "rm", "p/log") == "p/log\n"
    assert channel(node_box, "ls", "-o", "name") == "p/chat\n"


def test_entries_carry_what_they_were_given(chat: NodeBox) -> None:
    options = ("--content-type", "application/json", "--header", "a=b", "--reply-to", "7", "--sequence", "9")
    assert json.loads(channel(chat, "append", "-o", "json", *options, "p/chat", '{"x":1}')) == {
        "index": 1,
        "sequence": 9,
    }
    (entry,) = entries(chat, "p/chat")
    assert (entry["content_type"], entry["headers"], entry["in_reply_to"]) == ("application/json", {"a": "b"}, 7)
    assert channel(chat, "append", *options, "p/chat", '{"x":1}') == "1\n"
    done = chat.run("channel", "append", *options, "p/chat", "other", code=4)
    assert b"sequence 9" in done.stderr
    channel(chat, "append", "p/chat", input=b"\xff\xfe")
    assert entries(chat, "p/chat")[1]["payload_base64"] == "//4="


def test_lines_are_entries_as_they_come(chat: NodeBox) -> None:
    with subprocess.Popen(
        chat.command("channel", "append", "--lines", "p/chat"),
        env=chat.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as producer:
        assert producer.stdin is not None and producer.stdout is not None
        producer.stdin.write(b"one\ntwo\nthr")
        producer.stdin.flush()
        assert producer.stdout.readline() == b"1-2\n"
        producer.stdin.write(b"ee\n\nlast")
        producer.stdin.close()
        producer.stdout.read()
        assert producer.wait() == 0
    assert channel(chat, "read", "-o", "text", "p/chat") == "one\ntwo\nthree\n\nlast\n"
    many = b"".join(b"%d\n" % number for number in range(3000))
    channel(chat, "append", "--lines", "p/chat", input=many)
    assert channel(chat, "read", "-o", "text", "--last", "3000", "p/chat").encode() == many
    chat.run("channel", "append", "--lines", "--type", "steer", "p/chat", code=125)


def test_words_and_their_receipts(chat: NodeBox) -> None:
    for arguments in (
        ("cancel", "p/chat"),
        ("steer", "p/chat", "go", "left"),
        ("pause", "p/chat"),
        ("resume", "p/chat"),
    ):
        channel(chat, *arguments)
    channel(chat, "end", "p/chat", "bye")
    channel(chat, "fail", "p/chat", "it", "broke")
    found = entries(chat, "p/chat")
    mine = [entry for entry in found if entry["type"] != "receipt"]
    assert [entry["type"] for entry in mine] == ["cancel", "steer", "pause", "resume", "end", "error"]
    assert (mine[1]["payload"], mine[-1]["error"]) == ("go left", "it broke")
    receipts = [entry["control"] for entry in found if entry["type"] == "receipt"]
    assert [(each["of"], each["state"]) for each in receipts] == [
        (1, "accepted"),
        (3, "accepted"),
        (5, "accepted"),
        (7, "accepted"),
    ]
    channel(chat, "applied", "p/chat", "3", "turned")
    channel(chat, "refused", "p/chat", "1")
    said = chat.run("channel", "applied", "p/chat", "9", code=125).stderr
    assert b"of: the entry at index 9 is no control message" in said
    *_, turned, refused = entries(chat, "p/chat")
    assert (turned["payload"], turned["control"]) == ("turned", {"of": 3, "state": "applied"})
    assert refused["control"] == {"of": 1, "state": "refused"}


def test_a_question_is_answered_once(chat: NodeBox) -> None:
    asking = chat.spawn("channel", "ask", "p/chat", "deploy?", stdout=subprocess.PIPE)
    index = wait_until(lambda: [e["index"] for e in entries(chat, "p/chat") if e["type"] == "needs_input"], "asked")[0]
    channel(chat, "answer", "p/chat", str(index), "yes")
    assert asking.communicate(timeout=60)[0] == b"yes\n"
    assert asking.returncode == 0
    chat.run("channel", "answer", "p/chat", str(index), "no", code=4)


def test_a_question_nobody_answers(chat: NodeBox) -> None:
    assert channel(chat, "ask", "--policy", "deny", "--expires", "10ms", "p/chat", "now?", code=1) == ""
    by_default = ("--policy", "default", "--expires", "10ms", "--default", "blue")
    assert channel(chat, "ask", *by_default, "p/chat", "colour?") == "blue\n"
    senseless: list[tuple[str, ...]] = [
        ("--policy", "deny"),
        ("--expires", "1m"),
        ("--default", "blue"),
        ("--policy", "default", "--expires", "1m"),
    ]
    for options in senseless:  # none of them waits for an answer that the options would not give
        assert b"go with" in chat.run("channel", "ask", *options, "p/chat", "never?", code=125).stderr


def test_words_may_be_any_bytes(chat: NodeBox) -> None:
    channel(chat, "append", "p/chat", "\udcff")
    channel(chat, "steer", "p/chat", "\udcfe")
    assert chat.run("channel", "read", "-o", "raw", "p/chat").stdout == b"\xff\xfe"
    assert b"not UTF-8" in chat.run("channel", "fail", "p/chat", "\udcff", code=125).stderr
    assert b"rate: nan" in chat.run("channel", "create", "p/fast", "--rate", "nan", code=125).stderr


def test_tail_follows_until_the_channel_is_closed(chat: NodeBox) -> None:
    channel(chat, "append", "p/chat", "before")
    tail = chat.spawn("channel", "tail", "-o", "text", "p/chat", stdout=subprocess.PIPE)
    assert tail.stdout is not None
    assert tail.stdout.readline() == b"before\n"
    channel(chat, "append", "p/chat", "after")
    assert tail.stdout.readline() == b"after\n"
    channel(chat, "close", "p/chat")
    assert tail.stdout.read() == b""
    assert tail.wait() == 0
    chat.run("channel", "append", "p/chat", "late", code=125)
    assert channel(chat, "read", "-o", "text", "p/chat") == "before\nafter\n"


def test_tail_goes_on_when_the_node_was_killed(chat: NodeBox) -> None:
    tail = chat.spawn("channel", "tail", "-o", "text", "--until-end", "p/chat", stdout=subprocess.PIPE)
    assert tail.stdout is not None
    channel(chat, "append", "p/chat", "before")
    assert tail.stdout.readline() == b"before\n"
    chat.kill_node()  # one of the two below starts the next one
    channel(chat, "append", "p/chat", "after")
    channel(chat, "end", "p/chat", "bye")
    assert tail.stdout.read() == b"after\nbye\n"
    assert tail.wait() == 0


def test_tail_tells_an_error_from_an_end(chat: NodeBox) -> None:
    channel(chat, "fail", "p/chat", "broken")
    channel(chat, "append", "p/chat", "not seen")
    assert channel(chat, "tail", "--until-end", "-o", "jsonl", "--after", "0", "p/chat", code=1).count("\n") == 1
    assert channel(chat, "tail", "--until-end", "-o", "text", "--last", "2", "p/chat", code=1) == "\n"
    chat.run("channel", "tail", "--after", "1", "--last", "1", "p/chat", code=125)


def test_exit_codes(chat: NodeBox) -> None:
    for arguments in (["read"], ["tail"], ["append"], ["info"], ["end"], ["close"], ["rm"]):
        done = chat.run("channel", *arguments, "p/none", code=3)
        assert b"p/none" in done.stderr, arguments
    chat.run("channel", "create", "p/chat", code=4)
    assert channel(chat, "create", "--if-missing", "p/chat") == "p/chat\n"
    chat.run("channel", "create", "noslash", code=125)
    for arguments in (["append", "noslash", "x"], ["read", "noslash"]):
        told = chat.run("channel", *arguments, code=125).stderr
        assert b"'noslash' is not PROCESS/NAME" in told
        assert b"inside of a job" in told
    chat.run("channel", "read", "--after", "10", "p/chat", code=125)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["answer", "p/chat", "abc"], "'INDEX': 'abc' is not the index of an entry: a whole number from 1 on"),
        (["answer", "p/chat", "0", "yes"], "'INDEX': '0' is not the index of an entry"),
        (["read", "p/chat", "--after", "x"], "'--after': 'x' is not the index of an entry, or 0 for before the first"),
        (["append", "p/chat", "x", "--reply-to", "1.5"], "'--reply-to': '1.5' is not a sequence"),
    ],
)
def test_what_is_no_index_is_told_what_one_is(box: NodeBox, arguments: list[str], told: str) -> None:
    assert told in box.run("channel", *arguments, code=125).stderr.decode()


def test_a_full_channel_and_one_that_lets_the_oldest_go(node_box: NodeBox) -> None:
    channel(node_box, "create", "--entries", "3", "p/full")
    channel(node_box, "append", "--lines", "p/full", input=b"1\n2\n3\n")
    done = node_box.run("channel", "append", "p/full", "4", code=125)
    assert b"channel_entries_max" in done.stderr
    channel(node_box, "create", "--entries", "3", "--retain", "p/ring")
    channel(node_box, "append", "--lines", "p/ring", input=b"1\n2\n3\n")
    for number in range(4, 100):
        if json.loads(channel(node_box, "info", "p/ring"))["oldest_index"] > 1:
            break
        channel(node_box, "append", "p/ring", str(number))
    done = node_box.run("channel", "read", "--after", "0", "p/ring", code=6)
    assert b"dropped" in done.stderr


def test_a_jobs_channels_by_its_name_and_from_within(node_box: NodeBox) -> None:
    script = f"{HOLDFAST} channel append chat ready && {HOLDFAST} channel tail --theirs --until-end -o text chat"
    job = node_box.run("run", "-d", "-T", "--name", "agent", "--channel", "chat", "--", "sh", "-c", script)
    job_id = job.stdout.decode().strip()
    wait_until(lambda: "ready" in channel(node_box, "read", "-o", "text", "agent/chat"), "the job speaks")
    channel(node_box, "append", "agent/chat", "hello job")
    channel(node_box, "end", f"{job_id[:6]}/chat")
    assert node_box.run("wait", "agent").stdout == b"0\n"
    assert b"hello job\n" in node_box.run("logs", "agent").stdout
    info = json.loads(channel(node_box, "info", "agent/chat"))
    assert (info["id"], info["state"], info["executor"]) == (f"{job_id}/chat", "closed", f"job:{job_id}")
    assert entries(node_box, "agent/chat")[0]["sender"] == f"job:{job_id}"
