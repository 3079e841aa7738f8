"""The policy: asked before a call is taken in, and again directly before each verb that rings a phone.

Both ask the same rules (``core.policy``) about the same state (``policy_book``, ``policy_counts``).  All that dials passes
``allowed``: callbacks, transfers, what a caller on a masked number is connected to.  A refusal names its rule, is counted and
goes to the audit log.  While it is not known what is in force nothing rings.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator

import structlog

from controller.config_policy import Policy as Settings
from controller.core.call import Call, Leg
from controller.core.events import Event, ShortCalls
from controller.core.policy import Case, Refusal, Rule, explain, judge
from controller.core.policy_state import EVERYONE, LegUsed, Stop, is_called
from controller.core.verbs import Connect, Dial, Verb
from controller.ports import Clock, NotSaved
from controller.services import numbering
from controller.services.inbox import Busy
from controller.services.journal import OURSELVES, Entry, Journal
from controller.services.policy_book import EVERY_S, Book, PolicyStore
from controller.services.policy_counts import DAY_MS, Counts, ShortEnds
from controller.services.policy_terms import rates
from controller.services.tasks import Tasks

log = structlog.get_logger(__name__)

LOOK_BACK_MS = 5_000
SWEEP_S = 600.0
TELL_TRIES, TELL_AGAIN_S = 60, 5.0
MOST_ZONES = 4
"""When a number with more time zones may be called is not searched for."""
QUARTER_MS = 900_000
SEARCH_MS = 8 * DAY_MS


class Forbidden(Exception):
    """A rule refuses.  ``param``: the field at fault; ``retry_after_s``: when it may be otherwise, where that is known."""

    def __init__(self, refusal: Refusal, param: str, retry_after_s: int | None = None) -> None:
        super().__init__(refusal.why)
        self.refusal, self.param, self.retry_after_s = refusal, param, retry_after_s


class Policy:
    """What may be dialled.  ``legs``: the legs that a call's flow dials, which name its variables with their numbers;
    ``shared``: other controllers dial too."""

    def __init__(
        self,
        store: PolicyStore,
        settings: Settings,
        legs: Callable[[str, str], tuple[str, ...]],
        clock: Clock,
        journal: Journal,
        shared: bool,
    ) -> None:
        self._store, self._legs, self._clock, self._journal, self._shared = store, legs, clock, journal, shared
        self.settings = settings
        self.book = Book(store, settings, clock)
        self.counts = Counts(rates(settings))
        self.short = ShortEnds()
        self.refused: Counter[str] = Counter()
        self.end_call: Callable[[str], Awaitable[object]] = _nobody
        self.live: Callable[[], Iterable[Call]] = tuple
        self.tell: Callable[[str, Event], Awaitable[object]] = _nobody_told
        self._tasks = Tasks()
        self._looked = 0

    # --- may it be dialled?

    def check(self, call: Call) -> None:
        """May a new call be taken in, to be dialled when it is scheduled for?  Raises Forbidden, NotSaved."""
        others: list[str] = []
        for name in self._legs(call.flow, call.flow_version):
            number, display = call.vars.get(name), call.vars.get(name + "_display")
            if isinstance(number, str) and number:
                shown = display if isinstance(display, str) else None
                self.check_leg(call, name, number, shown, tuple(others))
                others.append(number)

    def check_leg(
        self, call: Call, name: str, number: str, display: str | None, others: tuple[str, ...] = (),
        param: str = "", display_param: str = "",
    ) -> None:  # fmt: skip
        """The same for one leg of a call; ``display`` None: it is not known yet.  Raises Forbidden, NotSaved."""
        self.book.check_fresh()
        now = self._clock.now()
        when = max(now, call.not_before or 0)
        waiting = self.counts.waiting(call.tenant, number) if when == now else 0
        case = self._case(call.tenant, number, display, is_called(call, name), others, when, waiting=waiting)
        refusal = judge(self.book.of(call.tenant).terms, case)
        if refusal is not None:
            names = {"number": param or name, "display": display_param or name + "_display"}
            raise Forbidden(refusal, names.get(refusal.param, refusal.param), self._again(call.tenant, number, refusal, when))

    def allowed(self, call: Call, verb: Verb) -> str | None:
        """Directly before a verb that rings: None, or the code of the rule that refuses.  Raises NotSaved.

        The callee counts as rung from here on."""
        leg = call.leg(verb.far if isinstance(verb, Connect) else verb.leg)
        if leg is None or not isinstance(verb, Dial | Connect):
            return "destination_blocked"  # whatever else may ring one day: no rule has been asked about it
        self.book.check_fresh()
        callee, now = is_called(call, leg.name), self._clock.now()
        others = tuple([other.number for other in call.legs if other is not leg and other.live])
        case = self._case(call.tenant, verb.number, verb.display, callee, others, now, leg.id)
        refusal = judge(self.book.of(call.tenant).terms, case)
        if refusal is not None:
            self.refused[refusal.code] += 1
            told = {"result": "refused", "code": refusal.code, "rule": refusal.rule, "param": leg.name}
            self._journal.later(Entry(call.tenant, OURSELVES, "policy.refused", "call_" + call.id, told))
            return refusal.code
        if callee and self.book.counts_rings(call.tenant):
            self.counts.ring(call.tenant, verb.number, leg.id, call.id, now)
        return None

    def _case(
        self, tenant: str, number: str, display: str | None, callee: bool, others: tuple[str, ...], at: int, leg: str = "",
        waiting: int = 0,
    ) -> Case:  # fmt: skip
        about, ours, terms = numbering.about(number), self.book.owner(number), self.book.of(tenant).terms
        capped = terms.minutes is not None or terms.spend is not None
        used = self.counts.used(tenant, at) if capped else None
        timed = callee and terms.hours is not None and not terms.hours.always
        return Case(
            number=number,
            role="callee" if callee else "caller",
            emergency=about.emergency,
            kinds=about.kinds if ours is None else about.kinds | {"own"},
            zones=numbering.clocks(about.zones, at) if timed else None,
            others=others,
            stopped=self.book.stopped(tenant),
            display=display is None or self.book.owner(display) == tenant,
            rung=self.counts.rung(tenant, number, at, leg) + waiting if callee and terms.callee_24h is not None else 0,
            talked_ms=used.talked_ms if used else 0,
            spent=used.spent if used else 0,
            priced=terms.spend is None or self.counts.rates.of(number) is not None,
        )

    def explain(self, tenant: str, display: str, number: str, at: int) -> list[tuple[Rule, str | None]]:
        """What each rule says of a call to this callee, showing ``display``.  Raises NotSaved."""
        self.book.check_fresh()
        case = self._case(tenant, number, display, True, (display,), at)
        return explain(self.book.of(tenant).terms, case)

    def opens_at(self, tenant: str, number: str, at: int) -> int | None:
        """From when on, not before ``at`` (ms), it is within the calling hours; None: not within eight days, or not known."""
        hours, zones = self.book.of(tenant).terms.hours, numbering.about(number).zones
        if hours is None or hours.always:
            return at
        times: list[int] = [at]
        if len(zones) <= MOST_ZONES:
            times += range(at - at % QUARTER_MS + QUARTER_MS, at + SEARCH_MS, QUARTER_MS)
        for when in times:
            shown = numbering.clocks(zones, when)
            if shown is not None and all(hours.open(weekday, minute) for weekday, minute in shown):
                return when
        return None

    def may_start(self, call: Call, now: int) -> int | None:
        """From when on, not before ``now``, all whom a waiting call will ring for it may be called; None: no time is found."""
        when: int | None = now
        for number in self._callees(call):
            found = self.opens_at(call.tenant, number, when or now)
            when = found if found is None or when is None else max(when, found)
            if when is None:
                return None
        return when

    def _again(self, tenant: str, number: str, refusal: Refusal, at: int) -> int | None:
        then: int | None = None
        if refusal.code == "quota_exceeded":
            then = (at // DAY_MS + 1) * DAY_MS
        elif refusal.code == "frequency_exceeded":
            oldest = self.counts.oldest(tenant, number, at)
            then = None if oldest is None else oldest + DAY_MS
        elif refusal.code == "outside_calling_hours":
            then = self.opens_at(tenant, number, at)
        if then is None:
            return None
        seconds: int = (then - self._clock.now() + 999) // 1000
        return max(1, seconds)

    # --- what happens

    def committed(self, before: Call, after: Call, _facts: object) -> None:
        """Watches the calls."""
        if after is before and not after.ended:
            self.adopt((after,))
        elif after.ended:
            for number in self._callees(after):
                self.counts.waits_no_more(after.tenant, number, after.id)
        if after.legs is not before.legs:
            for leg in after.legs:
                if before.leg(leg.id) is not leg:
                    self._watch(after, leg)

    def adopt(self, calls: Iterable[Call]) -> None:
        """Calls that wait: new ones, and those that are found after a start.  One for later does not count before its time."""
        now = self._clock.now()
        for call in calls:
            for number in self._callees(call) if (call.not_before or 0) <= now else ():
                self.counts.wait(call.tenant, number, call.id)

    def _callees(self, call: Call) -> Iterator[str]:
        for name in self._legs(call.flow, call.flow_version):
            number = call.vars.get(name)
            if isinstance(number, str) and number and is_called(call, name):
                yield number

    def _watch(self, call: Call, leg: Leg) -> None:
        if leg.arrived or leg.dialed_at is None:
            return
        callee = is_called(call, leg.name)
        if leg.verdict is not None:
            if callee:
                self.counts.unring(call.tenant, leg.number, leg.id)
        elif leg.answered_at is not None:
            used = LegUsed(leg.id, call.id, call.tenant, leg.number, callee, leg.dialed_at, leg.answered_at, leg.ended_at)
            if self.counts.saw(used, self.book.counts_rings(call.tenant)) and callee and leg.ended_at is not None:
                self._was_short(call, leg.ended_at - leg.answered_at, leg.ended_at)

    def _was_short(self, call: Call, ms: int, at: int) -> None:
        tenant, alarm = call.tenant, self.book.of(call.tenant).chosen.short_calls
        if alarm is None or ms >= alarm.shorter_than_s * 1000:
            return
        if self.short.ended(tenant, at, alarm.count, alarm.within_s * 1000):
            self._tasks.spawn(self._tell(call.id, ShortCalls(self._clock.now(), alarm.count, alarm.within_s)))
            log.warning("a burst of very short calls", tenant=tenant, count=alarm.count, within_s=alarm.within_s)
            told = {"result": "alarm", "calls": alarm.count, "within_s": alarm.within_s}
            self._journal.later(Entry(tenant, OURSELVES, "policy.short_calls", "", told))

    async def _tell(self, call: str, event: ShortCalls) -> None:
        """Tell it in the timeline of the call that made the burst, which may be over; a database that is away is waited for."""
        for _ in range(TELL_TRIES):
            try:
                await self.tell(call, event)
                return
            except (NotSaved, Busy) as error:
                log.warning("an alarm is not told yet", call=call, reason=str(error))
                await asyncio.sleep(TELL_AGAIN_S)

    # --- kill switches

    async def end_stopped(self) -> None:
        """End the live calls of those whose kill switch says so."""
        stops = self.book.stops()
        if not stops:
            return
        ending = [call.id for call in self.live() if not call.ending and (EVERYONE in stops or call.tenant in stops)]
        await asyncio.gather(*(self.end_call(call) for call in ending), return_exceptions=True)

    def stop_of(self, tenant: str) -> Stop | None:
        """The kill switch that is on for a tenant."""
        return self.book.stop_of(tenant)

    # --- the clock

    async def start(self, waiting: Iterable[Call] = ()) -> None:
        """Read what is in force, and count what was dialled since yesterday.  Raises NotSaved, Unavailable."""
        await asyncio.to_thread(numbering.warm)
        await self.book.refresh()
        self.book.recount.clear()
        self._looked = self._clock.now()
        await self._count(self._looked - DAY_MS)
        self.adopt(waiting)

    async def _count(self, since: int) -> None:
        """Count the legs of calls that live, or ended since then."""
        for leg in await self._store.used(since, live=True):
            self.counts.saw(leg, self.book.counts_rings(leg.tenant))

    async def changed(self) -> None:
        """Something was changed here: it counts at once, or, should the database be away, when it is back."""
        try:
            await self.refresh()
        except Exception as error:
            log.warning("policy not read", reason=str(error))

    async def refresh(self) -> None:
        """Read what has changed.  Raises NotSaved, Unavailable."""
        await self.book.refresh()
        await self.end_stopped()
        if self.book.recount:
            await self._recount()

    async def run(self) -> None:
        """Keep up, until cancelled."""
        swept = self._clock.monotonic()
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.refresh()
                if self._shared:
                    await self._look_at_others()
            except Exception as error:  # the database is away: what was known goes stale, and then nothing rings
                log.warning("policy not read", reason=str(error))
            if self._clock.monotonic() - swept > SWEEP_S:
                swept = self._clock.monotonic()
                self.counts.sweep(self._clock.now())

    async def _recount(self) -> None:
        """How often callees were called became of interest; minutes and money were counted all the time."""
        self.book.recount.clear()
        for leg in await self._store.used(self._clock.now() - DAY_MS, live=True):
            if leg.callee and self.book.counts_rings(leg.tenant):
                self.counts.ring(leg.tenant, leg.number, leg.id, leg.call, leg.dialed_at)

    async def _look_at_others(self) -> None:
        """Other controllers on the same database dial too."""
        now = self._clock.now()
        await self._count(self._looked - LOOK_BACK_MS)
        self._looked = now


async def _nobody_told(_call: str, _event: Event) -> None:
    """Nor can one be told."""


async def _nobody(_call: str) -> None:
    """No call can be ended before the house is put together."""
