"""Ids of fixed width, masked numbers, and the small change of the engine."""

import dataclasses

import pytest

from controller.core import ids
from controller.core.call import Call, Leg, Recording, Step, changed
from controller.core.cdr import cdr
from controller.core.numbers import is_dialable, masked
from controller.core.verbs import VERBS
from tests.core.story import CALL, A, Story


def test_ids_have_one_width_each_and_begin_with_their_call() -> None:
    made = {ids.leg_id(CALL, 1), ids.leg_id(CALL, 99), ids.verb_id(CALL, 1), ids.verb_id(CALL, 9999), ids.fact_id(CALL, 7)}
    assert {len(some) for some in made} == {28, 30, 31}
    assert {ids.call_of(some) for some in made} == {CALL}


@pytest.mark.parametrize(("make", "number"), [(ids.leg_id, 0), (ids.leg_id, 100), (ids.verb_id, 0), (ids.verb_id, 10_000)])
def test_numbers_that_would_break_the_width_are_refused(make: object, number: int) -> None:
    with pytest.raises(ValueError, match="not " + str(number)):
        make(CALL, number)  # type: ignore[operator]


def test_only_our_own_ids_are_ours() -> None:
    assert ids.is_call_id(CALL)
    assert ids.is_leg_id(A)
    for other in ("", CALL.lower(), CALL + "1", "1700000000.12", CALL + "0x", "I" * 28, CALL):
        assert not ids.is_leg_id(other)


@pytest.mark.parametrize("number", ["+14155550101", "101", "70012345678901234"])
def test_what_may_stand_in_a_dial_string(number: str) -> None:
    assert is_dialable(number)


@pytest.mark.parametrize("number", ["", "+", "1;2", "sip:x", "1" * 21, "٣٤", "12\n", "+1 2"])
def test_what_may_not(number: str) -> None:
    assert not is_dialable(number)


def test_masked_numbers_keep_the_country_and_the_last_two_digits() -> None:
    assert masked("+14155550101") == "+1415*****01"
    assert masked("1234") == "****"


@pytest.mark.parametrize("kind", [Call, Leg, Step, Recording])
def test_a_changed_record_is_what_dataclasses_replace_would_make(kind: type) -> None:
    story = Story(record=True).calling()
    thing = {Call: story.call, Leg: story.leg(A), Step: story.call.steps[0], Recording: story.call.recordings[0]}[kind]
    assert changed(thing, id="other") == dataclasses.replace(thing, id="other")
    assert changed(thing) == thing
    assert vars(changed(thing, id="x")).keys() == {field.name for field in dataclasses.fields(thing)}


def test_the_record_of_a_call_that_lives_leaves_open_what_is_not_known() -> None:
    queued = cdr(Story().call)
    assert (queued["queued_ms"], queued["ring_s"], queued["bill_s"], queued["ended_at"]) == (None, None, 0.0, None)
    assert cdr(Story().ringing().call)["ring_s"] is None
    assert cdr(Story().bridged().call)["bill_s"] == 0.0
    assert Story().call.far is None
    assert Story().call.near is None


def test_every_verb_is_known_by_its_name() -> None:
    assert {name for name, kind in VERBS.items() if kind.rings} == {"Dial", "Connect"}
    assert all(kind.__name__ == name for name, kind in VERBS.items())
