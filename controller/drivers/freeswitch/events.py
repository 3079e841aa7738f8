"""Wire to event: what FreeSWITCH's events say of our legs.  No I/O; ``Legs`` remembers what one event alone does not tell.

A leg of ours bears its id as uuid, whether we dialled it or FreeSWITCH did for a Connect.  One that came in has a uuid of
FreeSWITCH's, and bears the id that we gave it in PB_LEG; ``Legs`` knows both.  Other channels are not ours.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from controller.core import events as ev
from controller.core import ids
from controller.drivers.freeswitch import ended

WIRE = {
    "name": "Event-Name",
    "subclass": "Event-Subclass",
    "when": "Event-Date-Timestamp",
    "leg": "Unique-ID",
    "job": "Job-UUID",
    "body": "_body",
    "digit": "DTMF-Digit",
    "mixed": "Media-Bug-Target",
    "one": "Bridge-A-Unique-ID",
    "other": "Bridge-B-Unique-ID",
    "beside": "Other-Leg-Unique-ID",
    "step": "variable_PB_STEP",
    "result": "variable_PB_RESULT",
    "data": "variable_PB_DATA",
    "peer": "variable_PB_PEER",
    "far": "variable_PB_FAR",
    "named": "variable_PB_LEG",
    "trunk": "variable_PB_TRUNK",
    "caller": "variable_PB_FROM",
    "called": "variable_PB_TO",
    "answer": "Answer-State",
    "does": "variable_PB_DOES",
    "bridged_to": "variable_bridge_to",
    "state": "Channel-State",
    "progress": "Caller-Channel-Progress-Time",
    "early": "Caller-Channel-Progress-Media-Time",
    "answered": "Caller-Channel-Answered-Time",
    "beside_answered": "Other-Leg-Channel-Answered-Time",
    "bridged": "Caller-Channel-Bridged-Time",
    "over": "Caller-Channel-Hangup-Time",
    "cause": "Hangup-Cause",
    "q850": "variable_hangup_cause_q850",
    "sip": "variable_proto_specific_hangup_cause",
    "who": "variable_sip_hangup_disposition",
}


class Heard(msgspec.Struct, frozen=True, rename=WIRE):
    """The headers that are read of an event; everything else of its 7 KB is skipped.  Times in microseconds, as text."""

    name: str = ""
    subclass: str = ""
    when: str = "0"
    leg: str = ""
    job: str = ""
    body: str = ""
    digit: str = ""
    mixed: str = ""
    one: str = ""
    other: str = ""
    beside: str = ""
    step: str = ""
    result: str = ""
    data: str = ""
    peer: str = ""
    far: str = ""
    named: str = ""
    trunk: str = ""
    caller: str = ""
    called: str = ""
    answer: str = ""
    does: str = ""
    bridged_to: str = ""
    state: str = ""
    progress: str = ""
    early: str = ""
    answered: str = ""
    beside_answered: str = ""
    bridged: str = ""
    over: str = ""
    cause: str = ""
    q850: str = ""
    sip: str = ""
    who: str = ""

    @property
    def at(self) -> int:
        """When it happened, in ms by FreeSWITCH's clock."""
        return int(self.when) // 1000


_DECODER = msgspec.json.Decoder(Heard)
UUIDS = ("leg", "one", "other", "beside", "peer", "bridged_to")
"""What of an event may be a uuid of FreeSWITCH's own that stands for a leg of ours."""
WITH_SOUND = ("early", "answered")
HELD, DONE = "patchbay::held", "patchbay::done"
MIXED = "MEDIA_BUG_STOP"
"""Something that was mixed into a leg, or recorded from it, is over.  It may come after the leg's end."""


def decode(body: bytes) -> Heard:
    """An event from its JSON.  FreeSWITCH passes on bytes that are no UTF-8, where a phone sent such.  Raises ValueError."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _DECODER.decode(body.decode("utf-8", "replace"))


@dataclass(slots=True)
class Legs:
    """The live legs of ours.

    ``known``: those we heard of; ``peer``: who talks with whom, both ways; ``asking``: legs whose keys belong to an Ask;
    ``arrived``: of those that came in, FreeSWITCH's uuid to our id; ``silent``: those of them that have no sound yet;
    ``answered``: legs of whose answer we have told.
    """

    known: set[str] = field(default_factory=set)
    asking: set[str] = field(default_factory=set)
    peer: dict[str, str] = field(default_factory=dict)
    arrived: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    _uuid: dict[str, str] = field(default_factory=dict)

    def arrive(self, uuid: str, leg: str) -> None:
        """A leg that came in has its id."""
        self.arrived[uuid], self._uuid[leg] = leg, uuid
        self.silent.add(leg)

    def uuid(self, leg: str) -> str:
        """What FreeSWITCH calls a leg."""
        return self._uuid.get(leg, leg)

    def came_in(self, leg: str) -> bool:
        """Whether somebody called us on it."""
        return leg in self._uuid

    def ours(self, heard: Heard) -> Heard:
        """An event with the ids that we know."""
        if not self.arrived:
            return heard
        named = {name: leg for name in UUIDS if (leg := self.arrived.get(getattr(heard, name)))}
        if "leg" in named and heard.answer in WITH_SOUND:
            self.silent.discard(named["leg"])
        return msgspec.structs.replace(heard, **named) if named else heard

    def join(self, one: str, other: str) -> None:
        """They hear each other."""
        self.peer[one], self.peer[other] = other, one

    def part(self, leg: str) -> str | None:
        """``leg`` talks with nobody any more; the one it talked with."""
        other = self.peer.pop(leg, None)
        if other is not None:
            self.peer.pop(other, None)
        return other

    def forget(self, leg: str) -> None:
        """The leg is gone."""
        self.known.discard(leg)
        self.asking.discard(leg)
        self.silent.discard(leg)
        self.answered.discard(leg)
        self.arrived.pop(self._uuid.pop(leg, ""), None)


def read(heard: Heard, legs: Legs) -> list[ev.Event]:
    """The events that FreeSWITCH's event means."""
    if not ids.is_leg_id(heard.leg):
        return []
    reader = READERS.get(heard.name)
    return [*_answers(heard, legs), *(reader(heard, legs) if reader is not None else ())]


