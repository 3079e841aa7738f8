"""What is told of things that are no calls, in the tables that calls have: a row of ``fact``, and of ``webhook_cursor`` for
each endpoint that wants it, in the transaction that does what is told.

Each binding, agent and node is a stream of its own, with a gapless sequence.  Most of them say nothing most of the time, so a
cursor is there only from a fact on until nothing has been told for as long as may be replayed, and is ``done`` in between: what
looks for something to deliver finds none of a million bindings that merely live.  Locks are taken in one order: what the stream
is of, its row, its cursors by stream and endpoint.
"""
# ruff: noqa: S608 -- the names in the text are our own, values are always bound

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, not_, or_, select, text, update

from controller.audit import carrying
from controller.core.facts import Fact
from controller.ports import Live
from controller.store import codec
from controller.store.backend import Backend
from controller.store.tables import CURSOR, FACT
from controller.store.tables_streams import STREAM

INSTALLATION = ""
"""The tenant of what belongs to the installation."""


def _upsert(sequence: str) -> str:
    return f"""
    INSERT INTO stream (id, tenant, reference, metadata, sequence, over, old_from, told_at)
    VALUES (:id, :tenant, :reference, :metadata, :sequence, :over, :old_from, :told_at)
    ON CONFLICT (id) DO UPDATE SET reference = excluded.reference, metadata = excluded.metadata, sequence = {sequence},
    over = excluded.over, told_at = excluded.told_at,
    old_from = CASE WHEN excluded.over = 1 THEN excluded.old_from ELSE COALESCE(stream.old_from, excluded.old_from) END"""


NUMBERED = text(_upsert("excluded.sequence"))
NEXT = text(_upsert("stream.sequence + 1") + " RETURNING sequence")


def _cursors(whose: str) -> Any:
    """Open a cursor at the fact that was just told, for the endpoints that want it.

    One that is ``done`` begins there too: what was told since it was, if anything, was not for this endpoint.  One that is not
    has something before it to deliver first.  Each is due since it was told, so that very many at once do not go before calls
    that wait for another try since before."""
    return text(f"""
    INSERT INTO webhook_cursor (endpoint, call, next_sequence, attempt, state, due_at)
    SELECT e.id, s.id, s.sequence, 0, 'open', s.told_at FROM stream s JOIN webhook_endpoint e ON {whose}
    WHERE s.id IN :ids AND e.state <> 'disabled' AND e.kind = 'subscribed'
    AND (e.events LIKE :everything OR e.events LIKE :wanted) ORDER BY s.id, e.id
    ON CONFLICT (endpoint, call) DO UPDATE SET next_sequence = excluded.next_sequence, attempt = 0, state = 'open',
    due_at = excluded.due_at
    WHERE webhook_cursor.state = 'done'""").bindparams(bindparam("ids", expanding=True))


