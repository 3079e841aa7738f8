"""What an event from the PBX does to a call.  Every handler ignores what it has heard before."""

from controller.core import events as ev
from controller.core import keyed, onward, recorded, transfer
from controller.core.call import DISPOSITIONS, Leg, LegState, Step, changed
from controller.core.causes import of_leg
from controller.core.draft import GRACE_MS, HANGUP_MS, Draft
from controller.core.ending import close_if_over, finish
from controller.core.nodes import after_answer_ms, asked, detected, follow, looked_up
from controller.core.policy import CODES
from controller.core.verbs import Connect

LATE_MS = GRACE_MS // 2
"""How long the end of a Connect waits for the other half of its story: the verb's result, or the far leg's end."""
MOST_TRIES = 3
"""How often a small verb (a mute, a pause) that the PBX never confirmed is asked for again."""

SILENT = {"Play": "failed", "Ask": "timeout", "Detect": "unknown", "LookUp": "failed"}
"""How verbs are taken to have ended of which the PBX says nothing any more."""

# --- legs


def on_ringing(draft: Draft, event: ev.LegRinging | ev.EarlyMedia) -> None:
    """The phone rings.  Audio before the answer is the same for the status."""
    if leg := draft.call.leg(event.leg):
        draft.ringing(leg, event.at)
        near = draft.call.leg(leg.peer)
        if near is not None and near.unanswered:
            draft.ringing(near, event.at)  # the PBX passes it on


def on_answered(draft: Draft, event: ev.LegAnswered) -> None:
    """The phone was picked up."""
    leg = draft.call.leg(event.leg)
    if leg is not None and leg.state < LegState.answered:
        draft.answered(leg, event.at)
        draft.wait_longer(leg, after_answer_ms(draft.call.connecting(leg.id)))


def on_joined(draft: Draft, event: ev.LegsJoined) -> None:
    """Two legs hear each other, or did when they still lived."""
    one, other = draft.call.leg(event.leg), draft.call.leg(event.other)
    if one is None or other is None or one is other:
        return
    near, far = (one, other) if other.peer == one.id or (one.peer != other.id and one.id < other.id) else (other, one)
    if far.joined_at is not None or (not far.live and event.at > (far.ended_at or 0)):
        return
    draft.joined(near, far, event.at)
    draft.wait_longer(far, after_answer_ms(draft.call.connecting(far.id)))


def on_parted(draft: Draft, event: ev.LegsParted) -> None:
    """Two legs no longer hear each other; the far leg's end or the verb's result says what comes of it."""


def on_digit(draft: Draft, event: ev.Digit) -> None:
    """A key outside of an Ask: kept for the CDR."""
    keyed.pressed(draft, event)


def on_held(draft: Draft, event: ev.LegHeld) -> None:
    """The leg waits for us: its dial is done, or what it did natively is over, or our last verb never reached it."""
    leg = draft.call.leg(event.leg)
    if leg is None or not leg.live:
        return
    if event.up:
        draft.answered(leg, event.at)
    if draft.call.ending:
        return
    steps = [step for step in draft.call.steps if step.leg == leg.id and step.verb.lasts]
    if steps and steps[-1].kind == "Part":
        transfer.held(draft, leg, steps, event)
    elif steps:
        _held_with(draft, steps[0], event)


def _held_with(draft: Draft, step: Step, event: ev.LegHeld) -> None:
    if step.kind == "Dial":
        draft.call = draft.call.without_step(step.id)
        follow(draft, step.node, "answered")
    elif event.step == step.id and step.verb.rings:
        if not step.result:
            _done(draft, step, event.result or "unanswered", "")
    elif event.step == step.id and event.result not in ("", "digits"):
        _done(draft, step, event.result, "")
    elif not step.verb.rings or step.state == "sending":
        draft.repeat(step)  # it never began or left no result; of a Connect that the PBX took (``sent``) that is an old word


def on_arrived(draft: Draft, event: ev.LegArrived) -> None:
    """The leg for which this call was made waits still, and nothing was begun for it."""
    on_held(draft, ev.LegHeld(event.at, event.leg, up=False))


