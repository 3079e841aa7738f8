"""What a business answers is taken field by field, or not at all, and no value of it comes into a message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.numbers import E164
from controller.services.answers import Connect, Menu, Unfit, read, stored

NUMBER = "+14155550101"
GOOD: list[dict[str, Any]] = [
    {"action": "connect", "to": NUMBER},
    {"action": "connect", "agent": "agt_01AB", "display": "700123456789012", "announce": "beep", "ring_timeout_s": 20},
    {"action": "connect", "to": NUMBER, "record": True, "max_duration_s": 60, "reference": "ride 7"},
    {"action": "announce", "prompt": "not-available"},
    {"action": "menu", "flow": "memory", "variables": {"callee": NUMBER, "n": 3, "flag": True, "words": ["a"], "none": None}},
    {"action": "connect", "to": NUMBER, "ring_timeout_s": 1, "max_duration_s": 1, "announce": "our_own-prompt"},
    {"action": "reject"},
    {"action": "reject", "with": "busy"},
]
BAD: list[Any] = [
    None, [], 1, "connect", {}, {"action": "dance"}, {"action": "connect"},
    {"action": "connect", "to": NUMBER, "agent": "agt_1"},
    {"action": "connect", "to": 14155550101}, {"action": "connect", "to": "4155550101"}, {"action": "connect", "to": "+1911"},
    {"action": "connect", "to": "+999123"}, {"action": "connect", "to": NUMBER + "\r\nAction: x"},
    {"action": "connect", "to": NUMBER, "display": "+1"}, {"action": "connect", "to": NUMBER, "ring_timeout_s": "20"},
    {"action": "connect", "to": NUMBER, "ring_timeout_s": 0}, {"action": "connect", "to": NUMBER, "record": 1},
    {"action": "connect", "to": NUMBER, "reference": "a\nb"}, {"action": "connect", "to": NUMBER, "more": 1},
    {"action": "announce"}, {"action": "announce", "prompt": "../etc/passwd"}, {"action": "menu", "flow": "a b"},
    {"action": "menu", "flow": "x", "variables": {"_asked": {}}}, {"action": "menu", "flow": "x", "variables": {"a": {"b": 1}}},
    {"action": "menu", "flow": "x", "variables": {"a": "x" * 1001}},
    {"action": "menu", "flow": "x", "variables": {f"v{n}": ["y" * 900] * 20 for n in range(2)}},
    {"action": "reject", "with": "completed"}, {"action": "reject", "cause": 17},
]  # fmt: skip


@pytest.mark.parametrize("answer", GOOD)
def test_a_good_answer_is_kept_as_it_was(answer: dict[str, Any]) -> None:
    found = stored(read(json.dumps(answer).encode()))
    whole = {"with": "rejected", **answer} if answer["action"] == "reject" else answer
    assert found == whole


@pytest.mark.parametrize("answer", BAD)
def test_anything_else_is_refused_whole(answer: Any) -> None:
    with pytest.raises(Unfit):
        read(json.dumps(answer).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"action":"connect","to":"+14155550101"} x', b"nan"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Unfit):
        read(body)


def test_a_message_names_the_field_and_holds_no_value() -> None:
    for answer in ({"action": "connect", "to": "+1415secret"}, {"action": "connect", "to": NUMBER, "+14155550199": 1}):
        with pytest.raises(Unfit) as refused:
            read(json.dumps(answer).encode())
        assert not any(word in str(refused.value) for word in ("secret", "4155550199", NUMBER))


_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.lists(st.text())
_keys = st.sampled_from(["action", "to", "agent", "display", "prompt", "flow", "variables", "with", "reference", "record", "x"])


@given(
    st.dictionaries(_keys, _values | st.sampled_from([NUMBER, "connect", "menu", "reject", "announce"]), max_size=6)
    | st.sampled_from(GOOD).flatmap(lambda good: st.dictionaries(_keys, _values, max_size=2).map(lambda more: {**good, **more}))
)
def test_whatever_comes_is_refused_or_can_be_carried_out(answer: dict[str, Any]) -> None:
    try:
        found = read(json.dumps(answer).encode())
    except Unfit:
        return
    if isinstance(found, Connect):
        assert (found.to is None) != (found.agent is None)
        assert found.to is None or E164.fullmatch(found.to)
    if isinstance(found, Menu):
        assert all(not name.startswith("_") for name in found.variables)
