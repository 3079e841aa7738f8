"""How far facts have got: one cursor per endpoint and call, or other stream.  Implements ``ports.WebhookStore``, and lists for
the API."""

import time
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Exists,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
    update,
)

from controller.core import ids
from controller.ports import Backlog, Cursor, Endpoint, EndpointState, Stream
from controller.store import codec, streams
from controller.store.backend import Backend
from controller.store.calls import fact
from controller.store.endpoints import set_state
from controller.store.queries import AnyRow
from controller.store.retention import first_id_of
from controller.store.rows import DeliveryInfo, Page
from controller.store.streams import OF_STREAMS, may_be_sent
from controller.store.tables import CALL, CURSOR, ENDPOINT, FACT, TENANT
from controller.store.tables_streams import STREAM

FACTS_EACH = 50
"""Facts that one look takes of a call; there are seldom more."""
OPEN = CURSOR.c.state == "open"
KEY = tuple_(CURSOR.c.endpoint, CURSOR.c.call)
OF = CURSOR.outerjoin(CALL, CALL.c.id == CURSOR.c.call).outerjoin(STREAM, STREAM.c.id == CURSOR.c.call)
HAS_FACTS = func.coalesce(CALL.c.sequence, STREAM.c.sequence) >= CURSOR.c.next_sequence
STATES: dict[str, EndpointState] = {"active": "on", "parked": "parked", "disabled": "disabled"}
"""What the API calls an endpoint's state, and what the services call it."""
SAVE = (
    update(CURSOR)
    .where(CURSOR.c.endpoint == bindparam("of_endpoint"), CURSOR.c.call == bindparam("of_call"))
    .values(
        next_sequence=bindparam("sequence"),
        attempt=bindparam("tries"),
        due_at=bindparam("due"),
        last_status=bindparam("status"),
        last_error=bindparam("error"),
        state=bindparam("is"),
    )
)


