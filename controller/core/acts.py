"""What a client may do to a call: cancel it, or act on it while it lives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.core import events as ev
from controller.core import recorded, transfer
from controller.core.call import Call, CallStatus, Leg, LegState, changed
from controller.core.draft import GRACE_MS, Draft
from controller.core.ending import finish
from controller.core.verbs import Mute, PauseRecord, Verb, Whisper

MOST_STEPS = 9_500
"""Verb ids have four digits, and the last are kept for hang-ups."""


@dataclass(frozen=True, slots=True)
class CancelReply:
    """What a cancellation did: the names of the legs that were dropped, or why the call was kept."""

    canceled: bool
    dropped: tuple[str, ...] = ()
    kept_because: str | None = None


def cancel_reply(call: Call, unless: str) -> CancelReply:
    """What a Cancel would do to this call.  ``unless``: keep a call whose callee is that far already."""
    if call.ending and not call.ended and call.retry is not None:
        return CancelReply(True)  # no other attempt will follow
    if call.ended or call.ending:
        return CancelReply(False, kept_because="ended" if call.ended else "ending")
    far = call.far
    reached = far.state if far is not None and far.live else None
    if call.bridged_at is not None:
        reached = LegState.answered
    if unless == "ringing" and reached is not None and reached >= LegState.ringing:
        return CancelReply(False, kept_because="ringing" if reached is LegState.ringing else "answered")
    if unless == "answered" and reached is LegState.answered:
        return CancelReply(False, kept_because="answered")
    return CancelReply(True, tuple(leg.name for leg in call.live_legs))


def on_cancel(draft: Draft, event: ev.Cancel) -> None:
    """Give the call up, unless it has got that far."""
    if draft.call.ending:
        draft.change(retry=None)
    elif cancel_reply(draft.call, event.unless).canceled:
        draft.change(canceled_by=event.by, verdict=event.disposition)
        finish(draft)


def refusal(call: Call, act: ev.Act) -> str | None:
    """Why this action is not possible now; None if it is.  The API answers 409 ``not_possible_now`` with it."""
    if act.action not in ACTS:
        return f"there is no action {act.action}"
    if call.ended or call.ending:
        return "the call is over"
    if act.action == "hangup":
        return None
    if call.status is not CallStatus.bridged or not _talk(call):
        return "the parties are not talking"
    if transfer.under_way(call):
        return "the call is being transferred"
    if call.steps_taken >= MOST_STEPS:
        return "too much has been done in this call"
    return _refusal_of(call, act)


def _refusal_of(call: Call, act: ev.Act) -> str | None:
    if act.action in ("mute", "unmute", "play") and _target(call, act) is None:
        return "there is no such leg"
    wanted = NEEDS_RECORDING.get(act.action)
    if wanted and getattr(recorded.current(call), "state", "") not in wanted:
        return "nothing is being recorded" if act.action != "resume_recording" else "no recording is paused"
    if act.action == "record" and recorded.current(call) is not None:
        return "the call is being recorded already"
    if act.action == "transfer" and not (act.args.get("to") and act.args.get("display")):
        return "it is not said where to, or which number to show"
    return None


NEEDS_RECORDING = {
    "pause_recording": ("recording",),
    "resume_recording": ("paused",),
    "stop_recording": ("armed", "recording", "paused"),
}


def on_act(draft: Draft, event: ev.Act) -> None:
    """Carry out an action that is possible; anything else changes nothing."""
    if refusal(draft.call, event) is None:
        ACTS[event.action](draft, event)


def _hangup(draft: Draft, event: ev.Act) -> None:
    """A call that is hung up before the bridge is canceled; one after it was a talk."""
    if draft.call.bridged_at is None:
        draft.change(canceled_by="api", verdict="canceled")
    finish(draft)


def _mute(draft: Draft, event: ev.Act) -> None:
    leg = _target(draft.call, event)
    assert leg is not None  # else it had been refused
    _ask(draft, lambda verb: Mute(verb, leg.id, event.action == "mute"))


def _whisper(draft: Draft, event: ev.Act) -> None:
    leg, prompts = _target(draft.call, event), event.args.get("prompts") or ()
    assert leg is not None
    _ask(draft, lambda verb: Whisper(verb, leg.id, tuple(prompts)))


def _pause(draft: Draft, event: ev.Act) -> None:
    on = event.action == "pause_recording"
    recording = recorded.current(draft.call)
    assert recording is not None
    _ask(draft, lambda verb: PauseRecord(verb, recording.leg, recording.id, on))
    draft.call = draft.call.with_recording(changed(recording, state="paused" if on else "recording"))


def _stop(draft: Draft, event: ev.Act) -> None:
    recording = recorded.current(draft.call)
    assert recording is not None
    recorded.stop(draft, recording)


def _transfer(draft: Draft, event: ev.Act) -> None:
    near = draft.call.near
    assert near is not None
    transfer.begin(draft, near, str(event.args["to"]), str(event.args["display"]), str(event.args.get("trunk", "")))


ACTS: Mapping[str, Callable[[Draft, ev.Act], None]] = {
    "hangup": _hangup,
    "mute": _mute,
    "unmute": _mute,
    "play": _whisper,
    "record": recorded.begin,
    "pause_recording": _pause,
    "resume_recording": _pause,
    "stop_recording": _stop,
    "transfer": _transfer,
}


def _ask(draft: Draft, make: Callable[[str], Verb]) -> str:
    return draft.ask_pbx("", make, GRACE_MS)


def _talk(call: Call) -> bool:
    return any(leg.joined_at is not None and leg.live for leg in call.legs)


def _target(call: Call, act: ev.Act) -> Leg | None:
    leg = call.named(act.leg) if act.leg else call.near
    return leg if leg is not None and leg.state is LegState.answered else None


def describe(act: ev.Act) -> dict[str, Any]:
    """An action as the audit log keeps it: names only, no numbers."""
    return {"action": act.action, "leg": act.leg or None}
