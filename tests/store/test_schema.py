"""Models, migrations and both databases agree."""

import asyncio
import os
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from controller.store import postgres, sqlite
from controller.store.database import Database
from controller.store.errors import Unavailable
from controller.store.migrate import head, upgrade
from controller.store.tables import Base
from tests.databases import Cluster


async def _looked_at(url: str) -> tuple[list[object], str | None, set[str]]:
    """What differs from the models, the schema's version, and the names of tables."""

    def look(connection: Connection) -> tuple[list[object], str | None, set[str]]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = set(inspect(connection).get_table_names())
        return compare_metadata(context, Base.metadata), context.get_current_revision(), found

    if url.startswith("sqlite"):
        engine = sqlite.engine(url)
        with engine.connect() as connection:
            looked = look(connection)
        engine.dispose()
        return looked
    asynchronous = postgres.engine(url)
    async with asynchronous.connect() as connecting:
        looked = await connecting.run_sync(look)
    await asynchronous.dispose()
    return looked


async def test_the_migrations_make_what_the_models_say(database_url: str) -> None:
    differences, version, tables = await _looked_at(database_url)
    assert differences == []
    assert version == head()
    assert tables == {*Base.metadata.tables, "alembic_version"}


async def test_to_upgrade_again_changes_nothing(database_url: str) -> None:
    db = await Database.open(database_url, migrate=False)
    await db.tenants.add("kept", "Kept", 1)
    await db.close()
    await upgrade(database_url)
    db = await Database.open(database_url)
    assert await db.tenants.get("kept") is not None
    await db.close()


async def test_two_that_start_at_once_upgrade_one_after_the_other_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    await asyncio.gather(upgrade(url), upgrade(url))
    assert (await _looked_at(url))[1] == head()


async def test_two_that_start_at_once_upgrade_one_after_the_other_on_postgresql(cluster: Cluster) -> None:
    url = await cluster.new(migrated=False)
    await asyncio.gather(upgrade(url), upgrade(url))
    assert (await _looked_at(url))[1] == head()


async def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path, cluster: Cluster) -> None:
    for url in (f"sqlite:///{tmp_path}/missing/x.db", cluster.url("missing"), f"postgresql://x@/x?host={tmp_path}"):
        for opening in (upgrade(url), Database.open(url, migrate=False)):
            with pytest.raises(Unavailable):
                await opening


async def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database, but long enough to look like one " * 100)
    with pytest.raises(Unavailable):
        await Database.open(f"sqlite:///{path}")


async def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    db = await Database.open(f"sqlite:///{tmp_path / 'new.db'}")
    await db.ping()
    files = {file.name: file.stat().st_mode & 0o777 for file in os.scandir(tmp_path)}
    assert files == dict.fromkeys(("new.db", "new.db-wal", "new.db-shm"), 0o600)
    await db.close()


async def test_on_sqlite_every_commit_reaches_the_disk_and_references_are_checked(tmp_path: Path) -> None:
    engine = sqlite.engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        said = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    engine.dispose()
    assert said == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": sqlite.BUSY_MS}


async def test_on_postgresql_every_commit_reaches_the_disk(cluster: Cluster) -> None:
    connection = await postgres.connect(await cluster.new())
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()
