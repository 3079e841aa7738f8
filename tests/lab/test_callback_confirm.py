"""Far end: the callee is dialled only after the caller pressed the key."""

from tests.lab.story import Ended, Story
from tests.lab.together import together

GATE = {"prompt": "press-1", "timeout_s": 3, "repeats": 1}


def nobody_else_was_called(end: Ended) -> bool:
    """The callee's phone was never asked for."""
    return "callee" not in end.legs and end.story.calls("callee") == []


@together
def test_the_caller_presses_the_key_and_only_then_the_callee_rings(story: Story) -> None:
    story.begin(caller=story.lab.number("answer"), confirm=GATE)
    caller = story.hears("caller", story.lab.prompt("press-1"))
    assert story.calls("callee") == []
    story.phones.press(caller["call_id"], "1")
    story.talk()
    story.hang_up("callee")
    end = story.ended()
    assert end.outcome == ("completed", "callee")
    assert end.prompts("caller")[:2] == ["press-1", "connecting"]
    assert end.record["keys_pressed"] == "1"


@together
def test_a_phone_that_presses_the_key_by_itself_goes_through(story: Story) -> None:
    story.begin(caller=story.lab.number("keys"), confirm={**GATE, "repeats": 2})
    story.talk()
    story.hang_up("caller")
    assert story.ended().outcome == ("completed", "caller")


@together
def test_silence_hears_the_prompt_again_and_then_the_call_is_over(story: Story) -> None:
    story.begin(confirm=GATE)
    end = story.ended()
    assert end.outcome == ("no_answer", "platform")
    assert end.prompts("caller") == ["press-1", "press-1"]
    assert nobody_else_was_called(end)


@together
def test_the_replay_key_and_the_key_to_hang_up(story: Story) -> None:
    story.begin(confirm={**GATE, "repeats": 0, "timeout_s": 10, "replay_key": "2", "hang_up_key": "9"})
    prompt = story.lab.prompt("press-1")
    caller = story.hears("caller", prompt)
    story.hears_no_more("caller", prompt)
    story.phones.press(caller["call_id"], "2")
    story.wait("caller", lambda call: len([sound for sound in call["heard"] if sound["hz"] == prompt]) >= 2)
    story.phones.press(caller["call_id"], "9")
    end = story.ended()
    assert end.outcome == ("canceled", "platform")
    assert end.record["keys_pressed"] == "29"
    assert nobody_else_was_called(end)


@together
def test_a_wrong_key_does_not_dial(story: Story) -> None:
    story.begin(caller=story.lab.number("keys_2"), confirm={**GATE, "repeats": 0})
    end = story.ended()
    assert end.outcome == ("no_answer", "platform")
    assert end.record["keys_pressed"] == "2"
    assert nobody_else_was_called(end)


@together
def test_a_caller_who_hangs_up_at_the_prompt_has_canceled(story: Story) -> None:
    story.begin(confirm=GATE)
    story.hears("caller", story.lab.prompt("press-1"))
    story.hang_up("caller")
    end = story.ended()
    assert end.outcome == ("canceled", "caller")
    assert nobody_else_was_called(end)


@together
def test_it_can_be_canceled_at_the_prompt(story: Story) -> None:
    story.begin(confirm=GATE)
    story.hears("caller", story.lab.prompt("press-1"))
    assert story.cancel() == (True, ["caller"], None)
    assert story.ended().outcome == ("canceled", "platform")
