"""Far end: whatever a phone answers becomes one disposition, with the SIP status that it sent and Asterisk's Q.850 cause.

The rows are those of Asterisk's own table (res_pjsip, ``hangup_sip2cause``; RFC 3398, 7.2.6.1) and what it says of time-outs.
"""

import pytest

from tests.lab.story import Story
from tests.lab.together import together

ROWS = {
    # behaviour: (disposition, SIP, Q.850)
    "busy": ("busy", 486, 17),
    "busy_everywhere": ("busy", 600, 17),
    "reject": ("rejected", 603, 21),
    "forbidden": ("rejected", 403, 21),
    "not_found": ("invalid_number", 404, 1),
    "nowhere": ("invalid_number", 604, 1),
    "gone": ("invalid_number", 410, 22),
    "incomplete": ("invalid_number", 484, 28),
    "unavailable": ("no_answer", 480, 19),
    "timed_out": ("unreachable", 408, 18),
    "silent_drop": ("unreachable", 408, 18),
    "server_error": ("congestion", 500, 38),
    "not_implemented": ("congestion", 501, 29),
    "bad_gateway": ("congestion", 502, 27),
    "congestion": ("congestion", 503, 34),
    "gateway_timeout": ("congestion", 504, 102),
}


@pytest.mark.parametrize("behaviour", ROWS)
@together
def test_what_the_caller_answers_is_what_became_of_the_call(story: Story, behaviour: str) -> None:
    disposition, sip, q850 = ROWS[behaviour]
    end = story.begin(caller=story.lab.number(behaviour)).ended()
    assert end.outcome == (disposition, "caller")
    assert end.leg("caller") == (sip, q850, "remote")
    assert set(end.legs) == {"caller"}
    assert end.record["bill_s"] == 0
    if behaviour != "silent_drop":
        assert (end.at_phone["caller"]["status"], end.ended_by("caller")) == (sip, "phone")


@pytest.mark.parametrize("behaviour", ROWS)
@together
def test_what_the_callee_answers_is_what_became_of_the_call_and_the_caller_is_told(story: Story, behaviour: str) -> None:
    disposition, sip, q850 = ROWS[behaviour]
    end = story.begin(callee=story.lab.number(behaviour)).ended()
    assert end.outcome == (disposition, "callee")
    assert end.leg("callee") == (sip, q850, "remote")
    assert end.leg("caller") == (200, 16, "platform")
    assert end.prompts("caller") == ["connecting", "not-available"]
    assert end.ended_by("caller") == "pbx"
    assert (end.record["bridged_at"], end.record["bill_s"]) == (None, 0)


@together
def test_a_caller_that_does_not_answer_rings_as_long_as_asked(story: Story) -> None:
    end = story.begin(caller=story.lab.number("no_answer"), ring_timeout_s={"caller": 2}).ended()
    assert end.outcome == ("no_answer", "platform")
    assert end.leg("caller") == (None, 19, "timer")
    assert set(end.legs) == {"caller"}
    rang(end.at_phone["caller"]["ringing_at"], end.at_phone["caller"]["ended_at"], 2)
    assert (end.at_phone["caller"]["status"], end.ended_by("caller")) == (487, "pbx")
    assert 1.7 < end.record["ring_s"] < 5


@together
def test_a_callee_that_does_not_answer_rings_as_long_as_asked(story: Story) -> None:
    end = story.begin(callee=story.lab.number("no_answer"), ring_timeout_s={"callee": 2}).ended()
    assert end.outcome == ("no_answer", "platform")
    assert end.leg("callee") == (None, 19, "timer")
    rang(end.at_phone["callee"]["ringing_at"], end.at_phone["callee"]["ended_at"], 2)
    assert (end.at_phone["callee"]["status"], end.ended_by("callee")) == (487, "pbx")
    assert end.prompts("caller") == ["connecting", "not-available"]


def rang(begin: float, end: float, seconds: float) -> None:
    """It rang so long, to within what a busy machine takes."""
    assert seconds - 0.5 < end - begin < seconds + 3


@pytest.mark.parametrize("leg", ["caller", "callee"])
@together
def test_a_phone_that_is_silent_beyond_its_ring_time_out_did_not_answer(story: Story, leg: str) -> None:
    """Our timer strikes before SIP's timer B (RFC 3261, 17.1.1.2) does."""
    end = story.begin(**{leg: story.lab.number("silent_drop")}, ring_timeout_s={leg: 2}).ended()
    assert end.outcome == ("no_answer", "platform")
    assert end.leg(leg) == (None, 19, "timer")


@pytest.mark.parametrize("leg", ["caller", "callee"])
@together
def test_a_phone_that_rings_and_then_says_no_has_rejected(story: Story, leg: str) -> None:
    end = story.begin(**{leg: story.lab.number("reject_late")}).ended()
    assert end.outcome == ("rejected", leg)
    assert end.leg(leg) == (603, 21, "remote")
    assert 1.5 < end.record["ring_s"] < 6


@together
def test_the_caller_may_take_long_and_the_callee_too(story: Story) -> None:
    late = story.lab.number("answer_late")
    story.begin(caller=late, callee=story.lab.number("no_answer"), ring_timeout_s={"caller": 10, "callee": 10})
    story.until("call.leg.ringing", "callee")
    story.answer("callee")
    story.talk()
    story.hang_up("caller")
    end = story.ended()
    assert end.outcome == ("completed", "caller")
    caller = end.at_phone["caller"]
    assert caller["answered_at"] - caller["ringing_at"] > 2.5
