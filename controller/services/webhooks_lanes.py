"""What is under way to one endpoint: a lane per call, or other stream, in memory.

    (absent) -> ready <-> busy -> idle -> ready ...          a call's facts are delivered as they are committed
                            `---> leaving -> (absent)        failed, over, or too far behind: the database knows, memory forgets

A lane delivers its letters in order, one at a time; lanes do not wait for one another.  The hot path never reads the database:
what was committed is offered here.  What does not fit, what failed and what an earlier process left is found again by its
cursor (the cold path).  A lane leaves memory only after its cursor is saved, so the database is never ahead of what was
delivered, and after a crash only what was not yet saved is delivered again.

Pure bookkeeping: no I/O, no clock.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from controller.ports import Cursor, CursorState
from controller.services.webhooks_guard import Target

AWAY_BOUND = 10_000
"""Calls of which we remember that they wait for a later try; forgetting one costs a look into the database."""
NEVER = 1 << 62
AT_WORK_BOUND = 500
LANES_BOUND = 50_000
BYTES_BOUND = 64 << 20


@dataclass(slots=True)
class Budget:
    """What all endpoints together may keep in memory, less what they keep.  None takes more than it leaves: one that is dead
    cannot crowd out the others."""

    lanes: int = LANES_BOUND
    bytes: int = BYTES_BOUND


class Letter(NamedTuple):
    """One fact on its way.  ``body`` None: of a type that the endpoint does not want."""

    sequence: int
    id: str
    body: bytes | None

    @property
    def weight(self) -> int:
        """Bytes held."""
        return len(self.body) if self.body else 0


@dataclass(slots=True, eq=False)
class Lane:
    """One call's way to the endpoint.  ``over``: no more facts are expected; ``short``: the database has more of them.
    ``target``: where this call is told of, when that is not where the endpoint is."""

    call: str
    target: Target | None = None
    next: int = 1
    pending: deque[Letter] = field(default_factory=deque)
    state: Literal["idle", "ready", "busy", "leaving"] = "idle"
    over: bool = False
    short: bool = False
    parked: bool = False
    attempt: int = 0
    due_at: int = 0
    last_status: int | None = None
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A lane as the database has it.  ``short``: there are more facts than these letters."""

    cursor: Cursor
    letters: tuple[Letter, ...]
    over: bool
    short: bool
    target: Target | None = None


