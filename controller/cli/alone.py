"""The database without a controller.  A module of its own, because loading what it needs takes a second."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.cli.common import UNAVAILABLE, Ended
from controller.config import Settings
from controller.services.ownership import is_dead_here
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
    """Raises Ended while a controller lives: one that says so, or has the lease of a node, whatever nodes the settings name.

    What remains: one that is frozen, or cut off from the database, for longer than a lease lives; and one that starts now."""
    database = await Database.open(settings.database.url, migrate=False)
    try:
        leases = await database.leases.living()
    except Unavailable:
        return  # there are no tables yet; what else there may be, opening it will say
    finally:
        await database.close()
    for lease in leases:
        if not is_dead_here(lease.owner):
            raise Ended(f"a controller is running ({lease.owner}): use its API, or stop it first", UNAVAILABLE)
