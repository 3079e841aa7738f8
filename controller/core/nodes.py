"""What each kind of node asks for when a call enters it, and where a call goes from there."""

from collections.abc import Callable
from typing import Any

from controller.core.call import Leg, LegState, Recording, Step, changed
from controller.core.draft import GRACE_MS, Draft
from controller.core.ending import finish, refuse
from controller.core.facts import leg_data
from controller.core.flow import Node
from controller.core.keyed import begin_secret, forget, is_secret, keep
from controller.core.notation import ANSWERED_BY, END, ENDS, PARTIES, REFUSALS, WAITS, seconds
from controller.core.verbs import Answer, Ask, Connect, Detect, Dial, LookUp, Play, Ring

LONGEST_PLAY_MS = 600_000
LONGEST_DETECT_S = 30.0
LONGEST_S = 86_400
MOST_HOPS = 100
MOST_REPLAYS = 10
LONGEST_LOOK_S = 10.0
ASKED = "_asked"
"""Where the call keeps how often a node has asked again, in ``vars``: a name that no flow can use."""
MOST_STEPS = 9_000
MOST_LEGS = 98
"""Ids are of fixed width (``ids``): a flow that goes on beyond these has lost its way and is ended."""


def follow(draft: Draft, node_name: str, outcome: str) -> None:
    """Leave a node by an outcome and enter the next."""
    node = draft.flow.nodes.get(node_name)
    enter(draft, node.after(outcome) if node else END)


def enter(draft: Draft, name: str) -> None:
    """Enter a node.  A flow that runs in circles without ever asking the PBX for anything is ended."""
    draft.hops += 1
    node, call = draft.flow.nodes.get(name), draft.call
    if node is None or draft.hops > MOST_HOPS or call.steps_taken >= MOST_STEPS or len(call.legs) >= MOST_LEGS:
        finish(draft)
        return
    draft.change(at=name)
    ENTER[node.kind](draft, node)


def _dial(draft: Draft, node: Node) -> None:
    leg = draft.new_leg(node.subject, _number(draft, node.subject), _text(draft, node, "show"))
    if _unfit(draft, node, leg):
        return
    ring_s = _seconds(draft, node, "ring", 30)
    draft.ask_pbx(
        node.name,
        lambda verb: Dial(verb, leg.id, leg.number, leg.trunk, leg.display, ring_s),
        ring_s * 1000 + GRACE_MS,
    )


def _connect(draft: Draft, node: Node) -> None:
    near = _at_hand(draft, node.args["from"])
    if near is None:
        finish(draft)
        return
    far = draft.new_leg(node.subject, _number(draft, node.subject), _text(draft, node, "show"), near.id)
    if not _unfit(draft, node, far):
        _connect_legs(draft, node, near, far)


def _connect_legs(draft: Draft, node: Node, near: Leg, far: Leg) -> None:
    ring_s = _seconds(draft, node, "ring", 45)
    verb_id = draft.ask_pbx(
        node.name, lambda verb: _connect_verb(draft, node, verb, near, far, ring_s), ring_s * 1000 + 6 * GRACE_MS
    )
    if draft.value(node.args.get("record"), False):
        draft.change(recordings=(*draft.call.recordings, Recording(verb_id, near.id)))


def _unfit(draft: Draft, node: Node, leg: Leg) -> bool:
    """True for a leg without a number, or without a display number (a real one might be shown instead): it is not dialled."""
    if leg.number and leg.display:
        return False
    draft.leg_over(leg, "platform", draft.at, verdict="failed")
    follow(draft, node.name, "failed")
    return True


def _connect_verb(draft: Draft, node: Node, verb_id: str, near: Leg, far: Leg, ring_s: int) -> Connect:
    args = node.args
    record = bool(draft.value(args.get("record"), False))
    return Connect(
        verb_id,
        near.id,
        far=far.id,
        number=far.number,
        trunk=far.trunk,
        display=far.display,
        ring_s=ring_s,
        limit_s=_seconds(draft, node, "limit", 3600),
        wait=_one_of(draft, args.get("wait"), WAITS),
        announce=_prompts(draft, args.get("announce")),
        notice=_text(draft, node, "notice") if record else "",
        notice_to=_one_of(draft, args.get("notice_to"), ("both", *PARTIES)) if record else "none",
        record=verb_id if record else "",
        warn=_text(draft, node, "warn"),
        warn_s=_seconds(draft, node, "warn_before", 60),
        warn_to=_one_of(draft, args.get("warn_to"), PARTIES),
        closes=node.after("parted") == END,
    )


