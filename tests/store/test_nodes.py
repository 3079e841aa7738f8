"""Nodes as rows: added, drained, removed; a node that still has something to do is kept."""

from dataclasses import replace

import pytest

from controller.ports import StoredRecording
from controller.ports_fleet import NodeEntry
from controller.store.database import Database
from controller.store.errors import KeyTaken, Taken
from controller.store.nodes import DRAINED_MS, NodeKept
from tests.store.calls import NODE, TENANT, story

SETTINGS = '{"name": "pbx1", "kind": "asterisk", "ami": {"secret": "s3cret"}}'
LATER = DRAINED_MS + 2


async def why(db: Database, name: str, now: int = LATER) -> str | None:
    try:
        await db.nodes.remove(name, now)
    except NodeKept as kept:
        return kept.why
    return None


async def test_a_node_is_added_once_and_is_not_shown_by_its_repr(db: Database) -> None:
    await db.nodes.add(NODE, SETTINGS, 1, (TENANT, "key", "print", b"answer"))
    with pytest.raises(Taken):
        await db.nodes.add(NODE, SETTINGS, 2)
    with pytest.raises(KeyTaken):
        await db.nodes.add("pbx2", SETTINGS, 2, (TENANT, "key", "print", b"answer"))
    assert await db.nodes.all() == [NodeEntry(NODE, SETTINGS, 1, None)]
    assert "s3cret" not in repr(await db.nodes.all())


async def test_a_drain_is_kept_also_for_a_node_of_the_configuration(db: Database) -> None:
    await db.nodes.add("added", SETTINGS, 1)
    await db.nodes.drain("added", True, 5)
    await db.nodes.drain("configured", True, 6)
    assert await db.nodes.all() == [NodeEntry("added", SETTINGS, 1, 5), NodeEntry("configured", None, 6, 6)]
    await db.nodes.drain("added", False, 7)
    await db.nodes.drain("configured", False, 7)
    assert [entry.draining_since for entry in await db.nodes.all()] == [None, None]


async def test_only_a_node_that_was_added_and_has_been_drained_goes(db: Database) -> None:
    await db.nodes.add(NODE, SETTINGS, 1)
    await db.nodes.drain("configured", True, 1)
    assert await why(db, "unknown") == "unknown"
    assert await why(db, "configured") == "unknown"
    assert await why(db, NODE) == "not_draining"
    await db.nodes.drain(NODE, True, 2)
    assert await why(db, NODE, LATER - 1) == "not_draining"
    assert await why(db, NODE) is None
    assert await why(db, NODE) == "unknown"


async def test_a_node_with_calls_or_with_recordings_that_are_not_stored_is_kept(db: Database) -> None:
    await db.nodes.add(NODE, SETTINGS, 1)
    await db.nodes.drain(NODE, True, 2)
    units = list(story())
    seen = []
    for unit in units[:-1]:
        await db.calls.commit(unit)
        seen.append(await why(db, NODE, LATER) if unit.call.node else "calls")
    assert set(seen[:-1]) == {"calls"}
    assert seen[-1] == "recordings"
    assert (await db.nodes.all())[0].name == NODE
    last = units[-1]
    await db.recordings.keep(last.call.recordings[0].id, "file", StoredRecording(1, 2, "3"))
    await db.calls.commit(replace(last))
    assert await why(db, NODE) is None
