"""Faults: the controller is killed with -9 in every phase of a call, and started again.

Nobody is stranded, no phone rings twice, and each call has its one end with the times that the phones know.  All stories here
share one death: each comes to its phase, `with death:` is what happens while there is no controller.
"""

import time
from typing import Any

import pytest

from controller.lab.phones.client import Call
from tests.lab.doomed import Death, Doomed
from tests.lab.far_end import LONG_S, A, B
from tests.lab.story import TRUE_MS, Ended, Story, heard_after, last_heard, off_ms
from tests.lab.test_callback_hangups import (
    callee_dialing,
    callee_ringing,
    caller_dialing,
    caller_ringing,
    connecting,
    noticed,
    sorry,
)
from tests.lab.together import together

"""How far a time in the record may be from what the phone noted."""


def assert_true_times(end: Ended) -> None:
    """Answers and ends are where the phones saw them."""
    for name, leg in end.legs.items():
        seen = end.at_phone[name]
        for noted in ("answered_at", "ended_at"):
            if seen[noted]:
                assert off_ms(leg[noted], seen[noted]) < TRUE_MS, (name, noted, leg[noted], seen[noted])


def finish_talk(story: Story, leg: str = "callee") -> Ended:
    """The two talk, one hangs up, and all is as it was."""
    story.talk()
    story.hang_up(leg)
    end = story.ended()
    assert end.outcome == ("completed", leg)
    assert_true_times(end)
    return end


# --- waiting for a phone


@together
def test_a_caller_that_rings_may_answer_later(story: Story, death: Death) -> None:
    caller_ringing(story)
    with death:
        assert story.invited("caller")["ended_at"] is None
    story.answer("caller")
    finish_talk(story)


@together
def test_a_caller_that_answers_meanwhile_is_held_and_told_so(story: Story, death: Death) -> None:
    caller_ringing(story)
    with death:
        story.answer("caller")
        story.hears("caller", story.lab.prompt("one-moment"))
    finish_talk(story)


@together
def test_a_callee_that_rings_may_answer_later(story: Story, death: Death) -> None:
    callee_ringing(story)
    with death:
        assert story.invited("callee")["ended_at"] is None
    story.answer("callee")
    finish_talk(story, "caller")


@together
def test_a_callee_that_answers_meanwhile_is_connected(story: Story, death: Death) -> None:
    callee_ringing(story)
    with death:
        story.answer("callee")
        story.hears("callee", story.lab.tone(A))
        story.hears("caller", story.lab.tone(story.numbers["callee"]))
    end = finish_talk(story)
    assert off_ms(end.record["bridged_at"], end.at_phone["callee"]["answered_at"]) < TRUE_MS


@pytest.mark.parametrize("leg", ["caller", "callee"])
@together
def test_a_phone_that_refuses_meanwhile_has_rejected(story: Story, death: Death, leg: str) -> None:
    {"caller": caller_ringing, "callee": callee_ringing}[leg](story)
    with death:
        story.reject(leg)
    end = story.ended()
    assert end.outcome == ("rejected", leg)
    assert end.leg(leg) == (603, 21, "remote")
    assert_true_times(end)


@together
def test_a_caller_that_leaves_meanwhile_while_the_callee_rings_has_canceled(story: Story, death: Death) -> None:
    callee_ringing(story)
    with death:
        story.hang_up("caller")
    end = story.ended()
    assert end.outcome == ("canceled", "caller")
    assert end.at_phone["callee"]["status"] == 487
    assert_true_times(end)


@pytest.mark.parametrize("leg", ["caller", "callee"])
@together
def test_a_phone_that_is_silent_is_not_to_be_reached(story: Story, death: Death, leg: str) -> None:
    {"caller": caller_dialing, "callee": callee_dialing}[leg](story)
    with death:
        pass
    end = story.ended()
    assert end.outcome == ("unreachable", leg)
    assert end.leg(leg) == (408, 18, "remote")


@pytest.mark.parametrize("leg", ["caller", "callee"])
@together
def test_a_ring_time_out_strikes_without_a_controller(story: Story, death: Death, leg: str) -> None:
    story.begin(**{leg: story.lab.number("no_answer")}, ring_timeout_s={leg: 8})
    story.until("call.leg.ringing", leg)
    with death:
        story.wait(leg, lambda call: call["ended_at"] is not None)
    end = story.ended()
    assert end.outcome == ("no_answer", "platform")
    assert end.leg(leg) == (None, 19, "timer")
    assert_true_times(end)


# --- prompts


@together
def test_the_first_prompt_is_played_to_its_end_once_and_the_callee_rings_once(story: Story, death: Death) -> None:
    death.begin_last()
    connecting(story)
    with death as killed_at:
        pass
    story.until("call.leg.ringing", "callee")
    story.answer("callee")
    played_to_its_end(finish_talk(story), "connecting", killed_at)


