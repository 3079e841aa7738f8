"""How a call comes to its one end: everything that lives is hung up, and when the last leg is gone it is closed."""

from controller.core.call import CallStatus, Disposition, Recording, changed
from controller.core.causes import of_call, refusal_cause
from controller.core.cdr import cdr
from controller.core.draft import HANGUP_MS, Draft
from controller.core.keyed import forget
from controller.core.retry import follower
from controller.core.verbs import Hangup


def finish(draft: Draft) -> None:
    """The flow is over: hang up what lives.  A leg that was never asked of the PBX is over at once."""
    unsent = [getattr(step.verb, "far", step.leg) for step in draft.call.steps if step.state == "todo" and step.verb.rings]
    if draft.call.ending_at is None:
        draft.change(ending_at=draft.at)
    forget(draft)
    for step in draft.call.steps:
        draft.call_off(step, draft.at)
    draft.change(steps=tuple([step for step in draft.call.steps if step.kind == "Hangup"]))
    for leg in draft.call.live_legs:
        if leg.id in unsent:
            draft.leg_over(leg, "platform", draft.at)
        else:
            hang_up(draft, leg.id)
    close_if_over(draft)


def refuse(draft: Draft, with_what: Disposition) -> None:
    """The flow is over; what came in and is not answered is refused with this, and a call that dialled nobody was."""
    if draft.call.far is None or any(leg.unanswered for leg in draft.call.legs):
        draft.change(verdict=with_what)
    finish(draft)


def hang_up(draft: Draft, leg_id: str) -> None:
    """Ask for a leg's end, under one id however often."""
    for step in draft.call.steps:
        if step.kind == "Hangup" and step.leg == leg_id:
            if step.state != "todo":
                draft.repeat(step)
            return
    cause = refusal_cause(draft.call, leg_id)
    draft.ask_pbx("", lambda verb_id: Hangup(verb_id, leg_id, cause), HANGUP_MS)


def close_if_over(draft: Draft) -> None:
    """Close an ending call whose legs have all ended: its one ``call.ended``.

    It ended when its last leg did, which may be long before we heard of it."""
    call = draft.call
    if call.ended or not call.ending or call.live_legs:
        return
    at = max((leg.ended_at or draft.at for leg in call.legs), default=draft.at)
    missed = any(leg.peer and leg.why == "lost" for leg in call.legs)
    kept = tuple(_stopped(recording, at) for recording in call.recordings if recording.state != "armed" or missed)
    draft.change(steps=(), recordings=kept)
    disposition, by = of_call(draft.call)
    draft.change(disposition=disposition, hangup_by=by, ended_at=at, status=CallStatus.ended)
    draft.tell("call.ended", {"disposition": disposition, "hangup_by": by}, at)
    draft.tell("cdr.created", cdr(draft.call), at)
    following = follower(draft.call, draft.at)
    if following is not None:
        opening = Draft(draft.flow, following, draft.at)
        opening.tell("call.queued")
        draft.follower = opening.decision()


def _stopped(recording: Recording, at: int) -> Recording:
    """Over.  One that never started is kept only where a far leg was lost: it may lie in the spool, and is looked for."""
    if recording.state in ("armed", "recording", "paused"):
        return changed(recording, state="stopped", stopped_at=at)
    return recording
