"""The database without a controller.  A module of its own, because loading what it needs takes a second."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.cli.common import UNAVAILABLE, Ended
from controller.config import Settings
from controller.store.database import Database
from controller.store.errors import Unavailable


@asynccontextmanager
async def database_alone(settings: Settings) -> AsyncIterator[Database]:
    """The database, brought up to date, if no controller holds it.  Raises Ended."""
    try:
        await _nobody_else(settings)
        database = await Database.open(settings.database.url)
    except Unavailable as error:
        raise Ended(f"the database cannot be opened: {error}", UNAVAILABLE) from None
    try:
        yield database
    finally:
        await database.close()


async def _nobody_else(settings: Settings) -> None:
    """Raises Ended while a controller has a node's lease."""
    database = await Database.open(settings.database.url, migrate=False)
    try:
        leases = [await database.leases.holder(node.name) for node in settings.nodes]
    except Unavailable:
        return  # there are no tables yet; what else there may be, opening it will say
    finally:
        await database.close()
    for lease in leases:
        if lease is not None and lease.lives:
            raise Ended(f"a controller is running ({lease.owner}): use its API, or stop it first", UNAVAILABLE)
