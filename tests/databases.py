"""Real databases for tests: a SQLite file, and a PostgreSQL cluster that a session of tests starts for itself.

Use by `from tests.databases import cluster, database_url  # noqa: F401` in a conftest; a test that takes `database_url`
runs once on each.
"""

import asyncio
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from controller.store.migrate import upgrade
from controller.store.tables import Base

PROGRAMS = "/usr/lib/postgresql"
WAIT_S = 60
BOTH = ("sqlite", "postgresql")


class Cluster:
    """A PostgreSQL server on a socket in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="patchbay-pg-"))
        self._names = (f"test_{number}" for number in itertools.count())
        self._shared = ""
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._run("initdb", "--username=patchbay", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self.start()
        asyncio.run(self._make_template())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(_programs() / program), "-D", str(self.folder / "data"), *arguments]
        with (self.folder / "log").open("a") as log:
            subprocess.run(command, check=True, cwd="/", timeout=WAIT_S + 5, stdout=log, stderr=log, **self._user)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c max_connections=200"
        self._run("pg_ctl", "-w", "-t", str(WAIT_S), "-l", str(self.folder / "server.log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """End the server; ``immediate`` is a crash."""
        self._run("pg_ctl", "-w", "-t", str(WAIT_S), "-m", mode, "stop")

    def remove(self) -> None:
        """End the server and leave nothing."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    def url(self, name: str) -> str:
        """The URL of a database of this cluster."""
        return f"postgresql://patchbay@/{name}?host={self.folder}"

    async def sql(self, text: str, name: str = "postgres") -> None:
        """Run a statement beside everything else."""
        connection = await asyncpg.connect(self.url(name), timeout=10)
        try:
            await connection.execute(text)
        finally:
            await connection.close()

    async def _make_template(self) -> None:
        await self.sql("CREATE DATABASE migrated")
        await upgrade(self.url("migrated"))

    async def emptied(self) -> str:
        """The URL of a database that has all tables and no rows; it is the same one each time, which is quicker."""
        if not self._shared:
            self._shared = await self.new()
        name = self._shared.partition("?")[0].rpartition("/")[2]
        await self.sql("; ".join(f'DELETE FROM "{table.name}"' for table in reversed(Base.metadata.sorted_tables)), name)
        return self._shared

    async def new(self, migrated: bool = True) -> str:
        """The URL of a fresh database."""
        name = next(self._names)
        await self.sql(f"CREATE DATABASE {name} TEMPLATE {'migrated' if migrated else 'template1'}")
        return self.url(name)


def _programs() -> Path:
    found = sorted(Path(PROGRAMS).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL is missing: make setup installs it"
    return found[-1].parent


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for the whole session."""
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with all tables, once of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'patchbay.db'}"
        asyncio.run(upgrade(url))
        return url
    cluster: Cluster = request.getfixturevalue("cluster")
    return asyncio.run(cluster.emptied())
