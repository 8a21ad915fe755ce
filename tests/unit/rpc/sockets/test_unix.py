"""Who is calling, as the kernel says."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from holdfast.rpc.sockets import unix


def test_a_socket_pair_is_our_own() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        assert unix.peer_uid(left) == os.getuid()


def test_a_socket_of_another_kind_has_no_uid() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fresh:
        fresh.close()
        assert unix.peer_uid(fresh) is None


@pytest.mark.parametrize(
    ("credentials", "uid"),
    [(struct.pack("II", 0, 501) + bytes(68), 501), (struct.pack("II", 1, 501), None), (b"\0" * 7, None)],
)
def test_macos_credentials(credentials: bytes, uid: int | None) -> None:
    assert unix.parse_xucred(credentials) == uid
