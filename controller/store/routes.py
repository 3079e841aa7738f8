"""Routes of X numbers, as who takes a call needs them: the route, what signs its question, and the caller's earlier calls."""

import msgspec
from sqlalchemy import Connection, select, update

from controller.core.call import Call
from controller.core.route import Earlier, Route, Routed
from controller.store import codec
from controller.store.backend import Backend
from controller.store.queries import AnyRow
from controller.store.tables import CALL, TENANT
from controller.store.tables_masking import X_NUMBER

LOOKED_AT = 50
"""How many of a caller's calls are looked at: of more nobody asks how many."""
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Route).decode


def encode_route(route: Route | None) -> str | None:
    """A route's column."""
    return None if route is None else _encode(route).decode()


def decode_route(text: str | None) -> Route | None:
    """And back."""
    return None if text is None else _decode(text)


def ensure_secret(db: Connection, tenant: str, secret: str) -> None:
    """What signs for a tenant, unless it has a secret already; ``secret`` empty: nothing is needed."""
    if secret:
        db.execute(update(TENANT).where(TENANT.c.id == tenant, TENANT.c.secret.is_(None)).values(secret=secret))


class Routes:
    """The routes of all tenants."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def routed(self, x: str, now: int) -> Routed | None:
        """An X that has a route; nothing of a suspended tenant.  What is an X as it was dialled is that X, whoever has the one
        without its ``+``.  Raises Unavailable."""
        query = (
            select(X_NUMBER.c.number, X_NUMBER.c.tenant, X_NUMBER.c.route, TENANT.c.secret, TENANT.c.old_secret)
            .add_columns(TENANT.c.old_secret_until, TENANT.c.suspended_at)
            .join(TENANT, TENANT.c.id == X_NUMBER.c.tenant)
            .where(X_NUMBER.c.number.in_((x, x.removeprefix("+"))))
            .order_by((X_NUMBER.c.number == x).desc())
        )
        row = await self._backend.read(lambda db: db.execute(query).first())
        return None if row is None or row.route is None or row.suspended_at is not None else _routed(row, now)

    async def earlier(self, tenant: str, caller: str, x: str, since: int, until: int) -> list[Earlier]:
        """The caller's last calls to X, the newest first.  Raises Unavailable."""
        mine = (CALL.c.tenant == tenant, CALL.c.caller == caller)
        query = select(CALL.c.state).where(*mine, CALL.c.requested_at >= since, CALL.c.requested_at < until)
        query = query.order_by(CALL.c.requested_at.desc()).limit(LOOKED_AT)
        calls = await self._backend.read(lambda db: [codec.decode(row.state) for row in db.execute(query)])
        return [_earlier(call) for call in calls if _dialled(call) == x.removeprefix("+")]

    async def of_party(self, tenant: str, number: str, since: int) -> list[Call]:
        """The last calls that this number made or got, the newest first.  Raises Unavailable."""

        def job(db: Connection) -> list[Call]:
            found: dict[str, Call] = {}
            for side in (CALL.c.caller, CALL.c.callee):
                query = select(CALL.c.state).where(CALL.c.tenant == tenant, side == number, CALL.c.requested_at >= since)
                query = query.order_by(CALL.c.requested_at.desc()).limit(LOOKED_AT)
                found |= {call.id: call for call in (codec.decode(row.state) for row in db.execute(query))}
            return sorted(found.values(), key=lambda call: call.requested_at, reverse=True)

        return await self._backend.read(job)


def _routed(row: AnyRow, now: int) -> Routed:
    old = tuple((row.old_secret or "").split()) if (row.old_secret_until or 0) > now else ()
    return Routed(row.number, row.tenant, _decode(row.route), (*((row.secret,) if row.secret else ()), *old))


def _dialled(call: Call) -> str:
    """The X that was dialled, whether the call knows it as the trunk delivered it or as it is written here."""
    return str(call.vars.get("called", "")).removeprefix("+")


def _earlier(call: Call) -> Earlier:
    talked = (call.ended_at or call.bridged_at or 0) - (call.bridged_at or 0) if call.bridged_at is not None else 0
    return Earlier(call.id, call.requested_at, call.disposition, max(0, talked))
