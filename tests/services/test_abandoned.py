"""OP3: calls of a node that is in no configuration any more come to an end too, and to no other than they must."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, update
from structlog.testing import capture_logs

from controller.drivers.simulator.exchange import Exchange
from controller.services import abandoned
from controller.store.database import Database
from controller.store.tables import CALL
from controller.store.tables_nodes import NODE
from tests.api.test_nodes import Site, ended_once, site
from tests.house import WITHIN_S

SOON_S = 0.2


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace is short."""
    monkeypatch.setattr(abandoned, "GRACE_S", SOON_S)
    monkeypatch.setattr(abandoned, "LOOK_S", 0.05)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """Another controller's hand on the same database."""
    database = await Database.open(database_url, migrate=False)
    yield database
    await database.close()


async def until(there: Callable[[], Any]) -> None:
    """Wait until something is so that nobody tells."""
    async with asyncio.timeout(WITHIN_S):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def on(place: Site, name: str) -> str:
    """A talk on this node: its id."""
    while True:
        call = str((await place.talking())["id"])
        if await place.node_of(call) == name:
            return call


@pytest.mark.usefixtures("soon")
async def test_calls_of_a_node_that_is_gone_end_as_lost_and_the_log_says_what_to_do(tmp_path: Path, database_url: str) -> None:
    where = {"database": {"url": database_url}}
    async with site(tmp_path, ("pbx1", "pbx2"), **where) as place:
        here, gone = await on(place, "pbx1"), await on(place, "pbx2")
        exchanges = place.exchanges
    with capture_logs() as lines:
        async with site(tmp_path, ("pbx1",), exchanges, **where) as place:
            ended = await ended_once(place, gone)
            assert (ended["disposition"], ended["hangup_by"]) == ("lost", "platform")
            assert (await place.here.http.get(f"/v1/calls/{here}")).json()["status"] == "bridged"
            assert (await place.here.http.delete(f"/v1/callbacks/{here}")).json()["canceled"]
            await ended_once(place, here)
    told = [line for line in lines if line.get("cure") == abandoned.CURE]
    assert [(line["log_level"], line["node"]) for line in told] == [("warning", "pbx2"), ("error", "pbx2")]
    assert told[1]["calls"] > 0


async def test_a_node_that_is_put_back_in_time_keeps_its_calls(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "LOOK_S", 0.05)
    where, exchanges = {"database": {"url": database_url}}, dict[str, Exchange]()
    async with site(tmp_path, ("pbx1", "pbx2"), exchanges, **where) as place:
        call = await on(place, "pbx2")
    async with site(tmp_path, ("pbx1",), exchanges, **where) as place:
        await until(lambda: place.here.patchbay.abandoned._since)
        assert (await place.here.http.get(f"/v1/calls/{call}")).json()["status"] == "bridged"
    async with site(tmp_path, ("pbx1", "pbx2"), exchanges, **where) as place:
        assert (await place.here.http.delete(f"/v1/callbacks/{call}")).json()["canceled"]
        assert (await ended_once(place, call))["disposition"] == "canceled"
        await until(lambda: not place.exchanges["pbx2"].channels)


@pytest.mark.usefixtures("soon")
async def test_calls_that_began_while_their_node_was_removed_end_too(
    tmp_path: Path, database_url: str, other: Database
) -> None:
    async with site(tmp_path, database={"url": database_url}) as place:
        await place.added("pbx2")
        call = await on(place, "pbx2")
        await other.backend.write(lambda db: db.execute(NODE.delete()) is not None)  # as if it had begun a moment later
        assert (await ended_once(place, call))["disposition"] == "lost"
        assert set(await place.nodes()) == {"pbx1"}


@pytest.mark.usefixtures("soon")
async def test_a_node_that_another_controller_owns_is_left_alone(tmp_path: Path, database_url: str, other: Database) -> None:
    where, exchanges = {"database": {"url": database_url}}, dict[str, Exchange]()
    async with site(tmp_path, ("pbx1", "pbx2"), exchanges, **where) as place:
        call = await on(place, "pbx2")
    epoch = await other.leases.take("pbx2", "another")
    assert epoch is not None
    beating, looked = asyncio.create_task(beat(other, epoch)), 0
    try:
        async with site(tmp_path, ("pbx1",), exchanges, **where) as place:
            look = place.here.patchbay.abandoned.look

            async def counted() -> None:
                nonlocal looked
                await look()
                looked += 1

            place.here.patchbay.abandoned.look = counted  # type: ignore[method-assign]
            begun = asyncio.get_running_loop().time()
            await until(lambda: looked > 5 and asyncio.get_running_loop().time() > begun + 3 * SOON_S)
            assert (await place.here.http.get(f"/v1/calls/{call}")).json()["status"] == "bridged"
            beating.cancel()
            assert (await ended_once(place, call))["disposition"] == "lost"
    finally:
        beating.cancel()


async def beat(database: Database, epoch: int) -> None:
    """Hold the lease."""
    while True:
        assert await database.leases.renew("pbx2", "another", epoch)
        await asyncio.sleep(0.3)


@pytest.mark.usefixtures("soon")
async def test_a_call_whose_flow_nobody_knows_keeps_no_other_from_its_end(
    tmp_path: Path, database_url: str, other: Database
) -> None:
    where = {"database": {"url": database_url}}
    async with site(tmp_path, ("pbx1", "pbx2"), **where) as place:
        odd, plain = await on(place, "pbx2"), await on(place, "pbx2")
        exchanges = place.exchanges
    call = await other.calls.get(odd.removeprefix("call_"))
    assert call is not None
    strange = func.replace(CALL.c.state, call.flow_version, "0" * len(call.flow_version))
    await other.backend.write(lambda db: db.execute(update(CALL).where(CALL.c.id == call.id).values(state=strange)) is not None)
    with capture_logs() as lines:
        async with site(tmp_path, ("pbx1",), exchanges, **where) as place:
            assert (await ended_once(place, plain))["disposition"] == "lost"
    assert {line["call"] for line in lines if "its flow is unknown" in line["event"]} == {call.id}
