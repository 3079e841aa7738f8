"""OP5, CB4: counting what was dialled."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.core.policy_state import LegUsed
from controller.core.rates import Rate, Rates
from controller.services.policy_counts import DAY_MS, Counts, ShortEnds

T0 = 20_000 * DAY_MS
CALLEE = "+14155550102"
RATES = Rates([Rate("+1", 60_000_000, 1, 1)])


def leg(name: str = "l1", **changed: Any) -> LegUsed:
    """A leg to a callee, answered at T0 and up."""
    return LegUsed(**{
        "id": name, "call": "c" + name, "tenant": "main", "number": CALLEE, "callee": True, "dialed_at": T0 - 5000,
        "answered_at": T0, **changed,
    })  # fmt: skip


def test_a_callee_is_counted_for_24_hours_and_no_longer() -> None:
    counts = Counts(RATES)
    for hour in (0, 1):
        counts.ring("main", CALLEE, f"l{hour}", "c", T0 + hour * 3_600_000)
    assert counts.rung("main", CALLEE, T0 + 2 * 3_600_000) == 2
    assert counts.rung("main", CALLEE, T0 + DAY_MS) == 1
    assert counts.rung("main", CALLEE, T0 + DAY_MS + 3_600_000) == 0
    assert counts.rung("other", CALLEE, T0) == counts.rung("main", "+14155550103", T0) == 0
    assert counts.oldest("main", CALLEE, T0 + 2 * 3_600_000) == T0


@given(st.lists(st.tuples(st.integers(0, 2 * DAY_MS), st.booleans()), max_size=30), st.integers(0, 2 * DAY_MS))
def test_in_whatever_order_legs_are_told_of_those_of_the_last_24_hours_count(told: list[tuple[int, bool]], at: int) -> None:
    counts, left = Counts(RATES), {}
    for number, (when, refused) in enumerate(told):
        counts.ring("main", CALLEE, f"l{number}", "c", T0 + when)
        if refused:
            counts.unring("main", CALLEE, f"l{number}")
        else:
            left[f"l{number}"] = when
    now = max([at, *left.values()])
    lately = sorted(when for when in left.values() if when > now - DAY_MS)
    assert counts.rung("main", CALLEE, T0 + now) == len(lately)
    assert counts.oldest("main", CALLEE, T0 + now) == (T0 + lately[0] if lately else None)
    for leg, when in left.items():
        assert counts.rung("main", CALLEE, T0 + now, but=leg) == len(lately) - (when in lately)


def test_a_leg_that_never_rang_is_not_counted_and_one_asked_twice_counts_once() -> None:
    counts = Counts(RATES)
    counts.ring("main", CALLEE, "l1", "c1", T0)
    counts.ring("main", CALLEE, "l1", "c1", T0 + 5)
    assert counts.rung("main", CALLEE, T0 + 10) == 1
    assert counts.rung("main", CALLEE, T0 + 10, but="l1") == 0
    counts.unring("main", CALLEE, "l1")
    assert counts.rung("main", CALLEE, T0 + 10) == 0


def test_a_call_waits_until_its_callee_is_rung_or_it_ends() -> None:
    counts = Counts(RATES)
    for call in ("c1", "c2", "c3"):
        counts.wait("main", CALLEE, call)
    counts.ring("main", CALLEE, "l1", "c1", T0)
    assert counts.waiting("main", CALLEE) == 2
    counts.waits_no_more("main", CALLEE, "c2")
    counts.waits_no_more("main", CALLEE, "c2")
    assert counts.waiting("main", CALLEE) == 1


def test_live_and_ended_legs_are_added_up() -> None:
    counts = Counts(RATES)
    counts.saw(leg("l1"))
    counts.saw(leg("l2", number="+14155550101", callee=False))
    used = counts.used("main", T0 + 30_000)
    assert (used.talked_ms, used.spent) == (60_000, 60_000_000)
    assert counts.saw(leg("l1", ended_at=T0 + 90_000))
    assert not counts.saw(leg("l1", ended_at=T0 + 90_000)), "told again"
    used = counts.used("main", T0 + 100_000)
    assert (used.talked_ms, used.spent) == (190_000, 190_000_000)
    assert counts.used("other", T0 + 1).talked_ms == 0


def test_a_day_is_over_at_midnight_and_what_it_used_with_it() -> None:
    counts = Counts(RATES)
    counts.saw(leg("l1", ended_at=T0 + 60_000))
    assert counts.used("main", T0 + DAY_MS - 1).talked_ms == 60_000
    assert counts.used("main", T0 + DAY_MS).talked_ms == 0


def test_what_has_no_price_costs_nothing_here_and_is_refused_elsewhere() -> None:
    counts = Counts(Rates())
    counts.saw(leg("l1", ended_at=T0 + 60_000))
    assert (counts.used("main", T0 + 1).talked_ms, counts.used("main", T0 + 1).spent) == (60_000, 0)


def test_sweeping_forgets_what_counts_no_more_and_nothing_else() -> None:
    counts = Counts(RATES)
    counts.saw(leg("l1", ended_at=T0 + 1000))
    counts.saw(leg("l2", dialed_at=T0 + DAY_MS // 2, answered_at=T0 + DAY_MS // 2))
    counts.sweep(T0 + DAY_MS - 10_000)
    assert counts.rung("main", CALLEE, T0 + DAY_MS - 10_000) == 2
    assert counts.used("main", T0 + DAY_MS - 1).talked_ms > 1000
    counts.sweep(T0 + 3 * DAY_MS)
    assert (counts._rung, counts._ended, counts._days) == ({}, {}, {})


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40))
def test_however_often_and_in_whatever_order_legs_are_told_of_each_counts_once(told: list[tuple[int, int]]) -> None:
    """Stage 0: dialled, 1: answered, 2 and 3: ended; after a restart or from another controller it comes again."""
    counts, ended, seen = Counts(RATES), set(), set()
    for number, stage in told:
        seen.add(number)
        answered = None if stage == 0 else T0
        over = T0 + 1000 * (number + 1) if stage >= 2 else None
        if over:
            ended.add(number)
        counts.saw(leg(f"l{number}", answered_at=answered, ended_at=over))
    assert counts.rung("main", CALLEE, T0) == len(seen)
    assert counts.used("main", T0).talked_ms == sum(1000 * (number + 1) for number in ended)


def test_a_burst_of_short_calls_raises_one_alarm_and_the_next_needs_a_burst_of_its_own() -> None:
    short = ShortEnds()
    raised = [short.ended("main", T0 + second * 1000, 3, 10_000) for second in (0, 20, 21, 22, 23, 24, 25, 60)]
    assert raised == [False, False, False, True, False, False, True, False]
    assert short.alarms == {"main": 2}