def on_ended(draft: Draft, event: ev.LegEnded) -> None:
    """The leg is gone, and what the PBX kept of its times is told first."""
    leg = draft.call.leg(event.leg)
    if leg is None or not leg.live:
        return
    _history(draft, leg, event)
    leg = draft.call.leg(event.leg) or leg
    dial = next((step for step in draft.call.steps if step.leg == leg.id and step.kind == "Dial"), None)
    connect = draft.call.connecting(leg.id)
    draft.leg_over(leg, event.why, event.at, event.sip, event.q850)
    if draft.call.ending:
        close_if_over(draft)
    elif dial is not None:
        follow(draft, dial.node, of_leg(draft.call.leg(leg.id) or leg))
    elif connect is not None:
        _far_over(draft, connect)
    elif leg.id == getattr(draft.call.near, "id", ""):
        finish(draft)


def _history(draft: Draft, leg: Leg, event: ev.LegEnded) -> None:
    if event.ringing_at:
        leg = draft.ringing(leg, event.ringing_at)
    if event.answered_at:
        leg = draft.answered(leg, event.answered_at)
    if event.bridged_at:
        far = leg if leg.peer else draft.call.far if draft.call.bridged_at is None else None
        near = draft.call.leg(far.peer) if far is not None else None
        if near is not None and far is not None and far.joined_at is None and leg.id in (near.id, far.id):
            draft.joined(near, far, event.bridged_at)


# --- verbs


def on_verb_done(draft: Draft, event: ev.VerbDone) -> None:
    """A verb that lasts has ended, or a recording has begun."""
    step = draft.call.step(event.verb)
    if step is not None and step.kind == "Record":
        recorded.done(draft, step, event)
    elif step is not None and step.verb.lasts and not step.result:
        _done(draft, step, event.result, event.data)


def _done(draft: Draft, step: Step, result: str, data: str) -> None:
    if isinstance(step.verb, Connect):
        far = draft.call.leg(step.verb.far)
        if (far is not None and far.live) or transfer.under_way(draft.call):
            draft.set_step(step, result=result, due_at=draft.at + LATE_MS)
        else:
            _connect_over(draft, step)
        return
    draft.call = draft.call.without_step(step.id)
    leg = draft.call.leg(step.leg)
    if step.kind == "Answer" and result == "done" and leg is not None and leg.live:
        draft.answered(leg, draft.at)  # the leg's own word of it comes by another way, and may come later
    if step.kind == "Ask":
        asked(draft, step.node, result, data)
    elif step.kind == "LookUp":
        looked_up(draft, step.node, result)
    elif step.kind == "Detect":
        detected(draft, step, result)
    else:
        follow(draft, step.node, result)


def on_found(draft: Draft, event: ev.Found) -> None:
    """A book has answered.  What it says of the call holds before the next node is entered."""
    step = draft.call.step(event.verb)
    if step is None or step.kind != "LookUp" or draft.call.ending:
        return
    call = draft.call
    draft.change(
        binding=event.binding or call.binding,
        reference=call.reference if event.reference is None else event.reference,
        metadata=call.metadata if event.metadata is None else event.metadata,
    )
    if event.flow is not None:
        draft.call = draft.call.without_step(step.id)
        onward.walk(draft, step.node, event, event.flow)
        return
    draft.change(vars={**call.vars, **event.vars}, routes={**call.routes, **event.routes})
    for kind, data in event.told:
        draft.tell(kind, data)
    _done(draft, step, event.outcome, "")


def _far_over(draft: Draft, step: Step) -> None:
    """The far leg has ended: with the verb's result the Connect is over, else that will come."""
    step = draft.call.step(step.id) or step
    if transfer.under_way(draft.call):
        return
    if step.result:
        _connect_over(draft, step)
    else:
        draft.set_step(step, due_at=draft.at + LATE_MS)


def _connect_over(draft: Draft, step: Step) -> None:
    draft.call = draft.call.without_step(step.id)
    recorded.talk_over(draft, step)
    far = draft.call.leg(step.verb.far)
    if far is None or far.joined_at is not None:
        follow(draft, step.node, "parted")
    else:
        follow(draft, step.node, of_leg(far))


def on_sending(draft: Draft, event: ev.Sending) -> None:
    """From here on the verb may have reached the PBX."""
    step = draft.call.step(event.verb)
    if step is not None and step.state == "todo":
        draft.set_step(step, state="sending")


