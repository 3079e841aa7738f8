"""Far end, MK7: what each direction of a binding says holds for its calls and for no others, and lists keep callers out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.far_end import A, B, C, heard
from tests.lab.stage import Stage
from tests.lab.test_masking import WITHIN_S, Masked
from tests.lab.test_memory import statuses

LIMIT_S = 10.0


@contextmanager
def blocked(stage: Stage, number: str) -> Iterator[None]:
    """The tenant's own block list has this number meanwhile."""
    status, entry = stage.ask("POST", "/v1/lists/block", {"number": number})
    assert status == 201, entry
    try:
        yield
    finally:
        assert stage.ask("DELETE", f"/v1/lists/block/{entry['id']}")[0] == 204


def heard_by(masked: Masked, phone: str, prompt: str) -> float:
    """For how long a phone that was called through X heard a prompt, in all these calls."""
    calls = [call for call in masked.phones.calls(phone) if call["headers"]["From"].count(masked.x)]
    return sum(heard(call, masked.stage.lab.prompt(prompt)) for call in calls)


def test_announcement_recording_and_longest_talk_are_those_of_the_direction(stage: Stage) -> None:
    rules = {"announce": "please-hold", "record": True, "max_duration_s": int(LIMIT_S)}
    masked = Masked(stage, a_to_b=rules)
    here = masked.dial(A)
    assert statuses(here)[0] == "200"  # or nobody could tell the caller of the recording
    calls = masked.phones.wait_for(
        lambda calls: any(one["call_id"] == here["call_id"] and one["ended_at"] for one in calls), A, here["at"], WITHIN_S
    )
    ended = next(one for one in calls if one["call_id"] == here["call_id"])
    assert ended["ended_by"] == "pbx"
    assert heard(ended, stage.lab.tone(B)) > LIMIT_S / 2
    assert heard_by(masked, B, "please-hold") > 0.3
    assert heard_by(masked, B, "recorded") > 0.3
    assert heard(ended, stage.lab.prompt("recorded")) > 0.3
    record = masked.record()
    assert (record["disposition"], record["hangup_by"]) == ("completed", "platform")
    assert LIMIT_S - 1 < talked_s(record) < LIMIT_S + 3
    assert len(record["recordings"]) == 1
    with masked.talk(B, A):
        pass
    back = masked.record()
    assert (back["recordings"], back["hangup_by"]) == ([], "caller")
    assert heard_by(masked, A, "please-hold") == heard_by(masked, A, "recorded") == 0


def talked_s(record: dict[str, Any]) -> float:
    """From the bridge to the end of the call."""
    at = [time.strptime(record[name][:19], "%Y-%m-%dT%H:%M:%S") for name in ("bridged_at", "ended_at")]
    return time.mktime(at[1]) - time.mktime(at[0])


def test_a_phone_rings_as_long_as_its_direction_says(stage: Stage) -> None:
    masked = Masked(stage, b=stage.lab.number("no_answer"), a_to_b={"ring_timeout_s": 5})
    begun = time.monotonic()
    masked.refused(A, "480")
    assert 4 < time.monotonic() - begun < WITHIN_S  # by default it would ring for 45 s
    assert masked.record()["disposition"] == "no_answer"


def test_a_direction_that_is_not_allowed_rings_nobody_and_the_other_goes_on(stage: Stage) -> None:
    masked = Masked(stage, b_to_a={"allowed": False})
    masked.refused(B, "403")
    with masked.talk(A, B):
        pass
    masked.change(b_to_a={"allowed": True}, a_to_b={"allowed": False})
    masked.refused(A, "403")
    with masked.talk(B, A):
        pass


def test_lists_of_the_tenant_and_of_the_binding(stage: Stage) -> None:
    masked = Masked(stage, mode="ax")
    with blocked(stage, C):
        masked.refused(C, "403")
        masked.change(allow=[C])  # a binding's own list goes before its tenant's
        with masked.talk(C, A):
            pass
    masked.change(allow=[stage.lab.number("tells_identity")])
    masked.refused(C, "403")
    masked.change(allow=[], block=[C])
    masked.refused(C, "403")
    masked.change(block=[])
    with masked.talk(C, A):
        pass
