"""From what is known to what goes out, as plain data."""

from typing import Any

from controller.core.call import Call
from controller.core.cdr import cdr
from controller.envelope import with_times
from controller.times import or_none, rfc3339


def call_view(call: Call, place: tuple[int, int] | None = None) -> dict[str, Any]:
    """A call.  ``place``: its place in the queue and estimated start (ms) while it waits."""
    seen = with_times(cdr(call))
    path = "/v1/calls/" + seen["id"]
    seen["status"] = call.status.name
    seen["attempt"] = call.attempt
    seen["retry_of"] = None if call.retry_of is None else "call_" + call.retry_of
    seen["schedule_at"] = or_none(call.not_before)
    seen["not_after"] = or_none(call.not_after)
    seen["retries_left"] = len(call.retry.ids) if call.retry is not None else 0
    seen["queue_position"] = (place[0] or None) if place else None
    seen["estimated_start"] = rfc3339(place[1]) if place and place[1] else None
    seen["links"] = {"self": path, "events": path + "/events", "actions": path + "/actions"}
    return seen


def cdr_view(call: Call) -> dict[str, Any]:
    """The record of a closed call."""
    return with_times(cdr(call))
