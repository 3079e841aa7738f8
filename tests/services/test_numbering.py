"""OP5: what the numbering plans say of a number."""

from datetime import UTC, datetime

import pytest

from controller.services.numbering import about, clocks, is_emergency


@pytest.mark.parametrize(
    "number", ["112", "911", "999", "+112", "+1911", "+49112", "+44999", "+61000", "+86110", "+19115551234", "+81119123456"]
)
def test_an_emergency_number_is_one_in_whatever_way_it_is_written(number: str) -> None:
    assert is_emergency(number)


@pytest.mark.parametrize("number", ["+14155550100", "+33112345678", "+81112345678", "+442079460000", "1001", "", "+"])
def test_an_ordinary_number_is_none_though_it_may_begin_like_one(number: str) -> None:
    assert not is_emergency(number)


@pytest.mark.parametrize(
    ("number", "kinds"),
    [
        ("+19005551234", {"premium"}),
        ("+33836123456", {"premium"}),
        ("+97912345678", {"premium"}),
        ("+491805123456", {"shared_cost"}),
        ("+447012345678", {"personal"}),
        ("+8816123456", {"satellite"}),
        ("+88213123456", {"satellite"}),
        ("+870773123456", {"satellite"}),
        ("+14155550100", set()),
        ("+493012345678", set()),
    ],
)
def test_numbers_that_cost_more_than_they_look_are_known(number: str, kinds: set[str]) -> None:
    assert about(number).kinds == kinds


def test_a_number_has_the_zones_of_its_place() -> None:
    assert about("+14155550100").zones == ("America/Los_Angeles",)
    assert len(about("+18005550100").zones) > 10
    assert about("+8816123456").zones == about("1001").zones == ()


def test_clocks_follow_summer_time() -> None:
    winter = int(datetime(2026, 1, 14, 20, 30, tzinfo=UTC).timestamp() * 1000)
    summer = int(datetime(2026, 7, 14, 20, 30, tzinfo=UTC).timestamp() * 1000)
    assert clocks(["America/Los_Angeles"], winter) == ((2, 12 * 60 + 30),)
    assert clocks(["America/Los_Angeles"], summer) == ((1, 13 * 60 + 30),)
    assert clocks(["Asia/Tokyo", "America/Los_Angeles"], winter) == ((2, 12 * 60 + 30), (3, 5 * 60 + 30))
    assert clocks([], winter) is None
    assert clocks(["Mars/Olympus"], winter) is None
