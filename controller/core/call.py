"""What is known of a call.  Plain data: immutable, compared by value, journaled as it is.

What names a person or what a person keyed in (numbers, keys, variables) is left out of every ``repr``, so that no log line or
traceback shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, TypeVar, get_args

Disposition = Literal[
    "completed",
    "busy",
    "no_answer",
    "rejected",
    "unreachable",
    "invalid_number",
    "congestion",
    "canceled",
    "blocked",
    "failed",
    "lost",
]
DISPOSITIONS: Mapping[str, Disposition] = {word: word for word in get_args(Disposition)}
Party = Literal["caller", "callee", "platform"]
AnsweredBy = Literal["person", "machine", "unknown"]
Why = Literal["remote", "timer", "limit", "platform", "lost"]
"""Who or what ended a leg: its phone or the network (``remote``), the PBX's ring timer (``timer``), the maximum duration
(``limit``), a hang-up by us (``platform``), or nobody knows because the PBX died or was out of reach (``lost``)."""

Thing = TypeVar("Thing")


def changed(thing: Thing, **changes: Any) -> Thing:
    """A copy of one of this module's records with some fields changed.

    ``dataclasses.replace`` does the same ten times slower, and most of what ``decide`` does is this; it is why the records
    have no slots.
    """
    new = object.__new__(type(thing))
    new.__dict__.update(thing.__dict__, **changes)
    return new


class LegState(IntEnum):
    """Forward only: a duplicate or an event out of order can never move a leg back."""

    dialing = 1
    ringing = 2
    answered = 3
    ended = 4


class CallStatus(IntEnum):
    """Forward only, as the API shows it.  Up to ``answered`` it speaks of the first leg, ``bridged`` means both talk."""

    queued = 1
    dialing = 2
    ringing = 3
    answered = 4
    bridged = 5
    ended = 6


@dataclass(frozen=True)
class Leg:
    """One channel on the PBX, from dialling to its end.  Times in ms; ``sip`` and ``q850`` as the far end or PBX gave them.

    ``peer``: the leg that this far leg was connected for, empty for a leg that was dialled on its own.  ``verdict``: why it
    was never dialled, where we or the PBX refused to.  ``arrived``: it came in; ``number`` is who called, ``display`` what was
    dialled, and it can be commanded before it is answered.  ``rule``: the code of the policy's rule that forbade to dial it.
    ``answered_by``: who answered, where that was listened for.
    """

    id: str
    name: str
    number: str = field(repr=False)
    display: str = field(repr=False)
    trunk: str = ""
    peer: str = ""
    state: LegState = LegState.dialing
    dialed_at: int | None = None
    ringing_at: int | None = None
    answered_at: int | None = None
    joined_at: int | None = None
    ended_at: int | None = None
    sip: int | None = None
    q850: int | None = None
    why: Why | None = None
    verdict: Disposition | None = None
    rule: str = ""
    arrived: bool = False
    answered_by: AnsweredBy | None = None

    @property
    def live(self) -> bool:
        """Not ended, as far as we know."""
        return self.state < LegState.ended

    @property
    def unanswered(self) -> bool:
        """It came in, lives, and nobody has answered it."""
        return self.arrived and self.state < LegState.answered


StepState = Literal["todo", "sending", "sent"]


@dataclass(frozen=True)
class Step:
    """A verb that was decided and is not known to be done.

    ``todo``: may be sent.  ``sending``: may have reached the PBX or not, so a verb that rings a phone is never sent again.
    ``sent``: the PBX took it.  ``due_at``: when we stop waiting for it (ms).  ``result``: how the verb ended, while the
    step still waits for something else (a Connect for the end of its far leg).  ``tries``: how often it was overdue.
    """

    id: str
    node: str
    kind: str
    leg: str
    verb: Any
    state: StepState = "todo"
    due_at: int = 0
    result: str = ""
    tries: int = 0


RecordingState = Literal["armed", "recording", "paused", "stopped", "stored", "failed"]


@dataclass(frozen=True)
class Recording:
    """One recording of a call.  ``armed``: asked for; a Connect's starts by itself inside the PBX when the legs are bridged."""

    id: str
    leg: str
    state: RecordingState = "armed"
    started_at: int | None = None
    stopped_at: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True)
