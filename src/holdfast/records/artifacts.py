"""Artifacts: large bytes named by their content, uploaded in parts, resumable over links and restarts.

The parts go into a log of the engine as they come, each durable when it is answered; committing closes the log and
gives it its name, so nothing is copied.  Every row of a log has a checksum, so each part that is read is verified.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from ..engine.base import Hole
from ..engine.stored import Stored
from ..errors import (
    AlreadyExists,
    Conflict,
    CorruptionError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    StorageError,
    UsageError,
)
from ..ids import new_id
from .cid import RAW, cid_of_digest, digest_of_cid
from .finishing import finish
from .model import Artifact, Upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..clock import Clock
    from ..engine.base import Engine
    from ..limits import Limits

_LOGS = "records/upload/"
_KEYS = "records/artifact/"
_HASH_BYTES = 1 << 20
_NOTES = 10
"""How often, in the time an upload is kept for its next part, it is noted on disk that there was one."""


class _Plan(msgspec.Struct, frozen=True):
    """What is kept with an upload's log."""

    size_bytes: int = 0
    cid: str = ""
    media_type: str = ""
    touched_at: float = 0.0


class _Filed(msgspec.Struct, frozen=True):
    """An artifact, as stored under its CID."""

    log: str
    artifact: Artifact


class _Upload:
    """One artifact on its way in."""

    def __init__(self, id: str, plan: _Plan, offset: int) -> None:
        self.id = id
        self.plan = plan
        self.offset = offset
        self.touched_at = plan.touched_at
        """When its last part came; the plan is behind by a tenth of the time it is kept, at most."""
        self.lock = asyncio.Lock()
        self.hashed = 0
        self.hasher = sha256()

    @property
    def log(self) -> str:
        return _LOGS + self.id


_encode = msgspec.json.Encoder().encode
_plans = Stored(_Plan, "an upload")
_stored = Stored(_Filed, "an artifact")


