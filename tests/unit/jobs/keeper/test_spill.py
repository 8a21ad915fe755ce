"""The spill buffer against the plainest model there is: one string of bytes and one of tags."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from holdfast.errors import UsageError
from holdfast.jobs.keeper.segments import RealFiles, read_segments
from holdfast.jobs.keeper.spill import SpillBuffer


class MeteredFiles(RealFiles):
    """The real files on a disk with ``room`` bytes left, which writes at most ``stride`` bytes a call."""

    __slots__ = ("room", "stride")

    def __init__(self, room: int = 1 << 40, stride: int = 1 << 40) -> None:
        self.room = room
        self.stride = stride

    def write(self, fd: int, data: bytes, position: int) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(fd, bytes(data)[: min(self.room, self.stride)], position)
        self.room -= written
        return written


class Model(RuleBasedStateMachine):
    """Any order of writes, reads, acknowledgements and disk trouble."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.files = MeteredFiles()
        self.troubles: list[str] = []

    @initialize(
        ring=st.integers(1, 40),
        cap=st.integers(0, 120),
        segment=st.integers(1, 50),
        drop=st.booleans(),
        stride=st.sampled_from([1, 3, 1000]),
    )
    def begin(self, ring: int, cap: int, segment: int, drop: bool, stride: int) -> None:
        self.files.stride = stride
        self.cap = cap
        self.buffer = SpillBuffer(
            self.directory,
            ring_bytes=ring,
            spill_bytes_max=cap,
            segment_bytes=segment,
            drop_oldest=drop,
            files=self.files,
            on_trouble=self.troubles.append,
        )
        self.data = b""
        self.tags = b""
        self.consumed = 0

    @rule(data=st.binary(min_size=1, max_size=60), tag=st.integers(0, 15))
    def write(self, data: bytes, tag: int) -> None:
        full = self.buffer.full
        taken = self.buffer.write_available(data, tag)
        assert 0 <= taken <= len(data)
        assert not full or taken == 0 or self.buffer.head > 0
        if self.buffer.drop_oldest:
            assert taken == len(data)
        elif taken < len(data):
            assert self.buffer.full
        self.data += data[:taken]
        self.tags += bytes([tag]) * taken

    @rule(share=st.floats(0, 1))
    def consume(self, share: float) -> None:
        head, total = self.buffer.head, self.buffer.total
        offset = head + int((total - head) * share)
        self.buffer.consume(offset)
        self.consumed += offset - head
        assert self.buffer.head == offset

    @rule(share=st.floats(0, 1), size=st.integers(1, 100))
    def peek(self, share: float, size: int) -> None:
        offset = self.buffer.head + int((self.buffer.total - self.buffer.head) * share)
        found, tag = self.buffer.peek(offset, size)
        data = bytes(found)
        if offset == self.buffer.total:
            assert data == b""
            return
        assert 0 < len(data) <= size
        assert data == self.data[offset : offset + len(data)]
        assert bytes([tag]) * len(data) == self.tags[offset : offset + len(data)]

    @rule(room=st.integers(0, 60))
    def fill_the_disk(self, room: int) -> None:
        self.files.room = room

    @rule()
    def empty_the_disk(self) -> None:
        self.files.room = 1 << 40
        self.buffer.retry()

    @rule()
    def find_it_all_on_disk_after_a_flush(self) -> None:
        self.files.room = 1 << 40
        assert self.buffer.flush()
        pieces = [piece for piece in read_segments(self.directory, 7) if piece.offset + len(piece.data) > self.head]
        at = pieces[0].offset if pieces else self.buffer.total
        assert at <= self.head
        for piece in pieces:
            assert piece.offset == at
            assert piece.data == self.data[at : at + len(piece.data)]
            assert bytes([piece.tag]) * len(piece.data) == self.tags[at : at + len(piece.data)]
            at += len(piece.data)
        assert at == self.buffer.total

    @property
    def head(self) -> int:
        return self.buffer.head

    @invariant()
    def books_balance(self) -> None:
        if not hasattr(self, "buffer"):
            return
        assert self.buffer.total == len(self.data)
        assert self.buffer.head == self.consumed + self.buffer.dropped
        assert self.buffer.size == self.buffer.total - self.buffer.head
        on_disk = sum(path.stat().st_size for path in Path(self.directory).glob("*.seg"))
        assert on_disk == self.buffer.spilled_bytes

    def teardown(self) -> None:
        if hasattr(self, "buffer"):
            self.buffer.close()
            self.buffer.remove()
            assert os.listdir(self.directory) == []
        shutil.rmtree(self.directory)


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[SpillBuffer]:
    buffer = SpillBuffer(str(tmp_path), ring_bytes=100, spill_bytes_max=400, segment_bytes=100)
    yield buffer
    buffer.close()


