"""What the bench reads from its calls' records: a call without a talk has failed, whatever it is called."""

from typing import Any

from controller.bench import ours
from controller.bench.figures import Usage


def cdr(disposition: str, by: str, bridged: str | None) -> dict[str, Any]:
    """A record of a call that lived for two seconds."""
    times = {"requested_at": "2026-01-01T00:00:00Z", "bridged_at": bridged, "ended_at": "2026-01-01T00:00:02Z"}
    return {"disposition": disposition, "hangup_by": by, "legs": [{"dialed_at": "2026-01-01T00:00:00Z"}], **times}


GOOD = cdr("completed", "platform", "2026-01-01T00:00:01Z")
CUT_OFF = cdr("failed", "platform", None)
NO_TALK = cdr("completed", "callee", None)


def test_only_a_talk_counts() -> None:
    nothing = Usage(0.0, 0)
    answers: dict[str, Any] = {"took_s": [0.01], "refused": {}}
    begun = 1_767_225_600.0  # of the records
    run = ours._read([GOOD, CUT_OFF, GOOD, NO_TALK], answers, begun, begun + 4, nothing, nothing, 0.0)
    assert (run.completed, run.failed, run.setup_s) == (2, 2, [1.0, 1.0])


def test_what_failed_is_said() -> None:
    assert ours.came_to_nothing([GOOD, GOOD]) == ""
    told = ours.came_to_nothing([GOOD, CUT_OFF, NO_TALK, CUT_OFF])
    assert told == "2 failed by platform, never bridged; 1 completed by callee, never bridged"
