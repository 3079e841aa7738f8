"""Far end: either side may hang up at any moment, and the business may cancel at any moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.lab.story import WITHIN_S, Story
from tests.lab.together import together

Reach = Callable[[Story], None]

# --- the phases of a callback, each as a story comes to it and stays there


def caller_dialing(story: Story) -> None:
    """The INVITE is out, and nothing has come back."""
    story.begin(caller=story.lab.number("silent_drop"))
    story.until("call.leg.dialing", "caller")
    story.invited("caller")


def caller_ringing(story: Story) -> None:
    """The caller's phone rings."""
    story.begin(caller=story.lab.number("no_answer"))
    story.until("call.leg.ringing", "caller")


def connecting(story: Story) -> None:
    """The caller hears the first prompt, which takes its time."""
    story.begin(callee=story.lab.number("no_answer"), flow="unhurried")
    story.hears("caller", story.lab.prompt("connecting"), 0.15)


def callee_dialing(story: Story) -> None:
    """The INVITE to the callee is out, and nothing has come back."""
    story.begin(callee=story.lab.number("silent_drop"))
    story.until("call.leg.dialing", "callee")
    story.invited("callee")


def callee_ringing(story: Story) -> None:
    """The callee's phone rings."""
    story.begin(callee=story.lab.number("no_answer"))
    story.until("call.leg.ringing", "callee")


def noticed(story: Story) -> None:
    """The callee has answered, and hears that it will be recorded."""
    story.begin(record=True, flow="unhurried", announce={"caller": None})
    story.hears("callee", story.lab.prompt("recorded"), 0.15)


def bridged(story: Story) -> None:
    """The two talk."""
    story.begin()
    story.talk()


def sorry(story: Story) -> None:
    """The caller hears that the callee is not to be had."""
    story.begin(callee=story.lab.number("busy"), flow="unhurried", announce={"caller": None})
    story.hears("caller", story.lab.prompt("not-available"), 0.15)


# --- who hangs up


@together
@pytest.mark.parametrize(("reach", "outcome", "callee"), [
    (connecting, ("canceled", "caller"), None),
    (callee_dialing, ("canceled", "caller"), (None, 16)),
    (callee_ringing, ("canceled", "caller"), (None, 16)),
    (noticed, ("canceled", "caller"), (200, 16)),
    (bridged, ("completed", "caller"), (200, 16)),
    (sorry, ("busy", "callee"), (486, 17)),
])  # fmt: skip
def test_the_caller_hangs_up(
    story: Story, reach: Reach, outcome: tuple[str, str], callee: tuple[int | None, int] | None
) -> None:
    reach(story)
    story.hang_up("caller")
    end = story.ended()
    assert end.outcome == outcome
    assert end.leg("caller") == (200, 16, "remote")
    assert end.ended_by("caller") == "phone"
    assert ("callee" in end.legs) == (callee is not None)
    if callee is not None:
        assert end.leg("callee")[:2] == callee
    if reach in (callee_ringing, noticed, bridged):
        assert end.ended_by("callee") == "pbx"
    if reach is callee_ringing:
        assert end.at_phone["callee"]["status"] == 487


@together
def test_the_caller_says_no_while_it_rings(story: Story) -> None:
    caller_ringing(story)
    story.reject("caller")
    end = story.ended()
    assert end.outcome == ("rejected", "caller")
    assert end.leg("caller") == (603, 21, "remote")


@together
@pytest.mark.parametrize(("reach", "outcome", "callee"), [
    (noticed, ("completed", "callee"), (200, 16, "remote")),
    (bridged, ("completed", "callee"), (200, 16, "remote")),
])  # fmt: skip
def test_the_callee_hangs_up(story: Story, reach: Reach, outcome: tuple[str, str], callee: tuple[int, int, str]) -> None:
    reach(story)
    story.hang_up("callee")
    end = story.ended()
    assert end.outcome == outcome
    assert end.leg("callee") == callee
    assert (end.ended_by("caller"), end.ended_by("callee")) == ("pbx", "phone")
    if reach is noticed:  # the PBX gives up here without a word
        assert end.prompts("caller")[-1] == "not-available"
    left = end.at_phone["callee"]["ended_at"]
    if reach is noticed:
        excuse = next(s for s in end.at_phone["caller"]["heard"] if s["hz"] == story.lab.prompt("not-available"))
        assert excuse["begin"] - left < 5
    else:
        assert end.at_phone["caller"]["ended_at"] - left < 5