class Lanes:
    """All lanes of one endpoint.  ``scan_at``: when (ms) the database is to be asked for cursors that are due."""

    def __init__(self, endpoint: str, budget: Budget) -> None:
        self._endpoint, self._budget = endpoint, budget
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._dirty: dict[str, Lane] = {}
        self._saving: dict[str, Lane] = {}
        self._away: dict[str, int] = {}
        self._missed: set[str] | None = None
        self._gone: set[str] = set()
        self._bytes = 0
        self.working = 0
        self.scan_at = 0

    def __len__(self) -> int:
        return len(self._lanes)

    # --- what comes in

    def offer(self, call: str, letters: Sequence[Letter], over: bool, target: Target | None = None) -> None:
        """Facts of a call were committed."""
        lane = self._lanes.get(call)
        if lane is None:
            if letters[0].sequence == 1 and self._room > 0:
                lane = self._enter(Lane(call, target))
            else:
                self._miss(call)
                return
        lane.over = over
        fits = letters[0].sequence == lane.next + len(lane.pending) and lane.state != "leaving"
        weight = sum(letter.weight for letter in letters)
        if not fits or weight > self._bytes_room:
            self._behind(lane)
            return
        self._hold(weight)
        lane.pending.extend(letters)
        if lane.state == "idle":
            self._make_ready(lane)

    @property
    def _room(self) -> int:
        """How many more lanes may enter."""
        return max(0, (self._budget.lanes - len(self._lanes) + 1) // 2)

    @property
    def _bytes_room(self) -> int:
        return (self._budget.bytes - self._bytes) // 2

    def _hold(self, weight: int) -> None:
        self._bytes += weight
        self._budget.bytes -= weight

    def _behind(self, lane: Lane) -> None:
        lane.short = True
        if lane.state == "idle":
            self._leave(lane)

    def _miss(self, call: str) -> None:
        if self._missed is not None:
            self._missed.add(call)
        if call not in self._away:
            self.scan_at = 0

    def _enter(self, lane: Lane) -> Lane:
        self._lanes[lane.call] = lane
        self._budget.lanes -= 1
        return lane

    def _make_ready(self, lane: Lane) -> None:
        if lane.state == "idle":
            self.working += 1
        lane.state = "ready"
        self._ready.append(lane)

    # --- the cold path

    def begin_scan(self, limit: int) -> int:
        """The database is about to be asked; answers for how many cursors, since lanes at work may be among them.

        Must be followed by ``end_scan``."""
        self._missed, self._gone = set(), set()
        self._make_room(limit)
        return min(limit, self._room) + min(self.working, AT_WORK_BOUND)

    def end_scan(self, found: Iterable[Found], next_at: int) -> int:
        """Take in what the database had; answers how many lanes are new.  ``next_at``: of the next scan (ms), if nothing comes
        before."""
        missed, self._missed = self._missed or set(), None
        self.scan_at, new = next_at, 0
        for item in found:
            call = item.cursor.call
            self._away.pop(call, None)
            if call not in self._lanes and call not in self._gone and self._take(item, call in missed):
                new += 1
        if missed.difference(self._away, self._lanes):
            self.scan_at = 0
        if self._away:
            self.scan_at = min(self.scan_at, *self._away.values())
        return new

    def _take(self, item: Found, missed: bool) -> bool:
        """A lane for what fits of it."""
        fitting: deque[Letter] = deque()
        left = self._bytes_room
        for letter in item.letters:
            if letter.weight > left:
                break
            left -= letter.weight
            fitting.append(letter)
        if not self._room or not fitting:
            self.scan_at = 0
            return False
        cursor, short = item.cursor, item.short or missed or len(fitting) < len(item.letters)
        lane = Lane(cursor.call, item.target, cursor.next_sequence, fitting, over=item.over, short=short)
        lane.attempt, lane.last_status, lane.last_error = cursor.attempt, cursor.last_status, cursor.last_error
        self._hold(self._bytes_room - left)
        self._make_ready(self._enter(lane))
        return True

    def _make_room(self, wanted: int) -> None:
        """Forget idle lanes whose cursor is saved, until ``wanted`` more fit."""
        if self._room >= wanted:
            return
        for call, lane in list(self._lanes.items()):
            if lane.state == "idle" and call not in self._dirty and call not in self._saving:
                self._drop(lane)
                if self._room >= wanted:
                    return

    # --- delivering

    def next_ready(self) -> Lane | None:
        """A lane to work on, the longest waiting first.  It must come back by ``rest`` or ``fail``."""
        while self._ready:
            lane = self._ready.popleft()
            if lane.state == "ready":
                lane.state = "busy"
                return lane
        return None

    @property
    def waiting(self) -> int:
        """How many lanes wait for a worker, at most."""
        return len(self._ready)

    def delivered(self, lane: Lane, now: int, status: int | None) -> None:
        """The first pending letter is delivered, or was not wanted (no status)."""
        letter = lane.pending.popleft()
        self._hold(-letter.weight)
        lane.next, lane.attempt, lane.due_at, lane.last_status, lane.last_error = letter.sequence + 1, 0, now, status, ""
        self._dirty[lane.call] = lane

    def rest(self, lane: Lane) -> None:
        """A worker lets go of a lane."""
        lane.state = "ready"
        if lane.pending:
            self._ready.append(lane)
            return
        self.working -= 1
        lane.state = "idle"
        if lane.over or lane.short:
            self._leave(lane)

    def fail(self, lane: Lane, due_at: int | None, status: int | None, error: str) -> None:
        """The first pending letter was not delivered: the next try is at ``due_at`` (ms), or never (None: parked)."""
        lane.attempt += 1
        lane.due_at, lane.last_status, lane.last_error, lane.parked = due_at or lane.due_at, status, error, due_at is None
        self.let_go(lane)

    def let_go(self, lane: Lane) -> None:
        """A busy lane leaves as it stands; what it had not delivered stays in the database."""
        lane.short = True
        self.working -= 1
        self._leave(lane)

    def _leave(self, lane: Lane) -> None:
        lane.state = "leaving"
        self._hold(-sum(letter.weight for letter in lane.pending))
        lane.pending.clear()
        self._dirty[lane.call] = lane

    def leave(self, call: str | None = None) -> bool:
        """Send a call's lane away, or all; False if there are busy ones, which a worker must let go first."""
        lanes = list(self._lanes.values()) if call is None else [lane for lane in [self._lanes.get(call)] if lane]
        for lane in lanes:
            if lane.state == "ready":
                self.let_go(lane)
            elif lane.state == "idle":
                self._leave(lane)
        return all(lane.state == "leaving" for lane in lanes)

    # --- saving

    def changes(self) -> list[Cursor]:
        """The cursors to save.  Each call must be followed by ``saved`` or ``unsaved`` before the next."""
        self._saving, self._dirty = self._dirty, {}
        return [self._cursor(lane) for lane in self._saving.values()]

    def _cursor(self, lane: Lane) -> Cursor:
        over = lane.state == "leaving" and lane.over and not lane.short
        state: CursorState = "parked" if lane.parked else "done" if over else "open"
        return Cursor(self._endpoint, lane.call, lane.next, lane.attempt, lane.due_at, lane.last_status, lane.last_error, state)

    def saved(self) -> None:
        """They are in the database: lanes that were leaving are gone, unless something came in between."""
        lanes, self._saving = self._saving, {}
        for lane in lanes.values():
            if lane.state == "leaving" and lane.call not in self._dirty:
                self._drop(lane)
                if lane.parked or lane.attempt:
                    self._remember(lane)
                elif lane.short:
                    self.scan_at = 0

    def unsaved(self) -> None:
        """They could not be saved."""
        self._dirty = self._saving | self._dirty
        self._saving = {}

    def _remember(self, lane: Lane) -> None:
        if len(self._away) >= AWAY_BOUND:
            self._away.clear()
        self._away[lane.call] = NEVER if lane.parked else lane.due_at
        self.scan_at = min(self.scan_at, self._away[lane.call])

    def _drop(self, lane: Lane) -> None:
        del self._lanes[lane.call]
        self._budget.lanes += 1
        if self._missed is not None:
            self._gone.add(lane.call)
