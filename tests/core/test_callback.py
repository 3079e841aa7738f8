"""CB1, CB2: a callback from its request to its record."""

import pytest

from controller.core import events as ev
from controller.core.call import CallStatus, LegState
from controller.core.verbs import Connect, Dial, Hangup, Play
from tests.core.story import CALL, T0, A, B, Story


def test_a_callback_that_goes_well_asks_for_these_verbs() -> None:
    story = Story(record=True).bridged().ended(B).done("parted").over()
    assert story.verbs == [
        Dial(CALL + "0001", A, "+14155550101", "carrier", "+14155550100", 30),
        Play(CALL + "0002", A, ("connecting",)),
        Connect(
            CALL + "0003",
            A,
            far=B,
            number="+14155550102",
            trunk="carrier",
            display="+14155550110",
            ring_s=45,
            limit_s=3600,
            wait="early_media",
            announce=(),
            notice="recorded",
            notice_to="both",
            record=CALL + "0003",
            warn="last-minute",
            warn_s=60,
            warn_to="none",
            closes=True,
        ),
        Hangup(CALL + "0004", A),
    ]


def test_and_tells_these_facts() -> None:
    story = Story(record=True).bridged().ended(B).done("parted").over()
    assert story.told == [
        "call.queued",
        "call.started",
        "call.leg.dialing",
        "call.leg.ringing",
        "call.leg.answered",
        "call.leg.dialing",
        "call.leg.ringing",
        "call.leg.answered",
        "call.bridged",
        "recording.started",
        "call.leg.ended",
        "call.leg.ended",
        "call.ended",
        "cdr.created",
    ]
    assert [fact.sequence for fact in story.facts] == list(range(1, 15))
    assert story.facts[3].id == CALL + "00004"
    assert story.facts[3].data == {
        "leg": "caller",
        "leg_id": "leg_" + A,
        "number_masked": "+1415*****01",
        "sip_status": None,
        "q850": None,
        "by": None,
    }
    assert story.facts[8].data == {"legs": ["leg_" + A, "leg_" + B]}
    assert story.facts[10].data["by"] == "remote"
    assert story.facts[12].data == {"disposition": "completed", "hangup_by": "callee"}


def test_the_status_speaks_of_the_caller_until_both_talk() -> None:
    story = Story()
    assert story.call.status is CallStatus.queued
    assert story.start().call.status is CallStatus.dialing
    assert story.hear(ev.LegRinging, A).call.status is CallStatus.ringing
    assert story.hear(ev.LegAnswered, A).call.status is CallStatus.answered
    assert story.held().sent().done().sent().hear(ev.LegRinging, B).call.status is CallStatus.answered
    assert story.hear(ev.LegAnswered, B).call.status is CallStatus.answered
    assert story.hear(ev.LegsJoined, A, B).call.status is CallStatus.bridged
    assert story.ended(B).done("parted").call.status is CallStatus.bridged
    assert story.over().call.status is CallStatus.ended


def test_the_record_of_a_talk() -> None:
    story = Story(record=True).bridged().ended(B).done("parted").over()
    cdr = story.cdr
    legs = cdr.pop("legs")
    assert cdr == {
        "id": "call_" + CALL,
        "tenant": "acme",
        "kind": "callback",
        "binding_id": None,
        "flow": "callback",
        "reference": None,
        "metadata": None,
        "requested_at": T0,
        "queued_ms": 1000,
        "bridged_at": story.call.bridged_at,
        "ended_at": story.call.ended_at,
        "ring_s": 1.0,
        "bill_s": 1.0,
        "disposition": "completed",
        "hangup_by": "callee",
        "recordings": [{"id": "rec_" + CALL + "0003", "status": "stopped", "duration_s": None}],
        "keys_pressed": "",
        "transcript_id": None,
        "quality": None,
    }
    assert legs[1] == {
        "name": "callee",
        "number": "+14155550102",
        "display": "+14155550110",
        "node": "pbx1",
        "dialed_at": story.leg(B).dialed_at,
        "ringing_at": story.leg(B).ringing_at,
        "answered_at": story.leg(B).answered_at,
        "ended_at": story.leg(B).ended_at,
        "sip_status": None,
        "q850": 16,
        "cause": "remote",
        "answered_by": None,
    }
    assert legs[0]["name"] == "caller"


