"""Faults: many calls of every kind while the controller is killed again and again at any moment.

Every call that was accepted has one end, and a true one; no phone rings twice; no channel is left.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.doomed import Doomed
from tests.lab.far_end import A, B, C
from tests.lab.story import Ended, Story

LIVES_S = (0.2, 1.5)  # how long a controller lives after it is ready
AT_ONCE = 40
BEGIN_WITHIN_S = 3.0  # all at one moment would be on their way at one moment, and one death would lose them all


def kinds(stage: Doomed) -> list[dict[str, Any]]:
    """What calls are made of."""
    number = stage.lab.number
    return [
        {"callee": number("hangup_early")},
        {"callee": number("hangup_late"), "record": True},
        {"callee": number("early_media"), "max_duration_s": 2},
        {"callee": B, "max_duration_s": 3, "record": True, "warn_to": "both"},
        {"caller": C, "callee": A, "max_duration_s": 1},
        {"caller": number("answer_late"), "callee": number("hangup_early")},
        {"callee": number("busy")},
        {"callee": number("reject_late")},
        {"callee": number("not_found")},
        {"callee": number("no_answer"), "ring_timeout_s": {"callee": 2}},
        {"caller": number("no_answer"), "ring_timeout_s": {"caller": 2}},
        {"caller": number("busy")},
        {"caller": number("hangup_early"), "callee": number("no_answer")},
    ]


def play(stage: Doomed, number: int, asked: dict[str, Any], after_s: float) -> Ended:
    """One call; some are canceled by a business that asks until it is heard."""
    time.sleep(after_s)  # the dice, not a wait for anything
    with Story(stage, f"call {number}") as story:
        story.begin(**asked)
        if number % 10 == 9:
            stage.patiently("DELETE", f"/v1/callbacks/{story.id}")
        stage.receiver.wait_for(story.id, lambda facts: any(fact["type"] == "cdr.created" for fact in facts), 100)
        return story.ended()


def truths(end: Ended, canceled: bool) -> set[str]:
    """The dispositions that what the phones saw allows."""
    if canceled:
        return {"canceled"}
    callee, caller = end.at_phone.get("callee"), end.at_phone.get("caller")
    if caller is None or (callee is None and caller["answered_at"] and end.record["hangup_by"] != "caller"):
        return {"lost"}  # it was on its way when the controller died: nobody dares to dial it again
    if caller["answered_at"] is None:
        return {486: {"busy"}, 487: {"no_answer"}}[caller["status"]]
    if callee is None:
        return {"canceled"}
    if callee["answered_at"]:
        return {"completed", "canceled"} if end.record["bridged_at"] is None else {"completed"}
    return {486: {"busy"}, 603: {"rejected"}, 404: {"invalid_number"}, 487: {"no_answer", "canceled"}}[callee["status"]]


def kill_until(stage: Doomed, calls: list[Future[Ended]], dice: random.Random) -> Iterator[int]:
    """Kill the controller again and again until all calls are over."""
    deaths = 0
    while not all(call.done() for call in calls):
        time.sleep(dice.uniform(*LIVES_S))  # the dice, not a wait for anything
        with stage.without("controller"):
            deaths += 1
            yield deaths


@pytest.mark.parametrize(("count", "seed"), [
    pytest.param(40, 1),
    pytest.param(200, 2, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
])  # fmt: skip
def test_calls_outlive_a_controller_that_is_killed_at_random(doomed: Doomed, count: int, seed: int) -> None:
    dice = random.Random(seed)
    choices = kinds(doomed)
    with ThreadPoolExecutor(AT_ONCE, "call") as pool:
        calls = [
            pool.submit(play, doomed, number, choices[number % len(choices)], dice.uniform(0.0, BEGIN_WITHIN_S))
            for number in range(count)
        ]
        deaths = max(kill_until(doomed, calls, dice))
    ends = [call.result() for call in calls]
    assert deaths >= 3
    for number, end in enumerate(ends):
        canceled = end.record["disposition"] == "canceled" and end.record["hangup_by"] == "platform"
        assert not canceled or number % 10 == 9
        assert end.record["disposition"] in truths(end, canceled), (number, end.record, end.at_phone)
    became = [(end.record["disposition"], end.record["hangup_by"], sorted(end.at_phone)) for end in ends]
    assert sum(one[0] == "lost" for one in became) < count / 10, became
    assert {"completed", "busy", "rejected", "invalid_number", "no_answer"} <= {one[0] for one in became}
    doomed.assert_nothing_is_left()
