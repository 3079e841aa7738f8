"""Every test of the store runs on both databases."""

from collections.abc import AsyncIterator

import pytest

from controller.store.database import Database
from tests.databases import cluster, database_url  # noqa: F401
from tests.store.calls import TENANT


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:  # noqa: F811
    """An open database with one tenant."""
    database = await Database.open(database_url, migrate=False)
    await database.tenants.add(TENANT, "Tenant", 1)
    yield database
    await database.close()
