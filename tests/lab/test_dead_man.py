"""Far end: calls that come in while no controller answers ring, unanswered, and are refused as the settings say."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from controller.lab.phones.client import Call
from tests.lab.far_end import SHOWN_TO_A, A, Lab, heard
from tests.lab.test_memory import statuses

GIVE_UP_S = 5
WITHIN_S = 40.0


@pytest.mark.parametrize(
    ("settings", "status", "prompt"),
    [({}, "503", ""), ({"refuse_with": 486}, "486", ""), ({"refuse_with": 480, "say": "sorry"}, "480", "sorry")],
    ids=["as it comes", "refused with 486", "told, and refused with 480"],
)
def test_without_a_controller_a_caller_hears_ringing_and_what_is_configured(
    short_folder: Path, pbx_kind: str, settings: dict[str, Any], status: str, prompt: str
) -> None:
    folder = short_folder / f"dead-{status}"
    with Lab(folder, pbx_kind, os.getpid(), controller=False, dead_man={"give_up_s": GIVE_UP_S, **settings}) as lab:
        since = time.time()
        lab.phones.place(A, SHOWN_TO_A)
        calls = lab.phones.wait_for(lambda calls: any(status in statuses(one) for one in calls), A, since, WITHIN_S)
        (call,) = [one for one in calls if one["direction"] == "out"]
        assert call["answered_at"] is None
        assert statuses(call)[0] == "180"
        assert statuses(call)[-1] == status
        assert ("183" in statuses(call)) == bool(prompt)
        assert _refused_at(call) - since >= GIVE_UP_S - 1
        if prompt:
            lab.phones.wait_for(lambda calls: any(heard(one, lab.prompt(prompt)) > 0.3 for one in calls), A, since, WITHIN_S)
        assert lab.legs_within(5.0) == 0


def _refused_at(call: Call) -> float:
    at: float = call["received"][-1]["at"]
    return at
