"""The scratch pad of one decision: a call being changed, and the verbs and facts that come of it.

Only ``decide`` and its parts use it, and it lives for one decision, so the function stays pure from outside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.core import ids
from controller.core.call import Call, CallStatus, Disposition, Leg, LegState, Recording, Step, Why, changed
from controller.core.claimed import without
from controller.core.events import LegArrived
from controller.core.facts import Fact, leg_data
from controller.core.flow import Flow, resolve
from controller.core.verbs import Verb

GRACE_MS = 10_000
"""How long after its own time-out we still wait for a PBX to say how a verb ended."""
HANGUP_MS = 15_000
"""How long we wait for a leg to end after asking for it, before asking again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of an event.  ``verbs`` are to be done in order, each after this decision is durable.  ``follower``: a new call
    that is to be written with it (the next attempt of a retry plan)."""

    call: Call
    verbs: tuple[Verb, ...] = ()
    facts: tuple[Fact, ...] = ()
    follower: "Decision | None" = None


class Draft:
    """A call under change at time ``at`` (ms)."""

    __slots__ = ("at", "call", "facts", "flow", "follower", "hops", "verbs")

    def __init__(self, flow: Flow, call: Call, at: int) -> None:
        self.flow = flow
        self.call = call
        self.at = at
        self.verbs: list[Verb] = []
        self.facts: list[Fact] = []
        self.hops = 0
        self.follower: Decision | None = None

    def decision(self) -> Decision:
        """The finished page."""
        if self.facts:
            self.change(sequence=self.call.sequence + len(self.facts))
        return Decision(self.call, tuple(self.verbs), tuple(self.facts), self.follower)

    def change(self, **changes: Any) -> None:
        """Set fields of the call."""
        self.call = changed(self.call, **changes)

    def raise_status(self, status: CallStatus) -> None:
        """Move the call's status forward; never backward."""
        if status > self.call.status:
            self.change(status=status)

    def tell(self, kind: str, data: Mapping[str, Any] | None = None, at: int | None = None) -> None:
        """Add a fact with the next sequence number."""
        sequence = self.call.sequence + len(self.facts) + 1
        self.facts.append(Fact(self.call.id, sequence, kind, self.at if at is None else at, data or {}))

    def value(self, value: Any, otherwise: Any = None) -> Any:
        """A node's argument with its variable looked up."""
        found = resolve(value, self.call.vars, self.flow.defaults)
        return otherwise if found is None else found

    # --- verbs

    def ask_pbx(self, node: str, make: Callable[[str], Verb], within_ms: int) -> str:
        """Ask for the verb that ``make`` builds for its id; keep it as a step until it is done or overdue."""
        number = self.call.steps_taken + 1
        verb = make(ids.verb_id(self.call.id, number))
        step = Step(verb.id, node, verb.kind, verb.leg, verb, due_at=self.at + within_ms)
        self.change(steps_taken=number, steps=(*self.call.steps, step))
        self.verbs.append(verb)
        return verb.id

    def repeat(self, step: Step, due_at: int | None = None) -> None:
        """Ask for a step's verb again, under its own id; a new ``due_at`` counts as another try.

        One that rings a phone keeps its state: it has left ``todo`` for good."""
        state = step.state if step.verb.rings else "todo"
        if due_at is None:
            self.set_step(step, state=state)
        else:
            self.set_step(step, state=state, due_at=due_at, tries=step.tries + 1)
        self.verbs.append(step.verb)

    def set_step(self, step: Step, **changes: Any) -> None:
        """Change a step that is under way."""
        self.call = self.call.with_step(changed(step, **changes))

    def wait_longer(self, far: Leg, wait_ms: int) -> None:
        """The Connect of this far leg has got further: its deadline counts anew."""
        step = self.call.connecting(far.id)
        if step is not None and not step.result:
            self.set_step(step, due_at=max(step.due_at, self.at + wait_ms))

    # --- legs

    def new_leg(self, name: str, number: str, display: str, peer: str = "") -> Leg:
        """A leg that is about to be dialled; ``peer``: for which other leg."""
        leg_id = ids.leg_id(self.call.id, len(self.call.legs) + 1)
        leg = Leg(leg_id, name, number, display, self.call.routes.get(name, ""), peer, dialed_at=self.at)
        self.change(legs=(*self.call.legs, leg))
        self.tell("call.leg.dialing", leg_data(leg))
        return leg

    def arrived_leg(self, event: LegArrived, name: str) -> None:
        """The leg that came in and for which this call is."""
        leg = Leg(event.leg, name, event.caller, event.called, event.trunk, dialed_at=event.at, arrived=True)
        self.change(legs=(*self.call.legs, leg))
        self.tell("call.leg.dialing", leg_data(leg))

    def ringing(self, leg: Leg, at: int) -> Leg:
        """The leg rings, unless it has got further."""
        if leg.state >= LegState.ringing:
            return leg
        leg = changed(leg, state=LegState.ringing, ringing_at=at)
        self.call = self.call.with_leg(leg)
        self.tell("call.leg.ringing", leg_data(leg), at)
        if not leg.peer:
            self.raise_status(CallStatus.ringing)
        return leg

    def answered(self, leg: Leg, at: int) -> Leg:
        """The leg is answered, unless it has got further."""
        if leg.state >= LegState.answered:
            return leg
        leg = changed(leg, state=LegState.answered, answered_at=at)
        self.call = self.call.with_leg(leg)
        self.tell("call.leg.answered", leg_data(leg), at)
        if not leg.peer:
            self.raise_status(CallStatus.answered)
        return leg

    def joined(self, near: Leg, far: Leg, at: int) -> None:
        """The two talk, or did before they ended: told once per far leg."""
        self.answered(near, at)
        far = changed(self.answered(far, at), joined_at=at)
        if far.answered_at is None:  # its end was heard first, and nothing of its answer
            far = changed(far, answered_at=at)
        self.call = self.call.with_leg(far)
        if self.call.bridged_at is None:
            self.change(bridged_at=at)
        self.raise_status(CallStatus.bridged)
        self.tell("call.bridged", {"legs": ["leg_" + near.id, "leg_" + far.id]}, at)
        for recording in self.call.recordings:
            step = self.call.step(recording.id)
            if recording.state == "armed" and (step is None or step.kind != "Record"):
                self.start_recording(recording, at)

    def leg_over(
        self, leg: Leg, why: Why, at: int, sip: int | None = None, q850: int | None = None, verdict: Disposition | None = None
    ) -> None:
        """The leg has ended, and with it the steps that act on it: what it was to connect is never dialled.  An agent who was
        claimed to be this leg is free."""
        connect = self.call.connecting(leg.id)
        over = [step for step in self.call.steps if step.leg == leg.id]
        leg = changed(leg, state=LegState.ended, ended_at=at, why=why, sip=sip, q850=q850, verdict=verdict)
        self.call = self.call.with_leg(leg)
        if over:
            self.change(steps=tuple([step for step in self.call.steps if step.leg != leg.id]))
        if (left := without(self.call.vars, leg.name)) is not self.call.vars:
            self.change(vars=left)
        self.tell("call.leg.ended", leg_data(leg), at)
        if connect is not None:
            self.stop_recording(connect.id, at)
        for step in over:
            self.call_off(step, at)
            far = self.call.leg(step.verb.far) if step.kind == "Connect" and step.state == "todo" else None
            if far is not None and far.live:
                self.leg_over(far, "platform", at)

    # --- recordings

    def recording(self, recording_id: str) -> Recording | None:
        """The call's recording with this id."""
        for recording in self.call.recordings:
            if recording.id == recording_id:
                return recording
        return None

    def start_recording(self, recording: Recording, at: int) -> None:
        """Audio is kept from now on."""
        self.call = self.call.with_recording(changed(recording, state="recording", started_at=at))
        self.tell("recording.started", {"recording_id": "rec_" + recording.id}, at)

    def stop_recording(self, recording_id: str, at: int) -> None:
        """Audio is kept no more."""
        recording = self.recording(recording_id)
        if recording is not None and recording.state in ("recording", "paused"):
            self.call = self.call.with_recording(changed(recording, state="stopped", stopped_at=at))

    def call_off(self, step: Step | None, at: int) -> None:
        """A step is given up.  A recording that was to begin by it may have begun unheard: it is looked for."""
        recording = self.recording(step.verb.recording) if step is not None and step.kind == "Record" else None
        if step is not None and recording is not None and recording.state == "armed":
            self.call = self.call.without_step(step.id)
            self.call = self.call.with_recording(changed(recording, state="stopped", stopped_at=at))