@together
def test_the_notice_is_played_to_its_end_and_what_follows_is_recorded(story: Story, death: Death) -> None:
    death.begin_last()
    noticed(story)
    with death as killed_at:
        pass
    played_to_its_end(finish_talk(story), "recorded", killed_at)
    story.until("recording.stored")


@together
def test_the_excuse_is_played_to_its_end_and_the_call_ends_as_it_would_have(story: Story, death: Death) -> None:
    death.begin_last()
    sorry(story)
    with death as killed_at:
        pass
    end = story.ended()
    assert end.outcome == ("busy", "callee")
    played_to_its_end(end, "not-available", killed_at)


def played_to_its_end(end: Ended, prompt: str, killed_at: float) -> None:
    """The caller heard it all, once, and the controller died in the middle of it.

    Begun anew it would have taken longer, by the second at least that a controller takes to come back."""
    hz = end.story.lab.prompt(prompt)
    sounds = [sound for sound in end.at_phone["caller"]["heard"] if sound["hz"] == hz]
    begin, over = min(sound["begin"] for sound in sounds), max(sound["end"] for sound in sounds)
    assert begin < killed_at < over
    assert LONG_S - 1 < over - begin < LONG_S + 0.9


# --- talking


def talk_on(story: Story, since: float) -> None:
    """Both hear each other for a second from now on."""
    story.hears("caller", story.lab.tone(B), 1.0, after=since)
    story.hears("callee", story.lab.tone(A), 1.0, after=since)


@together
def test_a_talk_goes_on_and_is_known_again(story: Story, death: Death) -> None:
    story.begin().talk()
    with death as killed_at:
        talk_on(story, killed_at)
    assert story.status() == "bridged"
    finish_talk(story)


@together
def test_a_talk_may_be_ended_by_the_business_afterwards(story: Story, death: Death) -> None:
    story.begin().talk()
    with death:
        pass
    story.must("hangup")
    end = story.ended()
    assert end.outcome == ("completed", "platform")
    assert_true_times(end)


@pytest.mark.parametrize(("leg", "more"), [("caller", {}), ("callee", {}), ("callee", {"record": True})])
@together
def test_a_talk_that_ends_meanwhile_was_completed_and_has_its_true_times(
    story: Story, death: Death, leg: str, more: dict[str, Any]
) -> None:
    story.begin(**more).talk()
    with death as killed_at:
        talk_on(story, killed_at)
        story.hang_up(leg)
    end = story.ended()
    assert end.outcome == ("completed", leg)
    assert_true_times(end)
    longest = end.at_phone["callee"]["ended_at"] - end.at_phone["callee"]["answered_at"]
    assert 1.0 < end.record["bill_s"] < longest + TRUE_MS / 1000
    if more:
        stored = story.until("recording.stored")
        end.check_length(stored["data"]["duration_s"])


@together
def test_the_maximum_duration_strikes_without_a_controller(story: Story, death: Death) -> None:
    story.begin(max_duration_s=8).talk()

    def is_over(call: Call) -> bool:
        return call["ended_at"] is not None or time.time() - last_heard(call, story.lab.tone(B)) > 1

    with death:
        story.wait("callee", lambda call: call["ended_at"] is not None)
        story.wait("caller", is_over)  # it is held: only a controller knows that nothing follows
    end = story.ended()
    assert end.outcome == ("completed", "platform")
    assert end.leg("callee") == (200, 16, "limit")
    assert 7.5 < end.record["bill_s"] < 10
    assert off_ms(end.legs["callee"]["ended_at"], end.at_phone["callee"]["ended_at"]) < TRUE_MS


# --- and those that had not begun


@pytest.mark.soak
def test_a_held_leg_is_told_sorry_when_no_controller_comes_back(doomed: Doomed) -> None:
    with Story(doomed, "given up") as story:
        caller_ringing(story)
        with doomed.without("controller"):
            story.answer("caller")
            story.hears("caller", doomed.lab.prompt("one-moment"))
            sorry = doomed.lab.prompt("sorry")
            story.wait("caller", lambda call: heard_after(call, sorry, 0.0) >= 0.2, within_s=60)
            story.wait("caller", lambda call: call["ended_at"] is not None)
        end = story.ended()
        assert end.outcome == ("failed", "platform")
        assert end.ended_by("caller") == "pbx"
        assert_true_times(end)


def test_calls_that_wait_in_the_queue_are_started_by_the_next_controller(doomed: Doomed) -> None:
    assert doomed.ask("PATCH", f"/v1/nodes/{doomed.lab.node}", {"state": "draining"})[0] == 200
    with Story(doomed, "waits 1") as first, Story(doomed, "waits 2") as second:
        assert [story.begin().status() for story in (first, second)] == ["queued", "queued"]
        with doomed.without("controller"):
            assert [story.calls("caller") for story in (first, second)] == [[], []]
        assert doomed.node()["state"] == "draining"
        assert doomed.ask("PATCH", f"/v1/nodes/{doomed.lab.node}", {"state": "up"})[0] == 200
        for story in (first, second):
            finish_talk(story, "caller")
