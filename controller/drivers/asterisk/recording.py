"""Recordings that begin in mid-call: the notice first, then the audio, then the word that it is kept.

A notice is a channel of its own that speaks to one leg, as a Whisper is.  It bears an id of ours and says at its end whether
the prompt was played (dialplan patchbay-whisper).  What is under way here dies with the controller or the link: then nothing
is recorded yet, and the verb is asked for again.
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from controller.core import verbs as v
from controller.drivers.asterisk import commands
from controller.drivers.asterisk.events import Legs
from controller.drivers.asterisk.hook import quietly
from controller.drivers.asterisk.link import Link
from controller.ports import Unreachable, VerbRefused

KEPT, FAILED = "recording", "failed"
Tell = Callable[[v.Record, str], None]
"""Called once a Record has ended, with how."""


class Recorder:
    """Begins recordings on one Asterisk."""

    def __init__(self, link: Link, legs: Legs, prompts: Path, spool: Path, tell: Tell) -> None:
        self._link, self._legs, self._prompts, self._spool, self._tell = link, legs, prompts, spool, tell
        self._speaking: dict[str, tuple[str, asyncio.Future[bool]]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._starting: set[str] = set()

    async def begin(self, verb: v.Record) -> None:
        """Let the parties be told; the rest follows by itself.  Raises VerbRefused, Unreachable."""
        if verb.recording in self._under_way:
            return
        channel, other = self._legs.channel.get(verb.leg), self._legs.peer.get(verb.leg)
        if channel is None or other is None:
            raise VerbRefused("the leg is not bridged")
        if (await self._link.act(commands.kept(channel))).get("Value") == verb.recording:
            self._tell(verb, KEPT)
            return
        told = [leg for leg, meant in zip((verb.leg, other), v.sides(verb.notice_to), strict=True) if meant and verb.notice]
        heard = [await self._speak(verb, leg) for leg in told]
        task = self._under_way[verb.recording] = asyncio.create_task(self._keep(verb, other, heard))
        task.add_done_callback(lambda _: self._over(verb.recording, task))

    async def _speak(self, verb: v.Record, leg: str) -> "asyncio.Future[bool]":
        """Play the notice to a leg; the answer comes when that is over, True if all of it was played."""
        mark = commands.speaker(verb, leg, secrets.token_hex(4))
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._speaking[mark] = verb.leg, heard
        heard.add_done_callback(lambda _: self._speaking.pop(mark, None))
        heard.add_done_callback(quietly)
        notice = commands.notice(verb, self._legs.channel.get(leg, ""), mark, self._prompts)
        try:
            if (await self._link.act(notice)).get("Response") != "Success":
                raise VerbRefused("the PBX refused the notice")
        except BaseException:
            heard.cancel()
            raise
        return heard

    async def _keep(self, verb: v.Record, other: str, heard: "list[asyncio.Future[bool]]") -> None:
        """Record when everybody was told, if these two still talk."""
        try:
            told = all([await one for one in heard])
            result = await self._start(verb) if told and self._legs.peer.get(verb.leg) == other else FAILED
        except Unreachable:
            return  # it will be asked for again
        self._tell(verb, result)

    async def _start(self, verb: v.Record) -> str:
        """The leg's note of what is kept is written directly before, so that no recording is begun twice."""
        self._starting.add(verb.recording)
        noted, done = self._link.send_both(*commands.record(self._legs.channel.get(verb.leg, ""), verb.recording, self._spool))
        noted.add_done_callback(quietly)
        return KEPT if (await done).get("Response") == "Success" else FAILED

    def _over(self, recording: str, task: "asyncio.Task[None]") -> None:
        if self._under_way.get(recording) is task:
            del self._under_way[recording]
            self._starting.discard(recording)

    async def call_off(self, recording: str) -> bool:
        """A recording is not to begin.  True if its notice was not over, and so nothing is recorded."""
        task = self._under_way.get(recording)
        if task is None:
            return False
        if recording in self._starting:
            await asyncio.wait((task,))
            return False
        return task.cancel()

    # --- what the driver hears

    def silent(self, mark: str, line: str) -> None:
        """A channel is gone, and what it wrote down: of one that speaks, whether the prompt was played."""
        if mark in self._speaking:
            _end(self._speaking[mark][1], line == "SUCCESS")

    def parted(self, leg: str) -> None:
        """The leg talks with nobody any more: what it still hears is no notice, and may never end where no sound passes."""
        for near, heard in list(self._speaking.values()):
            if near == leg:
                _end(heard, False)

    def lost(self) -> None:
        """The link is gone: what is under way is asked for again."""
        for task in self._under_way.values():
            task.cancel()
        self._under_way.clear()
        self._starting.clear()


def _end(heard: "asyncio.Future[bool]", told: bool) -> None:
    if not heard.done():
        heard.set_result(told)
