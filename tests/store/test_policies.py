"""What is kept of policies, on both databases."""

import asyncio

import pytest

from controller.core import events as ev
from controller.core.policy_state import EVERYONE, Kept, ListEntry, Stop
from controller.store import policies
from controller.store.database import Database
from controller.store.errors import Taken
from tests.core.story import NUMBERS, T0
from tests.store.calls import OTHER, TENANT, after, queued, started, story


def entry(name: str, number: str) -> ListEntry:
    """An entry of a list."""
    return ListEntry(name, number, "why", 5)


async def test_a_tenant_that_has_set_nothing_has_nothing(db: Database) -> None:
    marks = await db.policies.marks()
    assert (marks.versions, marks.suspended, marks.numbers) == ({}, frozenset(), (0, ""))
    assert await db.policies.kept(TENANT) == (0, Kept())


async def test_every_change_makes_a_new_version_and_keeps_the_rest(db: Database) -> None:
    await db.policies.change(TENANT, {"minutes_per_day": 5, "hours": None}, frozenset())
    await db.policies.change(TENANT, {"minutes_per_day": 6, "allow_kinds": ["premium"]}, frozenset(["hours"]))
    await db.policies.add(entry("1", "+1415"), TENANT, "allow")
    await db.policies.stop(TENANT, Stop(7, True, "fraud"))
    version, kept = await db.policies.kept(TENANT)
    assert version == 4
    assert kept.settings == {"minutes_per_day": 6, "allow_kinds": ["premium"]}
    assert (kept.stop, kept.allow) == (Stop(7, True, "fraud"), {"+1415"})
    await db.policies.stop(TENANT, None)
    assert await db.policies.kept(TENANT) == (5, Kept(kept.settings, None, allow=frozenset(["+1415"])))
    assert (await db.policies.marks()).versions == {TENANT: 5}


async def test_everyones_stop_belongs_to_no_tenant(db: Database) -> None:
    await db.policies.stop(EVERYONE, Stop(7))
    assert (await db.policies.kept(EVERYONE))[1].stop == Stop(7)
    assert (await db.policies.kept(TENANT))[1].stop is None


async def test_lists_are_a_tenants_own_and_hold_a_number_once(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    await db.policies.add(entry("1", "+1415"), TENANT, "block")
    with pytest.raises(Taken):
        await db.policies.add(entry("2", "+1415"), TENANT, "block")
    await db.policies.add(entry("3", "+1415"), TENANT, "dnc")
    await db.policies.add(entry("4", "+1415"), OTHER, "block")
    await db.policies.add(entry("5", "+1416"), TENANT, "block")
    first = await db.policies.list(TENANT, "block", limit=1)
    assert [found.id for found in first.items] == ["5"]
    assert [found.id for found in (await db.policies.list(TENANT, "block", limit=1, after=first.next)).items] == ["1"]
    assert [found.id for found in (await db.policies.list(TENANT, "block", "+1415")).items] == ["1"]
    assert not await db.policies.remove(TENANT, "block", "4")
    assert not await db.policies.remove(TENANT, "dnc", "1")
    assert await db.policies.remove(TENANT, "block", "1")
    assert (await db.policies.kept(TENANT))[1].block == {"+1416"}
    assert (await db.policies.kept(OTHER))[1].block == {"+1415"}


async def test_a_list_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MOST_ENTRIES", 2)
    for number in "12":
        await db.policies.add(entry(number, "+141" + number), TENANT, "dnc")
    with pytest.raises(policies.ListFull):
        await db.policies.add(entry("3", "+1413"), TENANT, "dnc")
    await db.policies.add(entry("3", "+1413"), TENANT, "block")


async def test_changes_at_the_same_time_all_count(db: Database) -> None:
    await asyncio.gather(
        *(db.policies.add(entry(f"{n:02d}", f"+1{n:02d}"), TENANT, "block") for n in range(20)),
        *(db.policies.change(TENANT, {"minutes_per_day": n}, frozenset()) for n in range(5)),
    )
    version, kept = await db.policies.kept(TENANT)
    assert (version, len(kept.block)) == (25, 20)


async def test_marks_tell_of_suspended_tenants_and_of_numbers(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    await db.tenants.change(OTHER, suspended_at=5)
    seen = [(await db.policies.marks()).numbers]
    await db.numbers.add("01", TENANT, "+14155550100", 1)
    seen.append((await db.policies.marks()).numbers)
    await db.numbers.add("02", OTHER, "+14155550200", 1)
    seen.append((await db.policies.marks()).numbers)
    assert await db.policies.numbers() == {"+14155550100": TENANT, "+14155550200": OTHER}
    await db.numbers.remove(TENANT, "01")
    seen.append((await db.policies.marks()).numbers)
    assert len(set(seen)) == 4
    assert (await db.policies.marks()).suspended == {OTHER}


async def test_what_was_dialled_is_found_in_calls_that_ended_since_and_in_live_ones(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "AT_ONCE", 2)  # so that pages meet
    for number in range(1, 6):
        for unit in story(number, at=T0 + number * 3_600_000):
            await db.calls.commit(unit)
    for unit in (waits := queued(8), started(waits)):
        await db.calls.commit(unit)
    await db.calls.commit(queued(9))
    every = await db.policies.used(T0, live=True)
    assert len(every) == 5 * 2 + 1
    assert {(leg.number, leg.callee) for leg in every} == {(NUMBERS["caller"], False), (NUMBERS["callee"], True)}
    assert sum(leg.answered_at is not None and leg.ended_at is not None for leg in every) == 10
    assert len(await db.policies.used(T0, live=False)) == 10
    third = sorted(leg.ended_at or 0 for leg in every if leg.callee)[3 if len(every) == 11 else 0]
    late = await db.policies.used(third, live=False)
    assert 0 < len(late) < 10
    assert all((leg.ended_at or 0) >= third - 60_000 for leg in late)


async def test_a_leg_that_was_refused_was_not_dialled(db: Database) -> None:
    await db.calls.commit(unit := queued(1))
    await db.calls.commit(unit := started(unit))
    step = unit.call.steps[0]
    await db.calls.commit(after(unit, ev.Refused(T0 + 50, step.id, "do_not_call", "blocked")))
    assert await db.policies.used(0, live=True) == []
    kept = await db.calls.get(unit.call.id)
    assert kept is not None
    assert (kept.legs[0].rule, kept.disposition) == ("do_not_call", "blocked")
