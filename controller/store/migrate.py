"""Bring a database's schema up to date: ``patchbay db upgrade``, and every start."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from controller.store import postgres, sqlite
from controller.store.errors import Unavailable

FOLDER = Path(__file__).parent / "migrations"
UPGRADE_S = 3600.0
"""How long one statement of a migration may take: tables may be large."""
LOCK_S = 60
LOCK = 7_252_224_229
"""Any number of ours: two controllers that start at once upgrade one after the other."""


async def upgrade(url: str) -> None:
    """Make the database of ``url`` what this version needs; one that is so already is left alone.  Raises Unavailable."""
    try:
        if url.startswith("sqlite:"):
            await asyncio.to_thread(_upgrade_sqlite, url)
        else:
            await _upgrade_postgres(url)
    except (DBAPIError, *postgres.AWAY, asyncpg.PostgresError) as error:
        told = sqlite.told(error) if isinstance(error, DBAPIError) and url.startswith("sqlite:") else postgres.told(error)
        raise Unavailable(told) from None


def _upgrade_sqlite(url: str) -> None:
    engine = sqlite.engine(url, f"busy_timeout={LOCK_S * 1000}")  # another controller may be upgrading it
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _run(connection)
            connection.commit()
    finally:
        engine.dispose()


async def _upgrade_postgres(url: str) -> None:
    engine = postgres.engine(url, UPGRADE_S)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S}s'"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def config(connection: Connection) -> Config:
    """Alembic's configuration, over an open connection."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def head() -> str:
    """The newest schema's name."""
    found = ScriptDirectory(str(FOLDER)).get_current_head()
    assert found is not None
    return found


def _run(connection: Connection) -> None:
    command.upgrade(config(connection), "head")
