"""A process that makes calls happen and delivers their facts, made to be killed.

``python -m tests.services.delivering URL AT``.  Calls that are in the database already are left as they are, so that it can be
started again.  Says ``made`` when all calls are.
"""

import asyncio
import sys

from controller.store.database import Database
from tests.services.business import Business
from tests.store.calls import TENANT, story

CALLS = 40
AT_ONCE = 5


async def main(url: str, at: int) -> None:
    database = await Database.open(url, migrate=False)
    house = Business(database)
    numbers = iter(range(1, CALLS + 1))

    async def make() -> None:
        for number in numbers:
            units = story(number, at=at)
            first = next(units)
            if await database.calls.find(TENANT, first.call.id) is None:
                await house.happens([first])
                for unit in units:
                    await house.happens([unit])

    async with house.running():
        await asyncio.gather(*(make() for _ in range(AT_ONCE)))
        sys.stdout.write("made\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
