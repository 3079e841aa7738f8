"""CB4: another attempt follows the end of the one before it, in the same decision, or none does."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import events as ev
from controller.core.call import CallStatus, Retry, changed
from controller.core.decide import decide
from controller.core.draft import Decision
from controller.core.retry import MayFollow
from tests.core.story import A, B, Story

IDS = ("01JD3Y8Q4ZK5T0M6W9RB2XHCV1", "01JD3Y8Q4ZK5T0M6W9RB2XHCV2")
ENDS = {
    "congestion": ("remote", 503, 34),
    "busy": ("remote", 486, 17),
    "rejected": ("remote", 603, 21),
    "no_answer": ("timer", None, 19),
    "unreachable": ("remote", 408, 18),
    "invalid_number": ("remote", 404, 1),
}


def planned(*on: str, ids: tuple[str, ...] = IDS, **changes: Any) -> Story:
    """A callback with a retry plan."""
    story = Story(_asked={"confirm": 2})
    plan = Retry(ids, 60_000, on or ("no_answer", "congestion"))  # type: ignore[arg-type]
    story.call = changed(story.call, retry=plan, **changes)
    return story


def last(story: Story, event: ev.Event) -> Decision:
    """The decision of the event that ends the call."""
    return decide(story.flow, story.call, event)


def end_by(story: Story, disposition: str) -> Decision:
    """The caller's phone ends like this."""
    why, sip, q850 = ENDS[disposition]
    story.start().sent()
    return last(story, ev.LegEnded(story.now + 5, A, q850, sip, why))  # type: ignore[arg-type]


@pytest.mark.parametrize("disposition", ["congestion", "no_answer"])
def test_another_attempt_follows_what_the_plan_names(disposition: str) -> None:
    story = planned()
    decision = end_by(story, disposition)
    assert decision.call.disposition == disposition
    assert decision.follower is not None
    call = decision.follower.call
    assert (call.id, call.attempt, call.retry_of, call.plan) == (IDS[0], 2, story.call.id, story.call.id)
    assert (call.status, call.not_before) == (CallStatus.queued, story.now + 5 + 60_000)
    assert call.retry == Retry(IDS[1:], 60_000, ("no_answer", "congestion"))
    assert call.vars == {name: value for name, value in story.call.vars.items() if name != "_asked"}
    assert [(fact.call, fact.sequence, fact.type) for fact in decision.follower.facts] == [(IDS[0], 1, "call.queued")]
    assert (call.legs, call.steps, call.node, call.started_at) == ((), (), "", None)


@pytest.mark.parametrize("disposition", ["busy", "rejected"])
def test_a_human_who_refused_or_was_busy_is_called_again_only_if_asked(disposition: str) -> None:
    every = tuple(word for word in get_args(MayFollow) if word not in ("busy", "rejected"))
    assert end_by(planned(*every), disposition).follower is None
    assert end_by(planned(disposition), disposition).follower is not None


def test_the_callee_counts_where_the_call_got_that_far() -> None:
    story = planned().sorry(503, 34).done()
    decision = last(story, ev.LegEnded(story.now + 1, A, 16, 200, "platform"))
    assert decision.call.disposition == "congestion"
    assert decision.follower is not None


def test_the_last_attempt_is_followed_by_none() -> None:
    assert end_by(planned(ids=()), "congestion").follower is None


def test_a_call_that_was_talked_in_is_never_followed() -> None:
    story = planned(*get_args(MayFollow)).bridged().ended(B).done("parted")
    assert last(story, ev.LegEnded(story.now + 1, A, 16, 200, "platform")).follower is None


def test_a_canceled_call_is_followed_by_none() -> None:
    story = planned().start().sent().hear(ev.Cancel)
    assert last(story, ev.LegEnded(story.now + 1, A, 34, 503, "remote")).follower is None


def test_canceling_a_call_that_is_just_ending_cancels_the_plan() -> None:
    story = planned().sorry(503, 34).done()
    assert story.call.ending
    story.hear(ev.Cancel)
    decision = last(story, ev.LegEnded(story.now + 1, A, 16, 200, "platform"))
    assert decision.call.disposition == "congestion"
    assert decision.follower is None


def test_none_follows_that_would_begin_too_late() -> None:
    story = planned(not_after=0)
    assert end_by(story, "congestion").follower is None


def test_the_same_end_told_twice_is_followed_once() -> None:
    story = planned()
    decision = end_by(story, "congestion")
    again = decide(story.flow, decision.call, ev.LegEnded(story.now + 9, A, 34, 503, "remote"))
    assert again.follower is None


@given(st.sampled_from(sorted(ENDS)), st.sets(st.sampled_from(get_args(MayFollow)), min_size=1), st.integers(0, 2))
def test_what_follows_is_what_the_plan_says(disposition: str, on: set[str], left: int) -> None:
    decision = end_by(planned(*sorted(on), ids=IDS[:left]), disposition)
    assert (decision.follower is not None) == (disposition in on and left > 0)
    if decision.follower is not None:
        assert decision.follower.call.retry is not None
        assert len(decision.follower.call.retry.ids) == left - 1
