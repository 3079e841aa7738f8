"""A call told event by event, in few words."""

from pathlib import Path
from typing import Any

import yaml

from controller.core import events as ev
from controller.core.call import Call, Leg
from controller.core.decide import decide, open_call
from controller.core.draft import Decision
from controller.core.facts import Fact
from controller.core.flow import Flow, parse
from controller.core.verbs import Verb

CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"
A, B, C = CALL + "01", CALL + "02", CALL + "03"
T0 = 1_750_000_000_000
NUMBERS = {
    "caller": "+14155550101",
    "callee": "+14155550102",
    "caller_display": "+14155550100",
    "callee_display": "+14155550110",
}
FLOWS = Path(__file__).parents[2] / "dialplans" / "flows"


def shipped(name: str = "callback") -> Flow:
    """A flow that ships."""
    return parse(yaml.safe_load((FLOWS / f"{name}.yaml").read_text()))


def flow(text: str) -> Flow:
    """A flow from YAML; ``needs`` and the name are added."""
    document = {"flow": "tested", "needs": [*NUMBERS, "x"], **yaml.safe_load(text)}
    return parse(document)


CALLBACK = shipped()


class Story:
    """One call, everything that was said to it and what came of it.  Each event happens a second after the one before."""

    def __init__(self, walks: Flow = CALLBACK, kind: Any = "callback", **variables: Any) -> None:
        self.flow = walks
        self.now = T0
        self.verbs: list[Verb] = []
        self.facts: list[Fact] = []
        call = Call(CALL, "acme", kind, walks.name, walks.version, T0, vars={**NUMBERS, **variables})
        self.call = call
        self._take(open_call(walks, call))

    def _take(self, decision: Decision) -> None:
        self.call = decision.call
        self.verbs += decision.verbs
        self.facts += decision.facts

    def hear(self, kind: type[ev.Event], *args: Any, at: int | None = None, **kwargs: Any) -> "Story":
        """One event."""
        self.now += 1000
        self._take(decide(self.flow, self.call, kind(self.now if at is None else at, *args, **kwargs)))
        return self

    # --- in one word

    def start(self) -> "Story":
        """Its turn has come."""
        return self.hear(ev.Start, "pbx1", {"caller": "carrier", "callee": "carrier"})

    def sent(self) -> "Story":
        """The PBX takes all that it was asked for."""
        for step in self.call.steps:
            if step.verb.rings:
                self.hear(ev.Sending, step.id)
            self.hear(ev.Sent, step.id)
        return self

    def held(self, leg: str = A, step: str = "", result: str = "") -> "Story":
        """A leg is ours to command."""
        return self.hear(ev.LegHeld, leg, step, result)

    def done(self, result: str = "done", data: str = "") -> "Story":
        """The verb that lasts has ended."""
        step = next(step for step in self.call.steps if step.verb.lasts)
        return self.hear(ev.VerbDone, step.leg, step.id, result, data)

    def ended(self, leg: str, why: str = "remote", sip: int | None = None, q850: int | None = 16, **more: Any) -> "Story":
        """A leg is gone."""
        return self.hear(ev.LegEnded, leg, q850, sip, why, **more)

    def caller_up(self) -> "Story":
        """The caller's phone was dialled, rang, is answered and held."""
        return self.start().sent().hear(ev.LegRinging, A).hear(ev.LegAnswered, A).held().sent()

    def calling(self) -> "Story":
        """The callee is being dialled."""
        return self.caller_up().done().sent()

    def ringing(self) -> "Story":
        """The callee's phone rings."""
        return self.calling().hear(ev.LegRinging, B)

    def bridged(self) -> "Story":
        """The two talk."""
        return self.ringing().hear(ev.LegAnswered, B).hear(ev.LegsJoined, A, B)

    def sorry(self, sip: int = 486, q850: int = 17) -> "Story":
        """The callee refused, and the caller hears it."""
        return self.ringing().ended(B, "remote", sip, q850).done("unanswered").sent()

    def over(self) -> "Story":
        """Whatever still lives is hung up, as asked."""
        for leg in self.call.live_legs:
            self.ended(leg.id, "platform")
        return self

    # --- what came of it

    @property
    def told(self) -> list[str]:
        """The types of all facts."""
        return [fact.type for fact in self.facts]

    @property
    def asked(self) -> list[str]:
        """The kinds of all verbs."""
        return [verb.kind for verb in self.verbs]

    @property
    def outcome(self) -> tuple[str | None, str | None]:
        """Disposition and who hung up."""
        assert self.call.ended
        return self.call.disposition, self.call.hangup_by

    @property
    def cdr(self) -> dict[str, Any]:
        """The record that was told."""
        return dict(next(fact.data for fact in self.facts if fact.type == "cdr.created"))

    def leg(self, leg_id: str) -> Leg:
        """A leg of the call."""
        leg = self.call.leg(leg_id)
        assert leg is not None
        return leg

    def verb(self, kind: str) -> Any:
        """The last verb of a kind."""
        return next(verb for verb in reversed(self.verbs) if verb.kind == kind)
