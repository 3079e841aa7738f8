"""Webhook endpoints as their tenants see them."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from controller.audit import carrying
from controller.store import codec
from controller.store.backend import Backend
from controller.store.errors import TooMany
from controller.store.idempotency import IdempotencyKeys
from controller.store.queries import AnyRow, add, newest, one, page
from controller.store.rows import Endpoint, Idempotency, Page, Rotation
from controller.store.tables import CURSOR, ENDPOINT, TENANT

MUTABLE = frozenset(
    {"url", "secret", "old_secret", "old_secret_until", "events", "state", "reason", "concurrent", "operator_at"}
)
OLD_SECRETS = 4
"""How many secrets sign beside the newest while they are good."""
STATUS_HOSTS = 100
"""How many hosts a tenant's calls may name in their ``status_url``."""


class Endpoints:
    """The endpoints of all tenants."""

    def __init__(self, backend: Backend, keys: IdempotencyKeys) -> None:
        self._backend, self._keys = backend, keys

    async def get(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """One endpoint of this tenant."""
        query = select(ENDPOINT).where(ENDPOINT.c.id == endpoint_id, ENDPOINT.c.tenant == tenant)
        return await self._backend.read(lambda db: one(db, query, _endpoint))

    async def add(self, endpoint: Endpoint, idempotency: Idempotency | None = None) -> None:
        """A new endpoint: it gets the facts of calls that are created from now on.  Raises KeyTaken, Taken, NotSaved."""
        values = {name: getattr(endpoint, name) for name in Endpoint.__slots__}
        values["events"] = codec.encode_list(endpoint.events)
        async with self._keys.explained(idempotency):
            await self._backend.write(lambda db: add(db, ENDPOINT, values, endpoint.created_at, idempotency))

    async def ensure_status(self, endpoint: Endpoint, secret: str) -> None:
        """The endpoint of a tenant for one host of ``status_url``, unless it is there; and ``secret`` as what signs for these,
        unless the tenant has one.  Raises TooMany, NotSaved."""
        values = {name: getattr(endpoint, name) for name in Endpoint.__slots__}
        values["events"] = codec.encode_list(endpoint.events)
        with carrying(None):  # the request that needs it has its own effect
            await self._backend.write(lambda db: _ensure_status(db, endpoint, values, secret))

    async def change(self, tenant: str, endpoint_id: str, rotate: Rotation | None = None, **changes: Any) -> Endpoint | None:
        """Set fields named in ``MUTABLE``, and a new secret; ``state="active"`` wakes what was parked.  None for another's.

        Raises NotSaved."""
        if not changes.keys() <= MUTABLE:
            raise TypeError(f"cannot be changed: {sorted(changes.keys() - MUTABLE)}")
        if "events" in changes:
            changes["events"] = codec.encode_list(tuple(changes["events"]))
        return await self._backend.write(lambda db: _change(db, tenant, endpoint_id, changes, rotate))

    async def delete(self, tenant: str, endpoint_id: str) -> bool:
        """Remove an endpoint and what was to be delivered; False for one that the tenant does not have.  Raises NotSaved."""
        change = delete(ENDPOINT).where(ENDPOINT.c.id == endpoint_id, ENDPOINT.c.tenant == tenant)
        return await self._backend.write(lambda db: db.execute(change).rowcount == 1)

    async def list(self, tenant: str, limit: int = 50, after: str | None = None) -> Page[Endpoint]:
        """A page of a tenant's endpoints."""
        query = newest(ENDPOINT, limit, after, select(ENDPOINT).where(ENDPOINT.c.tenant == tenant))
        return await self._backend.read(lambda db: page(db.execute(query).all(), limit, _endpoint))


def _ensure_status(db: Connection, endpoint: Endpoint, values: dict[str, Any], secret: str) -> None:
    """Two that come at once do no harm: the second insert of PostgreSQL fails alone."""
    db.execute(update(TENANT).where(TENANT.c.id == endpoint.tenant, TENANT.c.secret.is_(None)).values(secret=secret))
    of_tenant = select(ENDPOINT.c.id).where(ENDPOINT.c.tenant == endpoint.tenant, ENDPOINT.c.kind == "status")
    known = set(db.execute(of_tenant).scalars())
    if endpoint.id in known:
        return
    if len(known) >= STATUS_HOSTS:
        raise TooMany(f"a tenant may have {STATUS_HOSTS} hosts")
    db.execute(insert(ENDPOINT).values(values))


def set_state(db: Connection, endpoint_id: str, state: str, reason: str | None, now: int) -> None:
    """Set an endpoint's state; ``active`` opens its parked cursors, due ``now``."""
    db.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint_id).values(state=state, reason=reason))
    if state == "active":
        parked = (CURSOR.c.endpoint == endpoint_id, CURSOR.c.state == "parked")
        db.execute(update(CURSOR).where(*parked).values(state="open", attempt=0, due_at=now))


def rotated(row: AnyRow, rotate: Rotation) -> dict[str, Any]:
    """The columns of a secret that is changed.  All that were good until now go on signing: an answer that got lost, or two
    that change it at once, leave no receiver without one."""
    old = (row.old_secret or "").split() if (row.old_secret_until or 0) > rotate.now else []
    kept = [secret for secret in (row.secret, *old) if secret][:OLD_SECRETS]
    return {"secret": rotate.secret, "old_secret": " ".join(kept) or None, "old_secret_until": rotate.until}


def _change(
    db: Connection, tenant: str, endpoint_id: str, changes: dict[str, Any], rotate: Rotation | None = None
) -> Endpoint | None:
    mine = (ENDPOINT.c.id == endpoint_id, ENDPOINT.c.tenant == tenant)
    if rotate is not None:
        row = db.execute(select(ENDPOINT).where(*mine).with_for_update()).first()
        changes = changes if row is None else changes | rotated(row, rotate)
    if changes and db.execute(update(ENDPOINT).where(*mine).values(changes)).rowcount == 0:
        return None
    changed = one(db, select(ENDPOINT).where(*mine), _endpoint)
    if changed is not None and changes.get("state") == "active":
        set_state(db, endpoint_id, "active", changed.reason, 0)
    return changed


def _endpoint(row: AnyRow) -> Endpoint:
    values = {name: getattr(row, name) for name in Endpoint.__slots__}
    return Endpoint(**{**values, "events": codec.decode_list(row.events)})
