"""Far end: what may be done to a talk while it goes on."""

import pytest

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B, C
from tests.lab.story import Story, heard_after
from tests.lab.together import together


def last_sound(call: Call) -> float:
    """When a phone last heard anything."""
    return max(float(sound["end"]) for sound in call["heard"])


@together
@pytest.mark.parametrize(("leg", "other"), [("caller", "callee"), ("callee", "caller")])
def test_a_muted_side_is_not_heard_and_hears_on(story: Story, leg: str, other: str) -> None:
    story.begin()
    story.talk()
    hz = {"caller": story.lab.tone(A), "callee": story.lab.tone(B)}
    story.must("mute", leg=leg)
    story.hears_no_more(other, hz[leg])
    now = last_sound(story.invited(leg))
    story.hears(leg, hz[other], 0.5, after=now)
    story.must("unmute", leg=leg)
    now = last_sound(story.invited(leg))
    story.hears(other, hz[leg], 0.3, after=now)
    story.hang_up("caller")
    assert story.ended().outcome == ("completed", "caller")


@together
@pytest.mark.parametrize(("leg", "other"), [("caller", "callee"), ("callee", "caller")])
def test_what_is_played_to_one_side_is_not_heard_by_the_other(story: Story, leg: str, other: str) -> None:
    story.begin()
    story.talk()
    story.must("play", leg=leg, prompts=["long-please-hold"])
    story.hears(leg, story.lab.prompt("please-hold"), 0.3)
    since = last_sound(story.invited(leg))
    tones = {"caller": story.lab.tone(A), "callee": story.lab.tone(B)}
    story.hears(leg, tones[other], 0.5, after=since)
    story.hears(other, tones[leg], 0.3, after=since)
    story.hang_up("callee")
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    assert end.prompts(leg).count("please-hold") == 1
    assert "please-hold" not in end.prompts(other)


@together
def test_a_prompt_that_is_not_there_is_refused_and_leaves_the_talk_alone(story: Story) -> None:
    story.begin()
    story.talk()
    refused = story.act("play", leg="callee", prompts=["please-hold", "no-such-prompt"])
    assert (refused[0], refused[1]["code"], refused[1]["param"]) == (422, "invalid_request", "prompts.1")
    since = last_sound(story.invited("callee"))
    story.hears("callee", story.lab.tone(A), 0.5, after=since)
    story.hang_up("callee")
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    assert "please-hold" not in end.prompts("callee")


def transfer(story: Story, to: str, **begun: object) -> None:
    """A talk, and then the caller is given to another number, which sees a display number of its own."""
    story.begin(**begun)
    story.talk()
    story.numbers["transfer"], story.displays["transfer"] = to, story.stage.display()
    story.must("transfer", to=to, display=story.displays["transfer"])


@together
def test_a_transfer_keeps_the_caller_lets_the_callee_go_and_rings_the_new_number(story: Story) -> None:
    transfer(story, C)
    story.hears("caller", story.lab.tone(C))
    story.hears("transfer", story.lab.tone(A))
    story.hang_up("transfer")
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    assert [leg["name"] for leg in end.record["legs"]] == ["caller", "callee", "transfer"]
    assert end.ended_by("callee") == "pbx"
    assert end.leg("transfer") == (200, 16, "remote")
    third = end.at_phone["transfer"]
    assert heard_after(third, story.lab.tone(B), 0) == 0
    assert [event["type"] for event in end.events].count("call.bridged") == 2


@together
def test_the_caller_may_end_a_talk_that_was_transferred(story: Story) -> None:
    transfer(story, C)
    story.hears("transfer", story.lab.tone(A))
    story.hang_up("caller")
    end = story.ended()
    assert end.outcome == ("completed", "caller")
    assert end.ended_by("transfer") == "pbx"


@together
def test_a_transfer_to_a_busy_number_tells_the_caller_and_the_talk_before_was_completed(story: Story) -> None:
    transfer(story, story.lab.number("busy"))
    end = story.ended()
    assert end.record["disposition"] == "completed"
    assert end.leg("transfer") == (486, 17, "remote")
    assert end.prompts("caller")[-1] == "not-available"


@together
def test_a_recorded_talk_that_is_transferred_has_a_recording_of_each_part(story: Story) -> None:
    transfer(story, C, record=True, recording_notice="none")
    story.hears("transfer", story.lab.tone(A), 0.5)
    story.hang_up("transfer")
    story.ended()
    story.stage.receiver.wait_for(
        story.id, lambda facts: [fact["type"] for fact in facts].count("recording.stored") == 2, within_s=30
    )


@together
def test_actions_are_refused_before_the_talk_and_after_it(story: Story) -> None:
    story.begin(callee=story.lab.number("no_answer"))
    story.until("call.leg.ringing", "callee")
    for action in ({"action": "mute", "leg": "caller"}, {"action": "record"}, {"action": "play", "prompts": ["beep"]}):
        status, answer = story.act(**action)
        assert (status, answer["code"]) == (409, "not_possible_now"), action
    story.must("hangup")
    story.ended()
    status, answer = story.act("record")
    assert (status, answer["code"]) == (409, "not_possible_now")
