"""OP5: the policy as the conductor asks it, over a real store: limits hold whatever happens in between."""

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.config_policy import Policy as Settings
from controller.core import events as ev
from controller.core.call import Call, CallStatus, Leg, LegState
from controller.core.policy_state import EVERYONE, LegUsed, Stop
from controller.core.verbs import Answer, Connect, Dial
from controller.ports import NotSaved
from controller.services.clock import SystemClock
from controller.services.journal import Journal
from controller.services.policy import Forbidden, Policy
from controller.services.policy_book import STALE_S
from controller.services.policy_counts import DAY_MS, Counts, ShortEnds
from controller.store.database import Database
from tests.core.story import CALLBACK
from tests.store.calls import after, queued, started

CALLER, SHOWN = "+14155550101", "+14155550100"
CALLEES = ("+14155550102", "+14155550103")
OPEN = {"allow": ("+1",), "hours": None}
ids = count()


class Time(SystemClock):
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = 20_000 * DAY_MS

    def now(self) -> int:
        return self.at


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path}/patchbay.db")
    for tenant in ("acme", "other"):
        await database.tenants.add(tenant, tenant, 1)
    await database.numbers.add("01", "acme", SHOWN, 1)
    yield database
    await database.close()


async def policy_over(db: Database, clock: Time, shared: bool = False, **given: Any) -> Policy:
    """A policy that has begun."""
    journal = Journal(db.audit, clock, lambda _now: f"{next(ids):026d}")
    made = Policy(
        db.policies, Settings(**{**OPEN, **given}), lambda _flow, _version: ("caller", "callee"), clock, journal, shared
    )
    await made.start()
    return made


def call_to(number: str, now: int, name: str = "", **more: Any) -> Call:
    """A callback to this callee, whose caller has answered and whose callee is about to be dialled."""
    call_id = name or f"call{next(ids)}"
    variables = {"caller": CALLER, "callee": number, "caller_display": SHOWN, "callee_display": SHOWN}
    call = Call(call_id, "acme", "callback", "callback", "", now, vars=variables, started_at=now, status=CallStatus.answered)
    near = Leg(call_id + "01", "caller", CALLER, SHOWN, state=LegState.answered, dialed_at=now, answered_at=now)
    far = Leg(call_id + "02", "callee", number, SHOWN, peer=near.id, dialed_at=now)
    return dataclasses.replace(call, legs=(near, far), **more)


def dials(call: Call) -> Connect:
    """The verb that rings its callee."""
    return Connect("v", call.legs[0].id, call.legs[1].id, call.legs[1].number, "t", call.legs[1].display, 30, 60)


def with_far(call: Call, **changed: Any) -> Call:
    """The call after something happened to its callee's leg."""
    return dataclasses.replace(call, legs=(call.legs[0], dataclasses.replace(call.legs[1], **changed)))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["dial", "again", "refused", "answer", "end", "cancel", "wait", "restart"]),
        st.integers(0, 30),
        st.sampled_from(CALLEES),
    ),
    max_size=40,
)


async def test_no_callee_is_rung_more_often_than_allowed_under_random_ends_and_restarts(db: Database) -> None:
    clock = Time()
    policy = await policy_over(db, clock, calls_per_callee_24h=3)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(STEPS)
    def lives(steps: list[tuple[str, int, str]]) -> None:
        policy.counts, policy.short = Counts(policy.counts.rates), ShortEnds()
        policy.book._read_at = clock.monotonic()
        calls: list[Call] = []
        rung: dict[str, tuple[str, int]] = {}
        for step, number, callee in steps:
            clock.at += 1
            if step == "wait":
                clock.at += number * 3_600_000
            elif step == "dial":
                calls.append(call_to(callee, clock.at))
                policy.committed(calls[-1], calls[-1], ())
                if policy.allowed(calls[-1], dials(calls[-1])) is None:
                    rung[calls[-1].legs[1].id] = (callee, clock.at)
                else:
                    calls[-1] = told(policy, calls[-1], verdict="blocked", state=LegState.ended, ended_at=clock.at)
            elif step == "restart":
                policy.counts = Counts(policy.counts.rates)
                for call in calls:
                    for leg in call.legs[1:]:
                        if leg.verdict is None:
                            dialed, over = rung.get(leg.id, ("", leg.dialed_at))[1] or 0, leg.ended_at
                            used = LegUsed(leg.id, call.id, "acme", leg.number, True, dialed, leg.answered_at, over)
                            policy.counts.saw(used)
            elif calls:
                calls[number % len(calls)] = _next(policy, calls[number % len(calls)], step, rung, clock)
            check(rung, clock.at)

    def check(rung: dict[str, tuple[str, int]], now: int) -> None:
        often = Counter(callee for callee, at in rung.values() if at > now - DAY_MS)
        assert all(times <= 3 for times in often.values()), often

    lives()


