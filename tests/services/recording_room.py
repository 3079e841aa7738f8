"""Recordings on a real database, with a spool and a folder, and places where the service can be stopped dead."""

import asyncio
import os
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from controller.core import ids
from controller.core.call import RecordingState
from controller.core.events import Event
from controller.core.facts import Fact
from controller.core.flow import Flow
from controller.ports import SpoolFile, StoppedRecording, StoredRecording
from controller.services.calls import Calls
from controller.services.clock import SystemClock
from controller.services.recordings import Recordings, file_of, verify
from controller.services.spool import DiskSpool
from controller.store.database import Database
from controller.store.rows import RecordingInfo
from tests.core.story import CALLBACK
from tests.store.calls import NODE, TENANT, call_id, story

NOW = time.time_ns() // 1_000_000
AUDIO = os.urandom(32_000)
"""A second of two channels."""


class OneFlow:
    """All calls walk the callback."""

    def version(self, _name: str, _version: str) -> Flow:
        return CALLBACK


def recording_of(number: int) -> str:
    """The recording of call ``number``."""
    return ids.verb_id(call_id(number, NOW), 3)


class PushedClock(SystemClock):
    """The real clock, ``ahead_s`` further."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class WatchedSpool(DiskSpool):
    """A folder; ``at_list`` is called before each look, and each deletion is noted."""

    def __init__(self, room: "Room", remote: bool = False) -> None:
        super().__init__(room.spool_folder)
        self._room, self._remote = room, remote
        self.at_list: Callable[[], object] = lambda: None

    async def list(self, recordings: Sequence[str] | None = None) -> Iterable[SpoolFile]:
        self.at_list()
        return await super().list(recordings)

    def local(self, name: str) -> Path | None:
        return None if self._remote else super().local(name)

    async def delete(self, *names: str) -> None:
        await super().delete(*names)
        await self._room.note(lambda: self._room.deleted.extend(names))
        await self._room.gate("deleted")


class Room:
    """``stop_at``: where the service stops dead; ``reached`` says that it did."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.spool_folder, self.folder = folder / "spool", folder / "recordings"
        self.spool_folder.mkdir()
        self.calls = Calls(database.calls, OneFlow())
        self.calls.watch(lambda _before, _after, facts: self._heard(facts))
        self.spool = WatchedSpool(self)
        self.facts: list[Fact] = []
        self.deleted: list[str] = []
        self.clock = PushedClock()
        self.stop_at = ""
        self.reached = asyncio.Event()
        self._changed = asyncio.Condition()

    async def gate(self, place: str) -> None:
        """The service is here."""
        if place == self.stop_at:
            self.reached.set()
            await asyncio.Event().wait()

    async def note(self, change: Callable[[], object]) -> None:
        """Something happened that a test may wait for."""
        async with self._changed:
            change()
            self._changed.notify_all()

    async def until(self, enough: Callable[["Room"], bool]) -> None:
        """Wait until enough has happened."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: enough(self))

    def _heard(self, facts: Iterable[Fact]) -> None:
        self.facts += [fact for fact in facts if fact.type in ("recording.stored", "recording.failed")]

    # --- the store, as the service sees it

    async def stopped_recordings(self, after: str, limit: int) -> list[StoppedRecording]:
        return await self.database.recordings.stopped_recordings(after, limit)

    async def recording_states(self, recordings: Sequence[str]) -> Any:
        found: dict[str, RecordingState] = dict(await self.database.recordings.recording_states(recordings))
        return found

    async def keep(self, recording: str, file: str, stored: StoredRecording) -> None:
        await self.gate("written")
        await self.database.recordings.keep(recording, file, stored)
        await self.gate("kept")

    async def tell(self, call: str, event: Event) -> None:
        """What wiring does with an event."""
        await self.calls.tell_closed(call, event)
        await self.note(lambda: None)
        await self.gate("told")

    # --- the service

    @asynccontextmanager
    async def running(self, patience_s: float = 30.0, rest_s: float = 0.03, **changes: Any) -> AsyncIterator[Recordings]:
        """A process that knows nothing; at the end it dies, wherever it is."""
        given = {"store": self, "spools": {NODE: self.spool}, "tell": self.tell} | changes
        service = Recordings(**given, folder=self.folder, clock=self.clock, patience_s=patience_s, rest_s=rest_s)
        task = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # --- the world

    async def happens(self, number: int, audio: bytes | None = AUDIO, suffix: str = ".raw") -> str:
        """A recorded call from beginning to end; the PBX leaves ``audio`` in its spool."""
        for unit in list(story(number, at=NOW))[:-1]:
            await self.database.calls.commit(unit)
        if audio is not None:
            self.copy(recording_of(number), suffix).write_bytes(audio)
        return recording_of(number)

    def copy(self, recording: str, suffix: str = ".raw") -> Path:
        """The PBX's copy."""
        return self.spool_folder / (recording + suffix)

    async def row(self, recording: str) -> RecordingInfo:
        found = await self.database.recordings.get(TENANT, recording)
        assert found is not None
        return found

    async def ends(self, recording: str) -> Fact:
        """The one fact that says what became of it."""
        facts = await self.database.calls.facts(TENANT, ids.call_of(recording))
        [fact] = [fact for fact in facts if fact.type in ("recording.stored", "recording.failed")]
        return fact

    async def is_stored(self, recording: str, audio: bytes = AUDIO) -> None:
        """File, row and fact say the same."""
        row, path = await self.row(recording), self.folder / file_of(recording)
        assert (row.status, row.file) == ("stored", file_of(recording))
        with wave.open(str(path)) as read:
            assert read.readframes(1 << 20) == audio
        assert row.sha256 is not None
        assert verify(path, row.sha256) == "ok"
        assert (row.size, row.duration_ms) == (path.stat().st_size, len(audio) * 1000 // 32_000)
        fact = await self.ends(recording)
        assert fact.type == "recording.stored"
        length = len(audio) * 1000 // 32_000 / 1000
        said = {"recording_id": "rec_" + recording, "duration_s": length, "size": row.size, "sha256": row.sha256}
        assert dict(fact.data) == said
        assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []
