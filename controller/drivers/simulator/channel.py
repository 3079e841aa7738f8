"""One leg inside the simulated PBX."""

from dataclasses import dataclass, field

from controller.core.call import LegState
from controller.core.verbs import Connect
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import Alarm
from controller.ports import LegSeen


@dataclass(slots=True, eq=False)
class Channel:
    """A leg.  It either does something native or is held.

    ``step``/``result``/``data``: what the PBX began natively last, and how that ended.  ``idle``: held and free for a command.
    ``known``: the controller that is connected now has taken it (its hook session lives).  ``native``: a Connect under way.
    ``peer``: the channel that it dials or talks with; ``bridged``: they hear each other.
    """

    leg: str
    phone: Phone
    number: str
    state: LegState = LegState.dialing
    idle: bool = False
    known: bool = False
    step: str = ""
    result: str = ""
    data: str = ""
    native: Connect | None = None
    peer: "Channel | None" = None
    bridged: bool = False
    far: bool = False
    alarms: list[Alarm] = field(default_factory=list)
    give_up: Alarm | None = None
    ring_alarm: Alarm | None = None
    ringing_at: int | None = None
    answered_at: int | None = None
    bridged_at: int | None = None

    def seen(self) -> LegSeen:
        """As ``alive()`` tells it."""
        return LegSeen(
            self.leg,
            self.state,
            held=self.idle,
            step=self.step,
            result=self.result,
            bridged=self.peer.leg if self.bridged and self.peer is not None else "",
            since=self.answered_at,
        )

    def quiet(self) -> None:
        """It is over: nothing more will happen to it."""
        for alarm in (*self.alarms, self.give_up, self.ring_alarm):
            if alarm is not None:
                alarm.cancel()
        self.alarms.clear()