def after_answer_ms(step: Step | None) -> int:
    """How long a Connect may last from its far leg's answer, or from the bridge, on."""
    return step.verb.limit_s * 1000 + 6 * GRACE_MS if step is not None else 0


def _play(draft: Draft, node: Node) -> None:
    leg, prompts = _at_hand(draft, node.subject), _prompts(draft, node.args["say"])
    if leg is None:
        finish(draft)
    elif not prompts:
        follow(draft, node.name, "done")
    else:
        draft.ask_pbx(node.name, lambda verb: Play(verb, leg.id, prompts), LONGEST_PLAY_MS)


def _ask(draft: Draft, node: Node) -> None:
    leg, args = _talking(draft, node.subject), node.args
    if leg is None:
        finish(draft)
        return
    if is_secret(draft, node):
        begin_secret(draft)
    most = max(1, _count(draft, args.get("most"), 1))
    draft.ask_pbx(
        node.name,
        lambda verb: Ask(
            verb,
            leg.id,
            _prompts(draft, args["say"]),
            least=min(max(0, _count(draft, args.get("least"), 1)), most),
            most=most,
            first_s=seconds(draft.value(args.get("first"), 5)) or 5.0,
            next_s=seconds(draft.value(args.get("next"), 3)) or 3.0,
            stop=str(draft.value(args.get("stop"), "#")),
            barge=bool(draft.value(args.get("barge"), True)),
        ),
        LONGEST_PLAY_MS,
    )


def asked(draft: Draft, node_name: str, result: str, digits: str) -> None:
    """An Ask is over.  Without the key that it wants it is repeated as often as its node says; who wants to hear it again may,
    MOST_REPLAYS times."""
    node = draft.flow.nodes.get(node_name)
    if result == "digits":
        keep(draft, node, digits)
    outcome = _answer_of(draft, node, digits) if result == "digits" else result
    times = _times(draft, node_name)
    most = MOST_REPLAYS if outcome == "again" else _count(draft, node.args.get("repeats"), 0) if node is not None else 0
    if outcome in ("again", "timeout", "invalid") and times < min(most, MOST_REPLAYS):
        _count_times(draft, node_name, times + 1)
        enter(draft, node_name)
        return
    if times:
        _count_times(draft, node_name, 0)
    follow(draft, node_name, "timeout" if outcome == "again" else outcome)


def _times(draft: Draft, node_name: str) -> int:
    found: int = draft.call.vars.get(ASKED, {}).get(node_name, 0)
    return found


def _count_times(draft: Draft, node_name: str, times: int) -> None:
    draft.change(vars={**draft.call.vars, ASKED: {**draft.call.vars.get(ASKED, {}), node_name: times}})


def _look_up(draft: Draft, node: Node) -> None:
    leg, keys = _at_hand(draft, str(node.args["for"])), _text(draft, node, "keys")
    if leg is None:
        finish(draft)
        return
    forget(draft)
    within_s = min(LONGEST_LOOK_S, seconds(draft.value(node.args.get("within"), 2)) or 2.0)
    book = str(node.subject)
    draft.ask_pbx(node.name, lambda verb: LookUp(verb, leg.id, book, keys, within_s), round(within_s * 1000) + GRACE_MS)


def looked_up(draft: Draft, node_name: str, outcome: str) -> None:
    """A LookUp is over.  With ``tries`` a wrong key leads to ``again`` so often less one, and then to ``wrong``."""
    node = draft.flow.nodes.get(node_name)
    if outcome == "wrong" and node is not None and "tries" in node.args:
        times = _times(draft, node_name) + 1
        _count_times(draft, node_name, times)
        outcome = "again" if times < min(MOST_REPLAYS, _count(draft, node.args["tries"], 1)) else "wrong"
    draft.tell("flow.node", {"node": node_name, "outcome": outcome})
    follow(draft, node_name, outcome)


def _answer_of(draft: Draft, node: Node | None, digits: str) -> str:
    for word, outcome in (("accept", "accepted"), ("again", "again"), ("decline", "declined")):
        if node is not None and word in node.args and digits and digits == str(draft.value(node.args[word], "")):
            return outcome
    if node is not None and "accept" in node.args and digits not in node.edges:
        return "invalid"
    return answered_digits(node, digits)


def answered_digits(node: Node | None, digits: str) -> str:
    """The outcome of an Ask: the keys themselves where the node has an edge for them, else ``digits`` or ``invalid``."""
    if node is None or digits in node.edges:
        return digits
    return "digits" if "digits" in node.edges else "invalid"


