"""What is done for each verb: which command, what proves that FreeSWITCH took it, and what makes a repeat harmless."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from controller.core import verbs as v
from controller.drivers.freeswitch import commands
from controller.drivers.freeswitch.causes import FULL, REFUSED_AS
from controller.drivers.freeswitch.events import Legs
from controller.drivers.freeswitch.held import Held
from controller.drivers.freeswitch.link import Link
from controller.drivers.freeswitch.recording import Recorder
from controller.ports import Unreachable, VerbRefused

ORIGINATE_WITHIN_S = 5.0
LATE_S = 0.3
"""A refused originate and the leg's own first event come in no fixed order: how long the other may still come."""
REMEMBERED = 50_000
UNSET = "_undef_"
V = TypeVar("V", bound=v.Verb)
_CAUSE = re.compile(r"-ERR ([A-Z_]{1,40})")


class Recent(OrderedDict[str, None]):
    """The last REMEMBERED ids."""

    def add(self, item: str) -> None:
        """Remember it."""
        self[item] = None
        self.move_to_end(item)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Does:
    """Does verbs on one FreeSWITCH."""

    def __init__(self, link: Link, legs: Legs, held: Held, has_trunk: Callable[[str], bool], recorder: Recorder) -> None:
        self._link, self._legs, self._held, self._has_trunk, self._recorder = link, legs, held, has_trunk, recorder
        self._done, self._existed = Recent(), Recent()
        self._originating: dict[str, asyncio.Future[str]] = {}
        self._table: dict[type[v.Verb], Callable[[Any], Awaitable[None]]] = {
            v.Dial: self._dial,
            v.Connect: self._connect,
            v.Join: self._join,
            v.Ring: self._ring,
            v.Answer: lambda verb: self._native(verb, commands.answer(*self._wire(verb))),
            v.Play: lambda verb: self._native(verb, commands.play(*self._wire(verb))),
            v.Ask: lambda verb: self._native(verb, commands.ask(*self._wire(verb))),
            v.Detect: lambda verb: self._native(verb, commands.detect(*self._wire(verb))),
            v.Hangup: self._hangup,
            v.Part: self._part,
            v.Mute: lambda verb: self._bridged(verb, commands.mute(legs.uuid(verb.leg), verb.on)),
            v.Record: recorder.begin,
            v.PauseRecord: lambda verb: self._bridged(
                verb, commands.pause_record(legs.uuid(verb.leg), verb.recording, verb.on)
            ),
            v.StopRecord: self._stop_record,
            v.Whisper: lambda verb: self._bridged(verb, commands.whisper(legs.uuid(verb.leg), verb.prompts)),
        }

    async def do(self, verb: v.Verb) -> None:
        """Do a verb.  Raises VerbRefused, Unreachable.

        Once per id: of what lasts the dialplan knows the last one that it began, and a leg id is dialled once; the rest is
        remembered here, except hang-ups and the beginning of a recording, which may be repeated.
        """
        once = not verb.lasts and not isinstance(verb, v.Hangup | v.Record)
        if once and verb.id in self._done:
            return
        handler = self._table.get(type(verb))
        if handler is None:
            raise VerbRefused("this PBX cannot do that")
        await handler(verb)
        if once:
            self._done.add(verb.id)

    # --- what the driver hears

    def exists(self, leg: str) -> None:
        """FreeSWITCH told something of this leg, so it was made."""
        self._existed.add(leg)
        originating = self._originating.get(leg)
        if originating is not None and not originating.done():
            originating.set_result("")

    def known(self, leg: str) -> bool:
        """Whether FreeSWITCH ever told of this leg, as far as we remember."""
        return leg in self._existed

    def not_originated(self, verb_id: str, answer: str) -> None:
        """A job is over.  An originate that failed without any word of its leg was refused: ``-ERR CAUSE``."""
        originating = self._originating.get(verb_id)
        if originating is not None and not answer.startswith("+OK"):
            cause = _CAUSE.fullmatch(answer.strip())
            asyncio.get_running_loop().call_later(LATE_S, _set, originating, cause[1] if cause else "unknown")

    def lost(self) -> None:
        """The link is gone: nobody will tell what became of what is on its way."""
        self._held.clear()
        self._recorder.lost()
        for originating in self._originating.values():
            if not originating.done():
                originating.set_exception(Unreachable("the link to the PBX was lost"))

    # --- legs

    async def _dial(self, verb: v.Dial) -> None:
        self._check_trunk(verb.trunk)
        command = commands.originate(verb)
        if verb.leg in self._existed:
            return
        made = asyncio.get_running_loop().create_future()
        self._originating[verb.leg] = self._originating[verb.id] = made
        try:
            await self._act(command)
            await asyncio.wait((made,), timeout=ORIGINATE_WITHIN_S)
            if not made.done():
                raise Unreachable("the PBX did not say what became of a new leg")
            cause = made.result()
            if cause and (await self._link.act(commands.exists(verb.leg))).strip() != "true":
                raise VerbRefused(f"the PBX cannot make the leg: {cause}", "congestion" if cause in FULL else "failed")
        finally:
            made.cancel()
            del self._originating[verb.leg], self._originating[verb.id]

    async def _hangup(self, verb: v.Hangup) -> None:
        cause = REFUSED_AS.get(verb.cause, verb.cause) if self._legs.came_in(verb.leg) else verb.cause
        command, originating = commands.hang_up(self._legs.uuid(verb.leg), cause), self._originating.get(verb.leg)
        if originating is not None:
            await asyncio.wait((originating,), timeout=ORIGINATE_WITHIN_S)
        await self._link.act(command)  # an error: it has ended by itself, or never was

    async def _part(self, verb: v.Part) -> None:
        other = self._legs.peer.get(verb.leg)
        if other is None:
            raise VerbRefused("the leg is not bridged")
        if (await self._link.act(commands.variable(self._legs.uuid(verb.leg), "PB_PEER"))).strip() != UNSET:
            raise VerbRefused("this leg hangs on another one and cannot be kept without it")
        await self._act(commands.keep(self._legs.uuid(verb.leg)))
        await self._act(commands.hang_up(self._legs.uuid(other), v.Hangup(verb.id, other).cause))

    # --- held legs

    async def _connect(self, verb: v.Connect) -> None:
        self._check_trunk(verb.trunk)
        await self._native(verb, commands.connect(*self._wire(verb)))

    async def _join(self, verb: v.Join) -> None:
        command = commands.join(replace(self._wire(verb)[0], other=self._legs.uuid(verb.other)))
        await self._held.wait(verb.other)
        await self._native(verb, command)

    async def _native(self, verb: v.Verb, command: str) -> None:
        """Start a macro on a held leg.  It tells its end itself; one that was begun before tells that again."""
        if self._held.busy.get(verb.leg) == verb.id:
            return
        await self._held.wait(verb.leg)
        self._held.takes(verb.leg, verb.id)
        if isinstance(verb, v.Ask):
            self._legs.asking.add(verb.leg)
        try:
            await self._act(command)
        except VerbRefused:
            self._held.free(verb.leg)
            self._legs.asking.discard(verb.leg)
            raise

    # --- bridged legs

    async def _bridged(self, verb: v.Verb, command: str) -> None:
        if verb.leg not in self._legs.peer:
            raise VerbRefused("the leg is not bridged")
        await self._act(command)

    async def _stop_record(self, verb: v.StopRecord) -> None:
        """Also of a leg whose talk is over: what was begun in mid-call would go on."""
        if not await self._recorder.call_off(verb.recording):
            await self._act(commands.stop_record(self._legs.uuid(verb.leg), verb.recording))

    # --- small things

    async def _ring(self, verb: v.Ring) -> None:
        await self._held.wait(verb.leg)
        if self._legs.came_in(verb.leg):
            await self._act(commands.ring(self._legs.uuid(verb.leg)))

    def _wire(self, verb: V) -> tuple[V, bool]:
        """The verb with its leg as FreeSWITCH calls it, and whether that leg has no sound yet."""
        return replace(verb, leg=self._legs.uuid(verb.leg)), verb.leg in self._legs.silent

    def _check_trunk(self, trunk: str) -> None:
        if not self._has_trunk(trunk):
            raise VerbRefused("this node has no such trunk")

    async def _act(self, command: str) -> None:
        """Send a command that FreeSWITCH must take; the last line of its answer counts."""
        answer = (await self._link.act(command)).strip().rpartition("\n")[2]
        if answer.startswith(("-ERR", "-USAGE")):
            raise VerbRefused("the PBX refused it")


def _set(future: "asyncio.Future[str]", value: str) -> None:
    if not future.done():
        future.set_result(value)
