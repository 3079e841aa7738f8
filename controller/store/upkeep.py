"""Versions of flows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from controller.store import codec
from controller.store.backend import Backend
from controller.store.queries import AnyRow, one
from controller.store.rows import StoredFlow
from controller.store.tables import FLOW


class StoredFlows:
    """Every version of a flow that calls began with."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def put(self, name: str, version: str, body: Mapping[str, Any], now: int) -> None:
        """Keep a version's document; one that is there already stays as it is.  Raises NotSaved."""
        values = {"name": name, "version": version, "body": codec.encode_data(body), "created_at": now}

        def job(db: Connection) -> None:
            there = select(FLOW.c.name).where(FLOW.c.name == name, FLOW.c.version == version)
            if db.execute(there).first() is None:
                db.execute(insert(FLOW).values(values))

        await self._backend.write(job)

    async def get(self, name: str, version: str) -> dict[str, Any] | None:
        """The document of one version."""
        query = select(FLOW.c.body).where(FLOW.c.name == name, FLOW.c.version == version)
        return await self._backend.read(lambda db: one(db, query, lambda row: codec.decode_data(row.body)))

    async def all(self) -> list[StoredFlow]:
        """All versions of all flows, oldest first."""
        query = select(FLOW).order_by(FLOW.c.created_at, FLOW.c.name, FLOW.c.version)
        return await self._backend.read(lambda db: [_flow(row) for row in db.execute(query)])


def _flow(row: AnyRow) -> StoredFlow:
    return StoredFlow(row.name, row.version, codec.decode_data(row.body), row.created_at)
