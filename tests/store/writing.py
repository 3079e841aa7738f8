"""A process that writes calls until it is killed, and says what was acknowledged: `python -m tests.store.writing URL`.

Each line of its output is a call's id and the sequence of its last fact that is safe.
"""

import asyncio
import itertools
import os
import sys

from controller.store.database import Database
from tests.store.calls import story

AT_ONCE = 40


async def write(url: str) -> None:
    """Write stories for ever."""
    db = await Database.open(url, migrate=False)
    numbers = itertools.count(1)

    async def one_after_another() -> None:
        while True:
            for unit in story(next(numbers)):
                await db.calls.commit(unit)
                os.write(1, f"{unit.call.id} {unit.call.sequence}\n".encode())

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
