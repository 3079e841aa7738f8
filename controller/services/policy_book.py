"""What is in force, in memory: every tenant's policy, the kill switches, and the numbers that are ours.

It is read again each second, and at once after a change made here; what another controller changed counts within that second.
While it cannot be read for ``STALE_S`` nobody knows what is allowed, and nothing is.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from controller.config_policy import Policy as Settings
from controller.core.policy_state import EVERYONE, Kept, LegUsed, Marks, Stop
from controller.ports import Clock, NotSaved
from controller.services import policy_terms as terms
from controller.services.policy_terms import Tenant

log = structlog.get_logger(__name__)

EVERY_S = 1.0
STALE_S = 15.0


class PolicyStore(Protocol):
    """Where policies are kept, and what was dialled."""

    async def marks(self) -> Marks:
        """By what a change is noticed."""

    async def kept(self, tenant: str) -> tuple[int, Kept]:
        """A tenant's policy and its version."""

    async def numbers(self) -> dict[str, str]:
        """Every number that this installation itself answers, with its tenant."""

    async def used(self, since: int, live: bool) -> list[LegUsed]:
        """The legs that were dialled in calls that ended since then (ms), and of live calls if ``live``."""


class Book:
    """What is in force."""

    def __init__(self, store: PolicyStore, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._anybody = terms.tenant(settings, Kept())
        self._tenants: dict[str, Tenant] = {}
        self._versions: dict[str, int] = {}
        self._suspended: frozenset[str] = frozenset()
        self._numbers: dict[str, str] = {}
        self._mark = (-1, "")
        self._read_at = -STALE_S * 2
        self._reading = asyncio.Lock()
        self.broken: frozenset[str] = frozenset()
        """Tenants whose policy cannot be read: they may dial nothing."""
        self.limits: Mapping[str, tuple[float | None, int | None]] = {}
        self.limited: Callable[[Mapping[str, tuple[float | None, int | None]]], None] = lambda _limits: None
        """Told when the tenants' own bounds on calls have changed."""
        self.recount: set[str] = set()
        """Tenants for which it was not counted how often a callee is called, and now is of interest."""

    def check_fresh(self) -> None:
        """Raises NotSaved while it is not known what is in force."""
        if self._clock.monotonic() - self._read_at > STALE_S:
            raise NotSaved("what may be dialled cannot be read")

    def of(self, tenant: str) -> Tenant:
        """A tenant's policy; what everybody has if it has set nothing."""
        return self._tenants.get(tenant, self._anybody)

    def counts_rings(self, tenant: str) -> bool:
        """Whether it is of interest how often a callee is called."""
        return self.of(tenant).terms.callee_24h is not None

    def stop_of(self, tenant: str) -> Stop | None:
        """The kill switch that is on for this tenant: everybody's, or its own."""
        return self.of(EVERYONE).kept.stop or self.of(tenant).kept.stop

    def stopped(self, tenant: str) -> str:
        """Why this tenant may dial nothing, in words; empty: it may."""
        if tenant in self._suspended:
            return "the tenant is suspended"
        if tenant in self.broken:
            return "the tenant's policy cannot be read"
        if self.of(EVERYONE).kept.stop is not None:
            return "all dialling is stopped"
        return "the tenant's dialling is stopped" if self.of(tenant).kept.stop is not None else ""

    def blocks(self, tenant: str, number: str) -> bool:
        """Whether the tenant's block list has this number."""
        return self.of(tenant).terms.block.longest(number) is not None

    def owner(self, number: str) -> str | None:
        """Whose number this is."""
        return self._numbers.get(number)

    def stops(self) -> list[str]:
        """The tenants (EVERYONE among them) whose kill switch is on and ends live calls."""
        return [name for name, tenant in self._tenants.items() if tenant.kept.stop is not None and tenant.kept.stop.end_calls]

    async def refresh(self) -> None:
        """Read what has changed.  Raises NotSaved, Unavailable; then what was known stays."""
        async with self._reading:
            began = self._clock.monotonic()
            marks = await self._store.marks()
            if marks.numbers != self._mark:
                self._numbers = await self._store.numbers()
                self._mark = marks.numbers
            for name, version in marks.versions.items():
                if self._versions.get(name) != version:
                    await self._read(name)
            for gone in self._versions.keys() - marks.versions.keys():
                del self._versions[gone]
                self._tenants.pop(gone, None)
            self._suspended = marks.suspended
            if marks.limits != self.limits:
                self.limits = marks.limits
                self.limited(marks.limits)
            self._read_at = began

    async def _read(self, name: str) -> None:
        version, kept = await self._store.kept(name)
        counted = self.counts_rings(name)
        try:
            self._tenants[name] = terms.tenant(self._settings, kept)
            self.broken -= {name}
        except (terms.NotCountable, ValueError) as error:
            log.error("a tenant's policy cannot be used: nothing is dialled for it", tenant=name, reason=str(error))
            self._tenants[name] = Tenant(kept, self._anybody.chosen, frozenset(kept.settings), self._anybody.terms)
            self.broken |= {name}
        self._versions[name] = version
        if self.counts_rings(name) and not counted:
            self.recount.add(name)
