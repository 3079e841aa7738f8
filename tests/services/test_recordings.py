"""Recordings: from a PBX's spool to a stored file, its row and its fact, on both databases, whatever dies in between."""

import asyncio
import errno
import io
import os
import threading
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.core.call import CallStatus
from controller.core.events import Event
from controller.ports import NotSaved, StoredRecording
from controller.services import recordings as module
from controller.services import wav
from controller.services.recordings import file_of
from controller.services.spool import DiskSpool
from controller.store.database import Database
from tests.services.recording_room import AUDIO, NOW, Room, WatchedSpool, recording_of
from tests.store.calls import NODE, TENANT, story


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, try again soon."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", (0.02,))


@pytest.fixture
async def room(database_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    database = await Database.open(database_url, migrate=False)
    await database.tenants.add(TENANT, "Tenant", 1)
    yield Room(database, tmp_path)
    await database.close()


async def test_a_recording_is_stored_and_told_and_then_the_pbx_copy_goes(room: Room) -> None:
    recording = await room.happens(1)
    async with room.running():
        await room.until(lambda r: r.deleted == [recording + ".raw"])
    await room.is_stored(recording)
    assert list(room.spool_folder.iterdir()) == []


async def test_a_call_that_ends_while_we_run_is_heard_of_at_once(room: Room) -> None:
    looked = asyncio.Event()
    room.spool.at_list = looked.set
    async with room.running() as service:
        await looked.wait()
        recording = await room.happens(1)
        before, after = list(story(1, at=NOW))[-3:-1]
        service.committed(before.call, after.call, after.facts)
        service.committed(before.call, after.call, after.facts)
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_many_at_once(room: Room) -> None:
    recordings = [await room.happens(number) for number in range(1, 31)]
    async with room.running() as service:
        await room.until(lambda r: len(r.deleted) == 30)
        assert len(service) == 0
    for recording in recordings:
        await room.is_stored(recording)


@pytest.mark.parametrize("place", ["written", "kept", "told", "deleted"])
async def test_whatever_step_we_die_after_the_next_process_finishes_it_once(room: Room, place: str) -> None:
    recording = await room.happens(1)
    room.stop_at = place
    async with room.running():
        await room.reached.wait()
    room.stop_at = ""
    looked = asyncio.Event()
    room.spool.at_list = looked.set
    async with room.running():
        if place == "deleted":
            await looked.wait()
        else:
            await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)
    assert list(room.spool_folder.iterdir()) == []


async def test_a_half_written_file_of_a_killed_process_is_written_anew(room: Room) -> None:
    recording = await room.happens(1)
    path = room.folder / file_of(recording)
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.part").write_bytes(b"half of it")
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_a_file_that_is_still_written_is_waited_for(room: Room) -> None:
    """A tenth of a second passes between two looks; the PBX writes every third of a second, for three seconds."""
    recording = await room.happens(1, audio=AUDIO[:2000])
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        room.clock.ahead_s += 0.1
        written = 2000 * (1 + looks // 3)
        if looks % 3 == 0 and written <= len(AUDIO):
            with room.copy(recording).open("ab") as file:
                file.write(AUDIO[written - 2000 : written])

    room.spool.at_list = look
    async with room.running(rest_s=1.0):
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_a_file_that_grows_while_it_is_copied_is_copied_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await room.happens(1, audio=AUDIO[:16_000])
    real, grown = wav.store, []

    def store(source: Path, target: Path, durable_name: bool) -> StoredRecording:
        stored = real(source, target, durable_name)
        if not grown:
            grown.append(True)
            with source.open("ab") as file:
                file.write(AUDIO[16_000:])
        return stored

    monkeypatch.setattr(wav, "store", store)
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_a_copy_that_has_more_than_was_stored_is_kept(room: Room) -> None:
    recording = await room.happens(1)
    room.stop_at = "told"
    async with room.running():
        await room.reached.wait()
    with room.copy(recording).open("ab") as file:
        file.write(b"a late word.")
    room.stop_at = ""
    asked = asyncio.Event()
    states = room.recording_states

    async def recording_states(recordings: Any) -> Any:
        found = await states(recordings)
        asyncio.get_running_loop().call_later(0.05, asked.set)
        return found

    room.recording_states = recording_states  # type: ignore[method-assign]
    async with room.running():
        await asked.wait()
    assert room.copy(recording).exists()
    await room.is_stored(recording)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
async def test_a_full_or_failing_disk_is_waited_for(room: Room, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    recording = await room.happens(1)
    tries, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        tries.append(descriptor)
        if len(tries) <= 5:
            raise OSError(error, os.strerror(error))
        real(descriptor)

    monkeypatch.setattr("controller.services.disk.os.fsync", fsync)
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    assert len(tries) > 5
    await room.is_stored(recording)


async def test_a_database_that_is_away_is_waited_for(room: Room) -> None:
    recording = await room.happens(1)
    refusals = iter(range(3))

    async def tell(call: str, event: Event) -> None:
        if next(refusals, None) is not None:
            raise NotSaved("locked")
        await room.tell(call, event)

    async with room.running(tell=tell):
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


@pytest.mark.parametrize("audio", [None, b"", b"ab"])
async def test_nothing_recorded_fails_within_bounded_time(room: Room, audio: bytes | None) -> None:
    recording = await room.happens(1, audio=audio)
    async with room.running(patience_s=0.05):
        await room.until(lambda r: len(r.facts) == 1 and len(r.deleted) == (audio is not None))
    fact = await room.ends(recording)
    assert (fact.type, fact.data["reason"]) == ("recording.failed", "nothing was recorded")
    assert (await room.row(recording)).status == "failed"


async def test_a_file_that_comes_late_but_in_time_is_stored(room: Room) -> None:
    recording = await room.happens(1, audio=None)
    looks = iter(range(5))

    def appear() -> None:
        if next(looks, None) == 4:
            room.copy(recording).write_bytes(AUDIO)

    room.spool.at_list = appear
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_patience_counts_only_while_the_spool_can_be_seen(room: Room) -> None:
    recording = await room.happens(1)
    looks = iter(range(20))

    def away() -> None:
        if next(looks, None) is not None:
            raise OSError(errno.ENOTCONN, "away")

    room.spool.at_list = away
    async with room.running(patience_s=0.05):
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_a_file_that_cannot_be_read_as_audio_fails_and_is_kept(room: Room) -> None:
    recording = await room.happens(1, audio=b"x" * 100, suffix=".wav")
    async with room.running():
        await room.until(lambda r: len(r.facts) == 1)
    assert (await room.ends(recording)).data["reason"] == "it is no WAV file"
    assert room.copy(recording, ".wav").exists()


async def test_a_wav_of_the_pbx_is_stored_like_any_other(room: Room) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as write:
        write.setnchannels(2)
        write.setsampwidth(2)
        write.setframerate(8000)
        write.writeframes(AUDIO)
    recording = await room.happens(1, audio=file.getvalue(), suffix=".wav")
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)


async def test_a_spool_on_another_machine_is_fetched_from(room: Room) -> None:
    recording = await room.happens(1)
    room.spool = WatchedSpool(room, remote=True)
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)
    assert list((room.folder / ".incoming").iterdir()) == []


