"""News of nodes: in order, once it is written down, also when the database was away."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from controller.ports import Live, NotSaved
from controller.services.bulletin import Bulletin
from controller.services.clock import SystemClock
from controller.store.database import Database
from controller.store.rows import Endpoint
from tests.store.calls import TENANT


class Failing:
    """The real store, which refuses for a while."""

    def __init__(self, db: Database, refusals: int) -> None:
        self._streams, self.refusals = db.streams, refusals

    async def tell(self, stream: str, kind: str, at: int, data: Mapping[str, Any]) -> Live:
        if self.refusals > 0:
            self.refusals -= 1
            raise NotSaved("the disk is full")
        return await self._streams.tell(stream, kind, at, data)


async def test_what_the_database_refused_is_told_later_in_order_and_only_then(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.services.bulletin.RETRY_S", 0.01)
    db = await Database.open(database_url, migrate=False)
    await db.tenants.add(TENANT, "Tenant", 1)
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "s", ("*",), 1, operator_at=1))
    seen: list[Live] = []
    enough = asyncio.Event()
    store = Failing(db, 3)

    def publish(live: Live) -> None:
        assert store.refusals == 0
        seen.append(live)
        if len(seen) == 3:
            enough.set()

    bulletin = Bulletin(store, SystemClock(), publish)
    running = asyncio.create_task(bulletin.run())
    for kind in ("node.up", "node.down", "node.up"):
        bulletin.node(kind, "pbx1", "why", kind == "node.down")
    await asyncio.wait_for(enough.wait(), 30)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [(live.fact.sequence, live.fact.type, live.fact.data["lost"]) for live in seen] == [
        (1, "node.up", False), (2, "node.down", True), (3, "node.up", False),
    ]  # fmt: skip
    [found] = await db.webhooks.backlog("e1", 10**15, 10)
    assert list(found.facts) == [live.fact for live in seen]
    await db.close()


async def test_what_waits_is_bounded_and_the_newest_is_kept(database_url: str) -> None:
    db = await Database.open(database_url, migrate=False)
    seen: list[str] = []
    store = Failing(db, 1)
    bulletin = Bulletin(store, SystemClock(), lambda live: seen.append(live.fact.data["reason"]), bound=2)
    for reason in ("1", "2", "3"):
        bulletin.node("node.down", "pbx1", reason, False)
    assert not await bulletin.flush()
    assert len(bulletin) == 2
    assert await bulletin.flush()
    assert seen == ["2", "3"]
    await db.close()
