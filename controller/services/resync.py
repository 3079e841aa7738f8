"""The truth after a gap: what the PBX says is alive, what it wrote down of legs that ended, and what follows for each call.

Pure: from the calls as we know them, ``alive()`` and ``gone()`` to the events that bring the calls up to date.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.core import events as ev
from controller.core import ids
from controller.core.call import Call, Leg, LegState
from controller.core.verbs import Connect
from controller.ports import LegSeen


@dataclass(frozen=True, slots=True)
class Plan:
    """``events``: per call, in order.  ``orphans``: live legs of ours that no live call has: to be hung up."""

    events: Mapping[str, list[ev.Event]] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()


def missing(calls: Iterable[Call], alive: Mapping[str, LegSeen]) -> list[str]:
    """The legs that count as live and that the PBX does not have: to be asked of ``gone()``."""
    return [leg.id for call in calls for leg in call.live_legs if leg.id not in alive]


def plan(
    calls: Iterable[Call], alive: Mapping[str, LegSeen], gone: Mapping[str, ev.LegEnded], now: int, every: bool = True
) -> Plan:
    """What the PBX's word means for these calls.  ``every``: they are all the node's calls, so other legs are orphans."""
    events: dict[str, list[ev.Event]] = {}
    known: set[str] = set()
    for call in calls:
        known.add(call.id)
        if found := _of_call(call, alive, gone, now):
            events[call.id] = found
    orphans = tuple(leg for leg in alive if ids.call_of(leg) not in known) if every else ()
    return Plan(events, orphans)


def _of_call(call: Call, alive: Mapping[str, LegSeen], gone: Mapping[str, ev.LegEnded], now: int) -> list[ev.Event]:
    found: list[ev.Event] = []
    for leg in call.live_legs:
        seen = alive.get(leg.id)
        if seen is not None:
            found += _seen(leg, seen, alive.get(seen.bridged), now)
        elif leg.id in gone:
            found.append(gone[leg.id])
        elif not _may_still_come(call, leg, alive):
            found.append(ev.LegEnded(now, leg.id, None, None, "lost"))
    return sorted(found, key=_order)


def lost(call: Call, now: int) -> list[ev.Event]:
    """What follows for a call whose PBX stays away: nobody knows of any of its legs, nor ever will.  The leg for which others
    were dialled goes first, so that the flow is over and asks for nothing more."""
    return [ev.LegEnded(now, leg.id, None, None, "lost") for leg in sorted(call.live_legs, key=lambda leg: bool(leg.peer))]


def _order(event: ev.Event) -> tuple[int, int]:
    """Signs of life before ends, ends in the order in which they happened."""
    return (1, event.at) if isinstance(event, ev.LegEnded) else (0, event.at)


def _seen(leg: Leg, seen: LegSeen, other: LegSeen | None, now: int) -> list[ev.Event]:
    """``other``: the leg that it talks with; a PBX may know of one of them alone since when."""
    found: list[ev.Event] = []
    if seen.state >= LegState.answered:
        found.append(ev.LegAnswered(seen.since or now, leg.id))
    elif seen.state is LegState.ringing:
        found.append(ev.LegRinging(now, leg.id))
    if seen.bridged:
        since = seen.joined or (other.joined if other is not None else None)
        found.append(ev.LegsJoined(since or now, leg.id, seen.bridged))
    return found


def _may_still_come(call: Call, leg: Leg, alive: Mapping[str, LegSeen]) -> bool:
    """True for a leg that is not there because it was not dialled yet: its Dial was never sent, or the PBX is to make it
    from a held leg that lives and will tell (by LegHeld) whether it began."""
    for step in call.steps:
        if step.leg == leg.id and step.kind == "Dial":
            return step.state == "todo"
        if isinstance(step.verb, Connect) and step.verb.far == leg.id:
            return step.state == "todo" or step.leg in alive
    return False
