"""The journal: entries that no transaction took along are written soon, together, once, and are not lost to a full disk."""

import json
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.audit import Row
from controller.ports import NotSaved
from controller.services.journal import NOBODY, OURSELVES, Entry, Journal


class Disk:
    """A store that can be full: it keeps a row once, whatever it is told."""

    def __init__(self) -> None:
        self.full = False
        self.rows: dict[str, Row] = {}
        self.writes = 0

    async def append(self, rows: Sequence[Row]) -> None:
        if self.full:
            raise NotSaved("disk is full")
        self.writes += 1
        for row in rows:
            self.rows.setdefault(row[0], row)


class Clock:
    def now(self) -> int:
        return 7

    def monotonic(self) -> float:
        return 0.0


def journal(disk: Disk, bound: int = 1000) -> Journal:
    numbers = count(1)
    return Journal(disk, Clock(), lambda _now: f"e{next(numbers):03d}", bound)


def refusal(action: str = "POST /v1/callbacks", tenant: str = "acme", code: str = "forbidden") -> Entry:
    return Entry(tenant, "key_1", action, "", {"result": "refused", "status": 403, "code": code}, "req_1")


def told(disk: Disk) -> list[tuple[str, int]]:
    """Action and count of each row, oldest first."""
    return [(row[4], json.loads(row[6]).get("count", 1)) for _, row in sorted(disk.rows.items())]


async def test_equal_refusals_are_one_row_with_their_number_and_one_write() -> None:
    disk = Disk()
    here = journal(disk)
    for _ in range(500):
        here.later(refusal())
    here.later(refusal(tenant="other"))
    here.later(refusal(code="suspended"))
    assert await here.flush()
    assert [count for _, count in told(disk)] == [500, 1, 1]
    assert disk.writes == 1
    assert disk.rows["e001"][:6] == ("e001", "acme", 7, "key_1", "POST /v1/callbacks", "")
    assert await here.flush()
    assert disk.writes == 1


async def test_what_the_disk_refuses_waits_and_is_written_once_it_can_be() -> None:
    disk = Disk()
    here = journal(disk)
    disk.full = True
    done = ("d1", "acme", 7, "key_1", "PATCH /v1/nodes/{name}", "pbx1", '{"result": "done"}')
    await here.now(done)
    here.later(refusal())
    assert not await here.flush()
    here.later(refusal())
    here.ours("node.down", "pbx1", result="done")
    assert len(here) == 3
    disk.full = False
    assert await here.flush()
    assert told(disk) == [(done[4], 1), ("POST /v1/callbacks", 2), ("node.down", 1)]
    ours = next(row for row in disk.rows.values() if row[4] == "node.down")
    assert (ours[1], ours[3], ours[5]) == (NOBODY, OURSELVES, "pbx1")
    assert len(here) == 0


def done(number: int) -> Row:
    return f"d{number}", "acme", 7, "key_1", "PATCH /v1/nodes/{name}", "pbx1", '{"result": "done"}'


@pytest.mark.parametrize("seconds", [1, 30])
async def test_however_long_the_disk_refuses_what_waits_is_bounded_and_the_rest_is_counted(seconds: int) -> None:
    disk = Disk()
    here = journal(disk, 3)
    disk.full = True
    for second in range(seconds):
        for number in range(10):
            await here.now(done(100 * second + number))
            here.later(refusal(f"GET /{second}/{number}"))
        assert not await here.flush()
        assert len(here) <= 3 + 3 + 2
    disk.full = False
    while len(here) or here._overflow:
        assert await here.flush()
    over = [json.loads(row[6]) for row in disk.rows.values() if row[4] == "audit.overflow"]
    for result in ("done", "refused"):
        assert sum(data.get("count", 1) for data in over if data["result"] == result) == 10 * seconds - 3
        assert sum(data["result"] == result for data in over) <= 2
    assert len(disk.rows) <= 6 + 4


async def test_a_fault_of_ours_loses_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    here = journal(disk)
    here.later(refusal())

    async def append(_rows: object) -> None:
        raise RuntimeError("fault")

    with monkeypatch.context() as patched:
        patched.setattr(disk, "append", append)
        with pytest.raises(RuntimeError):
            await here.flush()
    assert await here.flush()
    assert told(disk) == [("POST /v1/callbacks", 1)]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(1, 5))
async def test_every_refusal_is_counted_somewhere_however_many_there_are(actions: list[str], bound: int) -> None:
    disk = Disk()
    here = journal(disk, bound)
    for action in actions:
        here.later(refusal(action))
        assert len(here) <= bound
    await here.flush()
    assert sum(count for _, count in told(disk)) == len(actions)
    assert len(disk.rows) <= bound + 1
