"""One FreeSWITCH, as ``ports.Pbx`` wants it: the event socket (``link``), and the macros of our dialplan.

What a leg does natively is started by a message to it and told by the macro itself (``patchbay::done``: VerbDone), or, when
nobody listened then, by the leg's next knock (``patchbay::held``: LegHeld with step and result).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

import msgspec
import structlog
from ulid import ULID

from controller.config import Esl, Node, Trunk, on_node
from controller.core import events as ev
from controller.core import ids
from controller.core.verbs import Record, Verb
from controller.drivers.freeswitch import commands, ended, events, survey
from controller.drivers.freeswitch.does import Does, Recent
from controller.drivers.freeswitch.events import Heard
from controller.drivers.freeswitch.frames import Frame
from controller.drivers.freeswitch.held import Held
from controller.drivers.freeswitch.link import Link
from controller.drivers.freeswitch.recording import Recorder
from controller.ports import Clock, LegSeen, Unreachable, VerbRefused

log = structlog.get_logger(__name__)

QUEUE_BOUND = 100_000
TIDY_EVERY_S = 3600.0
FAR_NEVER_CAME_S = 0.5
ANSWERED = "answered"
NUMBER = re.compile(r"\+?[0-9]{0,20}", re.ASCII)


class FreeSwitchPbx:
    """One FreeSWITCH.  Open it with ``open``; its events begin with LinkUp as soon as it can be reached."""

    def __init__(self, node: Node, esl: Esl, trunks: Sequence[Trunk], clock: Clock) -> None:
        self.node = node.name
        self._clock = clock
        self._legs, self._held = events.Legs(), Held()
        self._told, self._naming = Recent(), set[str]()
        self._queue: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        self._journal = ended.Journal(node.spool)
        self._tasks: set[asyncio.Task[None]] = set()
        self._link = Link(esl, self._link_up, self._heard, self._link_down)
        self._recorder = Recorder(self._link, self._legs, self._recorded)
        self._does = Does(self._link, self._legs, self._held, partial(on_node, trunks, node), self._recorder)

    @classmethod
    async def open(cls, node: Node, trunks: Sequence[Trunk], clock: Clock) -> Self:
        """Begin to reach for FreeSWITCH."""
        if node.esl is None:
            raise ValueError(f"node {node.name} is no freeswitch node")
        pbx = cls(node, node.esl, trunks, clock)
        pbx._spawn(pbx._link.run())
        pbx._spawn(pbx._tidy())
        return pbx

    async def close(self) -> None:
        """Leave; calls go on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._recorder.lost()
        self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[ev.Event]:
        """What happens, in order; ends on close."""
        while (event := await self._queue.get()) is not None:
            yield event

    async def do(self, verb: Verb) -> None:
        """Ask for a verb.  Raises VerbRefused, Unreachable."""
        if not self._link.is_up:
            raise Unreachable("the link to the PBX is down")
        await self._does.do(verb)

    async def alive(self) -> Mapping[str, LegSeen]:
        """The live legs of ours.  Raises Unreachable."""
        if not self._link.is_up:
            raise Unreachable("the link to the PBX is down")
        before = set(self._legs.known)
        seen = {found.leg: found for found in await survey.legs(self._link, self._legs)}
        for leg in before.difference(seen):
            self._legs.part(leg)
            self._legs.forget(leg)
        for found in seen.values():
            self._legs.known.add(found.leg)
            self._does.exists(found.leg)
            if found.bridged:
                self._legs.join(found.leg, found.bridged)
        return seen

    async def gone(self, legs: Sequence[str]) -> Mapping[str, ev.LegEnded]:
        """What FreeSWITCH wrote down about those of ``legs`` that have ended."""
        return await asyncio.to_thread(self._journal.find, legs)

    # --- what comes in

    def _tell(self, event: ev.Event) -> None:
        if isinstance(event, ev.LegsParted):
            for leg in (event.leg, event.other):
                self._recorder.parted(leg)
        if self._queue.qsize() < QUEUE_BOUND:
            self._queue.put_nowait(event)
        elif self._link.is_up:
            log.error("nobody reads this node's events; its link is cut", node=self.node)
            self._link.cut()

    def _heard(self, body: bytes) -> None:
        try:
            heard = self._legs.ours(events.decode(body))
            if heard.name == events.MIXED:
                self._recorder.silent(heard.mixed, heard.answer == ANSWERED)
                return
            told = events.read(heard, self._legs)
        except ValueError:
            log.warning("freeswitch sent an event that cannot be read", node=self.node)
            return
        if heard.name == "BACKGROUND_JOB":
            self._does.not_originated(heard.job, heard.body)
            self._originated(heard)
        if not ids.is_leg_id(heard.leg):
            if heard.subclass == events.HELD and heard.trunk:
                self._came_in(heard)
            return
        self._does.exists(heard.leg)
        for event in told:
            self._tell(event)
            if isinstance(event, ev.LegEnded):
                self._held.forget(event.leg)
                self._left_during_notice(event, heard)
            elif isinstance(event, ev.LegsJoined):
                self._held.talks(event.leg)
                self._held.talks(event.other)
        if heard.subclass == events.HELD:
            self._knocked(heard)
        elif heard.subclass == events.DONE:
            self._finished(heard)

    def _came_in(self, heard: Heard) -> None:
        """A leg from outside knocks that we do not know: it gets its id, or bears one that another controller gave it."""
        if ids.is_leg_id(heard.named):
            self._legs.arrive(heard.leg, heard.named)
            self._legs.known.add(heard.named)
            self._does.exists(heard.named)
            heard = self._legs.ours(heard)
            for event in events.read(heard, self._legs):
                self._tell(event)
            self._knocked(heard)
        elif heard.leg not in self._naming:
            self._naming.add(heard.leg)
            self._spawn(self._name(heard))

    async def _name(self, heard: Heard) -> None:
        """A leg that leaves before it has its id was never here."""
        leg = ids.leg_id(str(ULID()), 1)
        try:
            if (await self._link.act(commands.name(heard.leg, leg))).strip() != "+OK":
                return
        except (Unreachable, VerbRefused):
            return
        finally:
            self._naming.discard(heard.leg)
        self._came_in(msgspec.structs.replace(heard, named=leg))

    def _originated(self, heard: Heard) -> None:
        """A job is over: an originate's ends when its leg has answered, and is held from then on."""
        leg = heard.body.strip().removeprefix("+OK ")
        if leg in self._legs.known:
            self._knocked(msgspec.structs.replace(heard, leg=leg))

    def _knocked(self, heard: Heard) -> None:
        """A leg is held.  Keys that it gave to an Ask while nobody listened come as that verb's end."""
        if not self._held.knocked(heard.leg):
            return
        self._legs.asking.discard(heard.leg)
        last = events.outcome(heard.step, heard.result, heard.data)
        for event in events.parted(heard.leg, heard.at, self._legs):
            self._tell(event)
        if last.data and last.step not in self._told:
            self._told.add(last.step)
            self._tell(ev.VerbDone(heard.at, heard.leg, last.step, last.result, last.data))
        up = heard.answer == ANSWERED or not heard.trunk
        if up or last.step:
            self._tell(ev.LegHeld(heard.at, heard.leg, last.step, last.result, up=up))
        else:
            caller, called = (number if NUMBER.fullmatch(number) else "" for number in (heard.caller, heard.called))
            self._tell(ev.LegArrived(heard.at, heard.leg, caller, called, heard.trunk))

    def _finished(self, heard: Heard) -> None:
        """A verb's macro is over and says how; or it is asked for again while it is under way, which it says without a
        result."""
        last = events.outcome(heard.step, heard.result, heard.data)
        if not last.result:
            return
        is_ours = self._held.busy.get(heard.leg) == last.step
        self._held.free(heard.leg)
        self._legs.asking.discard(heard.leg)
        self._told.add(last.step)
        for event in events.parted(heard.leg, heard.at, self._legs):
            self._tell(event)
        self._tell(ev.VerbDone(heard.at, heard.leg, last.step, last.result, last.data))
        if last.result == "parted" or not is_ours:
            up = heard.answer == ANSWERED or not heard.trunk
            self._tell(ev.LegHeld(heard.at, heard.leg, last.step, last.result, up=up))
        if last.result == "unanswered" and ids.is_leg_id(heard.far):
            asyncio.get_running_loop().call_later(FAR_NEVER_CAME_S, self._far_never_came, heard.far)

    def _recorded(self, verb: Record, result: str) -> None:
        """A recording in mid-call has begun, or will not."""
        self._tell(ev.VerbDone(self._clock.now(), verb.leg, verb.id, result))

    def _far_never_came(self, far: str) -> None:
        """FreeSWITCH could not even make the far leg (no such gateway, no room), so it tells nothing of its end."""
        if not self._does.known(far):
            self._tell(ev.LegEnded(self._clock.now(), far, None, None, "platform"))

    def _left_during_notice(self, event: ev.LegEnded, far: Heard) -> None:
        """A far leg went between its answer and the bridge: the near one need not hear its own notice to the end.  What plays
        there now can be nothing else, since the Connect that it belongs to is not over."""
        waits = ids.is_leg_id(far.peer) and self._held.busy.get(far.peer) == far.step
        if waits and event.answered_at is not None and event.bridged_at is None and self._link.is_up:
            self._link.send(commands.cut_short(self._legs.uuid(far.peer))).add_done_callback(_take_note)

    # --- the link

    async def _link_up(self) -> None:
        """A session has begun: which life of FreeSWITCH is this; and from now on somebody is there for held legs."""
        boot = (await self._link.act(commands.BOOT)).strip()
        if not boot or boot.startswith("-ERR"):
            raise Unreachable("the PBX does not say which life of it this is")
        await self._link.act(commands.BEAT)
        self._held.clear()
        self._link.is_up = True
        self._tell(ev.LinkUp(self._clock.now(), boot))

    def _link_down(self, reason: str) -> None:
        self._does.lost()
        self._queue.put_nowait(ev.LinkDown(self._clock.now(), reason))

    async def _tidy(self) -> None:
        """Put FreeSWITCH's file of lines aside each hour, and remove those that are too old."""
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            with suppress(Unreachable):
                await self._link.act(commands.ROTATE)
            await asyncio.to_thread(self._journal.tidy)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _take_note(answered: "asyncio.Future[Frame]") -> None:
    """Nobody waits for the answer; without a link there is none."""
    if not answered.cancelled():
        answered.exception()
