"""A retry plan: which end of a call is followed by another attempt, and what that attempt is.

Another attempt is another call, with an id that was chosen when the first was made, so it is decided in the very unit that ends
the one before: whatever dies, there is one or none, never two.  Who answered, refused (603), was busy (486) or was canceled is
never called again by itself; busy and refused only where the plan names them.
"""

from typing import Literal

from controller.core.agent import unassigned
from controller.core.call import Call, CallStatus, changed

MayFollow = Literal["no_answer", "congestion", "unreachable", "failed", "busy", "rejected"]
"""What a plan may name.  ``lost`` is none of them: a phone may have rung, and nobody knows how that ended."""
USUAL: tuple[MayFollow, ...] = ("no_answer", "congestion")


def _machine(call: Call) -> bool:
    """True where we listened for who answered, and found no person."""
    return any(leg.answered_by in ("machine", "unknown") for leg in call.legs)


def follower(call: Call, now: int) -> Call | None:
    """The next attempt after a call that has just ended, to begin when its time has come; None where none is due."""
    plan = call.retry
    if plan is None or not plan.ids or call.canceled_by is not None:
        return None
    if call.verdict is not None and not (call.verdict == "no_answer" and _machine(call)):
        return None
    if call.bridged_at is not None or call.disposition not in plan.on:
        return None
    due = now + plan.backoff_ms
    if call.not_after is not None and due > call.not_after:
        return None
    variables = unassigned(call)
    return Call(
        id=plan.ids[0],
        tenant=call.tenant,
        kind=call.kind,
        flow=call.flow,
        flow_version=call.flow_version,
        requested_at=now,
        vars={name: value for name, value in variables.items() if not name.startswith("_")},
        reference=call.reference,
        metadata=call.metadata,
        binding=call.binding,
        retry_of=call.id,
        attempt=call.attempt + 1,
        plan=call.plan or call.id,
        retry=changed(plan, ids=plan.ids[1:]),
        not_before=due,
        not_after=call.not_after,
        status_url=call.status_url,
        status=CallStatus.queued,
    )
