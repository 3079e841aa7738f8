"""The fleet: rows and configuration to owners; one whose driver cannot be opened still loses its calls truthfully."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.config import Node
from controller.core.call import Call
from controller.core.facts import Fact
from controller.ports import Pbx
from controller.ports_fleet import NodeEntry
from controller.services.calls import Calls
from controller.services.clock import SystemClock
from controller.services.fleet import Fleet
from controller.services.flows import FlowBook
from controller.services.limits import Limits
from controller.services.ownership import NodeOwner
from controller.services.resync import lost
from controller.store.database import Database
from tests.core.story import CALLBACK, Story
from tests.store.calls import NODE, TENANT, story

SETTINGS = '{"name": "NAME", "kind": "asterisk", "ami": {"secret": "x"}, "hook": {"token": "x"}}'


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path}/calls.db")
    await database.tenants.add(TENANT, "Tenant", 1)
    yield database
    await database.close()


class Rows:
    """What is stored of nodes."""

    def __init__(self, *entries: NodeEntry) -> None:
        self.entries = list(entries)

    async def all(self) -> list[NodeEntry]:
        return self.entries


def entry(name: str, draining_since: int | None = None) -> NodeEntry:
    return NodeEntry(name, SETTINGS.replace("NAME", name), 1, draining_since)


def fleet_of(rows: Rows) -> tuple[Fleet, list[str], list[str]]:
    """A fleet that owns nothing yet, and who joined and left it."""
    joined: list[str] = []
    left: list[str] = []

    def make(node: Node) -> Any:
        return type("Owner", (), {"node": node.name, "lost": False})()

    return Fleet(rows, make, lambda node: joined.append(node.name), left.append, lambda: None), joined, left


async def test_rows_come_and_go_and_the_configuration_stays() -> None:
    rows = Rows(entry("pbx2"), NodeEntry("pbx1", None, 1, 5))
    fleet, joined, left = fleet_of(rows)
    fleet.join(Node.model_validate_json(SETTINGS.replace("NAME", "pbx1")))
    await fleet.refresh()
    assert (joined, left, fleet.draining) == (["pbx1", "pbx2"], [], {"pbx1"})
    assert (fleet.is_added("pbx1"), fleet.is_added("pbx2"), fleet.is_added("pbx3")) == (False, True, None)
    rows.entries = [entry("pbx1")]
    await fleet.refresh()
    assert (left, [node.name for node in fleet.nodes()], fleet.draining) == (["pbx2"], ["pbx1"], set())
    assert fleet.is_added("pbx1") is False
    rows.entries = []
    await fleet.refresh()
    assert [node.name for node in fleet.nodes()] == ["pbx1"]


async def test_a_driver_that_cannot_be_opened_loses_its_calls_when_the_grace_is_over(db: Database) -> None:
    """A controller that is started while the PBX's hook port is taken: nobody waits for ever for calls that nobody hears of."""
    units = list(story())
    for unit in units[:11]:
        await db.calls.commit(unit)
    assert units[10].call.bridged_at is not None
    told: list[Fact] = []
    ended = asyncio.Event()
    book = FlowBook({(CALLBACK.name, CALLBACK.version): CALLBACK})
    calls = Calls(db.calls, book)

    def committed(_before: Call, after: Call, facts: Any) -> None:
        told.extend(facts)
        if after.ended:
            ended.set()

    calls.watch(committed)

    async def open_pbx() -> Pbx:
        raise OSError("address in use")

    owner = NodeOwner(
        NODE, db.leases, db.calls, calls, SystemClock(), open_pbx, lambda *_: None, lambda _: None, lost_after_s=1.0
    )
    running = asyncio.create_task(owner.run())
    await asyncio.wait_for(ended.wait(), 60)
    assert owner.lost
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await calls.drain()
    stored = await db.calls.get(units[0].call.id)
    assert stored is not None
    assert (stored.disposition, stored.hangup_by) == ("lost", "platform")
    assert [fact.type for fact in told].count("call.ended") == 1


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda: Story().start(), ("lost", "platform")),
        (lambda: Story().start().sent(), ("lost", "platform")),
        (lambda: Story().caller_up(), ("lost", "platform")),
        (lambda: Story().calling(), ("lost", "platform")),
        (lambda: Story().ringing(), ("lost", "platform")),
        (lambda: Story().bridged(), ("lost", "platform")),
        (lambda: Story().sorry(), None),
    ],
)
def test_a_lost_call_ends_at_once_in_every_state(make: Any, outcome: tuple[str, str] | None) -> None:
    """One that was told ``sorry`` ends as its callee did: that is known."""
    here = make()
    for event in lost(here.call, here.call.requested_at + 60_000):
        here.hear(type(event), event.leg, event.sip, event.q850, event.why)
    assert here.call.ended
    assert here.told.count("call.ended") == 1
    if outcome is not None:
        assert here.outcome == outcome
    else:
        assert here.outcome[0] not in ("lost", "failed")


def test_a_bound_can_be_set_later_and_keeps_its_holders() -> None:
    limits = Limits({"node:a": (10.0, 1)}, (10.0, 5))
    limits.take("c1", ["node:a"])
    assert limits.wait(["node:a"], 1.0) is None
    limits.bound("node:a", 10.0, 2)
    assert limits.wait(["node:a"], 1.0) == 0
    limits.bound("node:b", 10.0, 1)
    limits.take("c2", ["node:b"])
    assert limits.wait(["node:b"], 1.0) is None
    assert (limits.live("node:a"), limits.live("node:b")) == (1, 1)
