"""Recordings: which there are, which are to be stored, and where they lie."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, func, select, update

from controller.core.call import RecordingState
from controller.ports import StoppedRecording, StoredRecording
from controller.store.backend import Backend
from controller.store.queries import AnyRow, newest, one, page
from controller.store.rows import Page, RecordingInfo
from controller.store.tables import RECORDING

KEEP = (
    update(RECORDING)
    .where(RECORDING.c.id == bindparam("of"))
    .values(file=bindparam("lies_in"), size=bindparam("bytes"), sha256=bindparam("sum"), duration_ms=bindparam("ms"))
)
"""Built once: it runs for every recording."""


class Recordings:
    """Implements ``ports.RecordingStore``.  Rows come and go on with their calls; the file is added by who stores it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, tenant: str, recording_id: str) -> RecordingInfo | None:
        """One recording of this tenant."""
        query = select(RECORDING).where(RECORDING.c.id == recording_id, RECORDING.c.tenant == tenant)
        return await self._backend.read(lambda db: one(db, query, _recording))

    async def stopped_recordings(self, after: str, limit: int) -> list[StoppedRecording]:
        """Recordings that are to be fetched and stored, in the order of ids, from behind ``after`` on."""
        query = (
            select(RECORDING.c.id, RECORDING.c.call, RECORDING.c.node, func.coalesce(RECORDING.c.stopped_at, 0))
            .where(RECORDING.c.status == "stopped", RECORDING.c.id > after)
            .order_by(RECORDING.c.id)
            .limit(limit)
        )
        return await self._backend.read(lambda db: [StoppedRecording(*row) for row in db.execute(query)])

    async def recording_states(self, recordings: Sequence[str]) -> Mapping[str, RecordingState]:
        """The state of each of these that is known."""
        query = select(RECORDING.c.id, RECORDING.c.status).where(RECORDING.c.id.in_(recordings))
        return await self._backend.read(lambda db: {row.id: row.status for row in db.execute(query)})

    async def keep(self, recording: str, file: str, stored: StoredRecording) -> None:
        """Note where a file lies, before its call is told of it: the call's unit makes it ``stored``.  Raises NotSaved."""
        values = {"of": recording, "lies_in": file, "bytes": stored.size, "sum": stored.sha256, "ms": stored.duration_ms}
        await self._backend.write(lambda db: db.execute(KEEP, values).rowcount)

    async def delete(self, tenant: str, recording_id: str) -> bool:
        """Forget a recording whose files are gone; False for one that the tenant does not have.  Raises NotSaved."""
        change = delete(RECORDING).where(RECORDING.c.id == recording_id, RECORDING.c.tenant == tenant)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

    async def list(
        self,
        tenant: str,
        call: str | None = None,
        status: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[RecordingInfo]:
        """A page of a tenant's recordings; ``since`` and ``until``: when they started (ms), the latter exclusive."""
        query = newest(RECORDING, limit, after, select(RECORDING).where(RECORDING.c.tenant == tenant))
        if call is not None:  # a recording's id is its call's and four digits
            query = query.where(RECORDING.c.call == call, RECORDING.c.id.between(call, call + "9999"))
        if status is not None:
            query = query.where(RECORDING.c.status == status)
        if since is not None:
            query = query.where(RECORDING.c.started_at >= since)
        if until is not None:
            query = query.where(RECORDING.c.started_at < until)
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _recording))


def _recording(row: AnyRow) -> RecordingInfo:
    return RecordingInfo(*row)
