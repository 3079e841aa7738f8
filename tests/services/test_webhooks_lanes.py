"""The order of deliveries, whatever fails, is lost, comes at the same time or does not fit into memory.

A model of the database and of the receiver stand around ``Lanes``; chance plays the conductor, the workers, the saver, the
scanner and the crashes, one small step at a time, so that any of them may happen between any two steps of the others.

Mutants tried by hand, each found here: a lane dropped before its cursor is saved, or while it is being saved; rows of a scan
taken up after their lane had left; facts offered during a scan not remembered; facts that did not fit, or that the database
kept back, not marked as missing; a lane made for a call whose beginning is not known; unsaved cursors forgotten; a lane that
was sent away not looked for again; a try that is due forgotten; bytes of delivered letters not given back.
"""

import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from controller.ports import Cursor
from controller.services.webhooks_lanes import Budget, Found, Lane, Lanes, Letter

BODY = b"12345"
CALLS = ["a", "b", "c", "d", "e"]
LANES, BYTES = 4, len(BODY) * 12
EACH = 3
"""Facts that the database hands out of one call at a time."""
STEPS = {
    "commit": 8, "take": 8, "deliver": 12, "fail": 1, "save": 4, "write": 1, "saved": 3, "scan": 6, "arrive_scan": 6,
    "tick": 3, "send_away": 0.3, "crash": 0.15,
}  # fmt: skip


@dataclass
class Row:
    """A call in the database: how many facts it has, whether it is over, and the endpoint's cursor."""

    facts: int
    over: bool
    cursor: Cursor


def letters(first: int, last: int) -> tuple[Letter, ...]:
    return tuple(Letter(number, f"evt{number}", BODY) for number in range(first, last + 1))


