"""``holdfast record`` and ``holdfast verify`` with a real node."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.aio import connect
from holdfast.records.cid import digest_of_cid
from holdfast.testing import NodeBox, wait_until
from tests.conftest import Run

LINES = 20_000
LARGE = (5 << 20, 9 << 20)
"""The first is refused by the node, the second here."""


def lines_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def good(number: int) -> bytes:
    return json.dumps({"name": f"agent-{number}", "version": "v1", "annotations": {"of": str(number % 7)}}).encode()


def mixed(count: int) -> tuple[list[bytes], dict[int, str]]:
    """Lines of which one in a hundred is bad; for each of those its number and why it fails."""
    lines = [good(number) for number in range(count)]
    bad = {}
    for place, number in enumerate(range(99, count, 100)):
        if place < len(LARGE):
            lines[number], bad[number + 1] = b'{"text": "' + b"x" * LARGE[place] + b'"}', "limit_exceeded"
        else:
            kind = place % 3
            lines[number] = (b"{not json", b"[1, 2]", good(number - 50))[kind]
            bad[number + 1] = ("usage", "usage", "duplicate")[kind]
    return lines, bad


@pytest.fixture
def node_box(box: NodeBox) -> NodeBox:
    box.start_node()
    return box


@pytest.mark.parametrize("by", ["file", "stdin"])
def test_exactly_the_bad_lines_fail_each_with_its_line_and_reason(node_box: NodeBox, by: str, tmp_path: Path) -> None:
    count = LINES if by == "file" else 2_000
    lines, bad = mixed(count)
    if by == "file":
        path = tmp_path / "records.jsonl"
        with path.open("wb") as file:
            file.writelines(line + b"\n" for line in lines)
        done = node_box.run("record", "push", "--unique", str(path), code=1)
        name = str(path)
    else:
        done = node_box.run("record", "push", "--unique", "-", input=b"\n".join(lines), code=1)
        name = "<stdin>"
    results = lines_of(done.stdout)
    assert [result["line"] for result in results] == list(range(1, count + 1))
    assert {result["line"]: result["error"]["code"] for result in results if "error" in result} == bad
    said = done.stderr.decode().splitlines()
    assert [line.split(": ")[0] for line in said[:-1]] == [f"{name}:{number}" for number in bad]
    there = sum(kind == "duplicate" for kind in bad.values())
    assert said[-1] == f"holdfast: {count - len(bad):,} stored, {there:,} there before, {len(bad):,} failed"


def test_what_a_file_holds_shows_by_itself(node_box: NodeBox) -> None:
    pretty = json.dumps({"name": "one", "list": [1, 2]}, indent=2).encode()
    assert len(lines_of(node_box.run("record", "push", "-", input=pretty).stdout)) == 1
    array = json.dumps([{"name": "two"}, {"name": "three"}], indent=2).encode()
    assert len(lines_of(node_box.run("record", "push", "-", input=array).stdout)) == 2
    both = lines_of(node_box.run("record", "push", "-", input=b'{"name": "four"}\n\n{"name": "five"}').stdout)
    assert [result["line"] for result in both] == [1, 3]


def test_pushing_again_is_free_and_what_comes_back_is_equal(node_box: NodeBox, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\n".join(good(number) for number in range(500)))
    first = lines_of(node_box.run("record", "push", str(path)).stdout)
    again = lines_of(node_box.run("record", "push", str(path), "--zstd").stdout)
    assert [result["cid"] for result in again] == [result["cid"] for result in first]
    assert all(result["existed"] for result in again)
    cids = node_box.run("record", "push", "-o", "cid", str(path)).stdout
    pulled = node_box.run("record", "pull", "-", input=cids).stdout
    assert lines_of(pulled) == [json.loads(good(number)) for number in range(500)]
    looked = lines_of(node_box.run("record", "lookup", "-", input=pulled and cids).stdout)
    assert [meta["name"] for meta in looked] == [f"agent-{number}" for number in range(500)]


def test_an_interrupted_push_loses_nothing_it_has_told(node_box: NodeBox, tmp_path: Path) -> None:
    lines = [good(number) for number in range(3_000)]
    out = tmp_path / "out.jsonl"
    with out.open("wb") as stdout:
        pushing = node_box.spawn("record", "push", "-", stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)
        assert pushing.stdin is not None
        assert pushing.stderr is not None
        pushing.stdin.write(b"\n".join(lines) + b"\n")
        pushing.stdin.flush()
        wait_until(lambda: out.stat().st_size > 0, "some are stored")
        pushing.send_signal(signal.SIGINT)
        assert pushing.wait(60) == 130
        said = pushing.stderr.read().decode()
    told = lines_of(out.read_bytes())
    assert said == f"holdfast: interrupted: {len(told):,} stored, all that was read is answered\n"
    cids = "\n".join(result["cid"] for result in told).encode()
    assert len(lines_of(node_box.run("record", "pull", "-", input=cids).stdout)) == len(told)
    again = lines_of(node_box.run("record", "push", "-", input=b"\n".join(lines)).stdout)
    assert [result["line"] for result in again if result.get("existed")] == [result["line"] for result in told]


def test_a_push_goes_on_when_the_node_is_killed(node_box: NodeBox, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with out.open("wb") as stdout:
        pushing = node_box.spawn("record", "push", "-", stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)
        assert pushing.stdin is not None
        assert pushing.stderr is not None
        pushing.stdin.write(b"\n".join(good(number) for number in range(2_000)) + b"\n")
        pushing.stdin.flush()
        wait_until(lambda: out.stat().st_size > 0, "some are stored")
        node_box.kill_node()
        pushing.stdin.write(b"\n".join(good(number) for number in range(2_000, 4_000)))
        pushing.stdin.close()
        assert pushing.wait(60) == 0, pushing.stderr.read()
    results = lines_of(out.read_bytes())
    assert [result["line"] for result in results] == list(range(1, 4_001))
    assert len({result["cid"] for result in results}) == 4_000


def test_tags_lists_feed_and_collection(node_box: NodeBox) -> None:
    cids = node_box.run("record", "push", "-", "-o", "cid", input=b"\n".join(map(good, range(20)))).stdout.split()
    first, second = cids[0].decode(), cids[1].decode()
    node_box.run("record", "tag", "model:1", first)
    tagged = json.loads(node_box.run("record", "tag", "model", second, "-o", "json").stdout)
    assert (tagged[0]["version"], tagged[0]["cid"]) == ("latest", second)
    assert node_box.run("record", "tag", "-o", "name").stdout.split() == [b"model:1", b"model:latest"]
    assert json.loads(node_box.run("record", "pull", "model:1").stdout) == json.loads(good(0))
    assert json.loads(node_box.run("record", "pull", "model").stdout) == json.loads(good(1))
    assert node_box.run("record", "pull", "nothing", code=3).stderr == b"holdfast: no tag 'nothing'\n"

    listed = node_box.run("record", "ls", "-o", "name").stdout.split()
    assert listed == sorted(cids, key=lambda cid: digest_of_cid(cid.decode()))
    assert (
        node_box.run("record", "ls", "-o", "name", "--limit", "5", "--after", listed[2].decode()).stdout.split()
        == (listed[3:8])
    )
    assert node_box.run("record", "ls", "--name", "agent-3", "-o", "name").stdout.split() == [cids[3]]
    of_two = lines_of(node_box.run("record", "ls", "--annotation", "of=2", "-o", "jsonl").stdout)
    assert {meta["name"] for meta in of_two} == {"agent-2", "agent-9", "agent-16"}
    assert b"agent-19" in node_box.run("record", "ls").stdout

    changes = lines_of(node_box.run("record", "feed").stdout)
    assert [change["kind"] for change in changes] == ["pushed"] * 20 + ["tagged"] * 2
    assert lines_of(node_box.run("record", "feed", "--from", "21").stdout) == changes[20:]

    assert b"tag model:1" in node_box.run("record", "why", "model:1").stdout
    gone = node_box.run("record", "gc", "--grace", "0s", "--dry-run")
    assert sorted(gone.stdout.split()) == sorted(cids[2:])
    assert node_box.run("record", "gc", "--grace", "0s").stdout.split() == gone.stdout.split()
    assert set(node_box.run("record", "ls", "-o", "name").stdout.split()) == set(cids[:2])
    node_box.run("record", "tag", "-d", "model:1")
    assert node_box.run("record", "tag", "-d", "model:1", code=3).stderr


def test_lists_of_many_pages_are_whole(box: NodeBox, run: Run) -> None:
    box.env["HOLDFAST_LIMIT_RECORDS_PAGE_MAX"] = "3"
    box.start_node()
    cids = box.run("record", "push", "-", "-o", "cid", input=b"\n".join(map(good, range(10)))).stdout.split()
    for number, cid in enumerate(cids):
        box.run("record", "tag", f"tag:{number}", cid.decode())
    assert sorted(box.run("record", "ls", "-o", "name").stdout.split()) == sorted(cids)
    assert len(box.run("record", "ls", "-o", "name", "--limit", "7").stdout.split()) == 7
    assert len(box.run("record", "tag", "-o", "name").stdout.split()) == 10
    assert len(lines_of(box.run("record", "feed").stdout)) == 20

    async def by_the_async_sdk() -> list[str]:
        async with connect(box.url, autostart=False) as node:
            return [meta.cid async for meta in node.records.list()]

    assert sorted(cid.encode() for cid in run(by_the_async_sdk())) == sorted(cids)


def test_removing_and_verifying(node_box: NodeBox) -> None:
    cid = node_box.run("record", "push", "-", "-o", "cid", input=good(1)).stdout.strip().decode()
    assert json.loads(node_box.run("record", "verify", cid).stdout) == {"cid": cid, "verified": True}
    assert json.loads(node_box.run("record", "rm", cid).stdout) == {"cid": cid, "deleted": True}
    assert b"0 removed, 1 failed" in node_box.run("record", "rm", cid, code=1).stderr
    node_box.run("record", "rm", "-f", cid)
    assert b"no record" in node_box.run("record", "verify", cid, code=1).stderr
    assert node_box.run("record", "lookup", "-", input=b"{}\nnonsense\n", code=1).stderr.count(b"cid") >= 1


def test_one_name_that_is_not_there_fails_alone(node_box: NodeBox) -> None:
    cid = node_box.run("record", "push", "-", "-o", "cid", input=good(1)).stdout.strip().decode()
    node_box.run("record", "tag", "team:model:1", cid)
    done = node_box.run("record", "lookup", "team:model:1", "nothing", cid, "-o", "json", code=1)
    first, failed, last = json.loads(done.stdout)
    assert first == last
    assert first["cid"] == cid
    assert failed["error"]["code"] == "not_found"
    assert done.stderr.splitlines() == [b"nothing: no tag 'nothing'", b"holdfast: 2 found, 1 failed"]
    assert json.loads(node_box.run("record", "feed", "-o", "json").stdout)[1]["name"] == "team:model:1"
    assert json.loads(node_box.run("record", "feed", "--from", "3", "-o", "json").stdout) == []
    assert json.loads(node_box.run("record", "verify", cid, "-o", "json").stdout) == [{"cid": cid, "verified": True}]
    assert b"grace 9999-12-31" in node_box.run("record", "why", cid, "--grace", "1e300s").stdout


def test_closed_standard_files_are_no_crash(node_box: NodeBox) -> None:
    holdfast = shlex.join(node_box.command("record"))
    for command, code in (("push - <&-", 0), ("pull <&-", 0), ("upload - <&-", 0), ("ls >&-", 0), ("pull x 2>&-", 3)):
        done = subprocess.run(
            ["sh", "-c", f"{holdfast} {command}"], env=node_box.env, capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False), (command, done)
    piped = subprocess.run(
        ["sh", "-c", f"echo '{{}}' | {holdfast} push - >&-"],
        env=node_box.env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (piped.returncode, piped.stderr) == (0, b"")


def test_a_feed_is_followed_over_a_restart(node_box: NodeBox) -> None:
    following = node_box.spawn("record", "feed", "-f", "--from", "0", stdout=subprocess.PIPE)
    assert following.stdout is not None
    first = node_box.run("record", "push", "-", "-o", "cid", input=good(1)).stdout.strip()
    assert json.loads(following.stdout.readline())["cid"].encode() == first
    node_box.kill_node()  # whoever comes first starts another
    second = node_box.run("record", "push", "-", "-o", "cid", input=good(2)).stdout.strip()
    found = json.loads(following.stdout.readline())
    assert (found["cid"].encode(), found["position"]) == (second, 2)
    following.terminate()
    following.wait(60)


def test_the_output_of_an_ended_job_is_proven(node_box: NodeBox) -> None:
    node_box.run("run", "--name", "maker", "--", "sh", "-c", "echo made")
    said = node_box.run("verify", "maker").stdout
    assert said.startswith(b"maker: whole, ")
    sealed = json.loads(node_box.run("verify", "maker", "-o", "json").stdout)
    assert sealed["verified"] is True
    run = json.loads(node_box.run("record", "pull", sealed["record_cid"]).stdout)
    assert sealed["output_cid"] in json.dumps(run)
    node_box.run("verify", "nobody", code=3)


def test_on_a_terminal_there_is_a_bar_and_the_failures(node_box: NodeBox, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\n".join([*map(good, range(50)), b"nonsense"]))
    controller, terminal = pty.openpty()
    pushing = node_box.spawn("record", "push", str(path), stdout=terminal, stderr=terminal, stdin=terminal)
    os.close(terminal)
    said = b""
    while data := _read(controller):
        said += data
    os.close(controller)
    assert pushing.wait(60) == 1
    assert b"pushing" in said
    assert b"100 %" in said or b"51" in said
    assert f"{path}:51: record: not JSON".encode() in said.replace(b"\r\n", b"")
    assert b"50 stored, 1 failed" in said


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65_536)
    except OSError:  # Linux: the other end is closed
        return b""


def test_names_are_completed(node_box: NodeBox) -> None:
    cid = node_box.run("record", "push", "-", "-o", "cid", input=good(1)).stdout.strip().decode()
    node_box.run("record", "tag", "model:7", cid)
    assert b"model:7" in complete(node_box, "holdfast record pull m", "mod")
    assert cid.encode() in complete(node_box, "holdfast record pull b", cid[:12])
    artifact = node_box.run("record", "upload", "-", input=b"bytes").stdout.strip()
    assert artifact in complete(node_box, "holdfast record download b", artifact.decode()[:5])
    assert artifact in complete(node_box, "holdfast record artifacts b", artifact.decode()[:5])
    node_box.run("provider", "add", "made-up", "synthetic")
    offered = complete(node_box, "holdfast provider rm x", "")
    assert b"made-up" in offered
    assert b"channels" not in offered


def complete(box: NodeBox, words: str, incomplete: str) -> bytes:
    line = words.rsplit(" ", 1)[0] + f" {incomplete}"
    env = box.env | {"_HOLDFAST_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(box.command(), env=env, capture_output=True, check=False, timeout=60)
    return done.stdout


def test_two_who_upload_the_same_are_both_told_its_name(node_box: NodeBox, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 << 20) * 10)
    command = node_box.command("record", "upload", str(path))
    both = [subprocess.Popen(command, env=node_box.env, stdout=subprocess.PIPE) for _ in range(3)]
    cids = {each.communicate(timeout=60)[0] for each in both}
    assert [each.returncode for each in both] == [0, 0, 0]
    assert len(cids) == 1


def test_artifacts_go_up_and_come_back(node_box: NodeBox, tmp_path: Path) -> None:
    data = os.urandom(700_000)
    path, target = tmp_path / "model.bin", tmp_path / "back.bin"
    path.write_bytes(data)
    cid = node_box.run("record", "upload", str(path)).stdout.strip()
    made = json.loads(node_box.run("record", "upload", "-", "--type", "x/model", "-o", "json", input=data).stdout)
    assert (made["cid"].encode(), made["size_bytes"]) == (cid, len(data))
    node_box.run("record", "download", cid.decode(), str(target))
    assert target.read_bytes() == data
    assert node_box.run("record", "download", cid.decode(), "-").stdout == data
    node_box.run("record", "download", cid.decode().replace("b", "c", 1), str(target), code=125)
    assert b"No such file" in node_box.run("record", "upload", str(tmp_path / "none"), code=125).stderr
    other = node_box.run("record", "upload", "-", "--type", "text/plain", input=b"other").stdout.strip()
    listed = json.loads(node_box.run("record", "artifacts", "-o", "json").stdout)
    assert {one["cid"].encode(): one["media_type"] for one in listed} == {cid: "", other: "text/plain"}
    assert b"700000" in node_box.run("record", "artifacts", cid.decode()).stdout
    assert node_box.run("record", "artifacts", "-d", cid.decode()).stdout.strip() == cid
    assert node_box.run("record", "artifacts", "-d", cid.decode(), code=3).stderr.startswith(b"holdfast: no artifact")
    assert node_box.run("record", "artifacts", "-o", "name").stdout.split() == [other]
    assert b"cid" in node_box.run("record", "artifacts", "-d", code=125).stderr
