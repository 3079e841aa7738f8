"""/v1/recordings: what is told of them, ranges of their audio, and their deletion."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from controller.api.routes.recordings import RecordingOut
from controller.core import ids
from controller.core.call import Call, CallStatus, Recording, RecordingState
from controller.core.facts import Fact
from controller.ports import StoredRecording, Unit
from tests.house import Standing

AUDIO = bytes(range(256)) * 5000


async def recorded(house: Standing, state: RecordingState = "stored", call_id: str = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE") -> str:
    """A closed call with one recording in this state, as the services leave it in the store and on the disk."""
    store = house.patchbay.house.database
    recording = Recording(ids.verb_id(call_id, 3), call_id + "01", "stopped", 1000, 4000)
    call = Call(call_id, "main", "callback", "callback", "v", 1000, status=CallStatus.ended, started_at=1000, ended_at=5000)
    call = replace(call, sequence=1, recordings=(recording,))
    await store.calls.commit(Unit(call, (Fact(call_id, 1, "call.ended", 5000, {}),), created=True))
    if state == "stored":
        name = f"{recording.id}.wav"
        house.patchbay.house.recordings.mkdir(exist_ok=True)
        (house.patchbay.house.recordings / name).write_bytes(AUDIO)
        await store.recordings.keep(recording.id, name, StoredRecording(3000, len(AUDIO), hashlib.sha256(AUDIO).hexdigest()))
    changed = replace(recording, state=state, duration_ms=3000 if state == "stored" else None)
    fact = Fact(call_id, 2, f"recording.{state}", 6000, {"recording_id": "rec_" + recording.id})
    await store.calls.commit(Unit(replace(call, sequence=2, recordings=(changed,)), (fact,)))
    return "rec_" + recording.id


async def test_a_recording_is_told_with_its_checksum(house: Standing) -> None:
    name = await recorded(house)
    one = (await house.http.get(f"/v1/recordings/{name}")).json()
    RecordingOut.model_validate(one)
    assert (one["status"], one["duration_s"], one["size"]) == ("stored", 3.0, len(AUDIO))
    assert one["sha256"] == hashlib.sha256(AUDIO).hexdigest()
    listed = (await house.http.get("/v1/recordings", params={"call_id": one["call_id"], "status": "stored"})).json()
    assert listed == {"items": [one], "next": None}
    assert (await house.http.get("/v1/recordings", params={"call_id": "call_x"})).json()["items"] == []


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        (None, 200, 0, len(AUDIO) - 1),
        ("bytes=0-0", 206, 0, 0),
        ("bytes=100-299", 206, 100, 299),
        ("bytes=1279990-", 206, 1279990, len(AUDIO) - 1),
        ("bytes=-7", 206, len(AUDIO) - 7, len(AUDIO) - 1),
        ("bytes=-99999999", 206, 0, len(AUDIO) - 1),
        ("bytes=5-99999999", 206, 5, len(AUDIO) - 1),
        ("bytes=0-1,5-6", 200, 0, len(AUDIO) - 1),
        ("bytes=9-3", 200, 0, len(AUDIO) - 1),
        ("lines=1-2", 200, 0, len(AUDIO) - 1),
        ("bytes=-", 200, 0, len(AUDIO) - 1),
        ("bytes=" + "9" * 40 + "-", 200, 0, len(AUDIO) - 1),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ranges_are_honoured(house: Standing, asked: str | None, status: int, first: int, last: int, method: str) -> None:
    name = await recorded(house)
    answer = await house.http.request(method, f"/v1/recordings/{name}/media", headers={"Range": asked} if asked else {})
    assert answer.status_code == status
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers.get("content-range") == (f"bytes {first}-{last}/{len(AUDIO)}" if status == 206 else None)
    assert answer.content == (AUDIO[first : last + 1] if method == "GET" else b"")


async def test_a_range_beyond_the_end_is_refused_with_the_size(house: Standing) -> None:
    name = await recorded(house)
    for asked in (f"bytes={len(AUDIO)}-", "bytes=-0"):
        answer = await house.http.get(f"/v1/recordings/{name}/media", headers={"Range": asked})
        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable"), asked
        assert answer.headers["content-range"] == f"bytes */{len(AUDIO)}"


async def test_a_copy_is_known_by_its_checksum(house: Standing) -> None:
    path = f"/v1/recordings/{await recorded(house)}/media"
    tag = (await house.http.head(path)).headers["etag"]
    assert tag == f'"{hashlib.sha256(AUDIO).hexdigest()}"'
    same = await house.http.get(path, headers={"If-None-Match": f'"x", {tag}'})
    assert (same.status_code, same.content) == (304, b"")
    part = {"Range": "bytes=0-9"}
    assert (await house.http.get(path, headers=part | {"If-Range": tag})).status_code == 206
    assert (await house.http.get(path, headers=part | {"If-Range": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("recording", 409, "recording_not_ready"),
        ("paused", 409, "recording_not_ready"),
        ("stopped", 409, "recording_not_ready"),
        ("failed", 404, "not_found"),
    ],
)
async def test_audio_that_is_not_stored_is_not_given(house: Standing, state: RecordingState, status: int, code: str) -> None:
    name = await recorded(house, state)
    answer = await house.http.get(f"/v1/recordings/{name}/media")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await house.http.delete(f"/v1/recordings/{name}")).status_code == (204 if state == "failed" else 409)


async def test_a_deleted_recording_is_gone_from_disk_too(house: Standing) -> None:
    name = await recorded(house)
    assert (await house.http.delete(f"/v1/recordings/{name}")).status_code == 204
    assert list(house.patchbay.house.recordings.iterdir()) == []
    for path in (f"/v1/recordings/{name}", f"/v1/recordings/{name}/media"):
        assert (await house.http.get(path)).status_code == 404
    assert (await house.http.delete(f"/v1/recordings/{name}")).status_code == 404


@pytest.mark.parametrize("file", ["../patchbay.db", "/etc/passwd", "a/../../patchbay.db", "."])
async def test_no_file_name_leads_out_of_the_folder(house: Standing, file: str) -> None:
    name = await recorded(house)
    await house.patchbay.house.database.recordings.keep(name[4:], file, StoredRecording(1, 1, "0" * 64))
    assert (await house.http.get(f"/v1/recordings/{name}/media")).status_code == 404
    answer: Any = await house.http.delete(f"/v1/recordings/{name}")
    assert answer.status_code == 404
    assert (house.folder / "patchbay.db").exists()


async def test_a_file_that_has_gone_is_not_found(house: Standing) -> None:
    name = await recorded(house)
    next(house.patchbay.house.recordings.iterdir()).unlink()
    answer = await house.http.get(f"/v1/recordings/{name}/media")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
