"""What was dialled: how often each callee was rung, and what was talked and spent on a day.

Nothing here is written down: the calls themselves are, and after a start the counters come from them.  A leg may be told of as
often as one likes.  A day is one of UTC, and a leg counts, with its whole length, for the day on which it was answered.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from operator import itemgetter

from controller.core.policy_state import LegUsed
from controller.core.rates import Rates

DAY_MS = 86_400_000
REMEMBER_MS = 600_000
"""How long a leg that has ended is known by its id: it may be told of again."""


@dataclass(slots=True)
class Used:
    """What ended legs used on one day: ms that they were answered for, and millionths of money."""

    talked_ms: int = 0
    spent: int = 0


@dataclass(slots=True)
class Counts:
    """The counters of all tenants."""

    rates: Rates
    _rung: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    _waiting: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    _live: dict[str, dict[str, LegUsed]] = field(default_factory=dict)
    _days: dict[tuple[str, int], Used] = field(default_factory=dict)
    _ended: dict[str, int] = field(default_factory=dict)

    # --- how often a callee was rung

    def rung(self, tenant: str, number: str, at: int, but: str = "") -> int:
        """How often in the 24 hours before ``at``, the leg ``but`` left out."""
        found = self._rung.get((tenant, number))
        if not found:
            return 0
        count = len(found) - (but in found)
        for leg, when in found.items():
            if when > at - DAY_MS:
                break
            count -= leg != but
        return count

    def oldest(self, tenant: str, number: str, at: int) -> int | None:
        """When the first of those was."""
        return next((when for when in self._rung.get((tenant, number), {}).values() if when > at - DAY_MS), None)

    def ring(self, tenant: str, number: str, leg: str, call: str, at: int) -> None:
        """A callee is being rung."""
        found = self._rung.setdefault((tenant, number), {})
        if leg not in found:
            late = bool(found) and next(reversed(found.values())) > at
            found[leg] = at
            if late:  # told of afterwards: they stay in the order of time
                self._rung[tenant, number] = dict(sorted(found.items(), key=itemgetter(1)))
        self.waits_no_more(tenant, number, call)

    def unring(self, tenant: str, number: str, leg: str) -> None:
        """The phone never rang: the PBX or a rule refused it."""
        found = self._rung.get((tenant, number))
        if found is not None:
            found.pop(leg, None)

    def wait(self, tenant: str, number: str, call: str) -> None:
        """A call waits that will ring this callee."""
        self._waiting.setdefault((tenant, number), set()).add(call)

    def waits_no_more(self, tenant: str, number: str, call: str) -> None:
        """It rings it now, or never will."""
        found = self._waiting.get((tenant, number))
        if found is not None:
            found.discard(call)
            if not found:
                del self._waiting[tenant, number]

    def waiting(self, tenant: str, number: str) -> int:
        """How many calls wait that will ring this callee."""
        return len(self._waiting.get((tenant, number), ()))

    # --- minutes and money

    def saw(self, leg: LegUsed, rings: bool = True) -> bool:
        """A leg that was dialled, as it is now.  True the first time that it is seen to have ended after an answer.

        ``rings``: it is of interest how often its callee is called."""
        if leg.callee and rings:
            self.ring(leg.tenant, leg.number, leg.id, leg.call, leg.dialed_at)
        if leg.answered_at is None or leg.id in self._ended:
            return False
        mine = self._live.setdefault(leg.tenant, {})
        if leg.ended_at is None:
            mine[leg.id] = leg
            return False
        mine.pop(leg.id, None)
        self._ended[leg.id] = leg.ended_at
        used = self._days.setdefault((leg.tenant, leg.answered_at // DAY_MS), Used())
        used.talked_ms += max(0, leg.ended_at - leg.answered_at)
        used.spent += self._cost(leg, leg.ended_at)
        return True

    def used(self, tenant: str, now: int) -> Used:
        """What this day has used so far, the legs that are up included."""
        today = now // DAY_MS
        ended = self._days.get((tenant, today), Used())
        total = Used(ended.talked_ms, ended.spent)
        for leg in self._live.get(tenant, {}).values():
            if leg.answered_at is not None and leg.answered_at // DAY_MS == today:
                total.talked_ms += max(0, now - leg.answered_at)
                total.spent += self._cost(leg, now)
        return total

    def _cost(self, leg: LegUsed, until: int) -> int:
        rate = self.rates.of(leg.number)
        return 0 if rate is None or leg.answered_at is None else rate.cost(until - leg.answered_at)

    # --- upkeep

    def sweep(self, now: int) -> None:
        """Forget what counts no more."""
        for key in [key for key, legs in self._rung.items() if all(when <= now - DAY_MS for when in legs.values())]:
            del self._rung[key]
        self._ended = {leg: at for leg, at in self._ended.items() if at > now - REMEMBER_MS}
        self._days = {key: used for key, used in self._days.items() if key[1] >= now // DAY_MS - 1}


@dataclass(slots=True)
class ShortEnds:
    """Bursts of very short calls: what fraud and broken dialling look like from here.  ``alarms``: how many were raised."""

    alarms: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, deque[int]] = field(default_factory=dict)

    def ended(self, tenant: str, at: int, count: int, within_ms: int) -> bool:
        """One more has ended; True when this makes a burst.  The next alarm needs a burst of its own."""
        seen = self._seen.setdefault(tenant, deque())
        seen.append(at)
        while seen and seen[0] <= at - within_ms:
            seen.popleft()
        if len(seen) < count:
            return False
        seen.clear()
        self.alarms[tenant] += 1
        return True
