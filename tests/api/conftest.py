"""Running houses for the API's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.databases import cluster, database_url  # noqa: F401
from tests.house import Standing, standing


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Standing]:
    """A whole controller of one's own, with a PBX in memory, over real HTTP."""
    async with standing(tmp_path) as here:
        yield here


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    """It stands for the whole session."""
    async with standing(tmp_path_factory.mktemp("shared")) as here:
        yield here


@pytest_asyncio.fixture(loop_scope="session")
async def shared(kept: Standing) -> Standing:
    """One for all tests that only look, or that make things of a name of their own."""
    await kept.awake()
    return kept
