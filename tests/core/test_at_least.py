"""``if`` with ``at_least``: a number that is large enough, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.call import Call, CallStatus
from controller.core.decide import decide, open_call
from controller.core.events import Start
from controller.core.flow import FlowInvalid, parse
from tests.core.story import CALL, T0


def document(least: Any = 3) -> dict[str, Any]:
    """A flow that calls one of two."""
    dial = {"show": "+14155550100", "answered": "end", "else": "end"}
    nodes = {
        "often": {"if": "$times", "at_least": least, "then": "second", "else": "first"},
        "first": {"dial": "first", **dial},
        "second": {"dial": "second", **dial},
    }
    return {"flow": "often", "needs": ["first", "second"], "defaults": {"times": 0}, "start": "often", "nodes": nodes}


def dialled(times: Any) -> str:
    """Whom the flow calls."""
    numbers = {"first": "+14155550101", "second": "+14155550102"}
    call = Call(CALL, "t", "callback", "often", "v", T0, vars={**numbers, "times": times}, status=CallStatus.queued)
    flow = parse(document())
    return decide(flow, open_call(flow, call).call, Start(T0, "pbx1", {})).call.legs[0].name


@given(st.integers(0, 10_000))
def test_a_number_is_compared(times: int) -> None:
    assert dialled(times) == dialled(str(times)) == ("second" if times >= 3 else "first")


@pytest.mark.parametrize("times", [None, "", "many", True, [5], {"a": 5}, -4, 3.5])
def test_what_is_no_number_is_not_large(times: Any) -> None:
    assert dialled(times) == "first"


def test_what_is_no_count_is_named() -> None:
    with pytest.raises(FlowInvalid, match="no count"):
        parse(document("three"))
