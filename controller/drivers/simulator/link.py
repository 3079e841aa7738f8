"""One controller's connection to an exchange: implements ``ports.Pbx``."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from controller.core import events as ev
from controller.core.verbs import Verb
from controller.drivers.simulator import commands
from controller.drivers.simulator.exchange import Exchange, NoAnswerYet, Refused
from controller.drivers.simulator.noise import Noise
from controller.ports import LegSeen, Unreachable, VerbRefused

EVENTS_BOUND = 100_000
"""Events that may wait to be read; a reader that far behind is cut off, as Asterisk does."""
RECONNECT_MS = 500


class Simulator:
    """A link to an exchange, with as much noise as is asked for."""

    def __init__(self, exchange: Exchange, node: str = "simulator", noise: Noise | None = None) -> None:
        self.node = node
        self._exchange = exchange
        self._noise = noise or Noise()
        self._queue: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        self._up = False
        self._connection = 0
        self._closed = False
        self._seen: set[str] = set()

    # --- the port

    async def do(self, verb: Verb) -> None:
        """Ask for a verb; see ``ports.Pbx``.  What is on its way arrives, also when its sender is gone by then."""
        self._must_be_up()
        loss = self._noise.loss()
        if loss == "before":
            self._lose(verb)
        if slowness_ms := self._noise.slowness_ms():
            answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
            self._exchange.timers.after(slowness_ms, partial(self._answer, verb, answer))
            fault = await answer
        else:
            fault = self._carry_out(verb)
        if loss == "after" or not self._up:
            raise Unreachable("no answer in time")
        if fault is not None:
            raise fault

    def _answer(self, verb: Verb, answer: "asyncio.Future[Exception | None]") -> None:
        fault = self._carry_out(verb)
        if not answer.done():
            answer.set_result(fault)

    def _carry_out(self, verb: Verb) -> Exception | None:
        channel = self._exchange.channels.get(verb.leg)
        if verb.rings and verb.id in self._seen and (channel is None or channel.step != verb.id):
            return None
        try:
            commands.do(self._exchange, verb)
        except Refused as refused:
            return VerbRefused(str(refused))
        except NoAnswerYet as error:
            return Unreachable(str(error))
        self._seen.add(verb.id)
        return None

    async def events(self) -> AsyncIterator[ev.Event]:
        """What happens; see ``ports.Pbx``."""
        self._connect()
        while (event := await self._queue.get()) is not None:
            yield event

    async def alive(self) -> Mapping[str, LegSeen]:
        """The live legs."""
        self._must_be_up()
        seen = {leg: channel.seen() for leg, channel in self._exchange.channels.items()}
        await self._travel()
        return seen

    async def gone(self, legs: Sequence[str]) -> Mapping[str, ev.LegEnded]:
        """The lines of ended legs."""
        self._must_be_up()
        lines = {leg: self._exchange.lines[leg] for leg in legs if leg in self._exchange.lines}
        await self._travel()
        return lines

    async def _travel(self) -> None:
        """An answer takes its time, and what it says may be old by then."""
        if slowness_ms := self._noise.slowness_ms():
            await asyncio.sleep(slowness_ms / 1000)
            self._must_be_up()

    async def close(self) -> None:
        """Leave the exchange; calls go on."""
        if not self._closed:
            self._closed = True
            if self._up:
                self._up = False
                self._exchange.detach()
            self._queue.put_nowait(None)

    # --- the connection

    def cut(self, reason: str = "cut", for_ms: int = RECONNECT_MS) -> None:
        """The connection breaks and comes back by itself after a while."""
        if self._up:
            self._up = False
            self._exchange.detach()
            self._queue.put_nowait(ev.LinkDown(self._exchange.now, reason))
        self._exchange.timers.after(for_ms, self._connect)

    def restart(self) -> None:
        """The PBX itself is killed and started again."""
        self._exchange.restart()
        self.cut("the PBX has gone")

    def _connect(self) -> None:
        if self._up or self._closed:
            return
        self._up = True
        self._connection += 1
        self._queue.put_nowait(ev.LinkUp(self._exchange.now, str(self._exchange.boot)))
        self._exchange.attach(self._hear)

    def _hear(self, event: ev.Event) -> None:
        for delay_ms in self._noise.delays():
            if delay_ms:
                self._exchange.timers.after(delay_ms, partial(self._put, event, self._connection))
            else:
                self._put(event, self._connection)

    def _put(self, event: ev.Event, connection: int) -> None:
        if not self._up or connection != self._connection:
            return  # said on a connection that has broken
        if self._queue.qsize() >= EVENTS_BOUND:
            self.cut("read too slowly")
        else:
            self._queue.put_nowait(event)

    def _must_be_up(self) -> None:
        if not self._up:
            raise Unreachable("not connected")

    def _lose(self, verb: Verb) -> None:
        """The command never arrived.  A held leg's session broke with it, so the leg knocks again."""
        channel = self._exchange.channels.get(verb.leg)
        if channel is not None:
            self._exchange.lose_session(channel)
        raise Unreachable("no answer in time")