@together
def test_the_callee_says_no_while_it_rings(story: Story) -> None:
    callee_ringing(story)
    story.reject("callee")
    end = story.ended()
    assert end.outcome == ("rejected", "callee")
    assert end.leg("callee") == (603, 21, "remote")
    assert end.prompts("caller")[-1] == "not-available"


# --- the business cancels

BOTH = ["caller", "callee"]
CANCELS = [
    # reached, unless, what is answered
    *((phase, unless, (True, ["caller"], None))
      for phase in (caller_dialing, caller_ringing, connecting) for unless in ("", "ringing", "answered")),
    *((callee_dialing, unless, (True, BOTH, None)) for unless in ("", "ringing", "answered")),
    (callee_ringing, "", (True, BOTH, None)),
    (callee_ringing, "ringing", (False, [], "ringing")),
    (callee_ringing, "answered", (True, BOTH, None)),
    (noticed, "", (True, BOTH, None)),
    (noticed, "ringing", (False, [], "answered")),
    (noticed, "answered", (False, [], "answered")),
    (bridged, "", (True, BOTH, None)),
    (bridged, "ringing", (False, [], "answered")),
    (bridged, "answered", (False, [], "answered")),
    (sorry, "", (True, ["caller"], None)),
    (sorry, "ringing", (True, ["caller"], None)),
    (sorry, "answered", (True, ["caller"], None)),
]  # fmt: skip


@together
@pytest.mark.parametrize(("reach", "unless", "answer"), CANCELS)
def test_a_callback_is_canceled_unless_it_has_got_that_far(
    story: Story, reach: Reach, unless: str, answer: tuple[bool, list[str], str | None]
) -> None:
    reach(story)
    assert story.cancel(unless) == answer
    if not answer[0]:
        if reach is callee_ringing:
            story.answer("callee")
            story.talk()
        assert story.cancel() == (True, BOTH, None)
    end = story.ended()
    assert end.outcome == ("canceled", "platform")
    assert end.legs.keys() == ({"caller", "callee"} if reach is sorry else set(BOTH if "callee" in end.legs else ["caller"]))
    for leg in end.at_phone:
        if end.at_phone[leg]["answered_at"]:
            assert end.leg(leg) == (200, 16, "remote" if end.ended_by(leg) == "phone" else "platform")
        elif reach is not sorry:
            assert end.leg(leg)[2] == "platform"
    assert story.cancel() == (False, [], "ended")


# --- other ways to the end


@together
def test_the_business_hangs_up_a_talk_and_it_was_completed(story: Story) -> None:
    bridged(story)
    story.must("hangup")
    end = story.ended()
    assert end.outcome == ("completed", "platform")
    assert {end.ended_by("caller"), end.ended_by("callee")} == {"pbx"}


@together
def test_a_hang_up_by_api_while_it_rings_cancels_the_call(story: Story) -> None:
    callee_ringing(story)
    story.must("hangup")
    end = story.ended()
    assert end.outcome == ("canceled", "platform")
    assert end.at_phone["callee"]["status"] == 487


@together
def test_both_hang_up_at_once(story: Story) -> None:
    bridged(story)
    caller, callee = story.invited("caller")["call_id"], story.invited("callee")["call_id"]
    story.phones.hang_up(caller)
    story.phones.hang_up(callee)
    end = story.ended()
    assert end.record["disposition"] == "completed"
    assert end.record["hangup_by"] in ("caller", "callee")
    assert {end.ended_by("caller"), end.ended_by("callee")} <= {"phone", "pbx"}


@together
def test_ten_cancellations_at_once_make_one_end(story: Story) -> None:
    callee_ringing(story)
    together = Barrier(10)

    def cancel(_turn: int) -> tuple[bool, list[str], str | None]:
        together.wait(WITHIN_S)
        return story.cancel()

    with ThreadPoolExecutor(together.parties) as pool:
        answers = list(pool.map(cancel, range(together.parties)))
    assert [answer for answer in answers if answer[0]] == [(True, BOTH, None)]
    assert {answer[2] for answer in answers if not answer[0]} <= {"ending", "ended"}
    assert story.ended().outcome == ("canceled", "platform")
