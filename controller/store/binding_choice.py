"""A new binding in one transaction: an X where nobody of it is taken, its claims, its row, its history.

Two that choose at once may find the same X free.  Then the claims' primary key lets one of them through; the other's
transaction is undone whole and begun again, so it never waits for anybody while it holds something.  A pool is exhausted when a
look at the committed rows finds no number that is free, which is then true."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, insert, select, true, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from controller.core.masking import ANYONE, Binding, Choice, Claim, Keep, claims
from controller.store.binding_rows import binding_values, claim_values, hold, is_open, one_of, tell_of
from controller.store.errors import KeyTaken, NumberConflict, NumberUnknown, PoolExhausted
from controller.store.queries import CREATED, AnyRow
from controller.store.rows import Idempotency
from controller.store.tables import IDEMPOTENCY
from controller.store.tables_masking import BINDING, CLAIM, POOL, X_NUMBER

EXTENSIONS = (1000, 9000)
"""The first extension that is given out, and how many there are."""
DEADLOCK = "40P01"
_NUMBER = select(X_NUMBER, POOL.c.cool_ms).outerjoin(POOL, POOL.c.id == X_NUMBER.c.pool)


class Again(Exception):
    """Somebody else was quicker; nothing was changed, and another look will tell what is left."""


def bind(db: Connection, wanted: Binding, choice: Choice, keep: Keep | None) -> Binding:
    """Write the binding, with what was left open (x, y, extension) chosen.

    Raises Again, NumberConflict, NumberUnknown, PoolExhausted, KeyTaken."""
    try:
        made = _with_numbers(db, wanted, choice)
        db.execute(insert(BINDING).values(binding_values(made)))
        db.execute(insert(CLAIM), claim_values(made))
        hold(db, made)
        tell_of(db, "binding.created", [made], choice.now)
        if keep is not None:
            _keep(db, keep(made), choice.now)
        return made
    except IntegrityError as error:
        raise (KeyTaken() if "idempotency" in str(error.orig) else Again()) from None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") == DEADLOCK:
            raise Again from None
        raise


def _keep(db: Connection, record: Idempotency, now: int) -> None:
    tenant, key, fingerprint, response = record
    kept = {"tenant": tenant, "key": key, "fingerprint": fingerprint, "response": response}
    db.execute(insert(IDEMPOTENCY).values(**kept, status="done", http_status=CREATED, at=now))


def _with_numbers(db: Connection, wanted: Binding, choice: Choice) -> Binding:
    """The binding with an X (and Y, and extension) that is ready for its claims."""
    whole = replace(wanted, x=wanted.x or "x", y=wanted.y or ("y" if wanted.mode == "axyb" else ""))
    taken: list[str] = []
    while True:
        x = _one(db, wanted, wanted.x, _keys(whole, whole.x), choice, [*taken, wanted.y])
        extension = _extension(db, wanted, x.number, choice)
        if extension is not None:
            break
        if wanted.x:
            raise NumberConflict("x")
        taken.append(x.number)
    y = _one(db, wanted, wanted.y, _keys(whole, whole.y), choice, [x.number]) if whole.y else None
    made = replace(wanted, x=x.number, y=y.number if y else "", extension=extension, pool=x.pool or "", cool_ms=x.cool_ms or 0)
    for number in sorted((x, y) if y else (x,), key=lambda row: str(row.number)):
        _make_ready(db, number, made, choice.now)
    return made


def _keys(binding: Binding, x: str) -> list[Claim]:
    """What the binding needs to be free on that number; an extension that is yet to be chosen is always."""
    open_key = ("", ANYONE) if binding.mode == "axe" else None
    return [
        claim
        for claim in claims(binding)
        if claim.x == x and not is_open(binding.use, claim) and (claim.extension, claim.party) != open_key
    ]


def _one(db: Connection, wanted: Binding, number: str, keys: list[Claim], choice: Choice, avoid: list[str]) -> AnyRow:
    if number:
        return _named(db, wanted, number, keys, choice.now)
    found = next((row for query in _rounds(wanted, keys, choice, avoid) if (row := db.execute(query).first())), None)
    if found is None:
        raise PoolExhausted
    return found


def _named(db: Connection, wanted: Binding, number: str, keys: list[Claim], now: int) -> AnyRow:
    """A number that was asked for: it must be of the tenant, and free for this."""
    param = "x" if number == wanted.x else "y"
    row = db.execute(_NUMBER.where(X_NUMBER.c.number == number, X_NUMBER.c.tenant == wanted.tenant)).first()
    if row is None:
        raise NumberUnknown(param)
    lives = select(CLAIM.c.x).where(CLAIM.c.x == number, CLAIM.c.taken_until > now).limit(1)
    if row.use == wanted.use and row.use != "open":
        lives = lives.where(one_of(keys))
    if row.state == "frozen" or (row.use == "open" and row.taken_until > now) or db.execute(lives).first() is not None:
        raise NumberConflict(param)
    return row


def _rounds(wanted: Binding, keys: list[Claim], choice: Choice, avoid: list[str]) -> Iterator[Select[Any]]:
    """The queries for one free number of the pool, the best first: its area, from the starting spot on, then around; at last
    numbers that served another use and are idle now."""
    one = _NUMBER.where(X_NUMBER.c.pool == wanted.pool, X_NUMBER.c.tenant == wanted.tenant, X_NUMBER.c.state == "active")
    one = one.where(X_NUMBER.c.number.not_in([*avoid, wanted.a, wanted.b])).order_by(X_NUMBER.c.spot).limit(1)
    busy = select(CLAIM.c.x).where(CLAIM.c.taken_until > choice.now, one_of(keys))
    free = and_(X_NUMBER.c.use.is_(None) | (X_NUMBER.c.use == wanted.use), X_NUMBER.c.number.not_in(busy))
    if wanted.use == "open":
        free = and_(free, X_NUMBER.c.taken_until <= choice.now)
    areas: list[ColumnElement[bool]] = [X_NUMBER.c.area == wanted.area] if wanted.area else []
    if not choice.strict or not wanted.area:
        areas.append(true())
    for area in areas:
        yield one.where(area, free, X_NUMBER.c.spot >= choice.start)
        yield one.where(area, free, X_NUMBER.c.spot < choice.start)
    claimed = select(CLAIM.c.x).where(CLAIM.c.x == X_NUMBER.c.number, CLAIM.c.taken_until > choice.now).limit(1)
    idle = and_(X_NUMBER.c.use != wanted.use, claimed.correlate(X_NUMBER).scalar_subquery().is_(None))
    yield from (one.where(area, idle) for area in areas)


def _extension(db: Connection, wanted: Binding, x: str, choice: Choice) -> str | None:
    """The extension of the binding on this X; None when all are taken."""
    if wanted.mode != "axe" or wanted.extension:
        return wanted.extension
    query = select(CLAIM.c.extension).where(CLAIM.c.x == x, CLAIM.c.party == ANYONE, CLAIM.c.taken_until > choice.now)
    taken, (first, count) = set(db.execute(query).scalars()), EXTENSIONS
    around = (str(first + (choice.start + step) % count) for step in range(count))
    return next((extension for extension in around if extension not in taken), None)


def _make_ready(db: Connection, number: AnyRow, made: Binding, now: int) -> None:
    """Take dead claims away, and give the number the use that it is wanted for.  Raises Again."""
    dead = delete(CLAIM).where(CLAIM.c.x == number.number, CLAIM.c.taken_until <= now)
    if number.use == made.use != "open":
        keys = [claim for claim in claims(made) if claim.x == number.number]
        db.execute(dead.where(one_of(keys)))
        return
    db.execute(dead)
    same = X_NUMBER.c.use.is_(None) if number.use is None else X_NUMBER.c.use == number.use
    seen = and_(X_NUMBER.c.number == number.number, same, X_NUMBER.c.taken_until == number.taken_until)
    if db.execute(update(X_NUMBER).where(seen).values(use=made.use, taken_until=0)).rowcount != 1:
        raise Again
