"""The database as the rest of Patchbay sees it: opened once, everything else is an attribute."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, insert

from controller.store.agents import Agents
from controller.store.audit import AuditLog
from controller.store.backend import Backend
from controller.store.bindings import Bindings
from controller.store.calls import Calls
from controller.store.endpoints import Endpoints
from controller.store.idempotency import IdempotencyKeys
from controller.store.keys import ApiKeys
from controller.store.last_agents import LastAgents
from controller.store.leases import Held, NodeLeases
from controller.store.memories import Memories
from controller.store.migrate import upgrade
from controller.store.nodes import Nodes
from controller.store.policies import Policies
from controller.store.pools import Pools, XNumbers
from controller.store.postgres import Postgres
from controller.store.recordings import Recordings
from controller.store.retention import Retention
from controller.store.routes import Routes
from controller.store.sqlite import Sqlite
from controller.store.streams import Streams
from controller.store.tables import LEASE
from controller.store.tenants import Numbers, Tenants
from controller.store.tokens import Lockouts, Tokens
from controller.store.trunks import Trunks
from controller.store.upkeep import StoredFlows
from controller.store.webhooks import Webhooks
from controller.store.wrong_keys import WrongKeys


class Database:
    """One open database and all that can be asked of it."""

    def __init__(self, backend: Backend, is_dead: Callable[[str], bool]) -> None:
        held = Held()
        self.backend = backend
        self.idempotency = IdempotencyKeys(backend)
        self.calls = Calls(backend, held, self.idempotency)
        self.leases = NodeLeases(backend, held, is_dead)
        self.tenants = Tenants(backend, self.idempotency)
        self.keys = ApiKeys(backend, self.idempotency)
        self.tokens = Tokens(backend)
        self.lockouts = Lockouts(backend)
        self.numbers = Numbers(backend, self.idempotency)
        self.pools = Pools(backend, self.idempotency)
        self.x_numbers = XNumbers(backend, self.idempotency)
        self.bindings = Bindings(backend, self.idempotency)
        self.routes = Routes(backend)
        self.wrong_keys = WrongKeys(backend)
        self.endpoints = Endpoints(backend, self.idempotency)
        self.webhooks = Webhooks(backend)
        self.streams = Streams(backend)
        self.recordings = Recordings(backend)
        self.flows = StoredFlows(backend)
        self.audit = AuditLog(backend)
        self.nodes = Nodes(backend, self.idempotency)
        self.trunks = Trunks(backend, self.idempotency)
        self.retention = Retention(backend)
        self.memories = Memories(backend)
        self.agents = Agents(backend, self.idempotency)
        self.last_agents = LastAgents(backend)
        self.policies = Policies(backend, self.idempotency)

    @classmethod
    async def open(cls, url: str, migrate: bool = True, is_dead: Callable[[str], bool] = lambda _owner: False) -> "Database":
        """Open ``sqlite:///file`` or ``postgresql://user@host/name``, and bring its tables up to date.  Raises Unavailable.

        ``is_dead``: whether the owner of a lease is known to run no more."""
        if migrate:
            await upgrade(url)
        backend: Backend = await (Sqlite.open(url) if url.startswith("sqlite:") else Postgres.open(url))
        return cls(backend, is_dead)

    @property
    def waiting(self) -> int:
        """Units that are not committed yet."""
        return self.backend.waiting

    async def ping(self) -> None:
        """Write, durably, something that leaves nothing: a full disk refuses that too.  Raises NotSaved."""
        nobody = {"node": "", "owner": "", "epoch": 0, "expires_at": 0}  # SQLite writes nothing for a row that stays the same
        await self.backend.write(lambda db: _come_and_go(db, nobody))

    async def close(self) -> None:
        """Finish what waits and leave."""
        await self.backend.close()


def _come_and_go(db: Connection, row: dict[str, Any]) -> None:
    db.execute(insert(LEASE).values(row))
    db.execute(delete(LEASE).where(LEASE.c.node == row["node"]))
