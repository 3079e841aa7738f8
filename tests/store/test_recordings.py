"""RC3: what is to be stored, and what is known of what was (`ports.RecordingStore`)."""

import pytest

from controller.ports import StoppedRecording, StoredRecording
from controller.store.database import Database
from tests.store.calls import NODE, TENANT, call_id, story

KEPT = StoredRecording(5000, 80_044, "0" * 64)


def recording(number: int) -> str:
    """The id of the recording of call ``number``."""
    return call_id(number) + "0003"


@pytest.fixture
async def stopped(db: Database) -> Database:
    """Three calls that are over and whose recordings are not stored."""
    for number in (1, 2, 3):
        for unit in list(story(number))[:-1]:
            await db.calls.commit(unit)
    return db


async def test_stopped_recordings_are_found_in_the_order_of_their_ids(stopped: Database) -> None:
    found = await stopped.recordings.stopped_recordings("", 10)
    assert [item.id for item in found] == [recording(number) for number in (1, 2, 3)]
    call = await stopped.calls.get(call_id(1))
    assert call is not None
    stopped_at = call.recordings[0].stopped_at
    assert stopped_at is not None
    assert found[0] == StoppedRecording(recording(1), call_id(1), NODE, stopped_at)
    assert [item.id for item in await stopped.recordings.stopped_recordings(recording(1), 1)] == [recording(2)]


async def test_a_recording_is_stored_once_its_call_was_told(stopped: Database) -> None:
    await stopped.recordings.keep(recording(1), "2025/06/15/x.wav", KEPT)
    assert await stopped.recordings.recording_states([recording(1), "unknown"]) == {recording(1): "stopped"}
    await stopped.calls.commit(list(story(1))[-1])
    info = await stopped.recordings.get(TENANT, recording(1))
    assert info is not None
    assert (info.status, info.file, info.size, info.sha256) == ("stored", "2025/06/15/x.wav", KEPT.size, KEPT.sha256)
    assert (info.duration_ms, info.stored_at) == (5000, 1_750_000_006_100)
    assert len(await stopped.recordings.stopped_recordings("", 10)) == 2


async def test_a_deleted_recording_does_not_come_back_with_its_call(stopped: Database) -> None:
    units = list(story(1))
    await stopped.calls.commit(units[-1])
    assert await stopped.recordings.delete(TENANT, recording(1))
    await stopped.calls.commit(type(units[-1])(units[-1].call))
    assert await stopped.recordings.get(TENANT, recording(1)) is None


async def test_a_list_is_narrowed_by_call_status_and_time(stopped: Database) -> None:
    await stopped.calls.commit(list(story(2))[-1])
    listed = stopped.recordings.list
    began = (await listed(TENANT)).items[0].started_at
    assert began is not None

    async def numbers(**where: object) -> list[int]:
        return [int(item.call[-1]) for item in (await listed(TENANT, **where)).items]  # type: ignore[arg-type]

    assert await numbers() == [3, 2, 1]
    assert await numbers(call=call_id(1)) == [1]
    assert await numbers(status="stored") == [2]
    assert await numbers(since=began) == [3, 2, 1]
    assert await numbers(since=began + 1) == []
    assert await numbers(until=began) == []
    assert await numbers(until=began + 1) == [3, 2, 1]
    assert await numbers(limit=2) == [3, 2]
    assert await numbers(after=recording(2)) == [1]
