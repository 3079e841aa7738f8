"""CB6: with 10,000 callbacks that wait, taking one in, listing, telling a place and starting one cost what they do with few."""

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from controller.core.events import Cancel
from controller.store.database import Database
from controller.store.rows import CallFilter
from tests.services.test_scheduler import Queue, db  # noqa: F401
from tests.store.calls import call_id, queued

MANY, SOME = 10_000, 500
PER_CALL_BYTES = 24_000
FLAT = 4.0
"""How much slower one may be with many than with few: what grows with the number would be twenty times slower."""


async def fill(queue: Queue, first: int, last: int) -> None:
    """Calls of two tenants, as fast as the database takes them."""
    for start in range(first, last, 500):
        units = [queued(n, "xy"[n % 2], vars={"trunk": "a"}) for n in range(start, min(start + 500, last))]
        await asyncio.gather(*(queue.calls.open(unit) for unit in units))
        for unit in units:
            queue.scheduler.add(unit.call)


async def cost(work: Callable[[int], Awaitable[object]], times: int = 25) -> float:
    """The least time of one (s): what a busy machine does to some of them is no cost."""
    took = []
    for turn in range(times):
        begun = time.perf_counter()
        await work(turn)
        took.append(time.perf_counter() - begun)
    return min(took)


async def costs(queue: Queue, db: Database, base: int) -> dict[str, float]:  # noqa: F811
    """What each thing costs now; as many wait afterwards as before."""

    async def take_in(turn: int) -> None:
        await fill(queue, base + turn, base + turn + 1)

    async def tell_place(turn: int) -> None:
        for _ in range(20):
            assert queue.scheduler.position(call_id(base + turn)) is not None

    async def list_them(_turn: int) -> None:
        assert len((await db.calls.list("x", CallFilter(status="queued"), 50)).items) == 50

    async def list_live(_turn: int) -> None:
        await db.calls.list("x", CallFilter(status="live"), 50)

    async def start_one(_turn: int) -> None:
        queue.clock.seconds += 1
        queue.scheduler.round()

    async def call_off(turn: int) -> None:
        await queue.calls.ask(call_id(base + turn), Cancel(queue.clock.now()))

    found = {"take in": await cost(take_in), "tell a place": await cost(tell_place), "list": await cost(list_them)}
    found["list live"] = await cost(list_live)
    found["start"] = await cost(start_one)
    found["call off"] = await cost(call_off)
    await queue.calls.drain()
    return found


@pytest.mark.timeout(300)
async def test_ten_thousand_wait_as_cheaply_as_a_few(db: Database, tmp_path: Path) -> None:  # noqa: F811
    queue = Queue(db, trunk_a=(2.0, 100_000))
    queue.scheduler.room.bound = queue.scheduler.room.tenant_bound = 2 * MANY
    await fill(queue, 1, SOME)
    few = await costs(queue, db, 50_000)
    tracemalloc.start()
    try:
        await fill(queue, SOME, MANY)
        per_call = tracemalloc.get_traced_memory()[0] / (MANY - SOME)
    finally:
        tracemalloc.stop()
    many = await costs(queue, db, 60_000)
    print({name: f"{1000 * few[name]:.2f} -> {1000 * many[name]:.2f} ms" for name in few}, f"{per_call:.0f} bytes a call")
    for name, before in few.items():
        assert many[name] < FLAT * before + 0.002, f"{name}: {1000 * before:.2f} ms became {1000 * many[name]:.2f} ms"
    assert per_call < PER_CALL_BYTES