def everything(buffer: SpillBuffer) -> bytes:
    found, offset = [], buffer.head
    while offset < buffer.total:
        data, _ = buffer.peek(offset, 1 << 20)
        found.append(bytes(data))
        offset += len(data)
    return b"".join(found)


def test_at_the_cap_a_blocking_buffer_refuses_until_a_file_is_freed(buffer: SpillBuffer) -> None:
    data = bytes(range(250)) * 3
    taken = buffer.write_available(data)
    assert taken == 500
    assert buffer.full
    assert buffer.write_available(data[taken:]) == 0
    buffer.consume(99)
    assert buffer.full, "room comes back a file at a time"
    buffer.consume(100)
    assert not buffer.full
    assert buffer.write_available(data[taken:]) == 100
    assert everything(buffer) == data[100:600]


def test_at_the_cap_the_oldest_file_goes(tmp_path: Path) -> None:
    buffer = SpillBuffer(str(tmp_path), ring_bytes=100, spill_bytes_max=400, segment_bytes=100, drop_oldest=True)
    data = bytes(range(256)) * 10
    assert buffer.write_available(data) == len(data)
    assert buffer.head == buffer.dropped
    assert buffer.head % 100 == 0
    assert buffer.size >= 400
    assert everything(buffer) == data[buffer.head :]
    buffer.close()


def test_a_full_disk_is_told_once_and_blocks_until_retried(tmp_path: Path) -> None:
    troubles: list[str] = []
    files = MeteredFiles(room=30)
    buffer = SpillBuffer(
        str(tmp_path), ring_bytes=50, spill_bytes_max=1000, segment_bytes=1000, files=files, on_trouble=troubles.append
    )
    data = bytes(200)
    taken = buffer.write_available(data)
    assert taken == 80
    assert buffer.write_available(data) == 0
    assert buffer.full
    assert len(troubles) == 1
    assert os.strerror(errno.ENOSPC) in troubles[0]
    files.room = 1000
    buffer.retry()
    assert buffer.write_available(data) == 200
    buffer.close()


def test_a_directory_that_is_gone_counts_as_a_full_disk(tmp_path: Path) -> None:
    buffer = SpillBuffer(str(tmp_path / "no"), ring_bytes=50, spill_bytes_max=1000, segment_bytes=100, drop_oldest=True)
    assert buffer.write_available(bytes(120)) == 120
    assert (buffer.head, buffer.total, buffer.dropped) == (70, 120, 70)


def test_a_read_error_is_an_oserror_that_names_the_file(buffer: SpillBuffer, tmp_path: Path) -> None:
    buffer.write_available(bytes(300))
    path = min(tmp_path.glob("*.seg"))
    os.truncate(path, 0)
    with pytest.raises(OSError, match=path.name):
        buffer.peek(0, 10)


@pytest.mark.parametrize("offset", [-1, 11])
def test_offsets_outside_are_usage_errors(buffer: SpillBuffer, offset: int) -> None:
    buffer.write_available(bytes(10))
    with pytest.raises(UsageError):
        buffer.peek(offset, 1)
    if offset > 0:
        with pytest.raises(UsageError):
            buffer.consume(offset)


def test_files_are_private(buffer: SpillBuffer, tmp_path: Path) -> None:
    buffer.write_available(bytes(100), 1)
    buffer.write_available(bytes(100), 2)
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {".seg": 0o600, ".tags": 0o600}


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=3), st.integers(0, 3)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_what_a_killed_keeper_left_is_read_back_with_its_tags(writes: list[tuple[bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        buffer = SpillBuffer(directory, ring_bytes=1, spill_bytes_max=4000, segment_bytes=5)
        for data, tag in writes:
            assert buffer.write_available(data, tag) == len(data)
        found = [(byte, piece.tag) for piece in read_segments(directory) for byte in piece.data]
        assert found == [(byte, tag) for data, tag in writes for byte in data][: len(found)]
        assert len(found) >= buffer.total - 1
        buffer.close()