def _answers(heard: Heard, legs: Legs) -> Iterator[ev.LegAnswered]:
    """When a leg was answered stands in each of its events: whoever missed the answer itself is told by the next one, before
    what that one means.  A leg's end has that time in itself."""
    if heard.name == "CHANNEL_HANGUP_COMPLETE":
        return
    for leg, told in ((heard.leg, heard.answered), (heard.beside, heard.beside_answered)):
        if leg in legs.answered or (leg != heard.leg and leg not in (heard.one, heard.other)):
            continue
        if (at := ended.ms(told)) is not None and ids.is_leg_id(leg):
            legs.known.add(leg)
            legs.answered.add(leg)
            yield ev.LegAnswered(at, leg)


def _seen(heard: Heard, legs: Legs) -> list[ev.Event]:
    legs.known.add(heard.leg)
    return []


def _ringing(heard: Heard, legs: Legs) -> list[ev.Event]:
    return [] if legs.came_in(heard.leg) else [ev.LegRinging(heard.at, heard.leg)]


def _early(heard: Heard, legs: Legs) -> list[ev.Event]:
    return [] if legs.came_in(heard.leg) else [ev.EarlyMedia(heard.at, heard.leg)]


def _answered(heard: Heard, legs: Legs) -> list[ev.Event]:
    if heard.leg in legs.answered:
        return []
    legs.answered.add(heard.leg)
    return [ev.LegAnswered(heard.at, heard.leg)]


def _bridge(heard: Heard, legs: Legs) -> list[ev.Event]:
    if not (ids.is_leg_id(heard.one) and ids.is_leg_id(heard.other)):
        return []
    one, other = sorted((heard.one, heard.other))
    legs.join(one, other)
    return [ev.LegsJoined(heard.at, one, other)]


def _digit(heard: Heard, legs: Legs) -> list[ev.Event]:
    return [] if heard.leg in legs.asking or len(heard.digit) != 1 else [ev.Digit(heard.at, heard.leg, heard.digit)]


def _ended(heard: Heard, legs: Legs) -> list[ev.Event]:
    rang = (heard.progress, heard.early)
    times = (heard.answered, heard.bridged, heard.over if ended.ms(heard.over) else heard.when)
    line = ended.line(
        legs.came_in(heard.leg),
        heard.leg,
        heard.peer,
        heard.step,
        heard.result,
        rang,
        *times,
        heard.cause,
        heard.q850,
        heard.sip,
        heard.who,
    )
    if line is None:
        return []
    over = ended.judge(line)
    events = parted(line.leg, over.at, legs)
    legs.forget(line.leg)
    return [*events, over]


def parted(leg: str, when: int, legs: Legs) -> list[ev.Event]:
    """The leg talks with nobody any more; told once for the two."""
    other = legs.part(leg)
    if other is None:
        return []
    return [ev.LegsParted(when, *sorted((leg, other)))]


READERS: dict[str, Callable[[Heard, Legs], list[ev.Event]]] = {
    "CHANNEL_CREATE": _seen,
    "CHANNEL_PROGRESS": _ringing,
    "CHANNEL_PROGRESS_MEDIA": _early,
    "CHANNEL_ANSWER": _answered,
    "CHANNEL_BRIDGE": _bridge,
    "CHANNEL_HANGUP_COMPLETE": _ended,
    "DTMF": _digit,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last verb begun natively on a leg ended; ``result`` empty: not yet."""

    step: str
    result: str
    data: str = field(default="", repr=False)


def outcome(step: str, result: str, data: str) -> Outcome:
    """From a leg's PB_STEP, PB_RESULT and PB_DATA."""
    if result.startswith("keys "):
        least = result[len("keys ") :]
        enough = least.isdecimal() and len(data) >= int(least)
        return Outcome(step, "digits" if enough else "timeout", data)
    if (listened := LISTENED.fullmatch(result)) is not None:
        return Outcome(step, _who(listened["timeout"], int(listened["frames"]) * int(listened["ptime"] or 20)), "")
    return Outcome(step, RESULTS.get(result, "failed") if result else "", "")


def _who(timeout: str, speech_ms: int) -> str:
    """Who answered: one that has spoken so long is a machine, one that has said less and waits is a person."""
    if speech_ms >= GREETING_MS:
        return "machine"
    return "person" if timeout == "false" else "unknown"


LISTENED = re.compile(r"heard (?P<timeout>true|false) (?P<frames>[0-9]{1,6})( (?P<ptime>[1-9][0-9]{0,2}))? ?")
"""What ``wait_for_silence`` found: whether its time ran out, how many frames were loud, and how long (ms) a frame is."""
GREETING_MS = 1500
"""As long a greeting as Asterisk's app_amd takes for a person's."""


RESULTS = {"FILE PLAYED": "done", "answered": "done", "parted": "parted", "unanswered": "unanswered"}
"""What the macros say (``playback``'s own word for a Play), and what that is to the engine; anything else is ``failed``."""
