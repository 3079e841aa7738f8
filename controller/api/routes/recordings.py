"""``/v1/recordings``: what was recorded, and its hard deletion."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from controller.api.fields import bare
from controller.api.here import ReadRecordings, WriteRecordings
from controller.api.house import House
from controller.api.paging import Cursor, PageOut, PeriodQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.routes.media import file_of
from controller.api.shapes import Out
from controller.core.call import RecordingState
from controller.store.rows import RecordingInfo
from controller.times import or_none

router = APIRouter(prefix="/v1/recordings", tags=["recordings"], route_class=Route)

SETTLED = ("stored", "failed")


class RecordingLinks(Out):
    """Where to go from here."""

    self: str
    media: str
    call: str


class RecordingOut(Out):
    """A recording.  `size`, `sha256` and `stored_at` are known once it is stored."""

    id: str
    call_id: str
    status: RecordingState
    started_at: str | None
    stopped_at: str | None
    stored_at: str | None
    duration_s: float | None
    size: int | None
    sha256: str | None
    links: RecordingLinks


class RecordingsQuery(PeriodQuery):
    """How the list can be narrowed."""

    call_id: Cursor | None = None
    status: RecordingState | None = None


def view(recording: RecordingInfo) -> dict[str, Any]:
    """A recording as it goes out."""
    path = "/v1/recordings/rec_" + recording.id
    length = recording.duration_ms
    return {
        "id": "rec_" + recording.id,
        "call_id": "call_" + recording.call,
        "status": recording.status,
        "started_at": or_none(recording.started_at),
        "stopped_at": or_none(recording.stopped_at),
        "stored_at": or_none(recording.stored_at),
        "duration_s": None if length is None else length / 1000,
        "size": recording.size,
        "sha256": recording.sha256,
        "links": {"self": path, "media": path + "/media", "call": "/v1/calls/call_" + recording.call},
    }


async def find(house: House, tenant: str, recording_id: str) -> RecordingInfo:
    """A tenant's recording.  Raises Problem."""
    found = bare("rec_", recording_id)
    recording = await house.database.recordings.get(tenant, found) if found else None
    if recording is None:
        raise Problem("not_found", "there is no such recording")
    return recording


@router.get("", response_model=PageOut[RecordingOut], responses=documented())
async def listing(query: Annotated[RecordingsQuery, Query()], asked: ReadRecordings) -> Response:
    """Recordings, the newest first."""
    call = bare("call_", query.call_id) or "none" if query.call_id else None
    found = await asked.house.database.recordings.list(
        asked.tenant, call, query.status, query.since(), query.until(), query.limit, query.bare_after()
    )
    return page(found.items, "rec_", found.next, view)


@router.get("/{recording_id}", response_model=RecordingOut, responses=documented("not_found"))
async def show(recording_id: str, asked: ReadRecordings) -> Response:
    """One recording."""
    return Json(view(await find(asked.house, asked.tenant, recording_id)))


@router.delete("/{recording_id}", status_code=204, responses=documented("not_found", "recording_not_ready"))
async def delete(recording_id: str, asked: WriteRecordings) -> Response:
    """Delete a recording for good: first its file, then what is known of it."""
    recording = await find(asked.house, asked.tenant, recording_id)
    if recording.status not in SETTLED:
        raise Problem("recording_not_ready", "it can be deleted once it is stored")
    if recording.file:
        path = file_of(asked.house, recording.file)
        await asyncio.to_thread(path.unlink, missing_ok=True)
    await asked.house.database.recordings.delete(asked.tenant, recording.id)
    return Response(status_code=204)
