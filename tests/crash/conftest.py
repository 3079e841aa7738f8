"""A migrated database to copy, and an ear for what the services complain of."""

import asyncio
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from controller.store.database import Database
from tests.crash.points import Killed


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and one tenant."""
    path = tmp_path_factory.mktemp("template") / "patchbay.db"

    async def make() -> None:
        database = await Database.open(f"sqlite:///{path}")
        await database.tenants.add("main", "main", 0)
        await database.close()

    asyncio.run(make())
    return path


@pytest.fixture(autouse=True)
def complaints() -> Iterator[list[str]]:
    """Errors that the services logged; everything else is not shown."""
    heard: list[str] = []

    def hear(_logger: Any, method: str, entry: MutableMapping[str, Any]) -> Any:
        fault = entry.get("exc_info")
        if method in ("error", "exception", "critical") and not isinstance(fault, Killed):
            heard.append(f"{entry.get('event')}: {fault!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[hear], cache_logger_on_first_use=False)
    yield heard
    structlog.configure(**before)
