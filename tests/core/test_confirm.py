"""CB3: the caller must press a key before the callee is dialled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import events as ev
from controller.core.verbs import Ask
from tests.core.story import A, Story

GATE = {"prompt": "press-1", "key": "1", "repeats": 2, "timeout_s": 5, "replay_key": "2", "hang_up_key": "9"}


def gate(**changes: Any) -> Story:
    """The caller hears the prompt."""
    return Story(confirm={**GATE, **changes}).start().sent().held().sent()


def press(story: Story, key: str) -> Story:
    """A key, or none (empty)."""
    ask = story.verb("Ask")
    result = ("digits", key) if key else ("timeout", "")
    return story.hear(ev.VerbDone, A, ask.id, *result).sent()


def test_without_a_gate_nobody_is_asked() -> None:
    assert "Ask" not in Story().caller_up().asked


def test_the_prompt_is_played_and_the_key_dials_the_callee() -> None:
    story = gate()
    ask = story.verb("Ask")
    assert isinstance(ask, Ask)
    assert (ask.prompts, ask.most, ask.first_s) == (("press-1",), 1, 5.0)
    assert "Connect" not in story.asked
    assert press(story, "1").asked[-1] == "Play"
    assert story.done().asked[-1] == "Connect"


def test_silence_and_other_keys_repeat_the_prompt_as_often_as_asked() -> None:
    story = press(press(gate(), ""), "7")
    assert story.asked.count("Ask") == 3
    assert not story.call.ending
    assert press(story, "").over().outcome == ("no_answer", "platform")
    assert "Connect" not in story.asked


def test_the_replay_key_plays_it_again_but_not_for_ever() -> None:
    story = gate(repeats=0)
    for _ in range(10):
        press(story, "2")
    assert story.asked.count("Ask") == 11
    assert press(story, "2").over().outcome == ("no_answer", "platform")


def test_the_key_to_hang_up_cancels() -> None:
    assert press(gate(), "9").over().outcome == ("canceled", "platform")


def test_a_caller_who_hangs_up_at_the_gate_has_canceled() -> None:
    assert gate().ended(A).outcome == ("canceled", "caller")


def test_keys_without_a_meaning_are_other_keys() -> None:
    story = press(gate(replay_key=None, hang_up_key=None), "9")
    assert story.asked.count("Ask") == 2
    assert press(story, "1").done().asked[-1] == "Connect"


def test_no_key_shows_in_a_repr() -> None:
    story = press(gate(key="8"), "8")
    done = ev.VerbDone(0, A, "x", "digits", "8")
    assert "8" not in repr(done).replace(A, "")
    assert story.call.keys == ("8",)
    assert "keys" not in repr(story.call)
    assert "confirm" not in repr(story.call)


@given(st.lists(st.sampled_from(["", "1", "2", "3", "9", "#"]), max_size=20), st.integers(0, 10))
def test_whatever_is_pressed_the_callee_is_dialled_after_the_key_alone(keys: list[str], repeats: int) -> None:
    story = gate(repeats=repeats)
    for key in keys:
        if story.asked[-1] != "Ask":
            break
        press(story, key)
        assert (story.asked[-1] == "Play") == (key == "1")
        assert (story.call.verdict == "canceled") == (key == "9")
    assert story.asked.count("Ask") <= 11 + repeats
    assert "Connect" not in story.asked


@pytest.mark.parametrize("key", ["1", "9"])
def test_after_a_crash_the_answer_that_the_pbx_kept_counts(key: str) -> None:
    story = gate()
    ask = story.verb("Ask")
    story.hear(ev.LegHeld, A, "", "")
    assert story.asked[-2:] == ["Ask", "Ask"]  # the same verb: it never began
    assert story.verbs[-1].id == ask.id
    press(story, key)
    assert (story.call.verdict == "canceled") == (key == "9")