class Webhooks:
    """The cursors of all endpoints, and the endpoints as who delivers sees them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints of all tenants, with the secrets that are valid now."""
        now = time.time_ns() // 1_000_000
        signing = (TENANT.c.secret.label("t_secret"), TENANT.c.old_secret.label("t_old"))
        query = select(ENDPOINT, *signing, TENANT.c.old_secret_until.label("t_until"))
        query = query.join(TENANT, TENANT.c.id == ENDPOINT.c.tenant)
        return await self._backend.read(lambda db: [_endpoint(row, now) for row in db.execute(query)])

    async def backlog(self, endpoint: str, now: int, limit: int) -> list[Backlog]:
        """Open cursors that are due and whose call has facts for them, the longest due first.  Raises Unavailable."""
        of_stream = (STREAM.c.reference, STREAM.c.metadata, STREAM.c.sequence)
        query = (
            select(CURSOR, CALL.c.state.label("call_state"), *of_stream)
            .select_from(OF)
            .where(OPEN, CURSOR.c.endpoint == endpoint, CURSOR.c.due_at <= now, HAS_FACTS)
            .order_by(CURSOR.c.due_at)
            .limit(limit)
        )
        return await self._backend.read(lambda db: [item for row in db.execute(query).all() if (item := _backlog(db, row))])

    async def save_cursors(self, cursors: Sequence[Cursor]) -> None:
        """Write cursors in one transaction; one that is gone is passed over, one that is not done is not.  Raises NotSaved."""
        if cursors:
            await self._backend.write(lambda db: _save(db, cursors))

    async def set_endpoint(self, endpoint: str, state: EndpointState, reason: str, now: int) -> None:
        """Change an endpoint's state; ``on`` opens its parked cursors.  Raises NotSaved."""
        stored = next(name for name, meaning in STATES.items() if meaning == state)
        await self._backend.write(lambda db: set_state(db, endpoint, stored, reason or None, now))

    async def replay(
        self, endpoint: str, now: int, call: str | None, since: int | None, until: int | None, oldest: int = 0
    ) -> int:
        """Set cursors back to the first fact with ``since`` <= at < ``until`` (ms), never forward; how many.  ``oldest``: for
        streams that do not end as calls do, the time before which nothing is sent again."""
        made = select(ENDPOINT.c.created_at).where(ENDPOINT.c.id == endpoint).scalar_subquery()
        first = select(func.min(FACT.c.sequence)).where(FACT.c.call == CURSOR.c.call, may_be_sent(made, oldest))
        if since is not None:
            first = first.where(FACT.c.at >= since)
        if until is not None:
            first = first.where(FACT.c.at < until)
        found = first.scalar_subquery()
        back = case((found < CURSOR.c.next_sequence, found), else_=CURSOR.c.next_sequence)
        change = (
            update(CURSOR)
            .where(CURSOR.c.endpoint == endpoint, found.is_not(None))
            .values(next_sequence=back, attempt=0, state="open", due_at=now)
        )
        if call is not None:
            change = change.where(CURSOR.c.call == call)
        return await self._backend.write(lambda db: db.execute(change).rowcount)

    async def forget_cursors(self, before: int, limit: int) -> int:
        """Delete up to ``limit`` cursors of calls that ended before a time (ms), and those of as many other streams that were
        told nothing since; how many at most of either.  Raises NotSaved."""
        old = (
            select(CURSOR.c.endpoint, CURSOR.c.call)
            .join(CALL, CALL.c.id == CURSOR.c.call)
            .where(CURSOR.c.call < first_id_of(before), CALL.c.ended_at < before)
            .limit(limit)
        )
        found = await self._backend.read(lambda db: [tuple(row) for row in db.execute(old)])
        silent = await self._backend.read(lambda db: streams.silent(db, before, limit))
        gone = 0
        if found:
            gone = await self._backend.write(lambda db: db.execute(delete(CURSOR).where(KEY.in_(found))).rowcount)
        if silent:
            gone = max(gone, await self._backend.write(lambda db: streams.forget_cursors(db, silent, before)))
        return gone

    async def pending(self) -> int:
        """How many cursors have something to deliver."""
        query = select(func.count()).select_from(OF).where(OPEN, HAS_FACTS)
        return await self._backend.read(lambda db: int(db.execute(query).scalar_one()))

    async def deliveries(
        self, tenant: str, endpoint: str, state: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[DeliveryInfo]:
        """A page of the facts that an endpoint has got or is to get: those of calls, the newest call first, then those of other
        streams.  ``state``: as in ``DeliveryInfo``."""
        query = (
            select(FACT.c.call, FACT.c.sequence, FACT.c.type, FACT.c.at)
            .add_columns(CURSOR.c.next_sequence, CURSOR.c.attempt, CURSOR.c.due_at, CURSOR.c.last_status, CURSOR.c.last_error)
            .add_columns(CURSOR.c.state)
            .join(CURSOR, CURSOR.c.call == FACT.c.call)
            .join(ENDPOINT, ENDPOINT.c.id == CURSOR.c.endpoint)
            .where(ENDPOINT.c.id == endpoint, ENDPOINT.c.tenant == tenant, may_be_sent(ENDPOINT.c.created_at, 0))
        )
        types = codec.decode_list(await self._events(tenant, endpoint))
        if "*" not in types:
            query = query.where(FACT.c.type.in_(types))
        if state is not None:
            query = query.where((FACT.c.sequence < CURSOR.c.next_sequence) == literal(state == "delivered"))
            query = query if state == "delivered" else query.where((CURSOR.c.state == "parked") == literal(state == "parked"))
        query = query.order_by(FACT.c.call.desc(), FACT.c.sequence.desc())
        rows = await self._backend.read(lambda db: _page(db, query, limit + 1, after))
        items = [_delivery(row) for row in rows[:limit]]
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def _events(self, tenant: str, endpoint: str) -> str:
        query = select(ENDPOINT.c.events).where(ENDPOINT.c.id == endpoint, ENDPOINT.c.tenant == tenant)
        return await self._backend.read(lambda db: db.execute(query).scalar()) or "[]"


def _save(db: Connection, cursors: Sequence[Cursor]) -> None:
    values = [
        {
            "of_endpoint": cursor.endpoint,
            "of_call": cursor.call,
            "sequence": cursor.next_sequence,
            "tries": cursor.attempt,
            "due": cursor.due_at,
            "status": cursor.last_status,
            "error": cursor.last_error or None,
            "is": cursor.state,
        }
        for cursor in sorted(cursors, key=lambda one: (one.call, one.endpoint))
    ]
    db.execute(SAVE, values)
    done = [(cursor.endpoint, cursor.call) for cursor in cursors if cursor.state == "done"]
    if done:  # looked at in a statement of its own, so that it sees what was committed while the first one waited
        db.execute(update(CURSOR).where(KEY.in_(done), or_(_more(CALL), _more(STREAM))).values(state="open"))


def _more(of: Table) -> Exists:
    return select(of.c.id).where(of.c.id == CURSOR.c.call, of.c.sequence >= CURSOR.c.next_sequence).exists()


def _backlog(db: Connection, row: AnyRow) -> Backlog | None:
    wanted = (FACT.c.call == row.call, FACT.c.sequence >= row.next_sequence)
    facts = tuple(fact(one) for one in db.execute(_facts(*wanted)))
    cursor = Cursor(
        row.endpoint, row.call, row.next_sequence, row.attempt, row.due_at, row.last_status, row.last_error or "", row.state
    )
    if not facts:
        return None
    if row.call_state is not None:
        return Backlog(cursor, codec.decode(row.call_state), facts)
    metadata = None if row.metadata is None else codec.decode_data(row.metadata)
    return Backlog(cursor, Stream(row.reference, metadata, row.sequence), facts)


def _facts(*conditions: Any) -> Select[Any]:
    return select(FACT).where(*conditions).order_by(FACT.c.sequence).limit(FACTS_EACH)


def _endpoint(row: AnyRow, now: int) -> Endpoint:
    """As who delivers sees it; a status endpoint signs with its tenant's secret."""
    of_tenant = row.kind == "status"
    secret, old, until = (
        (row.t_secret, row.t_old, row.t_until) if of_tenant else (row.secret, row.old_secret, row.old_secret_until)
    )
    before = tuple((old or "").split()) if (until or 0) > now else ()
    secrets, events = (secret, *before), codec.decode_list(row.events)
    types = () if "*" in events else events
    state, operator = STATES[row.state], row.operator_at is not None
    return Endpoint(row.id, row.tenant, row.url, secrets, types, state, row.kind, row.concurrent, operator)


def _page(db: Connection, query: Select[Any], count: int, after: str | None) -> list[AnyRow]:
    """The first rows after a fact's id; other streams come when there are no more of calls."""
    call, sequence = ids.told_in(after or "")
    rest = tuple_(FACT.c.call, FACT.c.sequence) < tuple_(literal(call), literal(sequence))
    rows: list[AnyRow] = []
    if not ids.is_stream(call):
        of_calls = query.where(not_(OF_STREAMS), *([] if after is None else [rest]))
        rows += db.execute(of_calls.limit(count)).all()
    if len(rows) < count:
        of_streams = query.where(OF_STREAMS, *([rest] if ids.is_stream(call) else []))
        rows += db.execute(of_streams.limit(count - len(rows))).all()
    return rows


def _delivery(row: AnyRow) -> DeliveryInfo:
    fact_id = ids.fact_id(row.call, row.sequence)
    if row.sequence < row.next_sequence:
        return DeliveryInfo(fact_id, row.call, row.sequence, row.type, row.at, "delivered")
    state: Literal["pending", "parked"] = "parked" if row.state == "parked" else "pending"
    if row.sequence > row.next_sequence:
        return DeliveryInfo(fact_id, row.call, row.sequence, row.type, row.at, state)
    last = (row.attempt, None if state == "parked" else row.due_at, row.last_status, row.last_error)
    return DeliveryInfo(fact_id, row.call, row.sequence, row.type, row.at, state, *last)
