"""Recordings: from the PBX's spool into the folder of stored ones, each exactly once, whatever dies in between.

The PBX writes by itself, so a recording needs no living controller.  When it is stopped (its row says so, also after a restart)
we wait until its file rests, write it as WAV under a name that follows from its id alone, note checksum and size, and tell its
call; only when the fact ``recording.stored`` is durable is the PBX's copy deleted.  Each of these steps can be done again, so
a crash between any two costs nothing but time.  A disk that is full, or a spool that is away, is waited for; a recording fails
only when its spool can be seen and nothing was recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import structlog

from controller.core.call import Call
from controller.core.events import Event, RecordingFailed, RecordingStored
from controller.core.facts import Fact
from controller.ports import Clock, NotSaved, RecordingStore, Spool, SpoolFile, StoredRecording
from controller.services import wav
from controller.services.recordings_batch import Job, Outcome, store_all
from controller.services.spool import SUFFIXES
from controller.services.tasks import Tasks
from controller.times import rfc3339

log = structlog.get_logger(__name__)

LOOK_S = 0.5
"""How often the spools are looked into while something waits."""
REST_S = 1.0
"""A file that did not change for this long after its recording was stopped is complete: a PBX writes every 20 to 128 ms."""
PATIENCE_S = 30.0
"""How long a spool may be seen without the file before nothing was recorded."""
NET_S = 60.0
"""How often the database is asked for recordings that nobody told us of."""
RETRY_S = (1.0, 5.0, 30.0, 120.0)
SPOOL_TIMEOUT_S = 10.0
BOUND = 5_000
"""Recordings in memory; more wait in the database."""
BATCH = 32
"""Recordings that share one trip into a thread."""
AT_ONCE = 2
PAGE = 500
LEFT_MS = 27 * 3600 * 1000
"""An empty file that is older belongs to a call that was over long ago (no flow is longer than 26 h) and never recorded."""
_BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's alphabet: a ULID's first ten characters are the milliseconds since the epoch."""

Tell = Callable[[str, Event], Awaitable[None]]
"""Gives an event to a call, closed or not; the unit is durable when it returns.  Raises NotSaved."""


def file_of(recording: str) -> str:
    """Where a recording is stored, relative to the folder: by the day (UTC) that its call's id was made."""
    made_at = 0
    for character in recording[:10]:
        made_at = made_at * 32 + _BASE_32.index(character)
    return f"{rfc3339(made_at)[:10].replace('-', '/')}/rec_{recording}.wav"


def verify(path: Path, sha256: str) -> Literal["ok", "missing", "changed"]:
    """Compare a stored file with the checksum in its row.  Blocks."""
    try:
        return "ok" if wav.sha256_of(path) == sha256 else "changed"
    except FileNotFoundError:
        return "missing"


@dataclass(slots=True)
class _Waiting:
    """A stopped recording.  ``seen``: its file at the last look, unchanged since ``rests_since``; ``absent_since``: the spool
    has been seen without it; all in seconds of the monotonic clock."""

    id: str
    call: str
    node: str
    seen: SpoolFile | None = None
    rests_since: float = 0.0
    absent_since: float | None = None
    busy: bool = False
    tries: int = 0
    not_before: float = 0.0
    kept: StoredRecording | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Told:
    """A recording whose copy may be in the node's spool.  ``durable``: its fact was committed, by this process, and our file
    has ``size`` bytes; ``never_began``: its call ended before there was anything to record."""

    node: str
    durable: bool = False
    size: int | None = None
    never_began: bool = False


