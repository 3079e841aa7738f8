"""OP5, CB4: the rules of the policy, and the laws that hold whatever the lists and limits say."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.policy import CODES, RULES, Case, Hours, Kind, Prefixes, Terms, explain, judge

NUMBER = "+14155550102"
NOON = ((2, 12 * 60),)
OPEN = Terms(allow=Prefixes(["+1415"]), hours=Hours(), callee_24h=3, minutes=100, spend=1_000_000)
FINE = Case(NUMBER, zones=NOON)


def case(**changed: Any) -> Case:
    """A dial against which no rule of OPEN says anything, but for what is changed."""
    return Case(**{"number": NUMBER, "zones": NOON, **changed})


def test_what_no_rule_refuses_may_be_dialled() -> None:
    assert judge(OPEN, FINE) is None
    assert [why for _, why in explain(OPEN, FINE) if why] == []


def test_nothing_is_allowed_by_default() -> None:
    refusal = judge(Terms(), FINE)
    assert refusal is not None
    assert (refusal.rule, refusal.code, refusal.param) == ("allow_list", "destination_blocked", "number")


@pytest.mark.parametrize(
    ("changed", "rule", "code", "param"),
    [
        ({"stopped": "all dialling is stopped"}, "suspended", "suspended", ""),
        ({"emergency": True}, "emergency", "emergency_blocked", "number"),
        ({"display": False}, "display", "caller_id_not_owned", "display"),
        ({"others": ("+14155550101", NUMBER)}, "self_call", "self_call", "number"),
        ({"kinds": frozenset(["own"])}, "own_number", "destination_blocked", "number"),
        ({"kinds": frozenset(["premium"])}, "kind", "destination_blocked", "number"),
        ({"kinds": frozenset(["shared_cost"])}, "kind", "destination_blocked", "number"),
        ({"kinds": frozenset(["satellite"])}, "kind", "destination_blocked", "number"),
        ({"kinds": frozenset(["personal"])}, "kind", "destination_blocked", "number"),
        ({"number": "+14165550102"}, "allow_list", "destination_blocked", "number"),
        ({"zones": ((2, 7 * 60 + 59),)}, "calling_hours", "outside_calling_hours", "number"),
        ({"zones": ((2, 21 * 60),)}, "calling_hours", "outside_calling_hours", "number"),
        ({"zones": None}, "calling_hours", "outside_calling_hours", "number"),
        ({"rung": 3}, "callee_24h", "frequency_exceeded", "number"),
        ({"talked_ms": 6_000_000}, "minutes", "quota_exceeded", "minutes_per_day"),
        ({"spent": 1_000_000}, "spend", "quota_exceeded", "spend_per_day"),
        ({"priced": False}, "spend", "quota_exceeded", "spend_per_day"),
    ],
)
def test_each_rule_refuses_alone_and_says_which_it_is(changed: dict[str, Any], rule: str, code: str, param: str) -> None:
    refusal = judge(OPEN, case(**changed))
    assert refusal is not None
    assert (refusal.rule, refusal.code, refusal.param) == (rule, code, param)
    assert [found.name for found, why in explain(OPEN, case(**changed)) if why] == [rule]
    assert NUMBER[2:] not in refusal.why


@pytest.mark.parametrize(
    ("listed", "rule"), [({"block": Prefixes([NUMBER[:6]])}, "block_list"), ({"do_not_call": {NUMBER}}, "do_not_call")]
)
def test_a_listed_number_is_refused_though_it_is_allowed(listed: dict[str, Any], rule: str) -> None:
    refusal = judge(Terms(allow=Prefixes([NUMBER]), **listed), FINE)
    assert refusal is not None
    assert refusal.rule == rule


def test_who_asked_for_the_call_is_rung_at_any_hour_and_as_often_as_he_likes() -> None:
    assert judge(OPEN, case(role="caller", zones=((6, 3 * 60),), rung=50)) is None


def test_with_several_zones_all_must_be_open() -> None:
    assert judge(OPEN, case(zones=((2, 9 * 60), (2, 20 * 60)))) is None
    refusal = judge(OPEN, case(zones=((2, 9 * 60), (2, 22 * 60))))
    assert refusal is not None
    assert "2 time zones" in refusal.why


def test_hours_have_days() -> None:
    weekdays = Terms(allow=Prefixes(["+"]), hours=Hours(days=frozenset(range(5))))
    assert judge(weekdays, case(zones=((4, 600),))) is None
    assert judge(weekdays, case(zones=((5, 600),))) is not None


def test_without_a_clock_only_hours_that_are_always_open_allow() -> None:
    for hours in (None, Hours(0, 1440)):
        assert judge(Terms(allow=Prefixes(["+"]), hours=hours), case(zones=None)) is None


def test_the_longest_prefix_is_found_and_a_prefix_is_no_substring() -> None:
    prefixes = Prefixes(["+1", "+1415", "+44"])
    assert prefixes.longest("+14155550100") == "+1415"
    assert prefixes.longest("+12125550100") == "+1"
    assert prefixes.longest("+4915") is None
    assert Prefixes().longest("+1") is None


def test_every_code_belongs_to_a_rule() -> None:
    assert {rule.code for rule in RULES} == CODES


# --- laws

numbers = st.from_regex(r"\+[1-9][0-9]{6,9}", fullmatch=True)
prefix_sets = st.frozensets(st.from_regex(r"\+[0-9]{0,4}", fullmatch=True), max_size=5)
kinds = st.frozensets(st.sampled_from(get_args(Kind)))
limits = st.none() | st.integers(0, 50)
hours = st.none() | st.builds(Hours, st.integers(0, 720), st.integers(721, 1440), st.frozensets(st.integers(0, 6), min_size=1))
zones = st.none() | st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1439)), min_size=1, max_size=4).map(tuple)
terms_of = st.builds(
    Terms,
    allow=prefix_sets.map(Prefixes),
    block=prefix_sets.map(Prefixes),
    do_not_call=st.frozensets(numbers, max_size=3),
    allow_kinds=kinds,
    hours=hours,
    callee_24h=limits,
    minutes=limits,
    spend=limits,
)
cases = st.builds(
    Case,
    number=numbers,
    role=st.sampled_from(["caller", "callee"]),
    emergency=st.booleans(),
    kinds=kinds,
    zones=zones,
    others=st.lists(numbers, max_size=2).map(tuple),
    stopped=st.sampled_from(["", "stopped"]),
    display=st.booleans(),
    rung=st.integers(0, 60),
    talked_ms=st.integers(0, 4_000_000),
    spent=st.integers(0, 60),
    priced=st.booleans(),
)


def but(terms: Terms, **changed: Any) -> Terms:
    """The same terms with something changed."""
    return Terms(**{name: getattr(terms, name) for name in Terms.__slots__} | changed)


def with_case(given_case: Case, **changed: Any) -> Case:
    """The same case with something changed."""
    return Case(**{name: getattr(given_case, name) for name in Case.__slots__} | changed)


@given(terms_of, cases)
def test_an_emergency_number_is_never_allowed_whatever_the_lists_say(terms: Terms, dial: Case) -> None:
    everything = but(terms, allow=Prefixes(["+", dial.number]), allow_kinds=frozenset(get_args(Kind)))
    refusal = judge(everything, with_case(dial, emergency=True, stopped=""))
    assert refusal is not None
    assert refusal.code == "emergency_blocked"


@given(terms_of, cases, prefix_sets, st.frozensets(numbers, max_size=3))
def test_adding_a_block_never_allows(terms: Terms, dial: Case, more: frozenset[str], dnc: frozenset[str]) -> None:
    if judge(terms, dial) is not None:
        blocked = frozenset(prefix for prefix in (*more, dial.number) if terms.block.longest(prefix) is None) | more
        assert judge(but(terms, block=Prefixes(blocked | _all(terms.block))), dial) is not None
        assert judge(but(terms, do_not_call=frozenset(terms.do_not_call) | dnc), dial) is not None
    assert judge(but(terms, block=Prefixes({dial.number} | _all(terms.block))), dial) is not None
    assert judge(but(terms, do_not_call={dial.number}), dial) is not None


def _all(prefixes: Prefixes) -> frozenset[str]:
    return prefixes._all


@given(terms_of, cases)
def test_what_is_allowed_breaks_no_limit(terms: Terms, dial: Case) -> None:
    if judge(terms, dial) is not None:
        return
    assert not dial.stopped
    assert not dial.emergency
    assert dial.display
    assert dial.number not in dial.others
    assert dial.kinds <= terms.allow_kinds
    assert terms.allow.longest(dial.number) is not None
    assert terms.minutes is None or dial.talked_ms < terms.minutes * 60_000
    assert terms.spend is None or (dial.priced and dial.spent < terms.spend)
    if dial.role == "callee":
        assert terms.callee_24h is None or dial.rung < terms.callee_24h
        assert (
            terms.hours is None
            or terms.hours.always
            or (dial.zones is not None and all(terms.hours.open(*zone) for zone in dial.zones))
        )


@given(terms_of, cases, st.integers(0, 20), st.integers(0, 600_000), st.integers(0, 20))
def test_more_use_never_allows(terms: Terms, dial: Case, rung: int, talked_ms: int, spent: int) -> None:
    more = with_case(dial, rung=dial.rung + rung, talked_ms=dial.talked_ms + talked_ms, spent=dial.spent + spent)
    if judge(terms, dial) is not None:
        assert judge(terms, more) is not None


@given(terms_of, cases)
def test_the_verdict_is_the_first_of_what_is_explained(terms: Terms, dial: Case) -> None:
    first = next(((rule.name, why) for rule, why in explain(terms, dial) if why is not None), None)
    refusal = judge(terms, dial)
    assert (None if refusal is None else (refusal.rule, refusal.why)) == first
