"""OP5: what a leg costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.rates import MICRO, Rate, Rates

CENT = MICRO // 100


@pytest.mark.parametrize(
    ("first_s", "step_s", "ms", "billed_s"),
    [
        (60, 60, 1, 60), (60, 60, 60_000, 60), (60, 60, 60_001, 120), (60, 1, 61_500, 62), (1, 1, 1_000, 1),
        (30, 6, 31_000, 36), (60, 60, 0, 0), (60, 60, -5, 0),
    ],
)  # fmt: skip
def test_a_leg_is_billed_in_the_increments_of_its_rate(first_s: int, step_s: int, ms: int, billed_s: int) -> None:
    rate = Rate("+1", 60 * CENT, first_s, step_s)
    assert rate.cost(ms) == billed_s * CENT


def test_the_longest_prefix_counts_and_an_unknown_one_has_no_price() -> None:
    rates = Rates([Rate("+1", 1), Rate("+1900", 500), Rate("+44", 2)])
    assert [rates.of(number) and rates.of(number).per_minute for number in ("+19005550100", "+14155550100", "+4915")] == [
        500,
        1,
        None,
    ]  # type: ignore[union-attr]
    assert len(rates) == 3


@given(st.integers(0, 10_000_000), st.integers(0, 10_000_000), st.integers(1, 600), st.integers(1, 600), st.integers(0, 10**7))
def test_a_longer_talk_never_costs_less_and_nothing_is_lost_in_rounding(
    ms: int, more: int, first_s: int, step_s: int, price: int
) -> None:
    rate = Rate("+", price, first_s, step_s)
    assert rate.cost(ms) <= rate.cost(ms + more)
    assert rate.cost(ms) * 60_000 >= ms * price
