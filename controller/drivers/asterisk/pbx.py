"""One Asterisk, as ``ports.Pbx`` wants it: AMI (``link``) and the FastAGI hook (``hook``) put together.

What a leg does natively is started through its hook session and told by it (``VerbDone``), or by the leg's next knock if that
session is gone (``LegHeld`` with step and result).  Everything else that happens to legs comes by AMI.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

import structlog

from controller import assets
from controller.config import Ami, Hook, Node, Trunk, on_node
from controller.core import events as ev
from controller.core.call import LegState
from controller.core.verbs import Connect, Record, Verb
from controller.drivers.asterisk import commands, ended, events
from controller.drivers.asterisk.ami import Message
from controller.drivers.asterisk.does import Does
from controller.drivers.asterisk.ended import Journal
from controller.drivers.asterisk.hook import Hook as HookServer
from controller.drivers.asterisk.hook import Session, quietly
from controller.drivers.asterisk.link import Link
from controller.drivers.asterisk.recording import Recorder
from controller.ports import Clock, LegSeen, Unreachable, VerbRefused

log = structlog.get_logger(__name__)

QUEUE_BOUND = 100_000
TIDY_EVERY_S = 3600.0
FAR_NEVER_CAME_S = 0.5
RECLAIM_AFTER_S = 1.5
_STATE = {events.UP: LegState.answered, events.RINGING: LegState.ringing}


class AsteriskPbx:
    """One Asterisk.  Open it with ``open``; its events begin with LinkUp as soon as it can be reached."""

    def __init__(self, node: Node, ami: Ami, hook: Hook, trunks: Sequence[Trunk], clock: Clock) -> None:
        self.node = node.name
        self._config, self._hook_config, self._clock = node, hook, clock
        self._token = secrets.token_urlsafe(24)
        self._legs = events.Legs()
        self._queue: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        self._journal = Journal(node.spool)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reclaiming: asyncio.Task[None] | None = None
        self._knocks: set[str] | None = None  # who knocked since it began
        tokens = (self._token, hook.token.get_secret_value())
        self._hook = HookServer(tokens, _peers(ami, hook), self._knocked)
        self._link = Link(ami, self._link_up, self._heard, self._link_down)
        prompts = assets.prompts(node.prompts)
        has = partial(on_node, trunks, node)
        self._recorder = Recorder(self._link, self._legs, prompts, node.spool, self._recorded)
        self._does = Does(self._link, self._hook, self._legs, has, prompts, self._finish, self._recorder)

    @classmethod
    async def open(cls, node: Node, trunks: Sequence[Trunk], clock: Clock) -> Self:
        """Listen for knocks and begin to reach for Asterisk.  Raises OSError when the hook's port is taken."""
        if node.ami is None or node.hook is None:
            raise ValueError(f"node {node.name} is no asterisk node")
        pbx = cls(node, node.ami, node.hook, trunks, clock)
        await pbx._hook.start(node.hook.host, node.hook.port)
        pbx._spawn(pbx._link.run())
        pbx._spawn(pbx._tidy())
        return pbx

    async def close(self) -> None:
        """Leave; calls go on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._recorder.lost()
        await self._hook.close()
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
        before = set(self._legs.channel)
        rows = {leg: row for row in await self._link.rows(commands.status()) if (leg := events.leg_of(row))}
        for leg in before.difference(rows):
            self._legs.part(leg)
            self._legs.forget(leg)
        in_bridge: dict[str, list[str]] = {}
        for leg, row in rows.items():
            self._legs.channel[leg] = row["Uniqueid"]
            if row.get("BridgeID"):
                in_bridge.setdefault(row["BridgeID"], []).append(leg)
        others = {
            leg: other for pair in in_bridge.values() if len(pair) == 2 for leg, other in zip(pair, pair[::-1], strict=True)
        }
        for leg, other in others.items():
            self._legs.join(leg, other)
        return {leg: _seen(leg, row, others.get(leg, ""), self._clock.now()) for leg, row in rows.items()}

    async def gone(self, legs: Sequence[str]) -> Mapping[str, ev.LegEnded]:
        """What Asterisk wrote down about those of ``legs`` that have ended."""
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

    def _heard(self, message: Message) -> None:
        if message["Event"] == "OriginateResponse":
            self._does.not_originated(message.get("Uniqueid", ""))
            self._recorder.silent(message.get("Uniqueid", ""), "")
            return
        if message["Event"] == "ChanSpyStart":
            with suppress(VerbRefused):  # a channel that is none of ours
                self._link.send(commands.passed_on(message.get("SpyerChannel", ""))).add_done_callback(quietly)
            return
        if message["Event"] == "Hangup":
            self._recorder.silent(message.get("Uniqueid", ""), message.get("$PB_LINE", ""))
        leg = events.leg_of(message)
        if leg:
            self._does.exists(leg)
        for event in events.read(message, self._legs):
            self._tell(event)
            if isinstance(event, ev.LegEnded):
                self._does.over(event.leg)
                self._hook.forget(event.leg)

    def _knocked(self, session: Session) -> None:
        """A leg is held.  Keys that it gave to an Ask whose session was lost come as that verb's end."""
        leg = session.leg
        if self._knocks is not None:
            self._knocks.add(leg)
        for event in events.parted(leg, self._clock.now(), self._legs):
            self._tell(event)
        if session.arrival is not None:
            self._legs.channel[leg] = session.arrival.channel
            self._legs.arrived.add(leg)
            if not session.named:
                self._spawn(self._name(session))
                return
        self._does.exists(leg)
        new = leg not in self._legs.channel
        self._legs.channel.setdefault(leg, leg)
        if self._link.is_up:
            self._tell_held(session, new)

    async def _name(self, session: Session) -> None:
        """A leg that has just come in gets its id; one that leaves meanwhile was never here."""
        try:
            await session.be(session.leg)
        except Unreachable:
            self._legs.forget(session.leg)
            return
        self._does.exists(session.leg)
        if self._link.is_up:
            self._tell_held(session, False)

    def _tell_held(self, session: Session, new: bool) -> None:
        """``new``: nothing was heard of this leg so far, so it may have been answered long before."""
        now, arrival = self._clock.now(), session.arrival
        if arrival is not None and not session.step:
            self._tell(ev.LegArrived(now, session.leg, arrival.caller, arrival.called, arrival.trunk))
            return
        if new and session.answered_at is not None:
            self._tell(ev.LegAnswered(session.answered_at, session.leg))
        if session.data:
            self._tell(ev.VerbDone(now, session.leg, session.step, session.result, session.data))
        else:
            self._tell(ev.LegHeld(now, session.leg, session.step, session.result, up=arrival is None))

    def _finish(self, session: Session, verb: Verb) -> None:
        """A verb's subroutine is over and its session says how."""
        now = self._clock.now()
        for event in events.parted(session.leg, now, self._legs):
            self._tell(event)
        self._tell(ev.VerbDone(now, session.leg, verb.id, session.result or "failed", session.data))
        if isinstance(verb, Connect) and session.result == "unanswered":
            asyncio.get_running_loop().call_later(FAR_NEVER_CAME_S, self._far_never_came, verb.far)

    def _recorded(self, verb: Record, result: str) -> None:
        """A recording in mid-call has begun, or will not."""
        self._tell(ev.VerbDone(self._clock.now(), verb.leg, verb.id, result))

    def _far_never_came(self, far: str) -> None:
        """Asterisk could not even make the far leg (no such endpoint), so it tells nothing of its end."""
        if not self._does.known(far):
            self._tell(ev.LegEnded(self._clock.now(), far, None, None, "platform"))

    # --- the link

    async def _link_up(self) -> None:
        """A session has begun: which life of Asterisk is this, and here is where held legs knock from now on."""
        boot = (await self._link.act(commands.get_global("PB_BOOT"))).get("Value", "")
        if not boot:
            boot = secrets.token_hex(8)
            await self._link.act(commands.set_global("PB_BOOT", boot))
        await self._link.act(commands.set_global("PB_TOKEN", self._token))
        await self._link.act(commands.set_global("PB_HOOK", f"{self._hook_config.host}:{self._hook_config.port}"))
        self._link.is_up = True
        self._tell(ev.LinkUp(self._clock.now(), boot))
        for session in list(self._hook.sessions.values()):
            if not session.verb and session.named:
                self._tell_held(session, True)
        if self._reclaiming is not None:
            self._reclaiming.cancel()
        self._reclaiming = self._spawn(self._reclaim())

    def _link_down(self, reason: str) -> None:
        self._does.lost()
        self._queue.put_nowait(ev.LinkDown(self._clock.now(), reason))

    async def _reclaim(self) -> None:
        """Fetch legs whose hook session leads nowhere: a stopped owner, or a connection that was cut without a word.

        A leg that is only just knocking looks the same, so it must look so twice and not have knocked in between."""
        knocks = self._knocks = set()
        try:
            suspects = await self._without_session()
            await asyncio.sleep(self._config.dead_man.knock_every_s + RECLAIM_AFTER_S)
            for leg, channel in (await self._without_session()).items():
                if leg in suspects and leg not in knocks:
                    log.info("fetching a held leg from a hook that is gone", node=self.node, leg=leg)
                    await self._link.act(commands.redirect_to_hold(channel))
            self._knocks = None
        except Unreachable:
            log.info("held legs will be looked for at the next link", node=self.node)

    async def _without_session(self) -> dict[str, str]:
        """Held legs that talk to a hook, but not to ours, with their channels."""
        rows = [row for row in await self._link.rows(commands.status()) if _is_held(row) and row.get("Application") == "AGI"]
        legs = {events.leg_of(row): row["Uniqueid"] for row in rows}
        return {leg: channel for leg, channel in legs.items() if leg and leg not in self._hook.sessions}

    async def _tidy(self) -> None:
        while True:
            await asyncio.to_thread(self._journal.tidy)
            await asyncio.sleep(TIDY_EVERY_S)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _peers(ami: Ami, hook: Hook) -> tuple[str, ...]:
    """Who may knock: this machine, and the PBX where its address is given as one."""
    local = ("127.0.0.1", "::1", hook.host)
    return (*local, ami.host) if ami.host.replace(".", "").isdigit() or ":" in ami.host else local


def _is_held(row: Message) -> bool:
    return row.get("Context") == commands.HOLD["Context"] and row.get("ChannelState") in (events.UP, events.RING)


def _seen(leg: str, row: Message, other: str, now: int) -> LegSeen:
    """A row of ``Status`` that came at ``now`` (ms); Asterisk writes ``(null)`` for a variable that is not set."""
    values = {name: "" if row.get(f"${name}") in (None, "(null)") else row[f"${name}"] for name in ("PB_STEP", "PB_RESULT")}
    answered, joined = _ms(row, "PB_ANSWERED"), _ms(row, "PB_JOINED")
    if answered is None:
        joined = joined or ended.began(now, row.get("$TIMEOUT(absolute)", ""), row.get("$PB_DUE", "").partition("+")[2])
    return LegSeen(
        leg,
        _STATE.get(row.get("ChannelState", ""), LegState.dialing),
        held=_is_held(row),
        step=values["PB_STEP"],
        result=values["PB_RESULT"],
        bridged=other,
        since=answered or joined,  # a far leg that heard no announcement was bridged when it answered
        joined=joined,
    )


def _ms(row: Message, name: str) -> int | None:
    text = row.get(f"${name}", "").partition(".")[0]
    return int(text) if text.isdigit() else None
