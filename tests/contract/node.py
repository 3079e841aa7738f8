"""One PBX under test: the driver, what it says, and the phones."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ulid import ULID

from controller.core import events as ev
from controller.core import ids
from controller.core.verbs import Connect, Dial, Hangup, Verb
from controller.lab.options import TRUNK
from controller.lab.phones.client import Call
from controller.ports import LegSeen, Pbx
from tests.lab.far_end import SHOWN_TO_A, SHOWN_TO_B, Lab

E = TypeVar("E", bound=ev.Event)
V = TypeVar("V", bound=Verb)
SOON_S = 30.0


class Node:
    """A PBX and one controller's driver for it, which can leave and come again."""

    def __init__(self, lab: Lab, open_pbx: Callable[[], Awaitable[Pbx]]) -> None:
        self.lab = lab
        self.pbx: Pbx
        self.said: list[ev.Event] = []
        self._open = open_pbx
        self._taken: set[int] = set()
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def come(self) -> ev.LinkUp:
        """A controller begins: opens the driver and has its link."""
        self.pbx = await self._open()
        self._listening = asyncio.create_task(self._listen(self.pbx))
        return await self.expect(ev.LinkUp)

    @property
    def listening(self) -> bool:
        """Whether a controller is there."""
        return self._listening is not None

    async def leave(self) -> None:
        """The controller ends; calls go on."""
        if self._listening is not None:
            await self.pbx.close()
            await self._listening
            self._listening = None

    async def _listen(self, pbx: Pbx) -> None:
        async for event in pbx.events():
            self.said.append(event)
            self._news.set()

    async def expect(self, kind: type[E], leg: str = "", within_s: float = SOON_S, **fields: Any) -> E:
        """The next event of this kind that was not expected before.  Fails with all that was said."""
        deadline = time.monotonic() + within_s
        while True:
            for index, event in enumerate(self.said):
                if index not in self._taken and _fits(event, kind, leg, fields):
                    self._taken.add(index)
                    assert isinstance(event, kind)
                    return event
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), deadline - time.monotonic())
            except TimeoutError:
                said = "\n".join(map(str, self.said))
                raise AssertionError(f"no {kind.__name__} {leg} {fields} within {within_s} s; said was\n{said}") from None

    def heard_of(self, leg: str, *kinds: type[ev.Event]) -> list[ev.Event]:
        """What was said of a leg so far."""
        return [e for e in self.said if isinstance(e, ev.LegEvent) and e.leg == leg and (not kinds or isinstance(e, kinds))]

    def talk(self) -> "Talk":
        """A new call."""
        return Talk(self)


def _fits(event: ev.Event, kind: type[ev.Event], leg: str, fields: dict[str, Any]) -> bool:
    if type(event) is not kind or (leg and getattr(event, "leg", "") != leg):
        return False
    return all(getattr(event, name) == value for name, value in fields.items())


class Talk:
    """One call: its legs ``near`` and ``far``, and verbs in its name."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.id = str(ULID())
        self.near, self.far = ids.leg_id(self.id, 1), ids.leg_id(self.id, 2)
        self.since = time.time()
        self._step = 0

    def verb_id(self) -> str:
        """The next step's id."""
        self._step += 1
        return ids.verb_id(self.id, self._step)

    async def do(self, kind: type[V], leg: str, **fields: Any) -> V:
        """Ask for a verb."""
        verb = kind(self.verb_id(), leg, **fields)
        await self.node.pbx.do(verb)
        return verb

    async def dial(self, number: str, ring_s: int = 20, leg: str = "", trunk: str = TRUNK) -> Dial:
        """Ring the near leg's phone."""
        leg = leg or self.near
        return await self.do(Dial, leg, number=number, trunk=trunk, display=SHOWN_TO_A, ring_s=ring_s)

    async def hold(self, number: str, leg: str = "") -> str:
        """A phone that answers, held."""
        leg = leg or self.near
        await self.dial(number, leg=leg)
        await self.node.expect(ev.LegHeld, leg)
        return leg

    async def connect(self, number: str, ring_s: int = 20, limit_s: int = 60, trunk: str = TRUNK, **more: Any) -> Connect:
        """Connect the held near leg with a phone."""
        fields = {"far": self.far, "display": SHOWN_TO_B, **more}
        return await self.do(Connect, self.near, number=number, trunk=trunk, ring_s=ring_s, limit_s=limit_s, **fields)

    async def bridged(self, number: str, other: str, **more: Any) -> Connect:
        """Two phones that talk."""
        await self.hold(number)
        connect = await self.connect(other, **more)
        await self.node.expect(ev.LegsJoined, self.near, other=self.far)
        return connect

    async def end(self, *legs: str) -> None:
        """Hang up what still lives, and wait until it is over."""
        for leg in legs or (self.near,):
            await self.do(Hangup, leg)
        for leg in legs or (self.near,):
            await self.node.expect(ev.LegEnded, leg)

    # --- the far end

    async def seen(self, number: str, there: Callable[[Call], bool], within_s: float = SOON_S) -> Call:
        """The first call of a phone within this talk, once it is so."""
        phones = self.node.lab.phones
        calls = await asyncio.to_thread(
            phones.wait_for, lambda calls: bool(calls) and there(calls[0]), number, self.since, within_s
        )
        return calls[0]

    async def over(self, number: str) -> Call:
        """The first call of a phone within this talk, ended."""
        return await self.seen(number, lambda call: call["ended_at"] is not None)

    def rang(self, number: str) -> int:
        """How often a phone was called within this talk."""
        return len(self.node.lab.phones.calls(number, self.since))

    async def alive(self) -> dict[str, LegSeen]:
        """The live legs of this call."""
        return {leg: seen for leg, seen in (await self.node.pbx.alive()).items() if ids.call_of(leg) == self.id}
