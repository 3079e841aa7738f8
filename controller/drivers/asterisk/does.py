"""What is done for each verb: which action or command, what proves that Asterisk took it, and what makes a repeat harmless."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from controller.core import verbs as v
from controller.drivers.asterisk import commands
from controller.drivers.asterisk.ami import Message
from controller.drivers.asterisk.events import Legs, leg_of
from controller.drivers.asterisk.hook import Hook, Session, fail, quietly
from controller.drivers.asterisk.link import Link
from controller.drivers.asterisk.recording import Recorder
from controller.ports import Unreachable, VerbRefused

ORIGINATE_WITHIN_S = 5.0
LATE_S = 0.3
"""OriginateResponse and the leg's own first event come in no fixed order: how long the other may still come."""
LEAVES_WITHIN_S = 0.3
"""A leg that is gone says so together with the abnormal end of what it did."""
KNOCK_WITHIN_S = 3.0
LATE_KEY_MS = 50
FOR_EVER = 1 << 62
REMEMBERED = 50_000


class _Recent(OrderedDict[str, None]):
    """The last REMEMBERED ids."""

    def add(self, item: str) -> None:
        """Remember it."""
        self[item] = None
        self.move_to_end(item)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Does:
    """Does verbs on one Asterisk.  ``finish``: called with the session and the verb when a subroutine is over."""

    def __init__(
        self,
        link: Link,
        hook: Hook,
        legs: Legs,
        has_trunk: Callable[[str], bool],
        prompts: Path,
        finish: Callable[[Session, v.Verb], None],
        recorder: Recorder,
    ) -> None:
        self._link, self._hook, self._legs = link, hook, legs
        self._has_trunk, self._prompts, self._finish, self._recorder = has_trunk, prompts, finish, recorder
        self._done, self._existed = _Recent(), _Recent()
        self._originating: dict[str, asyncio.Future[bool]] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self._table: dict[type[v.Verb], Callable[[Any], Awaitable[None]]] = {
            v.Dial: self._dial,
            v.Connect: self._connect,
            v.Join: self._join,
            v.Ring: self._ring,
            v.Answer: lambda verb: self._native(verb, commands.answer(verb)),
            v.Play: lambda verb: self._native(verb, commands.play(verb, self._prompts, verb.leg in self._legs.arrived)),
            v.Ask: lambda verb: self._native(verb, commands.ask(verb, self._prompts)),
            v.Detect: lambda verb: self._native(verb, commands.detect(verb)),
            v.Hangup: self._hangup,
            v.Part: self._part,
            v.Mute: lambda verb: self._bridged(verb, commands.mute(self._channel(verb.leg), verb.on)),
            v.Record: recorder.begin,
            v.PauseRecord: lambda verb: self._bridged(verb, commands.pause_record(self._channel(verb.leg), verb.on)),
            v.StopRecord: self._stop_record,
            v.Whisper: lambda verb: self._bridged(verb, commands.whisper(verb, self._channel(verb.leg), self._prompts)),
        }

    async def do(self, verb: v.Verb) -> None:
        """Do a verb.  Raises VerbRefused, Unreachable.

        Once per id: of what lasts the dialplan knows the last one that it began, and a leg id is dialled once; the rest is
        remembered here, except hang-ups, which may be repeated, and recordings, of which the leg knows the last that was begun.
        """
        once = not verb.lasts and not isinstance(verb, v.Hangup | v.Record)
        if once and verb.id in self._done:
            return
        handler = self._table.get(type(verb))
        if handler is None:
            raise VerbRefused("this driver does no such verb")
        await handler(verb)
        if once:
            self._done.add(verb.id)

    # --- what the driver hears

    def exists(self, leg: str) -> None:
        """Asterisk told something of this leg, so it was made."""
        self._existed.add(leg)
        originating = self._originating.get(leg)
        if originating is not None and not originating.done():
            originating.set_result(True)

    def known(self, leg: str) -> bool:
        """Whether Asterisk ever told of this leg, as far as we remember."""
        return leg in self._existed

    def not_originated(self, leg: str) -> None:
        """An Originate failed: at once, if the leg was never made; else its end is told elsewhere."""
        originating = self._originating.get(leg)
        if originating is not None:
            asyncio.get_running_loop().call_later(LATE_S, _set, originating, False)

    def over(self, leg: str) -> None:
        """The leg has ended."""
        self.exists(leg)

    def lost(self) -> None:
        """The link is gone: nobody will tell what became of what is on its way."""
        self._recorder.lost()
        for originating in self._originating.values():
            fail(originating, Unreachable("the link to the PBX was lost"))

    # --- legs

    async def _dial(self, verb: v.Dial) -> None:
        self._check_trunk(verb.trunk)
        fields = commands.originate(verb)
        if verb.leg in self._existed:
            return
        loop = asyncio.get_running_loop()
        made = self._originating[verb.leg] = loop.create_future()
        made.add_done_callback(quietly)
        late = loop.call_later(ORIGINATE_WITHIN_S, fail, made, Unreachable("the PBX did not say what became of a new leg"))
        try:
            await self._act(fields)
            if not await made and await self._find(verb.leg) is None:
                raise VerbRefused("the PBX has no such endpoint, or cannot use it")
        finally:
            late.cancel()
            made.cancel()
            del self._originating[verb.leg]

    async def _hangup(self, verb: v.Hangup) -> None:
        channel = self._legs.channel.get(verb.leg)
        originating = self._originating.get(verb.leg)
        if channel is None and originating is not None:
            await asyncio.wait((originating,), timeout=ORIGINATE_WITHIN_S)
        channel = self._legs.channel.get(verb.leg) or await self._find(verb.leg)
        if channel is None:
            return
        said, done = self._link.send_both(*commands.hang_up(channel, verb.cause))
        said.add_done_callback(quietly)
        await done  # an error means that it has ended by itself

    async def _find(self, leg: str) -> str | None:
        """The channel of a leg that we have heard nothing of; None if there is none.  Raises Unreachable."""
        for row in await self._link.rows(commands.status()):
            if leg_of(row) == leg:
                self._legs.channel[leg] = row["Uniqueid"]
                return row["Uniqueid"]
        return None

    async def _part(self, verb: v.Part) -> None:
        channel, other = self._channel(verb.leg), self._legs.peer.get(verb.leg)
        if other is None:
            raise VerbRefused("the leg is not bridged")
        if channel != verb.leg and verb.leg not in self._legs.arrived:
            raise VerbRefused("this leg hangs on another one and cannot be kept without it")
        await self._act(commands.redirect_to_hold(channel))
        if self._legs.channel.get(other) == other:  # a leg of its own would be held again
            await self._hangup(v.Hangup(verb.id, other))

    # --- held legs

    async def _connect(self, verb: v.Connect) -> None:
        self._check_trunk(verb.trunk)
        await self._native(verb, commands.connect(verb, self._prompts))

    async def _join(self, verb: v.Join) -> None:
        other = await self._hook.session(verb.other, KNOCK_WITHIN_S)
        await self._native(verb, commands.join(verb, self._channel(other.leg)))

    async def _ring(self, verb: v.Ring) -> None:
        session = await self._hook.session(verb.leg, KNOCK_WITHIN_S)
        await session.ask(commands.RINGING)

    async def _native(self, verb: v.Verb, command: str) -> None:
        """Start a subroutine on a held leg and watch for its end."""
        there = self._hook.sessions.get(verb.leg)
        if there is not None and there.verb == verb.id:
            return
        session = await self._hook.session(verb.leg, KNOCK_WITHIN_S)
        if session.step == verb.id and session.result:
            self._finish(session, verb)
            return
        if isinstance(verb, v.Ask):
            self._legs.asking[verb.leg] = FOR_EVER
        try:
            answer = await session.begin(verb.id, command)
        except BaseException:
            self._legs.asking.pop(verb.leg, None)
            raise
        task = asyncio.create_task(self._watch(session, verb, answer))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _watch(self, session: Session, verb: v.Verb, answer: "asyncio.Future[str]") -> None:
        """Wait for a subroutine's end and ask how it was, where we have not seen it.  A leg that leaves meanwhile tells by its
        end or its next knock.

        A subroutine also ends abnormally where the far leg hangs up during an announcement: the near one is still there."""
        try:
            abnormal = "abnormal" in await answer
            if abnormal and await session.left(LEAVES_WITHIN_S):
                return
            talked = isinstance(verb, v.Connect) and not abnormal and self._legs.talked.get(verb.leg) == verb.far
            step, result = (verb.id, "parted") if talked else _result(await session.ask(commands.RESULT))
        except Unreachable:
            return
        finally:
            if verb.leg in self._legs.asking:
                self._legs.asking[verb.leg] = int(time.time() * 1000) + LATE_KEY_MS
        session.did(step, result)
        if session.step == verb.id:
            if abnormal and not session.result:
                session.result = "unanswered" if isinstance(verb, v.Connect) else "failed"
            session.done()
            self._finish(session, verb)

    # --- bridged legs

    async def _bridged(self, verb: v.Verb, fields: commands.Fields) -> None:
        if verb.leg not in self._legs.peer:
            raise VerbRefused("the leg is not bridged")
        await self._act(fields)

    async def _stop_record(self, verb: v.StopRecord) -> None:
        if not await self._recorder.call_off(verb.recording):
            await self._bridged(verb, commands.stop_record(self._channel(verb.leg)))

    # --- small things

    def _channel(self, leg: str) -> str:
        channel = self._legs.channel.get(leg)
        if channel is None:
            raise VerbRefused("there is no such leg")
        return channel

    def _check_trunk(self, trunk: str) -> None:
        if not self._has_trunk(trunk):
            raise VerbRefused("this node has no such trunk")

    async def _act(self, fields: commands.Fields) -> Message:
        answer = await self._link.act(fields)
        if answer.get("Response") != "Success":
            raise VerbRefused("the PBX refused it")
        return answer


def _set(future: "asyncio.Future[bool]", value: bool) -> None:
    if not future.done():
        future.set_result(value)


def _result(line: str) -> tuple[str, str]:
    """Step and result from the answer to ``commands.RESULT``: ``200 result=1 (step|result)``."""
    step, _, result = line.partition("(")[2].rpartition(")")[0].partition("|")
    return step, result