class World:
    """One endpoint, a few calls, little memory."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.rows: dict[str, Row] = {}
        self.received: dict[str, list[int]] = {}
        self.now = 1
        self.crash()

    def crash(self) -> None:
        """A new process knows nothing: what was not saved may come again."""
        self.again = {call: row.cursor.next_sequence for call, row in self.rows.items()}
        self.budget = Budget(lanes=LANES, bytes=BYTES)
        self.lanes = Lanes("e", self.budget)
        self.busy: list[Lane] = []
        self.saving: list[Cursor] | None = None
        self.written = False
        self.scanning: list[Found] | None = None

    # --- the conductor

    def commit(self) -> None:
        """A unit becomes durable and is then told; a fact may come after the end."""
        call, over = self.chance.choice(CALLS), self.chance.random() < 0.2
        row = self.rows.setdefault(call, Row(0, False, Cursor("e", call)))
        first = row.facts + 1
        row.facts += self.chance.randint(1, 3)
        row.over = row.over or over
        if row.cursor.state == "done":
            row.cursor = replace(row.cursor, state="open", due_at=0)
        self.lanes.offer(call, letters(first, row.facts), row.over)

    # --- workers

    def take(self) -> None:
        lane = self.lanes.next_ready()
        if lane is not None:
            assert lane.pending
            assert all(other.call != lane.call for other in self.busy), "two workers on one call"
            self.busy.append(lane)

    def deliver(self) -> None:
        if not self.busy:
            return
        lane = self.chance.choice(self.busy)
        if lane.pending:
            self.arrive(lane)
            self.lanes.delivered(lane, self.now, 204)
        if not lane.pending or self.chance.random() < 0.2:
            self.busy.remove(lane)
            self.lanes.rest(lane)

    def fail(self) -> None:
        """No success; the receiver may have got it all the same."""
        lane = self.chance.choice(self.busy) if self.busy else None
        if lane is not None and lane.pending:
            if self.chance.random() < 0.3:
                self.arrive(lane)
                self.again.setdefault(lane.call, lane.pending[0].sequence)
            self.busy.remove(lane)
            self.lanes.fail(lane, self.now + self.chance.randint(0, 4), 500, "HTTP 500")

    def arrive(self, lane: Lane) -> None:
        sequence, got = lane.pending[0].sequence, self.received.setdefault(lane.call, [])
        high = max(got, default=0)
        assert sequence <= high + 1, "a fact before the one that comes first"
        assert sequence >= self.rows[lane.call].cursor.next_sequence, "a fact that the database knows as delivered"
        assert sequence > high or sequence >= self.again.get(lane.call, high + 1), "a fact twice without a reason"
        got.append(sequence)
        if sequence > high:
            self.again.pop(lane.call, None)

    # --- the saver: what is to be written is collected, written, and known to be written

    def save(self) -> None:
        if self.saving is None:
            self.saving, self.written = self.lanes.changes(), False

    def write(self) -> None:
        if self.saving is None or self.written:
            return
        for cursor in self.saving:
            row = self.rows[cursor.call]
            assert cursor.next_sequence >= row.cursor.next_sequence, "a cursor that goes back"
            assert cursor.next_sequence <= max(self.received.get(cursor.call, []), default=0) + 1, "ahead of the receiver"
            state = "open" if cursor.state == "done" and row.facts >= cursor.next_sequence else cursor.state
            assert state != "done" or row.over
            row.cursor = replace(cursor, state=state)
        self.written = True

    def saved(self) -> None:
        if self.saving is not None:
            self.saving = None
            (self.lanes.saved if self.written else self.lanes.unsaved)()

    # --- the scanner: the database is read, and later what it said arrives

    def scan(self) -> None:
        if self.scanning is None and self.lanes.scan_at <= self.now:
            limit = self.lanes.begin_scan(2)
            due = [row for row in self.rows.values() if self.is_due(row)]
            due.sort(key=lambda row: row.cursor.due_at)
            self.scanning = [self.found(row) for row in due[:limit]]
            self.full_scan = len(due) >= limit

    def is_due(self, row: Row) -> bool:
        return row.cursor.state == "open" and row.cursor.due_at <= self.now and row.cursor.next_sequence <= row.facts

    def found(self, row: Row) -> Found:
        last = min(row.facts, row.cursor.next_sequence + EACH - 1)
        return Found(row.cursor, letters(row.cursor.next_sequence, last), row.over, last < row.facts)

    def arrive_scan(self) -> None:
        if self.scanning is not None:
            found, self.scanning = self.scanning, None
            self.lanes.end_scan(found, self.now if self.full_scan else self.now + 1_000_000)

    # --- the world

    def tick(self) -> None:
        self.now += 1

    def send_away(self) -> None:
        self.lanes.leave(self.chance.choice([None, *CALLS]))

    def check(self) -> None:
        """Memory is accounted for to the byte."""
        lanes = list(self.lanes._lanes.values())
        assert self.budget.lanes + len(lanes) == LANES
        held = sum(letter.weight for lane in lanes for letter in lane.pending)
        assert (self.lanes._bytes, self.budget.bytes) == (held, BYTES - held)
        assert self.budget.lanes >= 0
        assert self.budget.bytes >= 0
        states = Counter(lane.state for lane in lanes)
        assert self.lanes.working == states["ready"] + states["busy"]
        assert states["busy"] == len(self.busy)
        for lane in lanes:
            assert bool(lane.pending) or lane.state != "ready"

    def settle(self) -> None:
        """From now on everything works: what was committed arrives, though nobody looks into the database without a reason."""
        for lane in list(self.busy):
            self.busy.remove(lane)
            self.lanes.rest(lane)
        self.saved()
        self.arrive_scan()
        for _ in range(60):
            self.tick()
            self.scan()
            self.arrive_scan()
            while (lane := self.lanes.next_ready()) is not None:
                while lane.pending:
                    self.arrive(lane)
                    self.lanes.delivered(lane, self.now, 204)
                self.lanes.rest(lane)
            self.save()
            self.write()
            self.saved()
        for call, row in self.rows.items():
            assert max(self.received.get(call, []), default=0) == row.facts, "not all arrived"
            assert row.cursor.next_sequence == row.facts + 1, "not all saved"
        assert self.lanes.working == 0
        assert not any(lane.over for lane in self.lanes._lanes.values()), "a call that is over stays in memory"


@pytest.mark.parametrize("seed", range(60))
def test_facts_arrive_in_order_and_all_whatever_happens(seed: int) -> None:
    chance = random.Random(seed)
    world = World(chance)
    for _ in range(60):
        for step in chance.choices(list(STEPS), list(STEPS.values()), k=chance.randint(1, 40)):
            getattr(world, step)()
            world.check()
        world.settle()
        world.check()


def test_an_idle_lane_makes_room_only_once_its_cursor_is_saved() -> None:
    lanes = Lanes("e", Budget(lanes=2))
    lanes.offer("a", letters(1, 1), over=False)
    lane = lanes.next_ready()
    assert lane is not None
    lanes.delivered(lane, 1, 204)
    lanes.rest(lane)
    lanes.changes()
    lanes.begin_scan(1)
    lanes.end_scan([], 10)
    assert len(lanes) == 1, "being saved"
    lanes.saved()
    lanes.begin_scan(1)
    lanes.end_scan([], 10)
    assert len(lanes) == 0


def test_an_endpoint_that_takes_nothing_leaves_room_for_the_others() -> None:
    budget = Budget(lanes=100, bytes=1000)
    for dead in range(5):
        lanes = Lanes(f"dead{dead}", budget)
        for number in range(200):
            lanes.offer(f"{number}", letters(1, 1), over=False)
        assert len(lanes) > 0
    lanes = Lanes("quick", budget)
    lanes.offer("a", letters(1, 1), over=False)
    assert lanes.next_ready() is not None
    assert budget.lanes > 0
    assert budget.bytes > 0


def test_a_parked_lane_is_left_alone() -> None:
    lanes = Lanes("e", Budget())
    lanes.offer("a", letters(1, 2), over=False)
    lane = lanes.next_ready()
    assert lane is not None
    lanes.fail(lane, None, 500, "HTTP 500")
    cursors = lanes.changes()
    assert [(c.next_sequence, c.attempt, c.state, c.last_status, c.last_error) for c in cursors] == [
        (1, 1, "parked", 500, "HTTP 500")
    ]
    lanes.saved()
    lanes.begin_scan(10)
    lanes.end_scan([], 1_000)
    lanes.offer("a", letters(3, 3), over=True)
    assert lanes.next_ready() is None
    assert lanes.changes() == []
    assert lanes.scan_at == 1_000, "no look into the database for a fact that cannot go"