def told(policy: Policy, call: Call, **changed: Any) -> Call:
    """Something happens to the callee's leg, and the policy hears of it."""
    then = with_far(call, **changed)
    policy.committed(call, then, ())
    return then


def _next(policy: Policy, call: Call, step: str, rung: dict[str, tuple[str, int]], clock: Time) -> Call:
    leg = call.legs[1]
    if leg.state is LegState.ended:
        return call
    if step == "again":  # the verb is asked for again after the database was away
        if rung[leg.id][1] > clock.at - DAY_MS:
            assert policy.allowed(call, dials(call)) is None
        return call
    if step == "refused":  # by the PBX: the phone never rang
        if leg.answered_at is None:
            rung.pop(leg.id)
            return told(policy, call, verdict="failed", state=LegState.ended, ended_at=clock.at)
        return call
    if step == "answer" and leg.answered_at is None:
        return told(policy, call, state=LegState.answered, answered_at=clock.at)
    if step in ("end", "cancel"):
        return told(policy, call, state=LegState.ended, ended_at=clock.at)
    return call


async def test_a_verb_that_nobody_knows_rings_nothing(db: Database) -> None:
    clock = Time()
    policy = await policy_over(db, clock)
    call = call_to(CALLEES[0], clock.at)
    assert policy.allowed(call, dials(call)) is None
    assert policy.allowed(call, Answer("v", call.legs[0].id)) == "destination_blocked"
    assert policy.allowed(call, Dial("v", "unknown", CALLEES[0], "t", SHOWN, 30)) == "destination_blocked"


async def test_who_is_dialled_by_a_person_has_no_hours_and_no_count(db: Database) -> None:
    """A masked call, and whoever dials back into a callback's memory: the first leg came in."""
    clock = Time()
    policy = await policy_over(db, clock, calls_per_callee_24h=1, hours={"open": "00:00", "close": "00:01"})
    for kind in ("masked", "inbound", "callback"):
        call = call_to(CALLEES[0], clock.at, kind=kind)
        call = dataclasses.replace(call, legs=(dataclasses.replace(call.legs[0], arrived=True), call.legs[1]))
        assert [policy.allowed(call, dials(call)) for _ in range(3)] == [None, None, None]
    robot = call_to(CALLEES[0], clock.at, kind="robot")
    assert policy.allowed(robot, dials(robot)) == "outside_calling_hours"


async def test_minutes_stop_new_dials_while_live_legs_use_them_up(db: Database) -> None:
    clock = Time()
    policy = await policy_over(db, clock, minutes_per_day=10, calls_per_callee_24h=None)
    live = call_to(CALLEES[0], clock.at)
    policy.committed(dataclasses.replace(live, legs=()), live, ())
    told(policy, live, state=LegState.answered, answered_at=clock.at)
    other = call_to(CALLEES[1], clock.at)
    clock.at += 5 * 60_000 - 1
    assert policy.allowed(other, dials(other)) is None
    clock.at += 1  # two legs, five minutes each
    assert policy.allowed(other, dials(other)) == "quota_exceeded"
    clock.at += DAY_MS
    assert policy.allowed(other, dials(other)) is None


