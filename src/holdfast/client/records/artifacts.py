"""Large artifacts, as the async SDK shows them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence

from ...errors import AlreadyExists, NotFound
from ...records.api import RecordsApi
from ...records.model import Artifact, Upload
from ..link import Link
from .artifact_files import DownloadFile, OnPart, Source, UploadFile
from .kinds import RefInput, cid_of


class Artifacts:
    """The artifacts of a node: bytes of any kind, up to a gigabyte each, named by their content."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def upload(self, source: Source, *, media_type: str = "", progress: OnPart | None = None) -> Artifact:
        """Store bytes, the file of a path, or what an open file has; durable on return.

        Goes on over cut links.  What can be read twice is named beforehand: then an upload that was broken off, also by
        another process, goes on where it was, and what is there already is not sent.  Reads the file on the event loop,
        part by part.  ``progress(done_bytes, all_bytes)``.  LimitExceeded(name="artifact_bytes_max"), StorageError.
        """
        with UploadFile(source) as file:
            while True:
                try:
                    upload = await self._link.ask(RecordsApi.begin_upload, file.size_bytes, file.cid, media_type)
                except AlreadyExists:
                    return await self.stat(file.cid)
                try:
                    return await self._send(file, upload, progress)
                except NotFound as error:  # another one who uploads the same bytes was done first
                    if not (file.cid and error.kind == "upload"):
                        raise

    async def _send(self, file: UploadFile, upload: Upload, progress: OnPart | None) -> Artifact:
        offset = upload.offset
        while part := file.part(offset):
            offset = (await self._send_part(upload.id, offset, part)).offset
            if progress is not None:
                progress(offset, file.size_bytes)
        cid = file.final_cid()
        return await self._link.ask(RecordsApi.commit_upload, upload.id, cid)

    async def _send_part(self, upload: str, offset: int, part: bytes) -> Upload:
        return await self._link.ask(RecordsApi.upload, upload, offset, part)

    async def stat(self, ref: RefInput) -> Artifact:
        """What is known of an artifact.  NotFound."""
        cid = cid_of(ref)
        return await self._link.ask(RecordsApi.artifact, cid)

    async def read(self, ref: RefInput, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from ``offset`` on, part by part, each verified by the node.  NotFound, CorruptionError."""
        cid = cid_of(ref)
        size_bytes = (await self.stat(cid)).size_bytes
        while offset < size_bytes:
            part = await self._read_part(cid, offset)
            if not part:
                return
            yield part
            offset += len(part)

    async def _read_part(self, cid: str, offset: int) -> bytes:
        return await self._link.ask(RecordsApi.read_artifact, cid, offset)

    async def download(
        self, ref: RefInput, path: str | os.PathLike[str], *, progress: OnPart | None = None
    ) -> Artifact:
        """Write an artifact to the file ``path``, which is there when all of it is, and proven.

        ``PATH.part`` has what came until then; a download that was broken off goes on with it.  NotFound,
        CorruptionError, OSError.
        """
        found = await self.stat(ref)
        with DownloadFile(path, found.cid) as file:
            async for part in self.read(found.cid, file.offset):
                file.add(part)
                if progress is not None:
                    progress(file.offset, found.size_bytes)
            file.finish()
        return found

    async def delete(self, ref: RefInput) -> bool:
        """Remove an artifact; whether there was one.  A link that is cut meanwhile is DisconnectedError."""
        cid = cid_of(ref)
        return await self._link.do(RecordsApi.delete_artifact, cid)

    async def list(self) -> AsyncIterator[Artifact]:
        """All artifacts, by CID; read a page at a time."""
        after = ""
        while page := await self._page(after):
            for artifact in page:
                yield artifact
            after = page[-1].cid

    async def _page(self, after: str) -> Sequence[Artifact]:
        return await self._link.ask(RecordsApi.artifacts, after)

    async def uploads(self) -> Sequence[Upload]:
        """Uploads that were begun and not ended."""
        return await self._link.ask(RecordsApi.uploads)

    async def abort(self, upload: str) -> bool:
        """Drop an upload; whether there was one."""
        return await self._link.do(RecordsApi.abort_upload, upload)