async def test_what_is_not_ours_or_not_over_is_left_alone(room: Room) -> None:
    recording = await room.happens(1)
    living = list(story(2, at=NOW))[:10]
    for unit in living:
        await room.database.calls.commit(unit)
    others = [room.copy(recording_of(2)), room.copy(recording_of(3)), room.spool_folder / "notes.txt"]
    for path in others:
        path.write_bytes(AUDIO)
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    await room.is_stored(recording)
    assert sorted(room.spool_folder.iterdir()) == sorted(others)


async def test_the_empty_file_of_a_call_that_was_never_bridged_goes(room: Room) -> None:
    units = list(story(1, at=NOW))
    armed = next(unit.call for unit in units if unit.call.recordings)
    assert armed.recordings[0].state == "armed"
    ended = replace(armed, recordings=(), status=CallStatus.ended)
    full, empty = room.copy(recording_of(2)), room.copy(recording_of(1))
    full.write_bytes(AUDIO)
    async with room.running() as service:
        empty.touch()
        service.committed(armed, ended, ())
        service.committed(replace(armed, recordings=(replace(armed.recordings[0], id=full.stem),)), ended, ())
        await room.until(lambda r: r.deleted == [empty.name])
    assert full.exists()


async def test_an_empty_file_that_nobody_knows_goes_when_no_call_can_be_that_old(room: Room) -> None:
    old, young, full = (room.copy(recording_of(number)) for number in (1, 2, 3))
    for path, audio in ((old, b""), (young, b""), (full, AUDIO)):
        path.write_bytes(audio)
    past = (NOW - module.LEFT_MS) / 1000 - 60
    for path in (old, full):
        os.utime(path, (past, past))
    async with room.running():
        await room.until(lambda r: r.deleted == [old.name])
    assert young.exists()
    assert full.exists()


async def test_a_recording_that_is_deleted_at_once_goes_from_the_spool_too(room: Room) -> None:
    recording = await room.happens(1)

    async def tell(call: str, event: Event) -> None:
        await room.tell(call, event)
        (room.folder / file_of(recording)).unlink()
        assert await room.database.recordings.delete(TENANT, recording)

    async with room.running(tell=tell):
        await room.until(lambda r: r.deleted == [recording + ".raw"])


async def test_a_node_that_is_not_in_the_settings_holds_up_nobody(room: Room) -> None:
    recording = await room.happens(1)
    async with room.running(spools={"elsewhere": DiskSpool(room.folder)}) as service:
        service._expect(recording, recording[:26], NODE)
        assert len(service) == 1
    assert room.copy(recording).exists()


async def test_audio_is_never_written_on_the_event_loops_own_thread(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, real = set(), wav.store

    def store(source: Path, target: Path, durable_name: bool) -> StoredRecording:
        threads.add(threading.current_thread())
        return real(source, target, durable_name)

    monkeypatch.setattr(wav, "store", store)
    await room.happens(1)
    async with room.running():
        await room.until(lambda r: len(r.deleted) == 1)
    assert threads
    assert threading.main_thread() not in threads