async def test_another_controllers_calls_count_too(db: Database) -> None:
    clock = Time()
    mine = await policy_over(db, clock, shared=True, calls_per_callee_24h=1)
    theirs = queued(1, at=clock.at - 1000, vars={"callee": CALLEES[0]})
    await db.calls.commit(theirs)
    begun = started(theirs)
    await db.calls.commit(begun)
    for event in (
        ev.LegAnswered(clock.at, begun.call.legs[0].id),
        ev.LegHeld(clock.at, begun.call.legs[0].id),
        ev.VerbDone(clock.at, begun.call.legs[0].id, begun.call.id + "0002", "done"),
    ):
        begun = after(begun, event)
        await db.calls.commit(begun)
    assert [leg.name for leg in begun.call.legs] == ["caller", "callee"], CALLBACK
    call = call_to(CALLEES[0], clock.at)
    assert mine.counts.rung("acme", CALLEES[0], clock.at) == 0
    await mine._look_at_others()
    assert mine.allowed(call, dials(call)) == "frequency_exceeded"


async def test_a_stop_or_a_list_of_another_controller_counts_with_the_next_look(db: Database) -> None:
    clock = Time()
    mine = await policy_over(db, clock)
    call = call_to(CALLEES[0], clock.at)
    await db.policies.stop(EVERYONE, Stop(clock.at))
    assert mine.allowed(call, dials(call)) is None
    await mine.refresh()
    assert mine.allowed(call, dials(call)) == "suspended"
    await db.policies.stop(EVERYONE, None)
    await db.tenants.change("acme", suspended_at=5)
    await mine.refresh()
    assert mine.allowed(call, dials(call)) == "suspended"
    await db.tenants.change("acme", suspended_at=None)
    await db.numbers.remove("acme", "01")
    await mine.refresh()
    assert mine.allowed(call, dials(call)) == "caller_id_not_owned"


async def test_what_is_not_known_any_more_allows_nothing(db: Database) -> None:
    clock = Time()
    policy = await policy_over(db, clock)
    call = call_to(CALLEES[0], clock.at)
    policy.book._read_at -= STALE_S
    with pytest.raises(NotSaved):
        policy.allowed(call, dials(call))
    with pytest.raises(NotSaved):
        policy.check(call)
    await policy.refresh()
    assert policy.allowed(call, dials(call)) is None


async def test_when_it_opens_is_found_by_the_quarter_of_an_hour_and_not_searched_for_in_many_zones(db: Database) -> None:
    clock = Time()
    policy = await policy_over(db, clock, hours={"open": "10:15", "close": "11:00", "days": ["sat"]})
    opens = policy.opens_at("acme", "+493012345678", clock.at)
    assert opens is not None
    there = datetime.fromtimestamp(opens / 1000, ZoneInfo("Europe/Berlin"))
    assert (there.weekday(), there.hour, there.minute) == (5, 10, 15)
    assert policy.opens_at("acme", "+493012345678", opens + 60_000) == opens + 60_000
    assert policy.opens_at("acme", "+8816123456", clock.at) is None
    many = "+18005550100"
    assert policy.opens_at("acme", many, clock.at) is None
    wide = await policy_over(db, clock, hours={"open": "00:00", "close": "23:59"})
    at = clock.at + 30_000
    assert wide.opens_at("acme", many, at) == at, "open now is open, however many zones there are"


async def test_a_refusal_says_when_it_may_be_otherwise(db: Database) -> None:
    clock = Time()
    policy = await policy_over(
        db, clock, calls_per_callee_24h=1, minutes_per_day=None, hours={"open": "08:00", "close": "21:00"}
    )
    clock.at += 20 * 3_600_000  # 20:00 UTC is noon in California, in winter or an hour later
    call = call_to(CALLEES[0], clock.at)
    policy.allowed(call, dials(call))
    clock.at += 1000
    with pytest.raises(Forbidden) as refused:
        policy.check(call_to(CALLEES[0], clock.at))
    assert (refused.value.refusal.code, refused.value.param, refused.value.retry_after_s) == (
        "frequency_exceeded", "callee", 86_399,
    )  # fmt: skip
    clock.at += 10 * 3_600_000
    with pytest.raises(Forbidden) as refused:
        policy.check(call_to(CALLEES[1], clock.at))
    assert refused.value.refusal.code == "outside_calling_hours"
    assert refused.value.retry_after_s is not None
    opens = clock.at + refused.value.retry_after_s * 1000
    assert 8 * 3_600_000 <= opens - clock.at <= 11 * 3_600_000
    assert policy.opens_at("acme", CALLEES[1], clock.at) is not None
    policy.check(call_to(CALLEES[1], clock.at, not_before=opens))
