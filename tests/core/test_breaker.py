"""The circuit breaker against a model that remembers everything, and its rules one by one."""

from hypothesis import given
from hypothesis import strategies as st

from controller.core.breaker import MOST_S, REST_S, TRIES, Breaker


def opened(at: float = 0.0) -> Breaker:
    """One that has just opened."""
    breaker = Breaker()
    for last in range(TRIES):
        assert breaker.lets(at)
        assert breaker.failed(at) == (last == TRIES - 1)
    return breaker


def test_it_opens_by_failures_in_a_row_only() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(TRIES - 1):
            assert breaker.lets(0.0)
            assert not breaker.failed(0.0)
        breaker.heard()
    assert breaker.state(0.0) == "closed"


def test_while_it_is_open_nobody_asks_and_then_one_does() -> None:
    breaker = opened()
    assert not breaker.lets(REST_S - 0.01)
    assert breaker.state(REST_S) == "half_open"
    assert breaker.lets(REST_S)
    assert not breaker.lets(REST_S)
    breaker.heard()
    assert breaker.lets(REST_S)
    assert breaker.state(REST_S) == "closed"


def test_a_probe_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    breaker, now, rests = opened(), 0.0, []
    for _ in range(6):
        rests.append(breaker.rest_s)
        now += breaker.rest_s
        assert breaker.lets(now)
        assert breaker.failed(now)
    assert rests == [REST_S * 2**turn if REST_S * 2**turn < MOST_S else MOST_S for turn in range(6)]


def test_a_probe_whose_asker_left_is_another_ones_turn() -> None:
    breaker = opened()
    assert breaker.lets(REST_S)
    breaker.gave_up()
    assert breaker.lets(REST_S)


def test_who_began_before_it_opened_does_not_lengthen_its_rest() -> None:
    breaker = opened()
    assert not breaker.failed(1.0)
    assert breaker.state(REST_S) == "half_open"


@given(st.lists(st.tuples(st.sampled_from(["answers", "fails", "leaves"]), st.floats(0, 20)), max_size=200))
def test_never_are_there_two_probes_and_never_is_it_open_for_ever(story: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for outcome, pause in story:
        now += pause
        if not breaker.lets(now):
            assert breaker.state(now) == "open"
            assert breaker.lets(now + MOST_S)
            breaker.gave_up()
            continue
        if breaker.opened_at is not None:
            assert not breaker.lets(now)  # it is the one probe
        if outcome == "fails":
            breaker.failed(now)
        else:
            {"answers": breaker.heard, "leaves": breaker.gave_up}[outcome]()
    assert breaker.rest_s <= MOST_S
