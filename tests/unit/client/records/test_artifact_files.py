from __future__ import annotations

import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from holdfast.client.records.artifact_files import PART_BYTES, DownloadFile, UploadFile
from holdfast.errors import CorruptionError, UsageError
from holdfast.records.cid import RAW, cid_of_digest

DATA = os.urandom(2 * PART_BYTES + 7)
CID = cid_of_digest(sha256(DATA).digest(), RAW)


class Pipe(BytesIO):
    """Gives little at a time, once."""

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 10_000))


def test_files_are_named_beforehand_and_read_from_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(DATA)
    for source in (path, str(path), DATA, BytesIO(DATA)):
        with UploadFile(source) as file:
            assert (file.cid, file.size_bytes, file.final_cid()) == (CID, len(DATA), CID)
            assert file.part(5) == DATA[5 : PART_BYTES + 5]
            assert file.part(0) == DATA[:PART_BYTES]
            assert file.part(len(DATA)) == b""


def test_an_open_file_counts_from_where_it_is() -> None:
    file = BytesIO(b"before" + DATA)
    file.seek(6)
    assert UploadFile(file).cid == CID


def test_a_pipe_is_read_once_in_whole_parts() -> None:
    file = UploadFile(Pipe(DATA))
    assert (file.cid, file.size_bytes) == ("", 0)
    assert file.part(0) == DATA[:PART_BYTES]
    assert file.part(100) == DATA[100:PART_BYTES], "the rest of a part the node has some of"
    assert file.part(PART_BYTES) == DATA[PART_BYTES : 2 * PART_BYTES]
    assert file.part(2 * PART_BYTES) == DATA[2 * PART_BYTES :]
    assert file.part(len(DATA)) == b""
    assert file.final_cid() == CID
    with pytest.raises(UsageError, match="source"):
        file.part(0)


def test_a_download_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    path = tmp_path / "it"
    with DownloadFile(path, CID) as file:
        file.add(DATA[:100])
    assert not path.exists()
    with DownloadFile(str(path), CID) as file:
        assert file.offset == 100
        file.add(DATA[100:])
        file.finish()
    assert path.read_bytes() == DATA
    assert os.listdir(tmp_path) == ["it"]


def test_a_download_that_is_something_else_leaves_nothing(tmp_path: Path) -> None:
    with DownloadFile(tmp_path / "it", CID) as file:
        file.add(b"other")
        with pytest.raises(CorruptionError):
            file.finish()
    with pytest.raises(UsageError):
        DownloadFile(tmp_path / "it", "nonsense")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("what", ["pipe", "directory", "device"])
def test_what_is_no_regular_file_is_not_replaced_by_one(tmp_path: Path, what: str) -> None:
    path = tmp_path / "it"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(UsageError, match="no regular file"):
        DownloadFile(path, CID)
    assert os.listdir(tmp_path) == ["it"]


def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "it")
    with DownloadFile(tmp_path / "link", CID) as file:
        file.add(DATA)
        file.finish()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "it").read_bytes() == DATA
