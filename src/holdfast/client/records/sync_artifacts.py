"""Large artifacts, as the blocking SDK shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ...errors import AlreadyExists, NotFound
from ...records.api import RecordsApi
from ...records.model import Artifact, Upload
from ..sync_link import SyncLink
from .artifact_files import DownloadFile, OnPart, Source, UploadFile
from .kinds import RefInput, cid_of


class SyncArtifacts:
    """The artifacts of a node: bytes of any kind, up to a gigabyte each, named by their content."""

    def __init__(self, link: SyncLink) -> None:
        self._link = link

    def upload(self, source: Source, *, media_type: str = "", progress: OnPart | None = None) -> Artifact:
        """Store bytes, the file of a path, or what an open file has; durable on return.

        Goes on over cut links.  What can be read twice is named beforehand: then an upload that was broken off, also by
        another process, goes on where it was, and what is there already is not sent.  ``progress(done_bytes,
        all_bytes)``.  LimitExceeded(name="artifact_bytes_max"), StorageError.
        """
        with UploadFile(source) as file:
            while True:
                try:
                    upload = self._link.ask(RecordsApi.begin_upload, file.size_bytes, file.cid, media_type)
                except AlreadyExists:
                    return self.stat(file.cid)
                try:
                    return self._send(file, upload, progress)
                except NotFound as error:  # another one who uploads the same bytes was done first
                    if not (file.cid and error.kind == "upload"):
                        raise

    def _send(self, file: UploadFile, upload: Upload, progress: OnPart | None) -> Artifact:
        offset = upload.offset
        while part := file.part(offset):
            offset = (self._send_part(upload.id, offset, part)).offset
            if progress is not None:
                progress(offset, file.size_bytes)
        cid = file.final_cid()
        return self._link.ask(RecordsApi.commit_upload, upload.id, cid)

    def _send_part(self, upload: str, offset: int, part: bytes) -> Upload:
        return self._link.ask(RecordsApi.upload, upload, offset, part)

    def stat(self, ref: RefInput) -> Artifact:
        """What is known of an artifact.  NotFound."""
        cid = cid_of(ref)
        return self._link.ask(RecordsApi.artifact, cid)

    def read(self, ref: RefInput, offset: int = 0) -> Iterator[bytes]:
        """The bytes from ``offset`` on, part by part, each verified by the node.  NotFound, CorruptionError."""
        cid = cid_of(ref)
        size_bytes = (self.stat(cid)).size_bytes
        while offset < size_bytes:
            part = self._read_part(cid, offset)
            if not part:
                return
            yield part
            offset += len(part)

    def _read_part(self, cid: str, offset: int) -> bytes:
        return self._link.ask(RecordsApi.read_artifact, cid, offset)

    def download(self, ref: RefInput, path: str | os.PathLike[str], *, progress: OnPart | None = None) -> Artifact:
        """Write an artifact to the file ``path``, which is there when all of it is, and proven.

        ``PATH.part`` has what came until then; a download that was broken off goes on with it.  NotFound,
        CorruptionError, OSError.
        """
        found = self.stat(ref)
        with DownloadFile(path, found.cid) as file:
            for part in self.read(found.cid, file.offset):
                file.add(part)
                if progress is not None:
                    progress(file.offset, found.size_bytes)
            file.finish()
        return found

    def delete(self, ref: RefInput) -> bool:
        """Remove an artifact; whether there was one.  A link that is cut meanwhile is DisconnectedError."""
        cid = cid_of(ref)
        return self._link.do(RecordsApi.delete_artifact, cid)

    def list(self) -> Iterator[Artifact]:
        """All artifacts, by CID; read a page at a time."""
        after = ""
        while page := self._page(after):
            yield from page
            after = page[-1].cid

    def _page(self, after: str) -> Sequence[Artifact]:
        return self._link.ask(RecordsApi.artifacts, after)

    def uploads(self) -> Sequence[Upload]:
        """Uploads that were begun and not ended."""
        return self._link.ask(RecordsApi.uploads)

    def abort(self, upload: str) -> bool:
        """Drop an upload; whether there was one."""
        return self._link.do(RecordsApi.abort_upload, upload)
