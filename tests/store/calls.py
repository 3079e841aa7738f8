"""Units of whole calls, decided by the real engine."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from controller.core import events as ev
from controller.core import ids
from controller.core.call import Call
from controller.core.decide import decide, open_call
from controller.ports import Unit
from controller.store.retention import first_id_of
from tests.core.story import CALLBACK, NUMBERS, T0

TENANT = "acme"
OTHER = "other"
NODE = "pbx1"


def call_id(number: int, at: int = T0) -> str:
    """The id of call ``number``, made at ``at`` (ms)."""
    return f"{first_id_of(at)}{number:016d}"


def queued(number: int = 1, tenant: str = TENANT, at: int = T0, **changes: Any) -> Unit:
    """The unit that creates a call; ``changes`` are fields of the call, ``vars`` are added to what a callback needs."""
    variables = {**NUMBERS, "record": True, **changes.pop("vars", {})}
    call = Call(call_id(number, at), tenant, "callback", CALLBACK.name, CALLBACK.version, at, vars=variables, **changes)
    decision = open_call(CALLBACK, call)
    return Unit(decision.call, decision.facts, created=True)


def after(unit: Unit, event: ev.Event) -> Unit:
    """The unit that follows when ``event`` happens to the call."""
    decision = decide(CALLBACK, unit.call, event)
    return Unit(decision.call, decision.facts)


def started(unit: Unit, node: str = NODE) -> Unit:
    """The unit that starts a queued call."""
    return after(unit, ev.Start(unit.call.requested_at + 10, node, {"caller": "carrier", "callee": "carrier"}))


def canceled(unit: Unit, at: int | None = None) -> Unit:
    """The unit that cancels a call; one that has not started is over with it."""
    return after(unit, ev.Cancel(unit.call.requested_at + 20 if at is None else at))


def story(number: int = 1, **changes: Any) -> Iterator[Unit]:
    """All units of a recorded callback that goes well, from its request to its stored recording."""
    unit = queued(number, **changes)
    yield unit
    near, far = ids.leg_id(unit.call.id, 1), ids.leg_id(unit.call.id, 2)
    steps = [ids.verb_id(unit.call.id, number) for number in (1, 2, 3)]
    at = unit.call.requested_at + 100
    for event in (
        ev.Start(at, NODE, {"caller": "carrier", "callee": "carrier"}),
        ev.Sending(at + 1, steps[0]),
        ev.LegRinging(at + 2, near),
        ev.LegAnswered(at + 3, near),
        ev.LegHeld(at + 4, near),
        ev.VerbDone(at + 5, near, steps[1], "done"),
        ev.Sending(at + 6, steps[2]),
        ev.LegRinging(at + 7, far),
        ev.LegAnswered(at + 8, far),
        ev.LegsJoined(at + 9, near, far),
        ev.LegEnded(at + 5009, far, 16, 200, "remote"),
        ev.VerbDone(at + 5010, near, steps[2], "parted"),
        ev.LegEnded(at + 5020, near, 16, None, "platform"),
        ev.RecordingStored(at + 6000, steps[2], 5000, 80_044, "0" * 64),
    ):
        unit = after(unit, event)
        yield unit


def without_facts(unit: Unit, **changes: Any) -> Unit:
    """A unit that only changes the call, as marking a verb as on its way does."""
    return Unit(replace(unit.call, **changes))
