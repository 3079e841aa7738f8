"""A controller that is killed with -9 again and again while it delivers: nothing is missing, nothing is out of order."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.store.database import Database
from tests.services.business import Business
from tests.services.delivering import CALLS
from tests.services.receiver import OK, Receiver, Reply
from tests.store.calls import TENANT, call_id


@asynccontextmanager
async def process(url: str, at: int) -> AsyncIterator[asyncio.StreamReader]:
    """A process that delivers, until it is killed; what it says."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.services.delivering", url, str(at), stdout=asyncio.subprocess.PIPE
    )
    assert running.stdout is not None
    try:
        yield running.stdout
    finally:
        running.kill()
        await running.communicate()


@pytest.mark.parametrize("seed", range(2))
async def test_killed_in_the_middle_of_it_all_facts_still_arrive_in_order(database_url: str, seed: int) -> None:
    chance = random.Random(seed)
    at = time.time_ns() // 1_000_000
    async with Receiver(lambda _request: Reply(503) if chance.random() < 0.02 else OK) as receiver:
        database = await Database.open(database_url, migrate=False)
        await database.tenants.add(TENANT, "Tenant", 1)
        await Business(database).endpoint(receiver)
        await database.close()
        for _ in range(3):
            async with process(database_url, at):
                await receiver.got(len(receiver.requests) + chance.randint(1, 60))
        async with process(database_url, at) as says:
            assert any([line == b"made\n" async for line in _until(says, b"made\n")])
            database = await Database.open(database_url, migrate=False)
            for number in range(1, CALLS + 1):
                facts = await database.calls.facts(TENANT, call_id(number, at))
                await _arrived(receiver, call_id(number, at), [fact.sequence for fact in facts])
            await database.close()


async def _until(lines: asyncio.StreamReader, last: bytes) -> AsyncIterator[bytes]:
    """Lines up to one."""
    async for line in lines:
        yield line
        if line == last:
            return


async def _arrived(receiver: Receiver, call: str, told: list[int]) -> None:
    """All came, and each only after the one before it had come."""
    await receiver.until(lambda r: max(r.sequences(call), default=0) == told[-1])
    high = 0
    for sequence in receiver.sequences(call):
        assert sequence <= high + 1
        high = max(high, sequence)
    assert sorted(set(receiver.sequences(call))) == told
