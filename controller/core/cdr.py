"""The call detail record: what a closed call was, in the names of the API.  Times stay in ms; the API writes RFC 3339."""

from typing import Any

from controller.core.call import Call, Leg, Recording


def cdr(call: Call) -> dict[str, Any]:
    """The record of a call; for a live one the fields that are not known yet are None."""
    return {
        "id": "call_" + call.id,
        "tenant": call.tenant,
        "kind": call.kind,
        "binding_id": call.binding,
        "flow": call.flow,
        "reference": call.reference,
        "metadata": call.metadata,
        "requested_at": call.requested_at,
        "queued_ms": call.started_at - call.requested_at if call.started_at is not None else None,
        "legs": [_leg(leg, call.node) for leg in call.legs],
        "bridged_at": call.bridged_at,
        "ended_at": call.ended_at,
        "ring_s": _ring_s(call),
        "bill_s": _bill_s(call),
        "disposition": call.disposition,
        "hangup_by": call.hangup_by,
        "recordings": [_recording(r) for r in call.recordings if r.state != "armed"],
        "keys_pressed": "".join(call.keys),
        "transcript_id": None,
        "quality": None,
    }


def _recording(recording: Recording) -> dict[str, Any]:
    length = recording.duration_ms
    return {
        "id": "rec_" + recording.id,
        "status": recording.state,
        "duration_s": None if length is None else length / 1000,
    }


def _leg(leg: Leg, node: str) -> dict[str, Any]:
    return {
        "name": leg.name,
        "number": leg.number,
        "display": leg.display,
        "node": node,
        "dialed_at": leg.dialed_at,
        "ringing_at": leg.ringing_at,
        "answered_at": leg.answered_at,
        "ended_at": leg.ended_at,
        "sip_status": leg.sip,
        "q850": leg.q850,
        "cause": leg.rule or leg.why,
        "answered_by": leg.answered_by,
    }


def _ring_s(call: Call) -> float | None:
    """Seconds that the far leg rang: the first that was talked with, else the last; the caller's where there is none."""
    far = next((leg for leg in call.legs if leg.joined_at is not None), call.far)
    leg = far or call.near
    if leg is None or leg.ringing_at is None:
        return None
    until = leg.answered_at if leg.answered_at is not None else leg.ended_at
    return None if until is None else max(0, until - leg.ringing_at) / 1000


def _bill_s(call: Call) -> float:
    """Seconds that two parties talked: what lies between two talks of a transferred call does not count."""
    talked = 0
    for far in call.legs:
        near = call.leg(far.peer)
        ends = [leg.ended_at for leg in (far, near) if leg is not None and leg.ended_at is not None]
        if far.joined_at is not None and ends:
            talked += max(0, min(ends) - far.joined_at)
    return talked / 1000
