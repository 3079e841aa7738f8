"""Who asks: API keys and the tokens made for them, what they allow, and tickets for the live socket.

A key is looked up by its SHA-256 and remembered for a few seconds, so that a request costs no database read.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog

from controller.api.lockout import Lockouts, by_address
from controller.api.problems import Problem
from controller.audit import carrying
from controller.config import Access
from controller.ports import Clock, NotSaved
from controller.services.tasks import Tasks
from controller.store.database import Database
from controller.store.keys import SHOWN, hash_of
from controller.store.rows import ApiKey

log = structlog.get_logger(__name__)

REMEMBER_S = 5.0
REMEMBER_MOST = 10_000
TICKET_LIFE_S = 30.0
LONGEST_KEY = 200
TOUCH_MS = 60_000
"""How exactly it is known when a key was last used."""
KEY, ACCESS, REFRESH = "pb_", "pba_", "pbr_"
"""What keys and tokens begin with."""

CHANGEABLE = ("callbacks", "calls", "recordings", "webhooks", "numbers", "bindings", "keys", "lists", "policy", "agents")
SCOPES = (
    *(f"{resource}:{verb}" for resource in CHANGEABLE for verb in ("read", "write")),
    *("cdrs:read", "flows:read", "live:read", "audit:read", "*", "operator"),
)
"""What a key may be allowed: a resource to read or write (``write`` includes ``read``), ``*`` everything of its tenant, and
``operator`` the installation itself: nodes, trunks, tenants."""


@dataclass(frozen=True, slots=True)
class Who:
    """The owner of a valid key or token.  ``expires_at``: of the key (ms); ``rate``: the tenant's own requests per second."""

    key: str
    tenant: str
    scopes: frozenset[str]
    suspended: bool = False
    hashed: str = field(default="", repr=False)
    token: bool = False
    expires_at: int | None = None
    rate: int | None = None

    def may(self, scope: str) -> bool:
        """True if this key allows ``scope``."""
        if scope == "operator" or scope in self.scopes:
            return scope in self.scopes
        return "*" in self.scopes or (scope.endswith(":read") and scope[:-5] + ":write" in self.scopes)


NOBODY = Who("", "", frozenset())


