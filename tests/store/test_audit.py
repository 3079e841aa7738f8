"""The audit log: a request's entry is there exactly when what it did is, at the price of no commit of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import pytest

from controller.audit import Note, Row, carrying, open_note
from controller.ports import NotSaved
from controller.store import sqlite
from controller.store.database import Database
from controller.store.errors import KeyTaken
from controller.store.rows import Audit, AuditFilter
from tests.store.calls import TENANT, call_id, canceled, queued, story, without_facts

_ids = count(1)


def row(target: str = "", tenant: str = TENANT, actor: str = "key_1", at: int = 7) -> Row:
    return f"a{next(_ids):06d}", tenant, at, actor, "did", target, "{}"


def note() -> Note:
    """The note of a request that is being handled; its row keeps its id."""
    mine = row()
    return Note(lambda target: (*mine[:5], target, mine[6]))


async def targets(db: Database) -> list[str]:
    return [entry.target for entry in (await db.audit.list(TENANT)).items]


async def test_entries_are_read_newest_first_in_pages_and_by_filter(db: Database) -> None:
    rows = [row(f"t{number}", at=number, actor=f"key_{number % 2}") for number in range(5)]
    await db.audit.append(rows[:3])
    await db.audit.append(rows[3:])
    entries = [Audit(*one) for one in rows]
    first = await db.audit.list(TENANT, 2)
    assert first.items == [entries[4], entries[3]]
    assert (await db.audit.list(TENANT, 3, first.next)).items == [entries[2], entries[1], entries[0]]
    assert (await db.audit.list(TENANT, where=AuditFilter(actor="key_1"))).items == [entries[3], entries[1]]
    assert (await db.audit.list(TENANT, where=AuditFilter(target="t2"))).items == [entries[2]]
    assert (await db.audit.list(TENANT, where=AuditFilter(since=1, until=3))).items == [entries[2], entries[1]]


async def test_an_entry_that_is_there_already_stays_as_it_is(db: Database) -> None:
    one = row("first")
    await db.audit.append([one])
    await db.audit.append([(*one[:5], "second", "{}"), row("other")])
    assert await targets(db) == ["other", "first"]


async def test_old_entries_are_forgotten_a_few_at_a_time(db: Database) -> None:
    rows = [(call_id(number, at=1000 * number), *row()[1:]) for number in range(5)]
    await db.audit.append(rows)
    assert await db.audit.forget(4000, 3) == 3
    assert await db.audit.forget(4000, 3) == 1
    assert await db.audit.forget(4000, 3) == 0
    assert [entry.id for entry in (await db.audit.list(TENANT)).items] == [rows[4][0]]


async def test_a_unit_takes_the_notes_along_that_it_carries_out(db: Database) -> None:
    opened, ended = note(), [note(), note()]
    unit = replace(queued(), notes=(opened,))
    await db.calls.commit(unit)
    assert opened.written
    await db.calls.commit(replace(canceled(unit), notes=tuple(ended)))
    assert all(one.written for one in ended)
    assert await targets(db) == ["call_" + call_id(1)] * 3


async def test_a_unit_that_does_not_fit_leaves_no_entry_and_takes_no_other_along(db: Database) -> None:
    units = list(story())[:3]
    for unit in units:
        await db.calls.commit(unit)
    refused, accepted, none = note(), note(), note()
    late = db.calls.commit(replace(units[1], notes=(refused,)))
    fine = db.calls.commit(replace(queued(2), notes=(accepted,)))
    ends = await asyncio.gather(late, fine, db.calls.commit(queued(3)), return_exceptions=True)
    assert isinstance(ends[0], NotSaved)
    assert ends[1:] == [None, None]
    assert (refused.written, accepted.written, none.written) == (False, True, False)
    assert await targets(db) == ["call_" + call_id(2)]


async def test_a_unit_whose_key_is_taken_leaves_no_entry(db: Database) -> None:
    key = (TENANT, "key", "print", b"answer")
    await db.calls.commit(replace(queued(1), idempotency=key))
    again = note()
    with pytest.raises(KeyTaken):
        await db.calls.commit(replace(queued(2), idempotency=key, notes=(again,)))
    assert not again.written
    assert await targets(db) == []


async def test_what_a_request_writes_takes_its_entry_along_and_names_what_it_made(db: Database) -> None:
    mine = open_note(note().make)
    await db.numbers.add("n1", TENANT, "+14155550100", 1)
    assert mine.written
    assert await targets(db) == ["num_n1"]
    await db.numbers.add("n2", TENANT, "+14155550199", 1)
    assert await targets(db) == ["num_n1"]


async def test_what_has_no_effect_takes_no_entry_along(db: Database) -> None:
    mine = open_note(note().make)
    assert not await db.numbers.remove(TENANT, "unknown")
    await db.idempotency.begin(TENANT, "key", "print", 1)
    await db.idempotency.finish(TENANT, "key", "print", 202, b"", 1)
    assert not mine.written
    with carrying(None):
        await db.numbers.add("n1", TENANT, "+14155550100", 1)
    assert not mine.written
    assert await db.numbers.remove(TENANT, "n1")
    assert mine.written
    assert len(await targets(db)) == 1


async def test_a_write_that_fails_leaves_no_entry(db: Database) -> None:
    with carrying(None):
        await db.numbers.add("n1", TENANT, "+14155550100", 1)
    mine = open_note(note().make)
    with pytest.raises(NotSaved):
        await db.numbers.add("n2", TENANT, "+14155550100", 1)
    assert not mine.written
    assert await targets(db) == []
    await db.numbers.add("n3", TENANT, "+14155550199", 1)
    assert await targets(db) == ["num_n3"]


async def test_a_request_that_is_answered_is_noted_no_more(db: Database) -> None:
    mine = open_note(note().make)
    mine.over = True
    await db.numbers.add("n1", TENANT, "+14155550100", 1)
    await db.calls.commit(replace(queued(), notes=(mine,)))
    assert await targets(db) == []


@contextmanager
def commits_counted() -> Iterator[list[int]]:
    """How many things each transaction on SQLite held."""
    seen: list[int] = []
    real = sqlite.write_batch

    def write_batch(connection: object, batch: list[sqlite.Item]) -> None:
        seen.append(len(batch))
        real(connection, batch)  # type: ignore[arg-type]

    sqlite.write_batch = write_batch  # type: ignore[assignment]
    try:
        yield seen
    finally:
        sqlite.write_batch = real


async def test_an_entry_costs_no_commit_of_its_own(db: Database) -> None:
    if db.backend.dialect != "sqlite":
        return  # there an entry is a part of the unit's one statement, which the tests above prove
    with commits_counted() as seen:
        unit = replace(queued(), notes=(note(),))
        await db.calls.commit(unit)
        await db.calls.commit(without_facts(unit))
        open_note(note().make)
        await db.numbers.add("n1", TENANT, "+14155550100", 1)
    assert seen == [1, 1, 1]
    assert len(await targets(db)) == 2