class Artifacts:
    """All artifacts and uploads of a node."""

    def __init__(self, engine: Engine, *, clock: Clock, limits: Limits) -> None:
        self._log = engine.log
        self._kv = engine.kv
        self._clock = clock
        self._limits = limits
        self._artifacts: dict[str, _Filed] = {}
        self._uploads: dict[str, _Upload] = {}

    async def open(self) -> None:
        """Find what is there; uploads that were left for too long go."""
        for item in await self._kv.list(_KEYS):
            self._artifacts[item.key.removeprefix(_KEYS)] = _stored.read(item.value, item.key)
        named = {stored.log for stored in self._artifacts.values()}
        for stat in await self._log.list(_LOGS):
            if stat.name not in named:
                upload = _Upload(stat.name.removeprefix(_LOGS), _plans.read(stat.meta, f"log {stat.name!r}"), stat.tail)
                self._uploads[upload.id] = upload
        await self._forget_old()

    def __len__(self) -> int:
        return len(self._artifacts)

    # uploads

    async def begin(self, size_bytes: int, cid: str, media_type: str) -> Upload:
        """See :meth:`RecordsApi.begin_upload`."""
        if cid:
            digest_of_cid(cid, RAW)
            if cid in self._artifacts:
                raise AlreadyExists(f"artifact {cid} is there already", kind="artifact", name=cid, holder=cid)
        self._check_size(size_bytes)
        if not media_type.isprintable() or len(media_type) > 256:
            raise UsageError(f"media_type: {media_type!r:.300} is not a media type", field="media_type")
        await self._forget_old()
        for upload in self._uploads.values():
            if cid and upload.plan.cid == cid:
                return self._shown(upload)
        limit = self._limits.uploads_max
        if len(self._uploads) >= limit:
            raise LimitExceeded(name="uploads_max", limit=limit, value=len(self._uploads) + 1)
        plan = _Plan(size_bytes, cid, media_type, self._clock.wall())
        upload = _Upload(new_id(), plan, 0)
        self._uploads[upload.id] = upload
        async with upload.lock:  # who uploads the same is told of it already, and waits
            try:
                await finish(self._log.create(upload.log, meta=_encode(plan)))
            except HoldfastError:
                del self._uploads[upload.id]
                raise
        return self._shown(upload)

    async def add(self, id: str, offset: int, data: bytes) -> Upload:
        """See :meth:`RecordsApi.upload`."""
        limit = self._limits.artifact_part_bytes_max
        if len(data) > limit:
            raise LimitExceeded(name="artifact_part_bytes_max", limit=limit, value=len(data))
        upload = self._find(id)
        async with upload.lock:
            self._find(id)
            if not 0 <= offset <= upload.offset:
                raise Conflict(
                    f"offset: {offset} is not within 0 and {upload.offset}, where the upload goes on",
                    expected=upload.offset,
                    actual=offset,
                )
            fresh = data[upload.offset - offset :]
            if fresh:
                self._check_size(upload.offset + len(fresh))
                if upload.hashed == upload.offset:
                    upload.hasher.update(fresh)
                    upload.hashed += len(fresh)
                await self._append(upload, fresh)
            return self._shown(upload)

    async def _append(self, upload: _Upload, data: bytes) -> None:
        try:
            tail = await asyncio.shield(self._log.append(upload.log, data, expected_tail=upload.offset))
        except BaseException:  # it may be stored or not: the log knows, and the hash begins anew
            upload.offset = (await self._log.stat(upload.log)).tail
            upload.hashed, upload.hasher = 0, sha256()
            raise
        upload.offset = tail
        upload.touched_at = self._clock.wall()
        if upload.touched_at > upload.plan.touched_at + self._limits.upload_retention_s / _NOTES:
            upload.plan = msgspec.structs.replace(upload.plan, touched_at=upload.touched_at)
            await finish(self._log.annotate(upload.log, _encode(upload.plan)))

    async def commit(self, id: str, cid: str) -> Artifact:
        """See :meth:`RecordsApi.commit_upload`."""
        if cid:
            digest_of_cid(cid, RAW)
        upload = self._uploads.get(id)
        if upload is None:
            return self._committed(id, cid)
        async with upload.lock:
            if id not in self._uploads:
                return self._committed(id, cid)
            digest = await self._digest(upload)
            actual = cid_of_digest(digest, RAW)
            plan = upload.plan
            for expected, found in ((cid, actual), (plan.cid, actual), (plan.size_bytes, upload.offset)):
                if expected and expected != found:
                    await self._drop(upload)
                    raise Conflict(f"the upload is {found}, and not {expected}", expected=expected, actual=found)
            return await finish(self._name(upload, actual, digest))

    def _committed(self, id: str, cid: str) -> Artifact:
        """What an upload that is not there any more was made into: asking again is safe for who names it."""
        stored = self._artifacts.get(cid)
        if stored is None:
            raise NotFound(kind="upload", name=id)
        return stored.artifact

    async def _name(self, upload: _Upload, cid: str, digest: bytes) -> Artifact:
        known = self._artifacts.get(cid)
        if known is not None:
            await self._drop(upload)
            return known.artifact
        artifact = Artifact(
            cid=cid, size_bytes=upload.offset, sha256=digest.hex(),
            media_type=upload.plan.media_type, pushed_at=round(self._clock.wall(), 3),
        )  # fmt: skip
        stored = _Filed(upload.log, artifact)
        await self._log.close(upload.log)
        await self._kv.put(_KEYS + cid, _encode(stored))
        self._artifacts[cid] = stored
        self._uploads.pop(upload.id, None)
        return artifact

    async def _digest(self, upload: _Upload) -> bytes:
        """Of all that is there; what came before a restart is read again."""
        while upload.hashed < upload.offset:
            pieces = await self._log.read_when_stored(upload.log, upload.hashed, max_bytes=_HASH_BYTES)
            if not pieces:  # who sent the last part left before it was stored, and it never was
                upload.offset = upload.hashed
                raise StorageError(f"upload {upload.id}: a part could not be stored; it goes on from {upload.offset}")
            for piece in pieces:
                assert not isinstance(piece, Hole), "uploads are appended to only"
                upload.hasher.update(piece.data)
                upload.hashed += len(piece.data)
        return upload.hasher.digest()

    async def abort(self, id: str) -> bool:
        """See :meth:`RecordsApi.abort_upload`."""
        upload = self._uploads.get(id)
        if upload is None:
            return False
        async with upload.lock:
            if id not in self._uploads:
                return False
            await self._drop(upload)
            return True

    def uploads(self) -> Sequence[Upload]:
        """Uploads that were begun and not ended."""
        return [self._shown(upload) for upload in self._uploads.values()]

    def _find(self, id: str) -> _Upload:
        upload = self._uploads.get(id)
        if upload is None:
            raise NotFound(kind="upload", name=id)
        return upload

    def _shown(self, upload: _Upload) -> Upload:
        return Upload(
            id=upload.id,
            offset=upload.offset,
            size_bytes=upload.plan.size_bytes,
            expires_at=round(upload.touched_at + self._limits.upload_retention_s, 3),
        )

    async def _drop(self, upload: _Upload) -> None:
        self._uploads.pop(upload.id, None)
        await finish(self._log.delete(upload.log))

    async def _forget_old(self) -> None:
        now = self._clock.wall()
        for upload in list(self._uploads.values()):
            if now > upload.touched_at + self._limits.upload_retention_s and not upload.lock.locked():
                await self._drop(upload)

    def _check_size(self, size: int) -> None:
        limit = self._limits.artifact_bytes_max
        if size > limit:
            raise LimitExceeded(name="artifact_bytes_max", limit=limit, value=size)
        if size < 0:
            raise UsageError(f"size_bytes: {size} is negative", field="size_bytes")

    # artifacts

    def get(self, cid: str) -> Artifact:
        """See :meth:`RecordsApi.artifact`."""
        return self._stored(cid).artifact

    def list(self, after: str) -> Sequence[Artifact]:
        """See :meth:`RecordsApi.artifacts`."""
        if after:
            digest_of_cid(after, RAW, field="after")
        chosen = sorted(cid for cid in self._artifacts if cid > after)
        return [self._artifacts[cid].artifact for cid in chosen[: self._limits.records_page_max]]

    def _stored(self, cid: str) -> _Filed:
        digest_of_cid(cid, RAW)
        stored = self._artifacts.get(cid)
        if stored is None:
            raise NotFound(kind="artifact", name=cid)
        return stored

    async def read(self, cid: str, offset: int, length: int) -> bytes:
        """See :meth:`RecordsApi.read_artifact`."""
        stored = self._stored(cid)
        size = stored.artifact.size_bytes
        if not 0 <= offset <= size or length < 0:
            raise UsageError(f"offset: {offset} and length {length} are not within 0 and {size}", field="offset")
        most = self._limits.artifact_part_bytes_max
        left = min(length or most, most, size - offset)
        parts: list[bytes] = []
        while left:
            pieces = await self._log.read(stored.log, offset, max_bytes=left)
            data = b"".join([piece.data for piece in pieces if not isinstance(piece, Hole)])[:left]
            if not data:
                raise CorruptionError(where=f"artifact {cid}", expected=f"{size} bytes", got=f"{offset}")
            parts.append(data)
            offset += len(data)
            left -= len(data)
        return b"".join(parts)

    async def delete(self, cid: str) -> bool:
        """See :meth:`RecordsApi.delete_artifact`."""
        digest_of_cid(cid, RAW)
        stored = self._artifacts.pop(cid, None)
        if stored is None:
            return False
        await finish(self._forget(cid, stored))
        return True

    async def _forget(self, cid: str, stored: _Filed) -> None:
        try:
            await self._kv.delete(_KEYS + cid)
        except HoldfastError:
            self._artifacts.setdefault(cid, stored)
            raise
        await self._log.delete(stored.log)