class Recordings:
    """Stores what this installation's PBXes recorded."""

    def __init__(
        self, store: RecordingStore, spools: Mapping[str, Spool], folder: Path, tell: Tell, clock: Clock,
        patience_s: float = PATIENCE_S, rest_s: float = REST_S,
    ) -> None:  # fmt: skip
        self._store, self._spools, self._folder, self._tell, self._clock = store, spools, folder, tell, clock
        self._patience_s, self._rest_s = patience_s, rest_s
        self._waiting: dict[str, _Waiting] = {}
        self._told: dict[str, _Told] = {}
        self._wake = asyncio.Event()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._tasks = Tasks()

    def __len__(self) -> int:
        return len(self._waiting)

    def committed(self, before: Call, after: Call, _facts: Sequence[Fact]) -> None:
        """A unit was committed (a watcher of ``Calls``)."""
        if after.recordings and after.recordings is not before.recordings:
            for recording in after.recordings:
                if recording.state == "stopped":
                    self._expect(recording.id, after.id, after.node)
        if after.ended and not before.ended:
            self._clear_away(before, after)

    def _clear_away(self, before: Call, after: Call) -> None:
        """The PBX has made an empty file for each recording that waited for a bridge in vain."""
        kept = {recording.id for recording in after.recordings}
        for recording in before.recordings:
            if recording.id not in kept and len(self._told) < BOUND:
                self._told[recording.id] = _Told(after.node, never_began=True)
                self._wake.set()

    def _expect(self, recording: str, call: str, node: str) -> None:
        if recording not in self._waiting and recording not in self._told and len(self._waiting) < BOUND:
            if node not in self._spools:
                log.warning("recording waits for a node that is not in the settings", recording=recording, node=node)
            self._waiting[recording] = _Waiting(recording, call, node)
            self._wake.set()

    # --- life

    async def run(self) -> None:
        """Store recordings until cancelled."""
        asked = -NET_S
        try:
            while True:
                now = self._clock.monotonic()
                try:
                    if now - asked >= NET_S:
                        await self._ask_database()
                        asked = now
                    await self._look()
                except Exception:
                    log.exception("recordings: a round failed")
                    await asyncio.sleep(RETRY_S[0])
                await self._pause(asked + NET_S - now)
        finally:
            self._tasks.cancel()
            await self._tasks.drain()

    async def _pause(self, at_most: float) -> None:
        """Until the next look, or until something waits."""
        if self._waiting or self._told:
            await asyncio.sleep(LOOK_S)
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(max(at_most, LOOK_S)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _ask_database(self) -> None:
        """What was stopped and is not stored, by an earlier process or while memory was full; and copies left in the spools."""
        after = ""
        while len(self._waiting) < BOUND:
            page = await self._store.stopped_recordings(after, PAGE)
            for row in page:
                self._expect(row.id, row.call, row.node)
            if len(page) < PAGE:
                break
            after = page[-1].id
        for node in list(self._spools):  # one may be added meanwhile
            for name in await self._listed(node) or {}:
                recording = Path(name).stem
                if recording not in self._waiting:
                    self._told.setdefault(recording, _Told(node))

    async def _listed(self, node: str, recordings: Sequence[str] | None = None) -> dict[str, SpoolFile] | None:
        """The files in a node's spool, all or of these recordings; None if it cannot be seen."""
        try:
            async with asyncio.timeout(SPOOL_TIMEOUT_S):
                return {file.name: file for file in await self._spools[node].list(recordings)}
        except OSError as error:
            log.warning("spool cannot be seen", node=node, reason=str(error) or type(error).__name__)
            return None

    # --- waiting for files

    async def _look(self) -> None:
        nodes = {waiting.node for waiting in self._waiting.values()} | {told.node for told in self._told.values()}
        for node in nodes:
            mine = [waiting for waiting in self._waiting.values() if waiting.node == node and not waiting.busy]
            told = [recording for recording, told in self._told.items() if told.node == node]
            files = await self._listed(node, told + [waiting.id for waiting in mine]) if node in self._spools else None
            if files is not None:
                now = self._clock.monotonic()
                ready = [waiting for waiting in mine if self._is_ready(waiting, files, now)]
                for start in range(0, len(ready), BATCH):
                    self._begin(node, ready[start : start + BATCH])
                await self._clean(node, told, files)

    def _is_ready(self, waiting: _Waiting, files: Mapping[str, SpoolFile], now: float) -> bool:
        """True when its file rests, or when it has been waited for long enough (then nothing was ``seen``)."""
        if waiting.busy or now < waiting.not_before:
            return False
        file = next((files[waiting.id + suffix] for suffix in SUFFIXES if waiting.id + suffix in files), None)
        if file is None or not file.size:
            waiting.seen = None
            waiting.absent_since = now if waiting.absent_since is None else waiting.absent_since
            return now - waiting.absent_since >= self._patience_s
        if file != waiting.seen:
            waiting.seen, waiting.rests_since, waiting.absent_since = file, now, None
            return False
        return now - waiting.rests_since >= self._rest_s

    def _begin(self, node: str, batch: list[_Waiting]) -> None:
        for waiting in batch:
            waiting.busy = True
        self._tasks.spawn(self._work(node, batch))

    # --- storing

    async def _work(self, node: str, batch: list[_Waiting]) -> None:
        async with self._at_once:
            try:
                jobs = [await self._job(self._spools[node], waiting) for waiting in batch]
                outcomes = await asyncio.to_thread(store_all, jobs)
            except Exception as fault:
                outcomes = [fault] * len(batch)
            await asyncio.gather(*map(self._finish, batch, outcomes))

    async def _job(self, spool: Spool, waiting: _Waiting) -> Job:
        """What the thread is to do; a file on another machine is fetched first."""
        target, file = self._folder / file_of(waiting.id), waiting.seen
        if waiting.kept is not None or file is None:
            return Job(None, target)
        source = spool.local(file.name)
        if source is not None:
            return Job(source, target, file.size)
        fetched = self._folder / ".incoming" / file.name
        try:
            await spool.fetch(file.name, fetched)
        except OSError as error:
            log.warning("recording not fetched", recording=waiting.id, reason=str(error))
        return Job(fetched, target, file.size, fetched=True)

    async def _finish(self, waiting: _Waiting, outcome: Outcome) -> None:
        """Note where the file lies and tell the call; what went wrong is tried again."""
        try:
            if isinstance(outcome, StoredRecording):
                waiting.kept = outcome
                await self._store.keep(waiting.id, file_of(waiting.id), outcome)
            await self._tell(waiting.call, self._event(waiting.id, outcome))
        except (OSError, NotSaved) as error:
            self._again(waiting, error)
        except Exception as fault:
            log.exception("recording not stored by a fault of ours", recording=waiting.id)
            self._again(waiting, fault)
        else:
            del self._waiting[waiting.id]
            size = outcome.size if isinstance(outcome, StoredRecording) else None
            self._told[waiting.id] = _Told(waiting.node, durable=True, size=size)

    def _event(self, recording: str, outcome: Outcome) -> Event:
        """What to tell.  Raises what is to be tried again."""
        now = self._clock.now()
        if isinstance(outcome, StoredRecording):
            return RecordingStored(now, recording, outcome.duration_ms, outcome.size, outcome.sha256)
        if isinstance(outcome, wav.NothingRecorded):
            return RecordingFailed(now, recording, "nothing was recorded")
        if isinstance(outcome, wav.Broken):
            return RecordingFailed(now, recording, str(outcome))
        raise outcome

    def _again(self, waiting: _Waiting, error: Exception) -> None:
        pause = RETRY_S[min(waiting.tries, len(RETRY_S) - 1)]
        log.warning("recording not stored, will be tried again", recording=waiting.id, reason=str(error), in_s=pause)
        waiting.tries += 1
        waiting.not_before = self._clock.monotonic() + pause
        waiting.busy, waiting.seen = False, None

    # --- cleaning the spool

    async def _clean(self, node: str, mine: Sequence[str], files: Mapping[str, SpoolFile]) -> None:
        """Delete the PBX's copies of recordings that are durably told."""
        states = await self._store.recording_states(mine) if mine else {}
        names = []
        for recording in mine:
            told = self._told.pop(recording)
            copies = [files[recording + suffix] for suffix in SUFFIXES if recording + suffix in files]
            names += [copy.name for copy in copies if await self._may_go(recording, states.get(recording), told, copy)]
        if names:
            try:
                await self._spools[node].delete(*names)
            except OSError as error:
                log.warning("copies in the spool not deleted, will be tried later", node=node, reason=str(error))

    async def _may_go(self, recording: str, state: str | None, told: _Told, copy: SpoolFile) -> bool:
        """A copy may go when our file holds all of it, when there is nothing in it, or when its row was deleted since."""
        if state is None:
            over = told.never_began or self._clock.now() - copy.modified > LEFT_MS
            return told.durable or (over and copy.size < wav.FRAME)
        if state == "failed":
            return copy.size < wav.FRAME
        if state != "stored":
            return False
        ours = told.size
        if ours is None:
            ours = await asyncio.to_thread(_size, self._folder / file_of(recording))
        if ours >= wav.HEADER + copy.size - copy.size % wav.FRAME or (ours and copy.name.endswith(".wav")):
            return True
        log.error("the PBX's copy has more than was stored, keeping it", recording=recording)
        return False


def _size(path: Path) -> int:
    """Bytes of a file, 0 if there is none.  Blocks."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