class Retry:
    """What is left of a retry plan.  ``ids``: of the calls that may still follow, chosen beforehand; ``on``: the dispositions
    that another attempt follows, ``backoff_ms`` later."""

    ids: tuple[str, ...]
    backoff_ms: int
    on: tuple[Disposition, ...]


@dataclass(frozen=True)
class Call:
    """A call: where it is in its flow (``at``), its legs, the steps under way, and what will be told of it.

    ``status_url``: where its facts are sent beside the tenant's endpoints.
    ``not_before``, ``not_after``: when it may start (ms).  ``retry``: what follows if it comes to nothing; ``plan``: the first
    call of its plan, where this one is a later attempt, and ``retry_of`` the one before.
    ``until``: when its flow's longest time is over (ms).  ``verdict``: the disposition that an act of our own gave it.
    """

    id: str
    tenant: str
    kind: Literal["callback", "masked", "inbound", "robot"]
    flow: str
    flow_version: str
    requested_at: int
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reference: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    binding: str | None = None
    retry_of: str | None = None
    attempt: int = 1
    plan: str | None = None
    retry: Retry | None = None
    not_before: int | None = None
    not_after: int | None = None
    node: str = ""
    routes: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    status: CallStatus = CallStatus.queued
    legs: tuple[Leg, ...] = ()
    steps: tuple[Step, ...] = ()
    recordings: tuple[Recording, ...] = ()
    keys: tuple[str, ...] = field(default=(), repr=False)
    steps_taken: int = 0
    sequence: int = 0
    started_at: int | None = None
    until: int | None = None
    bridged_at: int | None = None
    ending_at: int | None = None
    ended_at: int | None = None
    canceled_by: str | None = None
    verdict: Disposition | None = None
    disposition: Disposition | None = None
    hangup_by: Party | None = None
    status_url: str | None = field(default=None, repr=False)

    @property
    def ended(self) -> bool:
        """The one terminal state."""
        return self.status is CallStatus.ended

    @property
    def ending(self) -> bool:
        """The flow is over; legs may still have to go."""
        return self.ending_at is not None

    @property
    def live_legs(self) -> tuple[Leg, ...]:
        """Legs not known to have ended."""
        return tuple(leg for leg in self.legs if leg.state < LegState.ended)

    @property
    def near(self) -> Leg | None:
        """The leg that the call is for: the latest that was dialled on its own."""
        for leg in reversed(self.legs):
            if not leg.peer:
                return leg
        return None

    @property
    def far(self) -> Leg | None:
        """The latest leg that was connected for another."""
        for leg in reversed(self.legs):
            if leg.peer:
                return leg
        return None

    @property
    def due_at(self) -> int | None:
        """When this call next wants a ``Deadline`` event (ms).  After that event it is later, or None."""
        dues = [step.due_at for step in self.steps if step.due_at]
        if self.until is not None and self.ending_at is None:
            dues.append(self.until)
        return min(dues, default=None)

    def leg(self, leg_id: str) -> Leg | None:
        """The leg with this id."""
        for leg in self.legs:
            if leg.id == leg_id:
                return leg
        return None

    def named(self, name: str) -> Leg | None:
        """The latest leg with this name (``caller``, ``callee``, ...)."""
        for leg in reversed(self.legs):
            if leg.name == name:
                return leg
        return None

    def step(self, step_id: str) -> Step | None:
        """The step under way with this id."""
        for step in self.steps:
            if step.id == step_id:
                return step
        return None

    def connecting(self, far_id: str) -> Step | None:
        """The Connect under way whose far leg this is."""
        for step in self.steps:
            if step.kind == "Connect" and step.verb.far == far_id:
                return step
        return None

    def with_leg(self, leg: Leg) -> "Call":
        """This call with ``leg`` in the place of the one that has its id."""
        return changed(self, legs=tuple([leg if old.id == leg.id else old for old in self.legs]))

    def with_step(self, step: Step) -> "Call":
        """This call with ``step`` in the place of the one that has its id."""
        return changed(self, steps=tuple([step if old.id == step.id else old for old in self.steps]))

    def with_recording(self, recording: Recording) -> "Call":
        """This call with ``recording`` in the place of the one that has its id."""
        return changed(self, recordings=tuple([recording if old.id == recording.id else old for old in self.recordings]))

    def without_step(self, step_id: str) -> "Call":
        """This call with that step done."""
        return changed(self, steps=tuple([step for step in self.steps if step.id != step_id]))
