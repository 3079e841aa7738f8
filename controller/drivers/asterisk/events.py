"""Wire to event: what AMI messages say of our legs.  No I/O; ``Legs`` remembers which channel carries which leg.

A leg that we originate has its id as Uniqueid; one that Asterisk dials for a Connect bears it in PB_LEG.  Other channels are
not ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.core import events as ev
from controller.core import ids
from controller.drivers.asterisk import ended
from controller.drivers.asterisk.ami import Message

RING, RINGING, UP = "4", "5", "6"
HEARS = "hears"
"""``PB_LINE`` of a leg that was not through with its notice and announcement when Dial put it into a bridge: it had hung up."""


@dataclass(slots=True)
class Legs:
    """The live legs of ours.

    ``channel``: leg -> Uniqueid; ``arrived``: those that came in; ``peer``: who talks with whom, both ways; ``talked``: with
    whom each talked last; ``bridge``: who waits alone in a bridge; ``asking``: until when (ms) a leg's keys belong to an Ask;
    the last key and the Ask's end reach us on two ways, in any order.
    """

    channel: dict[str, str] = field(default_factory=dict)
    peer: dict[str, str] = field(default_factory=dict)
    talked: dict[str, str] = field(default_factory=dict)
    bridge: dict[str, str] = field(default_factory=dict)
    asking: dict[str, int] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)

    def join(self, one: str, other: str) -> None:
        """They hear each other."""
        self.peer[one], self.peer[other] = other, one
        self.talked[one], self.talked[other] = other, one

    def part(self, leg: str) -> str | None:
        """``leg`` talks with nobody any more; the one it talked with."""
        other = self.peer.pop(leg, None)
        if other is not None:
            self.peer.pop(other, None)
        return other

    def forget(self, leg: str) -> None:
        """The leg is gone."""
        self.channel.pop(leg, None)
        self.asking.pop(leg, None)
        self.talked.pop(leg, None)
        self.arrived.discard(leg)
        for bridge in [bridge for bridge, waiting in self.bridge.items() if waiting == leg]:
            del self.bridge[bridge]


def leg_of(message: Message, prefix: str = "") -> str:
    """The leg of ours that a message's channel carries, or empty.  ``prefix``: ``dest`` for the channel being dialled."""
    leg = message.get(f"{prefix}$PB_LEG", "")
    if not leg:
        leg = message.get("DestUniqueid" if prefix else "Uniqueid", "")
    return leg if ids.is_leg_id(leg) else ""


def at(message: Message) -> int:
    """When it happened, in ms by Asterisk's clock (``timestampevents``)."""
    return int(float(message["Timestamp"]) * 1000)


def read(message: Message, legs: Legs) -> list[ev.Event]:
    """The events that a message means."""
    reader = READERS.get(message["Event"])
    return reader(message, legs) if reader is not None else []


def _seen(message: Message, legs: Legs) -> list[ev.Event]:
    """A leg exists and has its hang-up handler."""
    if leg := leg_of(message):
        legs.channel[leg] = message["Uniqueid"]
    return []


def _state(message: Message, legs: Legs) -> list[ev.Event]:
    leg, state = leg_of(message), message.get("ChannelState")
    if not leg:
        return []
    legs.channel[leg] = message["Uniqueid"]
    if state == RINGING:
        return [ev.LegRinging(at(message), leg)]
    return [ev.LegAnswered(at(message), leg)] if state == UP else []


def _dial_state(message: Message, legs: Legs) -> list[ev.Event]:
    leg = leg_of(message, "dest")
    return [ev.EarlyMedia(at(message), leg)] if leg and message.get("DialStatus") == "PROGRESS" else []


def _bridge_enter(message: Message, legs: Legs) -> list[ev.Event]:
    leg, bridge = leg_of(message), message.get("BridgeUniqueid", "")
    if not leg or message.get("$PB_LINE") == HEARS:
        return []
    waiting = legs.bridge.pop(bridge, None)
    if waiting is None or waiting == leg:
        legs.bridge[bridge] = leg
        return []
    one, other = sorted((waiting, leg))
    legs.join(one, other)
    return [ev.LegsJoined(at(message), one, other)]


def _digit(message: Message, legs: Legs) -> list[ev.Event]:
    leg, digit = leg_of(message), message.get("Digit", "")
    when = at(message)
    if not leg or legs.asking.get(leg, 0) >= when or len(digit) != 1:
        return []
    return [ev.Digit(when, leg, digit)]


def _ended(message: Message, legs: Legs) -> list[ev.Event]:
    line = ended.parse(message.get("$PB_LINE", ""))
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


READERS: dict[str, Callable[[Message, Legs], list[ev.Event]]] = {
    "HangupHandlerPush": _seen,
    "Newstate": _state,
    "DialState": _dial_state,
    "BridgeEnter": _bridge_enter,
    "DTMFEnd": _digit,
    "Hangup": _ended,
}
