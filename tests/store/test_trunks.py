"""Trunks as rows: added, changed, drained, removed; a trunk that a live call goes over is kept."""

import asyncio

import pytest

from controller.ports_fleet import TrunkEntry
from controller.store.database import Database
from controller.store.errors import KeyTaken, Taken
from controller.store.nodes import DRAINED_MS
from controller.store.trunks import TrunkKept
from tests.store.calls import TENANT, story

SETTINGS = '{"name": "carrier", "sip": {"host": "192.0.2.7", "username": "u", "password": "s3cret"}}'
LATER = DRAINED_MS + 2


async def why(db: Database, name: str, now: int = LATER) -> str | None:
    try:
        await db.trunks.remove(name, now)
    except TrunkKept as kept:
        return kept.why
    return None


async def test_a_trunk_is_added_once_and_its_password_is_not_in_its_repr(db: Database) -> None:
    await db.trunks.add("carrier", SETTINGS, 1, (TENANT, "key", "print", b"answer"))
    with pytest.raises(Taken):
        await db.trunks.add("carrier", SETTINGS, 2)
    with pytest.raises(KeyTaken):
        await db.trunks.add("other", SETTINGS, 2, (TENANT, "key", "print", b"answer"))
    assert await db.trunks.all() == [TrunkEntry("carrier", SETTINGS, 1, None)]
    assert "s3cret" not in repr(await db.trunks.all())


async def test_changes_that_come_at_once_are_all_kept(db: Database) -> None:
    await db.trunks.add("carrier", "", 1)
    await asyncio.gather(*(db.trunks.change("carrier", lambda text, n=n: text + str(n), None, 2) for n in range(8)))
    (entry,) = await db.trunks.all()
    assert sorted(entry.settings) == list("01234567")
    assert await db.trunks.change("unknown", str, True, 2) is None


async def test_a_drain_keeps_when_it_began(db: Database) -> None:
    await db.trunks.add("carrier", SETTINGS, 1)
    seen = [await db.trunks.change("carrier", str, *how) for how in ((True, 5), (None, 6), (True, 7), (False, 8), (None, 9))]
    assert [entry and entry.draining_since for entry in seen] == [5, 5, 5, None, None]


async def test_only_a_trunk_that_is_drained_and_carries_nothing_goes(db: Database) -> None:
    await db.trunks.add("carrier", SETTINGS, 1)
    assert await why(db, "unknown") == "unknown"
    assert await why(db, "carrier") == "not_draining"
    await db.trunks.change("carrier", str, True, 2)
    assert await why(db, "carrier", LATER - 1) == "not_draining"
    for unit in story():
        await db.calls.commit(unit)
        live = unit.call.node and not unit.call.ended
        if live:
            assert await why(db, "carrier") == "calls"
    assert await why(db, "carrier") is None
    assert await db.trunks.all() == []
