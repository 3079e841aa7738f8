"""From what a PBX and a phone said to one disposition, the same for every PBX.

The order is fixed: our own act, the PBX's timer, the SIP status, the Q.850 cause.  Where SIP and Q.850 disagree the SIP status
is what the far end really said (RFC 3398 maps it with losses).  Nothing is guessed: what no rule knows is ``failed``, and what
nobody heard is ``lost``.

A call is judged by its far leg, or by its near leg where it never got that far:

| the call                                            | disposition                     | hangup_by                       |
|-----------------------------------------------------|---------------------------------|---------------------------------|
| we ended it: canceled, forbidden                    | as we said                      | platform                        |
| the two talked; a phone let go                      | completed                       | the first to let go             |
| the two talked; the maximum duration, or our act    | completed                       | platform                        |
| the two talked; nobody heard the end                | lost                            | platform                        |
| the caller answered, or came in, and was gone before the bridge | canceled            | caller                          |
| the same, while hearing that the callee is not to be had | the far leg's              | callee; platform for a timer    |
| the far leg was not answered                        | the far leg's                   | callee; platform for a timer    |
| the far leg answered, and let go before the bridge  | completed                       | callee                          |
| the same, but the PBX or we ended it                | failed                          | platform                        |
| the caller did not answer                           | the caller's leg's              | caller; platform for a timer    |
| the flow ended before a far leg was dialled         | failed                          | platform                        |
| a menu that was answered and needed no far leg      | completed                       | who let go                      |
"""

from collections.abc import Mapping

from controller.core.call import Call, Disposition, Leg, Party

NORMAL_CLEARING, CONGESTION = 16, 34

SIP: dict[int, Disposition] = {
    403: "rejected",
    404: "invalid_number",
    408: "unreachable",
    410: "invalid_number",
    480: "no_answer",
    484: "invalid_number",
    486: "busy",
    487: "canceled",
    500: "congestion",
    501: "congestion",
    502: "congestion",
    503: "congestion",
    504: "congestion",
    600: "busy",
    603: "rejected",
    604: "invalid_number",
}

Q850: dict[int, Disposition] = {
    1: "invalid_number",  # unallocated number
    2: "congestion",  # no route to transit network
    3: "congestion",  # no route to destination
    17: "busy",
    18: "no_answer",  # no user responding
    19: "no_answer",  # user alerted, no answer
    20: "unreachable",  # subscriber absent
    21: "rejected",
    22: "invalid_number",  # number changed
    27: "congestion",  # destination out of order
    28: "invalid_number",  # invalid number format
    34: "congestion",  # no circuit available
    38: "congestion",  # network out of order
    41: "congestion",  # temporary failure
    42: "congestion",  # switching equipment congestion
    47: "congestion",  # resource unavailable
}


NO_REASON = frozenset({None, 0, 16, 26, 127})
"""Q.850 of a leg that was let go without a reason of its own: unset, normal clearing, answered elsewhere, interworking."""

MENUS = ("robot", "inbound")
"""Kinds of call that are complete without a second party.  Whom a robot calls is its callee."""


def of_leg(leg: Leg) -> Disposition:
    """How an ended leg ended, by itself: the outcome of the node that dialled it."""
    if leg.verdict is not None:
        return leg.verdict
    if leg.why == "lost":
        return "lost"
    if leg.answered_at is not None:
        cut_off = leg.peer and leg.joined_at is None and leg.why != "remote"
        return "failed" if cut_off else "completed"
    if leg.why == "platform":
        return "failed"
    if leg.why in ("timer", "limit"):
        return "no_answer"
    if leg.sip in SIP:
        return SIP[leg.sip]
    return Q850.get(leg.q850 or 0, "failed")


REFUSED: Mapping[Disposition, int] = {
    "busy": 17,
    "no_answer": 19,
    "unreachable": 20,
    "rejected": 21,
    "blocked": 21,
    "invalid_number": 1,
    "completed": NORMAL_CLEARING,
}
"""Q.850 with which a leg that came in is refused when this became of it; 34 (congestion) for the rest."""


def refusal_cause(call: Call, leg_id: str) -> int:
    """The Q.850 cause to hang a leg up with: a normal one, unless it came in and was never answered."""
    leg = call.leg(leg_id)
    if leg is None or not leg.unanswered:
        return NORMAL_CLEARING
    far = call.far
    word = call.verdict or (of_leg(far) if far is not None and not far.live else "failed")
    return REFUSED.get(word, CONGESTION)


def of_call(call: Call) -> tuple[Disposition, Party]:
    """The disposition of a call whose legs have all ended, and who hung up."""
    near, far = call.near, call.far
    if call.verdict is not None:
        return call.verdict, "platform"
    if near is None:
        return "failed", "platform"
    if call.bridged_at is not None:
        return _of_bridged(call, near)
    if far is None and near.answered_at is not None and call.kind in MENUS:
        return of_leg(near), _by(near, call)
    begun = near.answered_at is not None or near.arrived
    if begun and near.why == "remote" and (far is None or _let_go(far, near)):
        return "canceled", "caller"
    if far is None and near.answered_at is not None and near.why == "platform":
        return "failed", "platform"
    judged = near if far is None or (near.why == "lost" and _let_go(far, near)) else far
    return of_leg(judged), _by(judged, call)


def _of_bridged(call: Call, near: Leg) -> tuple[Disposition, Party]:
    """The last far leg that was talked with decides: one that a transfer dialled in vain does not undo the talk before."""
    far = next((leg for leg in reversed(call.legs) if leg.joined_at is not None), near)
    enders = sorted((leg.ended_at or 0, leg is far) for leg in (near, far) if leg.why == "remote")
    if "limit" in (near.why, far.why):
        return "completed", "platform"
    if enders:
        return "completed", "callee" if enders[0][1] else "caller"
    return ("lost" if "lost" in (near.why, far.why) else "completed"), "platform"


def _let_go(far: Leg, near: Leg) -> bool:
    """True if the far leg ended because the near one did: by our hand, or not before it, or without a reason of its own.

    Asterisk tells the end of the leg that it gives up before the end of the caller who left."""
    if far.verdict is not None:
        return far.verdict == "failed"  # the near leg was gone when we asked
    if far.why == "platform" or (far.ended_at or 0) >= (near.ended_at or 0):
        return True
    return far.why == "remote" and far.answered_at is None and far.sip in (None, 487) and far.q850 in NO_REASON


def _by(leg: Leg, call: Call) -> Party:
    if leg.why != "remote":
        return "platform"
    return "callee" if leg.peer or call.kind == "robot" else "caller"
