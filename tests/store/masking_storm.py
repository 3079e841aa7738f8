"""Many clients who bind, release, change, call and let time pass, and a ledger that knows what may be true.

Time is the storm's own and moves only forward, in steps that every client sees.  The ledger is what the clients were told: of a
binding when it was made, until when it is good, and what it gave.  Nothing of the store's own rules is used to judge it."""

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from controller.core.masking import NEVER, Binding, Choice, Connect, Mode, route
from controller.ports import NotSaved
from controller.store.database import Database
from controller.store.errors import NumberConflict, PoolExhausted
from tests.store.calls import TENANT
from tests.store.masking import NOW, binding, pool

MODES: tuple[Mode, ...] = ("axb", "axb", "axb", "axyb", "ax", "axe")
COOL_MS = 40


@dataclass
class Storm:
    """``truth``: bindings as their clients know them, by id; ``since``: when each was there at the latest, because a
    request that waits for its turn was made by an older clock; ``ended``: of which it was told, in this order."""

    db: Database
    chance: random.Random
    people: list[str]
    numbers: list[str]
    now: int = NOW
    truth: dict[str, Binding] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    moving: set[str] = field(default_factory=set)

    async def run(self, operations: int, clients: int) -> None:
        """Do so many operations, so many at a time; then look at the whole."""
        await pool(self.db, *self.numbers, cool_ms=COOL_MS)
        share = operations // clients
        for _ in range(share // 50):
            await asyncio.gather(*(self._client(50) for _ in range(clients)))
            await self._all_is_well()

    async def _client(self, operations: int) -> None:
        for _ in range(operations):
            act = self.chance.choices(
                (self._bind, self._call, self._release, self._renew, self._pass, self._tidy), (8, 8, 4, 2, 2, 1)
            )
            try:
                await act[0]()
            except NotSaved:  # a machine that is busy for seconds: who was told so asks how it is now
                self.counts["unsaved"] += 1

    # --- what clients do

    async def _bind(self) -> None:
        a, b = self.chance.sample(self.people, 2)
        mode = self.chance.choice(MODES)
        ends = self.now + self.chance.choice((5, 50, NEVER - self.now))
        named = self.chance.choice(self.numbers) if mode in ("axb", "ax") and self.chance.random() < 0.3 else ""
        wanted = binding(a, b, mode=mode, expires_at=ends, created_at=self.now, x=named)
        asked_at = self.now
        try:
            made = await self.db.bindings.bind(wanted, Choice(asked_at, self.chance.randrange(len(self.numbers))))
        except PoolExhausted:
            self.counts["exhausted"] += 1
            return
        except NumberConflict:
            self.counts["conflict"] += 1
            return
        except NotSaved:
            if (found := await self.db.bindings.get(TENANT, wanted.id)) is None:
                raise
            made = found
        self.counts["bound"] += 1
        self._note(made)

    def _note(self, made: Binding) -> None:
        self.truth[made.id], self.since[made.id] = made, self.now

    async def _release(self) -> None:
        if (chosen := self._any()) is not None:
            at = self.now
            async with self._known_again(chosen):
                released = await self.db.bindings.release(TENANT, chosen.id, at)
            assert released is not None
            if released[1]:
                assert at < self.truth[chosen.id].expires_at
                self.truth[chosen.id] = replace(self.truth[chosen.id], state="released", ended_at=at)
                self.ended[chosen.id] = len(self.ended)
                self.counts["released"] += 1

    async def _renew(self) -> None:
        if (chosen := self._any()) is not None:
            ends = self.now + 60
            async with self._known_again(chosen):
                changed = await self.db.bindings.change(TENANT, chosen.id, self.now, lambda one: replace(one, expires_at=ends))
            if changed is not None:
                self.truth[chosen.id] = changed
                self.counts["renewed"] += 1

    async def _call(self) -> None:
        """A call reaches whom a binding says that lived when it was looked up, or nobody."""
        x, caller = self.chance.choice(self.numbers), self.chance.choice(self.people)
        before, at, ended = self._meant(x, caller), self.now, len(self.ended)
        found = await self.db.bindings.dialled(x, caller)
        assert found is not None
        decision = route(*found, caller, at)
        if not isinstance(decision, Connect):
            self.counts["refused"] += 1
            return
        self.counts["reached"] += 1
        assert self.ended.get(decision.binding.id, ended) >= ended, "a call through what had been released"
        told = self.truth.get(decision.binding.id, decision.binding)
        assert (told.x, told.y, told.a, told.b) == tuple(getattr(decision.binding, name) for name in ("x", "y", "a", "b"))
        assert (decision.to, decision.display) == _ways(told)[(x, _who(told, x, caller))], "a call to the wrong party"
        assert len(before) <= 1, "two were meant"

    async def _pass(self) -> None:
        self.now += self.chance.choice((1, 3, 10))

    async def _tidy(self) -> None:
        for over in await self.db.bindings.expire(self.now, 20):
            assert over.expires_at <= self.now
            self.counts["expired"] += 1
            if over.id in self.truth:
                assert self.truth[over.id].ended_at is None
                self.truth[over.id] = replace(self.truth[over.id], state="expired", ended_at=over.expires_at)
        await self.db.bindings.sweep(self.now, 20)

    @asynccontextmanager
    async def _known_again(self, chosen: Binding) -> AsyncIterator[None]:
        """Whatever came of changing it, its client knows how it is."""
        try:
            yield
        except NotSaved:
            found = await self.db.bindings.get(TENANT, chosen.id)
            assert found is not None
            self.truth[chosen.id] = found
            raise
        finally:
            self.moving.discard(chosen.id)

    def _any(self) -> Binding | None:
        """A binding that no other client is changing: what is known of it is then exact."""
        living = [one for one in self._recent() if one.id not in self.moving]
        if not living:
            return None
        chosen = self.chance.choice(living)
        self.moving.add(chosen.id)
        return chosen

    def _recent(self) -> list[Binding]:
        return [self.truth[name] for name in list(self.truth)[-200:] if self.truth[name].state == "active"]

    # --- what must be true

    def _meant(self, x: str, caller: str) -> set[str]:
        """Whom the ledger says a call may reach."""
        living = [one for one in self._recent() if one.lives(self.now) and x in (one.x, one.y)]
        own = {one.id for one in living if (x, caller) in _ways(one)}
        return own or {one.id for one in living if one.mode == "ax"}

    async def _all_is_well(self) -> None:
        """While nobody acts: no person twice on a number, none too soon, and a full pool is full for whom it was said to be."""
        self._no_overlap()
        for a, b in [self.chance.sample(self.people, 2) for _ in range(5)]:
            free = [x for x in self.numbers if self._is_free(x, a, b)]
            try:
                made = await self.db.bindings.bind(binding(a, b, created_at=self.now), Choice(self.now, 0))
            except PoolExhausted:
                assert free == [], "exhausted, and there was one"
                self.counts["exhausted truly"] += 1
            else:
                assert made.x in free
                self._note(made)
                self.counts["free truly"] += 1

    def _is_free(self, x: str, a: str, b: str) -> bool:
        """A pair may have this number: only pairs are on it, and neither a nor b."""
        for one in self.truth.values():
            if (
                x in (one.x, one.y)
                and self.now < _taken_until(one)
                and (one.use != "pairs" or {(x, a), (x, b)} & set(_ways(one)))
            ):
                return False
        return True

    def _no_overlap(self) -> None:
        spans: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
        for one in self.truth.values():
            for x, person in _ways(one):
                spans[(x, person)].append((self.since[one.id], _taken_until(one), one.id))
        for (x, _), several in spans.items():
            several.sort()
            for (_, until, first), (since, _, second) in itertools.pairwise(several):
                assert until <= since, f"{first} and {second} share a party on {x[-2:]}"


def _taken_until(one: Binding) -> int:
    ends = one.ended_at if one.ended_at is not None else one.expires_at
    return min(NEVER, ends + COOL_MS)


def _ways(one: Binding) -> dict[tuple[str, str], tuple[str, str]]:
    """(number, who dials) to (whom that reaches, what is shown there); ``anyone`` on a number that is open."""
    if one.mode == "axyb":
        return {(one.x, one.a): (one.b, one.y), (one.y, one.b): (one.a, one.x)}
    ways = {(one.x, one.a): (one.b, one.x)}
    if one.mode == "axb":
        ways[(one.x, one.b)] = (one.a, one.x)
    elif one.mode == "ax":
        ways[(one.x, "anyone")] = (one.a, one.x)
    else:
        ways[(one.x, "ext " + one.extension)] = (one.a, one.x)
    return ways


def _who(one: Binding, x: str, caller: str) -> str:
    return caller if (x, caller) in _ways(one) else "anyone"
