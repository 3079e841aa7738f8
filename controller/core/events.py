"""What happened, as the engine hears it.  ``at`` is in ms since the epoch: when it happened, by the PBX where it says so.

From a PBX: LinkUp, LinkDown, LegArrived, LegHeld, LegRinging, EarlyMedia, LegAnswered, LegEnded, VerbDone, LegsJoined,
LegsParted, Digit.
From our own services: Start, Assigned, Found, Cancel, Act, Sending, Sent, Refused, Deadline, Swept, ShortCalls,
RecordingStored, RecordingFailed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.core.call import Disposition, Why
from controller.core.flow import Flow


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events."""

    at: int


# --- the link to a PBX: handled by the conductor, never by ``decide``


@dataclass(frozen=True, slots=True)
class LinkUp(Event):
    """The PBX can be reached.  ``boot``: changes when the PBX restarted, and then every old leg is gone."""

    boot: str


@dataclass(frozen=True, slots=True)
class LinkDown(Event):
    """The PBX cannot be reached; nothing is known of its legs until the next LinkUp."""

    reason: str


# --- what a leg does


@dataclass(frozen=True, slots=True)
class LegEvent(Event):
    """Something happened to the leg ``leg``."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegArrived(LegEvent):
    """A call came in over ``trunk``: the leg is held, not answered, and bears a call id that is new.

    ``caller`` (empty: withheld) and ``called``: digits, a ``+`` before them where the trunk gave one.  Said again while nothing
    was begun for the leg."""

    caller: str = field(repr=False)
    called: str = field(repr=False)
    trunk: str


@dataclass(frozen=True, slots=True)
class LegRinging(LegEvent):
    """The far end rings (180, or 183 without audio)."""


@dataclass(frozen=True, slots=True)
class EarlyMedia(LegEvent):
    """The far end sends audio before answering (183)."""


@dataclass(frozen=True, slots=True)
class LegAnswered(LegEvent):
    """The far end answered; it may not be held or bridged yet."""


@dataclass(frozen=True, slots=True)
class LegHeld(LegEvent):
    """A leg is ours to command.  ``step``: the last verb that the PBX began natively for it (Connect, Join), ``result``: how
    that ended, empty while unknown.  A leg that is held again after a crash says both.  ``up``: it is answered; only one that
    came in can be held before that."""

    step: str = ""
    result: str = ""
    up: bool = True


@dataclass(frozen=True, slots=True)
class LegEnded(LegEvent):
    """The leg is gone.  ``q850`` and ``sip`` as received or None; ``why`` as in ``call.Why``.

    It is ``remote`` only where this leg's own phone or network let go; a leg that the PBX gives up because the other one left
    is let go by the ``platform``.

    The times are set where the PBX kept them for us while nobody listened (ms)."""

    q850: int | None
    sip: int | None
    why: Why
    ringing_at: int | None = None
    answered_at: int | None = None
    bridged_at: int | None = None


@dataclass(frozen=True, slots=True)
class VerbDone(LegEvent):
    """A verb that lasts has ended.  ``result``: see each verb; ``failed`` when the PBX could not do it."""

    verb: str
    result: str
    data: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LegsJoined(LegEvent):
    """``leg`` and ``other`` hear each other."""

    other: str


@dataclass(frozen=True, slots=True)
class LegsParted(LegEvent):
    """``leg`` and ``other`` no longer hear each other."""

    other: str


@dataclass(frozen=True, slots=True)
class Digit(LegEvent):
    """A key was pressed outside of an Ask."""

    digit: str = field(repr=False)


# --- what we say ourselves


@dataclass(frozen=True, slots=True)
class Start(Event):
    """A queued call's turn has come: on PBX ``node``, each leg name over the trunk in ``routes``."""

    node: str
    routes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assigned(Event):
    """An agent was found for a call that waits for one."""

    agent: str
    name: str = field(repr=False)
    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found(LegEvent):
    """A LookUp is answered: ``outcome`` names the edge, ``vars`` are the call's from now on, each leg name over the trunk in
    ``routes``.  ``binding``, ``reference``, ``metadata``: whose call it has turned out to be (None: as before).
    ``flow``: what it walks from now on, with no other variables than these; ``told``: facts (type, data) that say why."""

    verb: str
    outcome: str
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)
    routes: Mapping[str, str] = field(default_factory=dict)
    binding: str | None = None
    reference: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    flow: Flow | None = None
    told: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Cancel(Event):
    """A client gives the call up, unless it has got that far.  ``by``: who asked; ``disposition``: what that makes of it
    (``blocked`` where a policy forbids the call that waits)."""

    unless: Literal["", "ringing", "answered"] = ""
    by: str = "api"
    disposition: Disposition = "canceled"


@dataclass(frozen=True, slots=True)
class Act(Event):
    """A client acts on a live call; ``acts.ACTS`` names what it may ask for."""

    action: str
    leg: str = ""
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sending(Event):
    """The verb is on its way: from here on it may have reached the PBX."""

    verb: str


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """The PBX accepted the verb."""

    verb: str


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """The PBX refused the verb, or policy forbade it: it had no effect.  ``disposition`` for a dial, else empty."""

    verb: str
    reason: str
    disposition: str = ""


@dataclass(frozen=True, slots=True)
class Deadline(Event):
    """``call.due_at`` has passed."""


@dataclass(frozen=True, slots=True)
class Swept(Event):
    """The PBX was asked and holds no leg of this call any more: whatever still counts as live is lost."""


@dataclass(frozen=True, slots=True)
class ShortCalls(Event):
    """This call is the last of a burst: so many within ``within_s`` were over directly after their answer."""

    calls: int
    within_s: int


@dataclass(frozen=True, slots=True)
class RecordingStored(Event):
    """The recording is durably stored: ``sha256`` hex, ``size`` in bytes."""

    recording: str
    duration_ms: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RecordingFailed(Event):
    """The recording cannot be stored: nothing was recorded, or the file is broken."""

    recording: str
    reason: str