def _detect(draft: Draft, node: Node) -> None:
    leg = _talking(draft, node.subject)
    if leg is None:
        finish(draft)
        return
    within_s = min(seconds(draft.value(node.args.get("within"), 5)) or 5.0, LONGEST_DETECT_S)
    draft.ask_pbx(node.name, lambda verb: Detect(verb, leg.id, within_s), round(within_s * 1000) + 2 * GRACE_MS)


def detected(draft: Draft, step: Step, result: str) -> None:
    """Who answered is known, or nobody can say: where the PBX has nothing to listen with, or said nothing."""
    found = next((word for word in ANSWERED_BY if word == result), "unknown")
    leg = draft.call.leg(step.leg)
    if leg is not None and leg.live:
        leg = changed(leg, answered_by=found)
        draft.call = draft.call.with_leg(leg)
        draft.tell("call.leg.detected", {**leg_data(leg), "answered_by": found, "supported": result in ANSWERED_BY})
    follow(draft, step.node, found)


def _ring(draft: Draft, node: Node) -> None:
    leg = _at_hand(draft, node.subject)
    if leg is None:
        finish(draft)
        return
    if leg.unanswered:
        draft.ask_pbx(node.name, lambda verb: Ring(verb, leg.id), GRACE_MS)
        draft.ringing(leg, draft.at)
    follow(draft, node.name, "done")


def _answer(draft: Draft, node: Node) -> None:
    leg = _at_hand(draft, node.subject)
    if leg is None:
        finish(draft)
    elif leg.unanswered:
        draft.ask_pbx(node.name, lambda verb: Answer(verb, leg.id), GRACE_MS)
    else:
        follow(draft, node.name, "done")


def _refuse(draft: Draft, node: Node) -> None:
    refuse(draft, _one_of(draft, node.args.get("with"), REFUSALS))


def _hang_up(draft: Draft, node: Node) -> None:
    """The flow is over, and what became of the call is as the node says, unless the two have talked."""
    if draft.call.bridged_at is None and node.args.get("as"):
        draft.change(verdict=_one_of(draft, node.args["as"], ENDS))
    finish(draft)


def _if(draft: Draft, node: Node) -> None:
    found = draft.value(node.subject)
    if "at_least" in node.args:
        found = _count(draft, node.subject, 0) >= _count(draft, node.args["at_least"], 0)
    follow(draft, node.name, "then" if found else "else")


ENTER: dict[str, Callable[[Draft, Node], None]] = {
    "dial": _dial,
    "connect": _connect,
    "play": _play,
    "ask": _ask,
    "look_up": _look_up,
    "detect": _detect,
    "ring": _ring,
    "answer": _answer,
    "refuse": _refuse,
    "hang_up": _hang_up,
    "if": _if,
}


def _talking(draft: Draft, name: str) -> Leg | None:
    leg = draft.call.named(name)
    return leg if leg is not None and leg.state is LegState.answered else None


def _at_hand(draft: Draft, name: str) -> Leg | None:
    """A leg that can be connected or played to: answered, or come in and not answered yet."""
    leg = draft.call.named(name)
    return leg if leg is not None and (leg.state is LegState.answered or leg.unanswered) else None


def _number(draft: Draft, name: str) -> str:
    return str(draft.value("$" + name, ""))


def _seconds(draft: Draft, node: Node, key: str, otherwise: int) -> int:
    return min(LONGEST_S, max(1, round(seconds(draft.value(node.args.get(key), otherwise)) or otherwise)))


def _count(draft: Draft, value: Any, otherwise: int) -> int:
    found = draft.value(value, otherwise)
    return int(found) if str(found).isdecimal() else otherwise


def _one_of(draft: Draft, value: Any, choices: tuple[Any, ...]) -> Any:
    """What the value says if it is one of the choices, else the first of them: a variable may hold anything."""
    found = draft.value(value)
    return found if found in choices else choices[0]


def _text(draft: Draft, node: Node, key: str) -> str:
    return str(draft.value(node.args.get(key), "") or "")


def _prompts(draft: Draft, value: Any) -> tuple[str, ...]:
    found = draft.value(value)
    if not found:
        return ()
    return tuple([str(item) for item in found if item]) if isinstance(found, list | tuple) else (str(found),)


def reconnect(draft: Draft, near: Leg, node_name: str, name: str, number: str, display: str) -> None:
    """Connect a held leg to another number as that node would: with its limits, notices and outcomes."""
    node = draft.flow.nodes.get(node_name)
    if node is None or len(draft.call.legs) >= MOST_LEGS or draft.call.steps_taken >= MOST_STEPS:
        finish(draft)
        return
    far = draft.new_leg(name, number, display, near.id)
    if not _unfit(draft, node, far):
        _connect_legs(draft, node, near, far)