OF_TENANT, OF_OPERATORS = _cursors("e.tenant = s.tenant"), _cursors("e.operator_at IS NOT NULL")
EVERYTHING = '%"*"%'


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell.  ``sequence``: None for the next one; ``over``: nothing will follow; ``whole``: it is all kept until
    it is over, however old it is."""

    stream: str
    tenant: str
    at: int
    data: Mapping[str, Any] = field(repr=False)
    reference: str | None = None
    metadata: Mapping[str, Any] | None = None
    sequence: int | None = None
    over: bool = False
    whole: bool = False


def tell(db: Connection, kind: str, news: Sequence[News], now: int) -> list[Fact]:
    """Write facts of one type, each of another stream, and have them delivered; as they are now."""
    told = _numbered(db, kind, sorted(news, key=lambda one: one.stream), now)
    if told:
        db.execute(insert(FACT), [_fact_row(fact) for fact in told])
        for statement, some in (
            (OF_TENANT, [one.stream for one in news if one.tenant != INSTALLATION]),
            (OF_OPERATORS, [one.stream for one in news if one.tenant == INSTALLATION]),
        ):
            if some:
                db.execute(statement, {"ids": some, "everything": EVERYTHING, "wanted": f'%"{kind}"%'})
    return told


def _numbered(db: Connection, kind: str, news: Sequence[News], now: int) -> list[Fact]:
    known = [one for one in news if one.sequence is not None]
    if known:
        db.execute(NUMBERED, [_row(one, now) for one in known])
    told = []
    for one in news:
        sequence = one.sequence
        if sequence is None:
            sequence = int(db.execute(NEXT, _row(one, now)).scalar_one())
        told.append(Fact(one.stream, sequence, kind, one.at, one.data))
    return told


def _fact_row(fact: Fact) -> dict[str, Any]:
    data = codec.encode_data(fact.data)
    return {"call": fact.call, "sequence": fact.sequence, "type": fact.type, "at": fact.at, "data": data}


def _row(news: News, now: int) -> dict[str, Any]:
    return {
        "id": news.stream,
        "tenant": news.tenant,
        "reference": news.reference,
        "metadata": None if news.metadata is None else codec.encode_data(news.metadata),
        "sequence": news.sequence or 1,
        "over": int(news.over),
        "old_from": now if news.over or not news.whole else None,
        "told_at": now,
    }


class Streams:
    """Tells what no other transaction tells, and forgets."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def tell(self, stream: str, kind: str, at: int, data: Mapping[str, Any]) -> Live:
        """A fact of the installation, by itself.  Raises NotSaved."""
        news = News(stream, INSTALLATION, at, data)
        with carrying(None):
            [fact] = await self._backend.write(lambda db: tell(db, kind, [news], at))
        return Live(INSTALLATION, fact)


def silent(db: Connection, before: int, limit: int) -> Sequence[str]:
    """Streams that were told nothing since a time (ms), and may have cursors."""
    return (
        db.execute(select(STREAM.c.id).where(STREAM.c.told_at < before).order_by(STREAM.c.told_at).limit(limit)).scalars().all()
    )


def forget_cursors(db: Connection, some: Sequence[str], before: int) -> int:
    """Delete the cursors of those of these streams that still were told nothing since; of how many."""
    still = update(STREAM).where(STREAM.c.id.in_(some), STREAM.c.told_at < before).values(told_at=None)
    found = db.execute(still.returning(STREAM.c.id)).scalars().all()
    db.execute(delete(CURSOR).where(CURSOR.c.call.in_(found)))
    return len(found)


def forget_facts(db: Connection, before: int, limit: int) -> int:
    """Delete what is older than a time (ms): all of streams that are over, single facts of the others; of how many streams."""
    old = select(STREAM.c.id, STREAM.c.over).where(STREAM.c.old_from < before).order_by(STREAM.c.old_from).limit(limit)
    found = db.execute(old.with_for_update(skip_locked=True)).all()
    over, others = [row.id for row in found if row.over], [row.id for row in found if not row.over]
    if over:
        for table, column in ((CURSOR, CURSOR.c.call), (FACT, FACT.c.call), (STREAM, STREAM.c.id)):
            db.execute(delete(table).where(column.in_(over)))
    if others:
        db.execute(delete(FACT).where(FACT.c.call.in_(others), FACT.c.at < before))
        oldest = select(func.min(FACT.c.at)).where(FACT.c.call == STREAM.c.id).scalar_subquery()
        db.execute(update(STREAM).where(STREAM.c.id.in_(others)).values(old_from=oldest))
        empty = select(STREAM.c.id).where(STREAM.c.id.in_(others), STREAM.c.old_from.is_(None))
        db.execute(delete(CURSOR).where(CURSOR.c.call.in_(empty)))
    return len(found)


def may_be_sent(endpoint_made: Any, since: int) -> Any:
    """The condition that a fact may be sent (again): of other streams than calls only what is not older than the endpoint, nor
    than may be replayed."""
    return or_(not_(OF_STREAMS), (FACT.c.at >= endpoint_made) & (FACT.c.at >= since))


FIRST_STREAM = "a"
"""All ids of streams are behind this, all ids of calls before it."""
OF_STREAMS = FACT.c.call > FIRST_STREAM
