"""Who failed too often is not listened to for a while: an address, the beginning of a key, a client id.

A key has 256 random bits, so nobody guesses one; this keeps who tries from costing us a look-up each time, and tells.  A lock
never touches a credential that has proved itself in this process (``auth`` remembers those), so nobody can be shut out of his
own account by somebody else's attempts.  Locks are kept in the database: a restart does not lift them, and other controllers
learn of them within seconds.  Memory and table are bounded.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from controller.api.problems import Problem
from controller.config import Access
from controller.ports import Clock, NotSaved
from controller.store.database import Database
from controller.store.rows import Lockout

log = structlog.get_logger(__name__)

REMEMBER_MOST = 10_000
"""Names of each kind that are counted; the longest untouched is forgotten first."""
LOOK_AGAIN_S = 5.0
"""How often the locks of other controllers are read, while there are failures here."""


@dataclass(slots=True)
class Count:
    """``failures`` since ``since`` (ms); locked until ``until`` (ms) for the ``locks``-th time."""

    failures: int = 0
    since: int = 0
    until: int = 0
    locks: int = 0


def by_address(host: str) -> str:
    """The name of an address: an IPv6 network of 64 bits is one, for that is what a single customer has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "address:" + host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"address:{address.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((int(address) >> 64 << 64, 64)).network_address}"
    return f"address:{address}"


class Lockouts:
    """Counts failed attempts."""

    def __init__(self, database: Database, clock: Clock, settings: Access) -> None:
        self._database, self._clock, self._settings = database, clock, settings
        self._counts: dict[str, OrderedDict[str, Count]] = {}
        self._looked_at = float("-inf")

    async def check(self, *names: str) -> None:
        """Raises Problem while one of these is locked."""
        if self._clock.monotonic() - self._looked_at > LOOK_AGAIN_S:
            await self._look()
        now = self._clock.now()
        until = max(count.until if (count := self._find(name)) else 0 for name in names)
        if until > now:
            seconds = str(max(1, -(-(until - now) // 1000)))
            raise Problem("rate_limited", "too many failed attempts; try again later", headers={"Retry-After": seconds})

    async def _look(self) -> None:
        self._looked_at = self._clock.monotonic()
        for lock in await self._database.lockouts.all(self._clock.now()):
            count = self._count(lock.name)
            if lock.until > count.until:
                count.until, count.locks = lock.until, lock.locks

    async def failed(self, *names: str) -> None:
        """An attempt with these was wrong.  A lock is durable when this returns, if it can be."""
        now, settings = self._clock.now(), self._settings
        for name in names:
            count = self._count(name)
            if now - count.since > settings.failures_within_s * 1000:
                if now - count.until > settings.lock_most_s * 1000:
                    count.locks = 0
                count.failures, count.since = 0, now
            count.failures += 1
            if count.failures >= (settings.address_failures if name.startswith("address:") else settings.failures):
                await self._lock(name, count, now)

    async def _lock(self, name: str, count: Count, now: int) -> None:
        seconds = min(self._settings.lock_s * 2 ** min(count.locks, 20), self._settings.lock_most_s)
        count.until, count.locks, count.failures = now + seconds * 1000, count.locks + 1, 0
        log.warning("too many failed attempts: locked out", kind=name.partition(":")[0], seconds=seconds, locks=count.locks)
        try:
            await self._database.lockouts.put(Lockout(name, count.until, count.locks), now)
        except NotSaved as error:
            log.warning("a lock-out is not kept over a restart", reason=str(error))

    def succeeded(self, name: str) -> None:
        """The credential of this name was right."""
        self._of_kind(name).pop(name, None)

    def _find(self, name: str) -> Count | None:
        return self._of_kind(name).get(name)

    def _of_kind(self, name: str) -> OrderedDict[str, Count]:
        return self._counts.setdefault(name.partition(":")[0], OrderedDict())

    def _count(self, name: str) -> Count:
        counts = self._of_kind(name)
        count = counts.setdefault(name, Count())
        counts.move_to_end(name)
        if len(counts) > REMEMBER_MOST:
            counts.popitem(last=False)
        return count
