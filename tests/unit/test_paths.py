"""Where a node lives, and which directories are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.errors import LimitExceeded, StorageError, UsageError
from holdfast.paths import Address, Places, address_of, make_private_dir, places, socket_path_of


def test_the_defaults_follow_xdg() -> None:
    found = places({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"})
    assert found == Places("/h/.local/state/holdfast", "/run/user/7/holdfast", "unix:///run/user/7/holdfast/node.sock")


def test_without_a_runtime_directory_it_is_the_users_own_in_tmp() -> None:
    assert places({"HOME": "/h"}).runtime_dir == f"/tmp/holdfast-{os.getuid()}"


def test_each_place_can_be_overridden() -> None:
    env = {"HOLDFAST_STATE_DIR": "/s", "HOLDFAST_RUNTIME_DIR": "/r", "HOLDFAST_URL": "unix:///x/y.sock"}
    found = places(env)
    assert found == Places("/s", "/r", "unix:///x/y.sock")
    assert found.socket_path == "/x/y.sock"
    assert (found.jobs_dir, found.spill_dir, found.log_path) == ("/r/jobs", "/s/spill", "/s/node.log")


@pytest.mark.parametrize("url", ["", "/x", "unix://x", "http://x", "tcp://127.0.0.1:1"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="url") as caught:
        socket_path_of(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("unix:///x/y", Address("unix", path="/x/y")),
        ("tcp://127.0.0.1:7", Address("tcp", host="127.0.0.1", port=7)),
        ("tls://node.example:65535/", Address("tls", host="node.example", port=65535)),
        ("tls://[::1]:0", Address("tls", host="::1", port=0)),
    ],
)
def test_addresses_are_taken_apart_and_put_together(url: str, address: Address) -> None:
    assert address_of(url) == address
    assert str(address) == url.removesuffix("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "tcp:", "tcp://", "tcp://h", "tcp://:1", "tcp://h:", "tcp://h:x", "tcp://h:65536", "tcp://h:-1"),
        *("tls://::1:1", "http://h:1", "tcp://u@h:1", "tcp://h/x:1", "tcp://h:1?x", "tcp://h#:1", "tcp://h:\u0661"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        address_of(url, "listen")
    assert caught.value.field == "listen"


def test_a_socket_path_too_long_names_the_limit() -> None:
    with pytest.raises(LimitExceeded, match="socket_path_bytes_max"):
        socket_path_of("unix:///" + "x" * 200)


def test_a_private_directory_is_made_and_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "b")
    assert make_private_dir(path) == path
    assert os.stat(path).st_mode & 0o777 == 0o700
    make_private_dir(path)


def test_an_open_one_is_closed_if_empty_and_refused_if_not(tmp_path: Path) -> None:
    open_dir = tmp_path / "open"
    open_dir.mkdir()
    open_dir.chmod(0o755)
    make_private_dir(str(open_dir))
    assert open_dir.stat().st_mode & 0o777 == 0o700
    open_dir.chmod(0o755)
    (open_dir / "file").touch()
    with pytest.raises(StorageError, match=r"0755.*chmod 700"):
        make_private_dir(str(open_dir))


def test_files_and_symbolic_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "file/below"):
        with pytest.raises(StorageError, match="cannot use"):
            make_private_dir(str(tmp_path / name))
