"""An exchange that is stepped by hand, and who listens to it."""

from collections.abc import Callable
from typing import Any

from controller.core import events as ev
from controller.core import verbs as v
from controller.drivers.simulator import commands
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import Agenda

PHONES = {
    "1": Phone(),
    "2": Phone(talk_ms=5_000),
    "3": Phone("busy"),
    "4": Phone("reject"),
    "5": Phone("no_answer"),
    "6": Phone("silent_drop"),
    "7": Phone("early_media"),
    "8": Phone("hangup_early"),
    "9": Phone("keys", keys="42"),
    "10": Phone("refuse", refuse=(503, 34)),
}
A, B, C = "leg-a", "leg-b", "leg-c"


class Room:
    """An exchange, and who listens to it."""

    def __init__(self) -> None:
        self.agenda = Agenda()
        self.exchange = Exchange(self.agenda, PHONES)
        self.heard: list[ev.Event] = []
        self.exchange.attach(self.heard.append)
        self.started = self.agenda.now()

    def do(self, *verbs: v.Verb) -> "Room":
        for verb in verbs:
            commands.do(self.exchange, verb)
        return self

    def wait(self, ms: int = 1_000) -> "Room":
        self.agenda.run(ms)
        return self

    def held(self, number: str = "1", leg: str = A) -> "Room":
        return self.do(dial(number, leg)).wait()

    def talking(self, far: str = "1", **more: Any) -> "Room":
        return self.held().do(connect(far, **more)).wait()

    def tells(self) -> list[tuple[str, str]]:
        """What was told since the last time: kind and leg."""
        told = [(type(event).__name__, getattr(event, "leg", "")) for event in self.heard]
        self.heard.clear()
        return told

    def last(self, kind: Callable[..., Any]) -> Any:
        return next(event for event in reversed(self.heard) if type(event) is kind)


def dial(number: str, leg: str = A, ring_s: int = 30) -> v.Dial:
    return v.Dial("dial-" + leg, leg, number, "trunk", "+1", ring_s)


def connect(number: str, ring_s: int = 40, limit_s: int = 3600, **more: Any) -> v.Connect:
    return v.Connect(
        **{
            "id": "connect", "leg": A, "far": B, "number": number, "trunk": "t", "display": "+1",
            "ring_s": ring_s, "limit_s": limit_s, **more,
        }
    )  # fmt: skip
