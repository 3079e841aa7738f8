"""``/v1/recordings/{id}/media``: the audio, whole or a range of it (RFC 9110, section 14)."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from controller.api.fields import bare
from controller.api.here import ReadRecordings
from controller.api.house import House
from controller.api.problems import Problem, documented
from controller.api.requests import Route
from controller.store.rows import RecordingInfo

router = APIRouter(prefix="/v1/recordings", tags=["recordings"], route_class=Route)

CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def file_of(house: House, name: str) -> Path:
    """The file of this name in the recordings folder; a name that leads out of it is refused."""
    folder = house.recordings.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or path == folder:
        raise Problem("not_found", "there is no such recording")
    return path


@router.head("/{recording_id}/media", include_in_schema=False)
@router.get(
    "/{recording_id}/media",
    response_class=Response,
    responses={
        **documented("not_found", "recording_not_ready", "range_not_satisfiable"),
        200: {"content": {"audio/wav": {}}},
        206: {"description": "The range asked for", "content": {"audio/wav": {}}},
        304: {"description": "The copy that you have is the same"},
    },
)
async def media(recording_id: str, asked: ReadRecordings, request: Request) -> Response:
    """The audio, stereo, a channel per party.  `Range` is honoured, `ETag` is the file's SHA-256."""
    recording = await _find(asked.house, asked.tenant, recording_id)
    path = file_of(asked.house, recording.file or "")
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
    except OSError:
        raise Problem("not_found", "the recording's file is not there any more") from None
    tag = f'"{recording.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="rec_{recording.id}.wav"',
        "X-Content-Type-Options": "nosniff",
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    wanted = request.headers.get("range") if request.headers.get("if-range", tag) == tag else None
    return _respond(path, size, _span(wanted, size), headers, request.method == "HEAD")


async def _find(house: House, tenant: str, recording_id: str) -> RecordingInfo:
    found = bare("rec_", recording_id)
    recording = await house.database.recordings.get(tenant, found) if found else None
    if recording is None:
        raise Problem("not_found", "there is no such recording")
    if recording.status == "failed":
        raise Problem("not_found", "this recording failed: there is no audio")
    if recording.status != "stored":
        raise Problem("recording_not_ready", "wait for the event recording.stored", headers={"Retry-After": "2"})
    return recording


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of the range asked for; None for the whole file.

    What is no single byte range is passed over, as the RFC allows.  Raises Problem when no byte of it exists."""
    match = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first > last:
        raise Problem("range_not_satisfiable", f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return first, last


def _respond(path: Path, size: int, span: tuple[int, int] | None, headers: dict[str, str], head: bool) -> Response:
    first, last = span or (0, size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if span:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if span else 200
    if head:
        return Response(None, status, headers, media_type="audio/wav")
    return StreamingResponse(_chunks(path, first, last), status, headers, media_type="audio/wav")


async def _chunks(path: Path, first: int, last: int) -> AsyncIterator[bytes]:
    """The bytes of a file, read in a thread, a chunk at a time."""
    file: BinaryIO = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(file.seek, first)
        left = last - first + 1
        while left > 0 and (chunk := await asyncio.to_thread(file.read, min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    finally:
        file.close()