def test_a_call_ends_when_its_last_leg_did_not_when_we_heard_of_it() -> None:
    story = Story().bridged()
    told_at = story.now + 100
    story.ended(A, at=told_at).ended(B, at=told_at - 50)
    assert story.call.ended_at == told_at
    assert [fact.at for fact in story.facts[-2:]] == [told_at, told_at]


def test_early_media_counts_as_ringing() -> None:
    story = Story().calling().hear(ev.EarlyMedia, B)
    assert story.leg(B).state is LegState.ringing


def test_a_busy_callee_is_told_to_the_caller_who_is_then_hung_up() -> None:
    story = Story().sorry()
    assert story.asked[-1] == "Play"
    assert story.verb("Play").prompts == ("not-available",)
    assert story.done().asked[-1] == "Hangup"
    assert story.over().cdr["ring_s"] == 1.0


def test_a_caller_who_cannot_be_reached_ends_the_call_and_the_callee_never_rings() -> None:
    story = Story().start().sent().ended(A, "remote", 603, 21)
    assert story.asked == ["Dial"]
    assert story.cdr["ring_s"] is None
    assert story.cdr["bill_s"] == 0.0


def test_options_of_a_callback() -> None:
    story = Story(
        ring_timeout_s={"caller": 5, "callee": 7},
        max_duration_s=90,
        wait="music",
        announce={"caller": ["hello", "connecting"], "callee": "a-call"},
        warn_to="both",
        record=True,
        recording_notice="caller",
    ).calling()
    assert story.verb("Dial").ring_s == 5
    assert story.verb("Play").prompts == ("hello", "connecting")
    connect = story.verb("Connect")
    assert (connect.ring_s, connect.limit_s, connect.wait, connect.warn_to) == (7, 90, "music", "both")
    assert (connect.announce, connect.notice, connect.notice_to) == (("a-call",), "recorded", "caller")


def test_without_recording_there_is_neither_notice_nor_file() -> None:
    connect = Story(record=False).calling().verb("Connect")
    assert (connect.record, connect.notice, connect.notice_to) == ("", "", "none")


def test_values_that_nobody_understands_become_the_defaults() -> None:
    odd = Story(wait="jazz", warn_to=["x"], record=True, recording_notice="all", max_duration_s="soon")
    connect = odd.calling().verb("Connect")
    assert (connect.wait, connect.warn_to, connect.limit_s) == ("early_media", "none", 3600)
    assert connect.notice_to == "both"  # nobody is recorded unawares


def test_without_a_greeting_the_callee_is_dialled_at_once() -> None:
    story = Story(announce={"caller": [None, ""]}).start().sent().held()
    assert story.asked == ["Dial", "Connect"]


@pytest.mark.parametrize("missing", ["caller", "callee", "caller_display", "callee_display"])
def test_a_leg_without_number_or_display_number_is_never_dialled(missing: str) -> None:
    """The real number would be shown where the display number is left out: fail closed."""
    story = Story(**{missing: None}).start().sent()
    if missing.startswith("callee"):
        story.held().sent().done().sent().done().over()
    assert "Connect" not in story.asked
    assert ("Dial" in story.asked) == missing.startswith("callee")
    assert story.outcome == ("failed", "platform")


def test_the_prompt_that_cannot_be_played_does_not_end_the_call() -> None:
    story = Story().start().sent().held().done("failed")
    assert story.asked[-1] == "Connect"
    refused = Story().start().sent().held()
    assert refused.hear(ev.Refused, refused.verb("Play").id, "no such prompt").asked[-1] == "Connect"


def test_a_call_starts_once() -> None:
    story = Story().start().start()
    assert story.asked == ["Dial"]
    assert story.told.count("call.started") == 1


def test_what_was_heard_after_the_end_changes_nothing() -> None:
    story = Story().bridged().ended(B).done("parted").over()
    before = story.call
    story.ended(A).held(A).hear(ev.Deadline).hear(ev.Cancel).hear(ev.Swept).start()
    assert story.call == before
    assert story.told.count("call.ended") == 1
