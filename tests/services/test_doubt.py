"""A commit of which nobody can say whether it counted, or whose request went away: memory and database do not part."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from controller.core.call import Call
from controller.ports import InDoubt, NotSaved, Unit
from controller.services import doubt
from controller.store.errors import Unavailable
from controller.times import rfc3339
from tests.house import WITHIN_S, Standing, body, standing

Fate = Callable[[Unit], str]
"""What becomes of a unit: ``ok``, or in doubt: ``counted`` or ``lost``; or ``silent``: it counted, and is said to be lost,
which no database does: it stands for any other way in which memory and database may part."""


@pytest.fixture
async def house(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standing]:
    monkeypatch.setattr(doubt, "READ_EVERY_S", (0.01,))
    async with standing(tmp_path, database={"url": database_url}) as made:
        yield made


def doom(house: Standing, monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Let units end so from now on."""
    store = house.patchbay.house.database.calls
    commit = store.commit

    async def doomed(unit: Unit) -> None:
        end = fate(unit)
        if end != "lost":
            await commit(unit)
        if end == "silent":
            raise NotSaved("said to be lost")
        if end != "ok":
            raise InDoubt("nobody knows")

    monkeypatch.setattr(store, "commit", doomed)


def once(end: str, of: Callable[[Unit], bool]) -> Fate:
    """The first unit of this kind ends so, all others well."""
    left = [end]
    return lambda unit: left.pop() if left and of(unit) else "ok"


def in_an_hour() -> str:
    return rfc3339(time.time_ns() // 1_000_000 + 3_600_000)


def is_new(unit: Unit) -> bool:
    return unit.created


async def refused(house: Standing, **fields: Any) -> None:
    answer = await house.http.post("/v1/callbacks", json=body(announce={"caller": None}, **fields))
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")


async def stored(house: Standing) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await house.http.get("/v1/calls")).json()["items"]
    return items


async def until(there: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells."""
    async with asyncio.timeout(WITHIN_S):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ends_well(house: Standing, call: str) -> dict[str, Any]:
    """It is let go, ends once, and holds no place any more."""
    await house.until(call, status="bridged")
    assert (await house.http.delete(f"/v1/callbacks/{call}")).json()["canceled"]
    ended = await house.until(call, status="ended")
    facts = await house.facts(call)
    assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
    assert [fact["type"] for fact in facts].count("call.ended") == 1
    assert max(house.exchange.rang.values()) == 1
    await nothing_is_held(house)
    return ended


async def nothing_is_held(house: Standing) -> None:
    await until(lambda: len(house.patchbay.calls) == 0)
    assert [node.live_calls for node in house.patchbay.house.desk.nodes()] == [0]
    assert house.patchbay.house.desk.queue_length() == 0


async def test_a_call_that_was_refused_and_is_stored_goes_on(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    doom(house, monkeypatch, once("counted", is_new))
    await refused(house)
    (call,) = await stored(house)
    await ends_well(house, call["id"])


async def test_one_that_was_to_wait_waits(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    doom(house, monkeypatch, once("counted", is_new))
    await refused(house, schedule_at=in_an_hour())
    (call,) = await stored(house)
    await until(lambda: house.patchbay.house.desk.queue_length() == 1)
    assert (await house.http.delete(f"/v1/callbacks/{call['id']}")).json()["canceled"]
    assert (await house.until(call["id"], status="ended"))["disposition"] == "canceled"
    await nothing_is_held(house)


async def test_it_is_read_until_the_database_answers(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    doom(house, monkeypatch, once("counted", is_new))
    store, left = house.patchbay.house.database.calls, [1, 2, 3]
    get = store.get

    async def away(call_id: str) -> Call | None:
        if left:
            left.pop()
            raise Unavailable("away")
        return await get(call_id)

    monkeypatch.setattr(store, "get", away)
    await refused(house)
    await until(lambda: not left)
    (call,) = await stored(house)
    await ends_well(house, call["id"])


async def test_one_that_was_refused_and_is_not_stored_leaves_nothing(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    get = house.patchbay.house.database.calls.get

    async def noted(call_id: str) -> Call | None:
        found = await get(call_id)
        asked.append(call_id)
        return found

    monkeypatch.setattr(house.patchbay.house.database.calls, "get", noted)
    doom(house, monkeypatch, once("lost", is_new))
    await refused(house)
    await until(lambda: bool(asked))
    assert await stored(house) == []
    await nothing_is_held(house)
    assert not house.exchange.rang


@pytest.mark.parametrize("seed", range(6))
async def test_a_call_whose_every_unit_is_in_doubt_ends_as_it_should(
    house: Standing, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ends = {0: ["counted"], 1: ["ok", "lost"]}.get(seed, ["ok", "counted", "lost"])
    chance = Random(seed)
    call = (await house.callback())["id"]
    doom(house, monkeypatch, lambda _unit: chance.choice(ends))
    await house.until(call, status="bridged")
    monkeypatch.undo()
    ended = await ends_well(house, call)
    assert ended["disposition"] == "canceled"


async def test_a_wish_in_doubt_that_counted_is_carried_out(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    call = (await house.callback())["id"]
    await house.until(call, status="bridged")
    doom(house, monkeypatch, once("counted", lambda _unit: True))
    assert (await house.http.delete(f"/v1/callbacks/{call}")).status_code == 503
    assert (await house.until(call, status="ended"))["disposition"] == "canceled"
    await until(lambda: not house.exchange.channels)


async def test_a_wish_about_a_call_that_is_not_as_we_remember_it_is_answered(
    house: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = (await house.callback())["id"]
    await house.until(call, status="bridged")
    doom(house, monkeypatch, once("silent", lambda _unit: True))
    assert (await house.http.delete(f"/v1/callbacks/{call}")).status_code == 503
    again = await house.http.delete(f"/v1/callbacks/{call}")
    assert again.status_code == 200, again.text
    assert (await house.until(call, status="ended"))["disposition"] == "canceled"


@pytest.mark.parametrize("fields", [{}, {"schedule_at": in_an_hour()}], ids=["begun", "queued"])
async def test_a_request_that_is_cancelled_while_it_is_written_loses_no_call(
    house: Standing, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    desk, store = house.patchbay.house.desk, house.patchbay.house.database.calls
    reached, commit, take = asyncio.Event(), store.commit, desk.open

    async def slow(unit: Unit) -> None:
        reached.set()
        await commit(unit)

    async def cancelled(call: Call, idempotency: Any) -> Call:
        asking = asyncio.ensure_future(as_task(take(call, idempotency)))
        await reached.wait()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
            pytest.fail("it was not cancelled")
        raise NotSaved("the client went away")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(store, "commit", slow)
        meanwhile.setattr(desk, "open", cancelled)
        await refused(house, **fields)
    await until(lambda: len(house.patchbay.calls) == 1)
    (call,) = await stored(house)
    if fields:
        assert desk.queue_length() == 1
        assert (await house.http.delete(f"/v1/callbacks/{call['id']}")).json()["canceled"]
        await nothing_is_held(house)
    else:
        await ends_well(house, call["id"])


async def as_task(work: Awaitable[Call]) -> Call:
    return await work
