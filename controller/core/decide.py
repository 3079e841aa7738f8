"""``decide(flow, call, event) -> Decision``: the whole engine.

A call waits in one node of its flow.  An event moves its legs forward, ends a step, or is something we have heard before; when
a node's step is over, the outcome names the next node, and entering that asks for the next verb.  When the flow is over all
that lives is hung up, and the last leg's end closes the call.  Nothing here waits, remembers or guesses: the same call and
event give the same decision, so a decision whose saving failed can simply be taken again.

Three rules keep it true whatever is lost, doubled or late:

* a leg moves only forward, so what was heard before changes nothing;
* an outcome needs its step: a result for a step that is not under way is ignored;
* in a call that is ending, any sign of life from a leg is answered with a hang-up; its times are still noted, for the CDR.

Who calls it saves the call and the facts in one transaction and then does the verbs in order.  A verb that rings a phone is
done only if its step is still there after ``Sending`` was decided and saved, and never again unless ``decide`` asks again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.core import acts, agent, legs
from controller.core import events as ev
from controller.core.call import Call, CallStatus, changed
from controller.core.draft import Decision, Draft
from controller.core.ending import finish, hang_up
from controller.core.flow import Flow
from controller.core.nodes import enter


def _on_start(draft: Draft, event: ev.Start) -> None:
    if draft.call.status is not CallStatus.queued:
        return
    until = event.at + draft.flow.longest_ms
    draft.change(node=event.node, routes=dict(event.routes), started_at=event.at, until=until, status=CallStatus.dialing)
    draft.tell("call.started", {"node": event.node})
    enter(draft, draft.flow.start)


Told = tuple[str, Mapping[str, Any]]
"""A fact's type and data."""


def arrive(
    flow: Flow, call: Call, event: ev.LegArrived, node: str, routes: Mapping[str, str], told: Sequence[Told] = ()
) -> Decision:
    """A call that came in begins at once, on PBX ``node``; ``call.id`` is the arrived leg's.  ``told``: facts that say why."""
    draft = Draft(flow, call, event.at)
    until = event.at + flow.longest_ms
    draft.change(node=node, routes=dict(routes), started_at=event.at, until=until, status=CallStatus.dialing)
    draft.tell("call.started", {"node": node})
    for kind, data in told:
        draft.tell(kind, data)
    draft.arrived_leg(event, flow.arrives or "caller")
    before = draft.call
    enter(draft, flow.start)
    _settle(draft, before, event)
    return draft.decision()


HANDLERS: dict[type[ev.Event], Callable[[Draft, Any], None]] = {
    ev.Start: _on_start,
    ev.Assigned: agent.on_assigned,
    ev.LegArrived: legs.on_arrived,
    ev.LegRinging: legs.on_ringing,
    ev.EarlyMedia: legs.on_ringing,
    ev.LegAnswered: legs.on_answered,
    ev.LegHeld: legs.on_held,
    ev.LegEnded: legs.on_ended,
    ev.LegsJoined: legs.on_joined,
    ev.LegsParted: legs.on_parted,
    ev.Digit: legs.on_digit,
    ev.VerbDone: legs.on_verb_done,
    ev.Sending: legs.on_sending,
    ev.Sent: legs.on_sent,
    ev.Refused: legs.on_refused,
    ev.Found: legs.on_found,
    ev.Deadline: legs.on_deadline,
    ev.Swept: legs.on_swept,
    ev.Cancel: acts.on_cancel,
    ev.Act: acts.on_act,
}


SIGNS_OF_LIFE = (ev.LegRinging, ev.EarlyMedia, ev.LegAnswered, ev.LegHeld, ev.LegsJoined)


def decide(flow: Flow, call: Call, event: ev.Event) -> Decision:
    """What ``event`` makes of ``call``: the call after it, the verbs to do and the facts to tell."""
    draft = Draft(flow, call, event.at)
    if isinstance(event, ev.RecordingStored | ev.RecordingFailed):
        _on_recording(draft, event)
    elif isinstance(event, ev.ShortCalls):
        draft.tell("policy.short_calls", {"calls": event.calls, "within_s": event.within_s})
    elif not call.ended:
        HANDLERS[type(event)](draft, event)
        if draft.call.started_at is not None:
            _settle(draft, call, event)
    return draft.decision()


def _settle(draft: Draft, before: Call, event: ev.Event) -> None:
    """The rules that hold after every event: nothing lives on in a call that is ending, and no call waits for nothing."""
    if before.ending:
        if isinstance(event, SIGNS_OF_LIFE) and (leg := draft.call.leg(event.leg)) is not None and leg.live:
            hang_up(draft, leg.id)
    elif not draft.call.ending:
        for step in draft.call.steps:
            if step.verb.lasts:
                return
        finish(draft)


def open_call(flow: Flow, call: Call) -> Decision:
    """A new call enters the queue."""
    draft = Draft(flow, call, call.requested_at)
    draft.tell("call.queued")
    return draft.decision()


def _on_recording(draft: Draft, event: ev.RecordingStored | ev.RecordingFailed) -> None:
    recording = draft.recording(event.recording)
    if recording is None or recording.state in ("stored", "failed"):
        return
    data: dict[str, Any] = {"recording_id": "rec_" + recording.id}
    if isinstance(event, ev.RecordingStored):
        recording = changed(recording, state="stored", duration_ms=event.duration_ms)
        data |= {"duration_s": event.duration_ms / 1000, "size": event.size, "sha256": event.sha256}
        draft.tell("recording.stored", data)
    else:
        recording = changed(recording, state="failed")
        draft.tell("recording.failed", {**data, "reason": event.reason})
    draft.call = draft.call.with_recording(recording)
