"""Far end, CB9: a person at the caller's phone is connected; a machine is not, and the callee's phone never rings."""

from typing import Any

from tests.lab.story import Ended, Story
from tests.lab.together import together


def answered_by(end: Ended) -> list[tuple[str, str]]:
    """Who was found, as told and as recorded: the two must agree."""
    told = [(fact["data"]["leg"], fact["data"]["answered_by"]) for fact in end.events if fact["type"] == "call.leg.detected"]
    recorded = [(leg["name"], leg["answered_by"]) for leg in end.record["legs"] if leg["answered_by"] is not None]
    assert told == recorded
    assert all(fact["data"]["supported"] for fact in end.events if fact["type"] == "call.leg.detected")
    return told


def listening(story: Story, behaviour: str, **wanted: Any) -> Story:
    """A callback to a phone that behaves so, which is listened to."""
    return story.begin(caller=story.lab.number(behaviour), machine_detection=wanted)


@together
def test_who_says_hello_and_waits_is_connected(story: Story) -> None:
    listening(story, "says_hello")
    story.until("call.bridged")
    story.hears("caller", story.lab.tone(story.numbers["callee"]))
    story.hang_up("callee")
    end = story.ended()
    assert answered_by(end) == [("caller", "person")]
    assert end.outcome == ("completed", "callee")
    assert end.prompts("caller") == ["connecting"]


@together
def test_a_long_greeting_is_a_machine_and_nobody_else_is_called(story: Story) -> None:
    listening(story, "greets_long")
    end = story.ended()
    assert answered_by(end) == [("caller", "machine")]
    assert end.outcome == ("no_answer", "platform")
    assert end.prompts("caller") == []
    assert "callee" not in end.legs
    assert story.calls("callee") == []


@together
def test_a_machine_can_be_connected_all_the_same(story: Story) -> None:
    listening(story, "greets_long", on_machine="continue")
    story.until("call.bridged")
    story.hang_up("callee")
    assert answered_by(story.ended()) == [("caller", "machine")]


@together
def test_silence_is_neither_and_goes_on_unless_asked_not_to(story: Story) -> None:
    listening(story, "says_nothing")
    story.until("call.bridged")
    story.hang_up("callee")
    assert answered_by(story.ended()) == [("caller", "unknown")]


@together
def test_silence_is_given_up_where_asked(story: Story) -> None:
    listening(story, "says_nothing", on_unknown="hang_up")
    end = story.ended()
    assert answered_by(end) == [("caller", "unknown")]
    assert end.outcome == ("no_answer", "platform")
    assert story.calls("callee") == []


@together
def test_who_hangs_up_while_we_listen_has_canceled(story: Story) -> None:
    listening(story, "hangup_early")
    end = story.ended()
    assert answered_by(end) == []
    assert end.outcome == ("canceled", "caller")
    assert story.calls("callee") == []


@together
def test_nobody_is_listened_to_unless_asked(story: Story) -> None:
    story.begin(caller=story.lab.number("greets_long"))
    story.until("call.bridged")
    story.hang_up("callee")
    assert answered_by(story.ended()) == []
