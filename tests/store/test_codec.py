"""A call as text and back: what is read is what was written."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.call import Call, CallStatus, Leg, Recording, Step
from controller.core.verbs import VERBS
from controller.store import codec
from tests.store.calls import story

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MAPPING = st.dictionaries(TEXT, JSON, max_size=4)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**62), 2**62))
VERB = st.one_of([st.from_type(verb) for verb in VERBS.values()])


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """A step with any verb."""
    verb: Any = draw(VERB)
    step: Step = draw(st.builds(Step, verb=st.just(verb), kind=st.just(verb.kind)))
    return step


CALLS = st.builds(
    Call,
    vars=MAPPING,
    metadata=st.none() | MAPPING,
    routes=st.dictionaries(TEXT, TEXT, max_size=3),
    legs=st.lists(st.builds(Leg), max_size=3).map(tuple),
    steps=st.lists(steps(), max_size=3).map(tuple),
    recordings=st.lists(st.builds(Recording), max_size=2).map(tuple),
    status=st.sampled_from(CallStatus),
)


@settings(max_examples=300, deadline=None)
@given(CALLS)
def test_any_call_is_read_back_as_it_was_written(call: Call) -> None:
    back = codec.decode(codec.encode(call))
    assert back == call
    assert [type(step.verb) for step in back.steps] == [type(step.verb) for step in call.steps]
    assert [hash(step.verb) for step in back.steps] == [hash(step.verb) for step in call.steps]


@settings(max_examples=100, deadline=None)
@given(MAPPING)
def test_any_data_of_a_fact_is_read_back_as_it_was_written(data: dict[str, Any]) -> None:
    assert codec.decode_data(codec.encode_data(data)) == data


@given(st.lists(TEXT, max_size=5).map(tuple))
def test_a_tuple_of_words_is_read_back_as_it_was_written(words: tuple[str, ...]) -> None:
    assert codec.decode_list(codec.encode_list(words)) == words


def test_every_call_that_the_engine_makes_is_read_back_as_it_was_written() -> None:
    for unit in story():
        assert codec.decode(codec.encode(unit.call)) == unit.call


def test_a_call_written_before_a_field_was_there_gets_its_default() -> None:
    [first, *_] = story()
    document = json.loads(codec.encode(first.call))
    del document["keys"], document["retry_of"]
    assert codec.decode(json.dumps(document)) == first.call


@pytest.mark.parametrize("state", ["", "{", "[]", "{}", '{"id": 1}'])
def test_text_that_is_no_call_is_unreadable(state: str) -> None:
    with pytest.raises(codec.Unreadable):
        codec.decode(state)


def test_a_verb_of_a_later_version_is_unreadable_and_no_value_is_told() -> None:
    document = json.loads(codec.encode(list(story())[1].call))
    document["steps"][0]["kind"] = "Teleport"
    with pytest.raises(codec.Unreadable) as caught:
        codec.decode(json.dumps(document))
    assert "415555" not in str(caught.value)