def on_sent(draft: Draft, event: ev.Sent) -> None:
    """The PBX took the verb; one that does not last is done, except a hang-up, which is done when the leg has ended, and a
    recording, which stays to be done until it has begun."""
    step = draft.call.step(event.verb)
    if step is None or step.kind == "Record":
        return
    if not step.verb.lasts and step.kind != "Hangup":
        draft.call = draft.call.without_step(step.id)
    elif step.state != "sent":
        draft.set_step(step, state="sent")


def on_refused(draft: Draft, event: ev.Refused) -> None:
    """The verb had no effect.  A refused hang-up stays: it is asked for again when it is overdue."""
    step = draft.call.step(event.verb)
    if step is None or step.kind == "Hangup":
        return
    if step.verb.rings:
        _refused_ring(draft, step, event)
        return
    draft.call = draft.call.without_step(step.id)
    if step.kind == "Part":
        abandon_transfer(draft)
    elif step.verb.lasts:
        _done(draft, step, "failed", "")
    else:
        recorded.undo(draft, step)


def _refused_ring(draft: Draft, step: Step, event: ev.Refused) -> None:
    leg = draft.call.leg(getattr(step.verb, "far", step.leg))
    if leg is None or leg.state is not LegState.dialing:
        return  # it rings: whoever says that it was refused speaks of a repeat
    verdict = DISPOSITIONS.get(event.disposition, "failed")
    draft.call = draft.call.without_step(step.id)
    if event.reason in CODES:
        leg = changed(leg, rule=event.reason)
    draft.leg_over(leg, "platform", draft.at, verdict=verdict)
    follow(draft, step.node, verdict)


# --- time


def on_deadline(draft: Draft, event: ev.Deadline) -> None:
    """The flow's longest time is over, or steps are overdue.  Afterwards ``due_at`` is later, or None."""
    call = draft.call
    if call.until is not None and call.until <= draft.at and not call.ending:
        finish(draft)
        return
    for step in call.steps:
        now = draft.call.step(step.id)
        if now is not None and 0 < now.due_at <= draft.at:
            _overdue(draft, now)


def _overdue(draft: Draft, step: Step) -> None:
    """Ask again for a hang-up, take a half-told Connect for over, end a call that hangs."""
    if step.kind == "Hangup":
        draft.repeat(step, draft.at + HANGUP_MS)
    elif isinstance(step.verb, Connect):
        _overdue_connect(draft, step, step.verb)
    elif step.kind == "Part":
        draft.call = draft.call.without_step(step.id)
        abandon_transfer(draft)
    elif step.kind in SILENT:
        _done(draft, step, SILENT[step.kind], "")
    elif step.verb.lasts:
        finish(draft)
    elif step.tries < MOST_TRIES:
        draft.repeat(step, draft.at + (recorded.NOTICE_MS if step.kind == "Record" else GRACE_MS))
    else:
        recorded.given_up(draft, step)


def _overdue_connect(draft: Draft, step: Step, verb: Connect) -> None:
    far = draft.call.leg(verb.far)
    if transfer.under_way(draft.call):
        draft.set_step(step, due_at=draft.at + LATE_MS)
    elif far is None or not far.live:
        _connect_over(draft, step)
    elif step.result:
        draft.leg_over(far, "lost", draft.at)
        _connect_over(draft, step)
    else:
        finish(draft)


def abandon_transfer(draft: Draft) -> None:
    """The leg could not be taken out of its bridge: the call goes on as it was, or ends as it would have."""
    transfer.forget(draft)
    for step in draft.call.steps:
        if isinstance(step.verb, Connect) and (far := draft.call.leg(step.verb.far)) is not None and not far.live:
            _far_over(draft, step)
            return


def on_swept(draft: Draft, event: ev.Swept) -> None:
    """The PBX has none of our legs: what may have reached it is lost."""
    unsent = [getattr(step.verb, "far", step.leg) for step in draft.call.steps if step.state == "todo" and step.verb.rings]
    lost = [leg for leg in draft.call.live_legs if leg.id not in unsent]
    for leg in lost:
        draft.leg_over(leg, "lost", draft.at)
    if lost or draft.call.ending:
        finish(draft)
