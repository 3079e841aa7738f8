"""Far end: a callback rings the caller, then the callee, and the two talk; neither sees the other's number."""

import pytest

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B
from tests.lab.story import Story, heard_after
from tests.lab.together import together

OVERLAP_S = 0.2
"""For so long the windows that an ear looks at may hold both what was before and what comes after."""


@together
def test_the_two_hear_each_other_and_see_only_their_display_numbers(story: Story) -> None:
    story.begin()
    caller, callee = story.talk()
    assert story.status() == "bridged"
    story.hang_up("callee")
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    assert end.leg("caller") == (200, 16, "platform")
    assert end.leg("callee") == (200, 16, "remote")
    assert (end.ended_by("caller"), end.ended_by("callee")) == ("pbx", "phone")
    assert end.prompts("caller") == ["connecting"]
    assert end.prompts("callee") == []
    assert end.record["recordings"] == []
    assert phones_of(caller) == {1300, 2150}
    assert phones_of(callee) == {1000}


def phones_of(call: Call) -> set[int]:
    """The tones that a phone heard."""
    return set(call["heard_hz"])


@together
def test_the_caller_can_let_go_first(story: Story) -> None:
    story.begin()
    story.talk()
    story.hang_up("caller")
    end = story.ended()
    assert end.outcome == ("completed", "caller")
    assert end.leg("caller") == (200, 16, "remote")
    assert end.leg("callee")[:2] == (200, 16)
    assert (end.ended_by("caller"), end.ended_by("callee")) == ("phone", "pbx")


@together
def test_a_callee_that_lets_go_has_talked(story: Story) -> None:
    story.begin(callee=story.lab.number("hangup_late"))
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    assert end.leg("callee") == (200, 16, "remote")
    assert end.heard("caller", 1350) > 0.3
    assert 0.3 < end.record["bill_s"] < 5


@together
def test_a_caller_that_lets_go_after_a_second_is_not_connected_if_that_is_too_soon(story: Story) -> None:
    story.begin(caller=story.lab.number("hangup_early"), callee=story.lab.number("no_answer"))
    end = story.ended()
    assert end.outcome == ("canceled", "caller")
    assert end.leg("caller") == (200, 16, "remote")
    assert end.record["bridged_at"] is None


@together
def test_early_media_of_the_callee_is_heard_by_the_caller_before_the_answer(story: Story) -> None:
    story.begin(callee=story.lab.number("early_media"))
    caller, _ = story.talk()
    story.hang_up("caller")
    end = story.ended()
    answered = end.at_phone["callee"]["answered_at"]
    before = sum(
        max(0.0, min(sound["end"], answered) - sound["begin"])
        for sound in end.at_phone["caller"]["heard"]
        if sound["hz"] == 1900
    )
    assert before > 0.5
    assert end.outcome == ("completed", "caller")
    assert end.legs["callee"]["ringing_at"] < end.legs["callee"]["answered_at"]
    assert caller["call_id"] == end.at_phone["caller"]["call_id"]


@together
def test_music_is_heard_while_the_callee_rings_if_it_is_asked_for(story: Story) -> None:
    story.begin(callee=story.lab.number("no_answer"), wait="music", ring_timeout_s={"callee": 3})
    story.hears("caller", story.lab.prompt("music"))
    story.answer("callee")
    story.talk()
    story.hang_up("callee")
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    caller, talk_hz = end.at_phone["caller"], story.lab.tone(story.numbers["callee"])
    talked_since = min(float(sound["begin"]) for sound in caller["heard"] if sound["hz"] == talk_hz)
    assert heard_after(caller, story.lab.prompt("music"), talked_since + OVERLAP_S) == 0


@together
def test_ringback_is_heard_while_the_callee_rings_if_it_is_asked_for(story: Story) -> None:
    """The PBX plays it (440 and 480 Hz): what the caller gets is sound, and none of the early media."""
    story.begin(callee=story.lab.number("early_media"), wait="ringback", announce={"caller": None})
    story.talk()
    story.hang_up("callee")
    end = story.ended()
    answered = end.at_phone["callee"]["answered_at"]
    early = [s for s in end.at_phone["caller"]["heard"] if s["hz"] == 1900 and s["begin"] < answered - 0.1]
    assert early == []


@together
@pytest.mark.parametrize(("announce", "caller", "callee"), [
    ({"caller": "one-moment", "callee": "please-hold"}, ["one-moment"], ["please-hold"]),
    ({"caller": None, "callee": None}, [], []),
    ({"callee": "please-hold"}, ["connecting"], ["please-hold"]),
])  # fmt: skip
def test_each_side_hears_the_announcement_asked_for_it(
    story: Story, announce: dict[str, str | None], caller: list[str], callee: list[str]
) -> None:
    story.begin(announce=announce)
    story.talk()
    story.hang_up("caller")
    end = story.ended()
    assert end.prompts("caller") == caller
    assert end.prompts("callee") == callee


@together
@pytest.mark.parametrize(("warn_to", "warned"), [
    ("both", {"caller", "callee"}), ("caller", {"caller"}), ("callee", {"callee"}), ("none", set()),
])  # fmt: skip
def test_the_maximum_duration_ends_the_talk_and_the_last_minute_tone_is_heard_by_whom_it_was_asked_for(
    story: Story, warn_to: str, warned: set[str]
) -> None:
    """A talk shorter than two minutes is warned at its half."""
    story.begin(max_duration_s=4, warn_to=warn_to)
    story.talk()
    end = story.ended()
    assert end.outcome == ("completed", "platform")
    assert end.leg("callee") == (200, 16, "limit")
    assert end.leg("caller") == (200, 16, "platform")
    assert 3.5 <= end.record["bill_s"] <= 6
    assert {end.ended_by("caller"), end.ended_by("callee")} == {"pbx"}
    tone = story.lab.prompt("last-minute")
    assert {leg for leg in ("caller", "callee") if end.heard(leg, tone) > 0.3} == warned
    for leg in warned:
        sounds = [sound["begin"] for sound in end.at_phone[leg]["heard"] if sound["hz"] == tone]
        assert 0.5 < end.at_phone[leg]["ended_at"] - sounds[0] < 3.9


@pytest.mark.soak
@together
def test_the_last_minute_tone_sounds_a_minute_before_the_end(story: Story) -> None:
    story.begin(max_duration_s=125, warn_to="both")
    story.talk()
    end = story.ended(within_s=160)
    tone = story.lab.prompt("last-minute")
    for leg in ("caller", "callee"):
        sounds = [sound["begin"] for sound in end.at_phone[leg]["heard"] if sound["hz"] == tone]
        assert 59 < end.at_phone[leg]["ended_at"] - sounds[0] < 61


@together
def test_a_phone_that_names_itself_is_not_named_to_the_other(story: Story) -> None:
    """It says who it is by P-Asserted-Identity, as callee and (below) as caller."""
    story.begin(callee=story.lab.number("tells_identity"))
    story.talk()
    story.hang_up("callee")
    assert story.ended().outcome == ("completed", "callee")


@together
def test_a_caller_that_names_itself_is_not_named_to_the_other(story: Story) -> None:
    story.begin(caller=story.lab.number("tells_identity"))
    story.talk()
    story.hang_up("callee")
    assert story.ended().outcome == ("completed", "callee")


@together
def test_one_phone_may_be_caller_and_callee_of_many_calls_at_once(story: Story) -> None:
    """Everything else in this module does just that; here the two are turned round."""
    story.begin(caller=B, callee=A)
    story.talk()
    story.hang_up("caller")
    assert story.ended().outcome == ("completed", "caller")
