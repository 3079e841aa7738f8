"""Small helps for the query modules: pages, one row, a row that is added with its idempotency key."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, insert
from sqlalchemy.exc import IntegrityError

from controller.audit import about
from controller.store.errors import KeyTaken, Taken
from controller.store.rows import Idempotency, Page
from controller.store.tables import IDEMPOTENCY

T = TypeVar("T")
AnyRow = Any
"""A row of a result: columns by name, which SQLAlchemy gives no types."""
PREFIXES = {
    "api_key": "key_", "display_number": "num_", "webhook_endpoint": "whk_", "binding": "bind_", "pool": "pool_",
    "agent": "agt_", "session": "sess_", "recording": "rec_",
}  # fmt: skip
"""Of the ids in the API, by table; an id without one is a name."""
CREATED = 201
"""The HTTP status of an answer that is kept with a row."""


def page(rows: Sequence[AnyRow], limit: int, make: Callable[[AnyRow], T], key: str = "id") -> Page[T]:
    """A page from at most ``limit + 1`` rows: one more than is shown tells that there is more."""
    shown = rows[:limit]
    return Page([make(row) for row in shown], str(getattr(shown[-1], key)) if len(rows) > limit else None)


def newest(table: Table, limit: int, after: str | None, query: Select[Any]) -> Select[Any]:
    """The query's page of rows whose ids sort by time."""
    if after is not None:
        query = query.where(table.c.id < after)
    return query.order_by(table.c.id.desc()).limit(limit + 1)


def one(connection: Connection, query: Select[Any], make: Callable[[AnyRow], T]) -> T | None:
    """The one row, if there is one."""
    row = connection.execute(query).first()
    return None if row is None else make(row)


def add(connection: Connection, table: Table, values: dict[str, Any], now: int, idempotency: Idempotency | None) -> None:
    """Insert a row, and its idempotency key with it.  Raises KeyTaken, Taken."""
    try:
        if idempotency is not None:
            tenant, key, fingerprint, response = idempotency
            kept = {"tenant": tenant, "key": key, "fingerprint": fingerprint, "response": response}
            connection.execute(insert(IDEMPOTENCY).values(**kept, status="done", http_status=CREATED, at=now))
        connection.execute(insert(table).values(**values))
        about(PREFIXES.get(table.name, "") + str(values.get("id") or values.get("name", "")))
    except IntegrityError as error:
        raise (KeyTaken() if "idempotency" in str(error.orig) else Taken(f"this {table.name} cannot be added")) from None