class Keys:
    """Looks keys and tokens up, and remembers what it found."""

    def __init__(self, database: Database, clock: Clock, settings: Access) -> None:
        self._database, self._clock = database, clock
        self.lockouts = Lockouts(database, clock, settings)
        self._known: OrderedDict[str, tuple[Who, float]] = OrderedDict()
        self._tickets: OrderedDict[str, tuple[Who, float]] = OrderedDict()
        self._changes = 0
        self._tasks = Tasks()

    async def who(self, authorization: str, address: str = "") -> Who:
        """The owner of the key or token in an ``Authorization`` value that came from ``address``.  Raises Problem."""
        kind, _, key = authorization.partition(" ")
        if kind.lower() != "bearer" or not key.startswith((KEY, ACCESS)) or len(key) > LONGEST_KEY:
            raise _unauthorized("send the header `Authorization: Bearer pb_...`")
        hashed = hash_of(key)
        found = self._known.get(hashed)
        if found is not None and found[1] > self._clock.monotonic():
            return found[0]
        names = (by_address(address), "key:" + key[:SHOWN])
        if found is None:
            await self.lockouts.check(*names)
        who = await self._look_up(hashed, key.startswith(ACCESS))
        if who is None:
            await self.lockouts.failed(*names)
            raise _unauthorized("this API key is not known, or was revoked")
        self.lockouts.succeeded(names[1])
        return who

    async def client(self, client: str, secret: str, address: str) -> Who | None:
        """The key whose id is ``client`` and which is itself ``secret``; None when it is another, revoked or over.

        Raises Problem while the client or the address is locked out."""
        hashed = hash_of(secret)
        names = (by_address(address), "client:" + client[:64])
        if hashed not in self._known:
            await self.lockouts.check(*names)
        try:
            who = await self._look_up(hashed, token=False)
        except Problem:
            return None
        if who is None or not secrets.compare_digest(("key_" + who.key).encode(), client.encode("utf-8", "replace")):
            await self.lockouts.failed(*names)
            return None
        self.lockouts.succeeded(names[1])
        return who

    async def _look_up(self, hashed: str, token: bool) -> Who | None:
        """None for what is not known at all.  Raises Problem for what is known and no good any more."""
        changes, now, began = self._changes, self._clock.now(), self._clock.monotonic()
        key, scopes, until = await (self._of_token(hashed) if token else self._of_key(hashed))
        if key is None or key.over(now) or (until is not None and until <= now):
            self._known.pop(hashed, None)
            if key is None:
                return None
            raise _unauthorized("this key or token has expired, or was revoked")
        tenant = await self._database.tenants.get(key.tenant)
        suspended = tenant is None or tenant.suspended_at is not None
        rate = tenant.requests_per_second if tenant else None
        who = Who(key.id, key.tenant, frozenset(scopes), suspended, hashed, token, key.expires_at, rate)
        lasts = min((REMEMBER_S, *((end - now) / 1000 for end in (until, key.expires_at) if end is not None)))
        _remember(self._known, hashed, (who, began + lasts if changes == self._changes else 0.0))
        self._touch(key, now)
        return who

    async def _of_key(self, hashed: str) -> tuple[ApiKey | None, tuple[str, ...], int | None]:
        key = await self._database.keys.by_hash(hashed)
        return key, key.scopes if key else (), None

    async def _of_token(self, hashed: str) -> tuple[ApiKey | None, tuple[str, ...], int | None]:
        token = await self._database.tokens.by_hash(hashed)
        if token is None or token.kind != "access":
            return None, (), None
        return token.key, token.scopes, token.expires_at

    def _touch(self, key: ApiKey, now: int) -> None:
        """Note that a key is used, now and then and beside the request."""
        if key.last_used_at is None or now - key.last_used_at >= TOUCH_MS:
            with carrying(None):
                self._tasks.spawn(self._write_touch(key.id, now))

    async def _write_touch(self, key_id: str, now: int) -> None:
        try:
            await self._database.keys.used({key_id: now})
        except NotSaved as error:
            log.debug("the last use of a key is not noted", reason=str(error))

    async def check(self, who: Who) -> Who:
        """Look a key up again that was valid a while ago.  Raises Problem."""
        found = await self._look_up(who.hashed, who.token)
        if found is None:
            raise _unauthorized("this key or token is gone")
        return found

    def forget(self) -> None:
        """Look every key up again: one was changed.  That they once were right stays known."""
        self._changes += 1
        for hashed, (who, _) in self._known.items():
            self._known[hashed] = (who, 0.0)

    def made(self, hashed: str) -> None:
        """We made this key or token: no lock-out is meant for it."""
        _remember(self._known, hashed, (NOBODY, 0.0))

    def ticket(self, who: Who) -> tuple[str, float]:
        """A word that opens one live socket within ``TICKET_LIFE_S``, for browsers, which cannot send a header there."""
        ticket = "pbt_" + secrets.token_urlsafe(24)
        _remember(self._tickets, ticket, (who, self._clock.monotonic() + TICKET_LIFE_S))
        return ticket, TICKET_LIFE_S

    def redeem(self, ticket: str) -> Who:
        """Whose ticket this is; it is used up by asking.  Raises Problem."""
        who, until = self._tickets.pop(ticket, (None, 0.0))
        if who is None or until < self._clock.monotonic():
            raise _unauthorized("this ticket is not known, used, or too old")
        return who


def _remember(known: OrderedDict[str, tuple[Who, float]], name: str, value: tuple[Who, float]) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > REMEMBER_MOST:
        known.popitem(last=False)


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="patchbay"'})


def allow(who: Who, scope: str) -> Who:
    """Raises Problem unless this key allows ``scope``; a suspended tenant may read only."""
    if not who.may(scope):
        raise Problem("forbidden", f"this API key does not have the scope {scope}")
    if who.suspended and not scope.endswith(":read"):
        raise Problem("suspended")
    return who
