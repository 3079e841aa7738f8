"""A telephone exchange in memory: legs, bridges and the lines of ended legs.  It outlives every controller."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from controller.core import events as ev
from controller.core.call import LegState, Why
from controller.core.numbers import is_dialable
from controller.core.verbs import PROMPT_NAME, Ask, Connect, Detect, Dial, Play, Record, Verb
from controller.drivers.simulator.channel import Channel
from controller.drivers.simulator.phones import NOBODY, Phone
from controller.drivers.simulator.timers import Timers

KNOCK_MS = 1_000
"""How often a held leg asks for a controller."""
PROMPT_MS = 1_500
_PROMPT = re.compile(PROMPT_NAME, re.ASCII)
KEY_MS = 300
GREETING_MS, SILENCE_MS = 1_500, 800
"""Who says less, and then is silent for so long, is a person."""


class Refused(Exception):
    """The exchange cannot do this; nothing happened."""


class NoAnswerYet(Exception):
    """The leg is between two knocks: nobody can say what became of the command."""


@dataclass(slots=True)
class Tape:
    """A recording in the exchange's spool (times in ms)."""

    leg: str
    started_at: int
    stopped_at: int | None = None
    paused: bool = False


class Exchange:
    """One PBX, with these prompts and trunks (None: every one that is asked for).

    ``lines``: what was written down of each ended leg.  ``rang``: how often a phone rang for each verb and leg; ``rang_at``:
    when, for a leg, and ``numbers``: at which.  ``notices``: recordings that begin when those have been told."""

    def __init__(
        self,
        timers: Timers,
        phones: Mapping[str, Phone],
        *,
        prompts: Collection[str] | None = None,
        trunks: Collection[str] | None = None,
        give_up_ms: int = 30_000,
        silence_ms: int = 32_000,
    ) -> None:
        self.timers, self.phones = timers, phones
        self.prompts, self.trunks = prompts, trunks
        self.boot = 1
        self.channels: dict[str, Channel] = {}
        self.lines: dict[str, ev.LegEnded] = {}
        self.tapes: dict[str, Tape] = {}
        self.notices: set[str] = set()
        self.rang: Counter[str] = Counter()
        self.rang_at: dict[str, int] = {}
        self.numbers: dict[str, str] = {}
        self._give_up_ms, self._silence_ms = give_up_ms, silence_ms
        self._hear: Callable[[ev.Event], None] | None = None

    # --- whoever listens

    def attach(self, hear: Callable[[ev.Event], None]) -> None:
        """A controller listens from now on; held legs knock soon."""
        self.detach()
        self._hear = hear
        for channel in self.channels.values():
            if channel.idle:
                self._knock_later(channel)

    def detach(self) -> None:
        """Nobody listens: held legs wait for somebody, so long."""
        self._hear = None
        for channel in self.channels.values():
            channel.known = False
            if channel.idle:
                self._wait_for_somebody(channel)

    def restart(self) -> None:
        """The PBX process is killed and started again: everything is gone, and nothing was written down."""
        for channel in self.channels.values():
            channel.quiet()
        self.channels.clear()
        for tape in self.tapes.values():
            tape.stopped_at = tape.stopped_at or self.now
        self._hear = None
        self.boot += 1

    @property
    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.timers.now()

    def tell(self, event: ev.Event) -> None:
        """Say it to whoever listens; what nobody hears is not said again."""
        if self._hear is not None:
            self._hear(event)

    # --- a leg's way

    def dial(self, verb: Dial | Connect, leg: str) -> Channel:
        """INVITE a phone."""
        if not is_dialable(verb.number) or not is_dialable(verb.display):
            raise Refused("this is no number")
        if self.trunks is not None and verb.trunk not in self.trunks:
            raise Refused("there is no such trunk")
        if leg in self.channels:
            raise Refused("this leg id is in use")
        self.rang[verb.id] += 1
        self.rang[leg] += 1
        self.rang_at[leg], self.numbers[leg] = self.now, verb.number
        phone = self.phones.get(verb.number, NOBODY)
        channel = self.channels[leg] = Channel(leg, phone, verb.number, far=isinstance(verb, Connect))
        self._later(channel, phone.ring_after_ms, self._reacts)
        silence_ms = self._silence_ms if phone.behaviour == "silent_drop" else 10**9
        if silence_ms < verb.ring_s * 1000:
            self._later(channel, silence_ms, lambda c: self.end(c, "remote", 408, 18))
        channel.ring_alarm = self.timers.after(verb.ring_s * 1000, lambda: self.end(channel, "timer", None, 19))
        return channel

    def _reacts(self, channel: Channel) -> None:
        phone = channel.phone
        if phone.refusal is not None:
            self.end(channel, "remote", *phone.refusal)
            return
        if phone.rings or phone.behaviour == "early_media":
            channel.state = LegState.ringing
            channel.ringing_at = self.now
            self.tell(ev.LegRinging(self.now, channel.leg) if phone.rings else ev.EarlyMedia(self.now, channel.leg))
        if phone.answers:
            self._later(channel, max(0, phone.answer_after_ms - phone.ring_after_ms), self._answers)

    def _answers(self, channel: Channel) -> None:
        if channel.ring_alarm is not None:
            channel.ring_alarm.cancel()
        channel.state = LegState.answered
        channel.answered_at = self.now
        self.tell(ev.LegAnswered(self.now, channel.leg))
        if channel.phone.talks_for_ms is not None:
            self._later(channel, channel.phone.talks_for_ms, lambda c: self.end(c, "remote", None, 16))
        near = channel.peer
        if near is None:
            self.hold(channel)
        elif near.native is not None:
            verb = near.native
            prompts = len(verb.announce) + (1 if verb.record and verb.notice_to != "none" else 0)
            self._later(channel, prompts * PROMPT_MS, lambda far: self.bridge(near, far, verb.limit_s, verb.record))

    def end(self, channel: Channel, why: Why, sip: int | None = None, q850: int | None = 16) -> None:
        """A leg is over: its line is written, and the other one is let go or held again."""
        if self.channels.get(channel.leg) is not channel:
            return
        if sip is None and why != "timer":
            sip = 487 if channel.state < LegState.answered else 200
        peer, native = channel.peer, channel.native
        if native is not None and peer is not None:  # the near leg of a Connect takes the far one along
            channel.peer, channel.native, peer.peer = None, None, None
            self.end(peer, "platform")
        del self.channels[channel.leg]
        channel.quiet()
        self._stop_tapes(channel.leg)
        times = (channel.ringing_at, channel.answered_at, channel.bridged_at)
        line = self.lines[channel.leg] = ev.LegEnded(self.now, channel.leg, q850, sip, why, *times)
        self.tell(line)
        if native is None and peer is not None:
            self.part(peer, channel)

    def part(self, channel: Channel, other: Channel) -> None:
        """``channel`` has lost its other: what it did natively is over."""
        talked = channel.bridged
        closes = talked and channel.native is not None and channel.native.closes
        channel.peer, channel.bridged, channel.native, other.peer = None, False, None, None
        if talked:
            self.tell(ev.LegsParted(self.now, channel.leg, other.leg))
        self._stop_tapes(channel.leg)
        channel.result, channel.data = "parted" if talked else "unanswered", ""
        if closes:
            self.end(channel, "platform")
            return
        if channel.known:
            self.tell(ev.VerbDone(self.now, channel.leg, channel.step, channel.result))
        self.hold(channel)

    def bridge(self, near: Channel, far: Channel, limit_s: int | None = None, record: str = "") -> None:
        """The two hear each other, for so long at most."""
        near.peer, far.peer = far, near
        for channel in (near, far):
            channel.bridged, channel.idle = True, False
            channel.bridged_at = channel.bridged_at or self.now
        if record:
            self.tapes[record] = Tape(near.leg, self.now)
        self.tell(ev.LegsJoined(self.now, near.leg, far.leg))
        if limit_s is not None:
            self._later(far, limit_s * 1000, lambda c: self.end(c, "limit", None, 16))

    def record(self, channel: Channel, verb: Record) -> None:
        """Record a talk when those have been told who are to be; asked again it is the same recording."""
        other = channel.peer
        if verb.recording in self.tapes:
            self.tell(ev.VerbDone(self.now, channel.leg, verb.id, "recording"))
        elif verb.notice and verb.notice_to != "none":
            self.notices.add(verb.recording)
            self._later(channel, PROMPT_MS, lambda near: self._told(near, other, verb))
        else:
            self.notices.add(verb.recording)
            self._told(channel, other, verb)

    def _told(self, channel: Channel, other: Channel | None, verb: Record) -> None:
        if verb.recording not in self.notices:
            return
        self.notices.discard(verb.recording)
        talks = channel.bridged and channel.peer is other
        if talks:
            self.tapes[verb.recording] = Tape(channel.leg, self.now)
        self.tell(ev.VerbDone(self.now, channel.leg, verb.id, "recording" if talks else "failed"))

    # --- held legs

    def hold(self, channel: Channel) -> None:
        """The leg waits for a command: at the session that it has, else it knocks."""
        channel.idle = True
        if channel.known:
            return
        if self._hear is None:
            self._wait_for_somebody(channel)
        else:
            self.knock(channel)

    def knock(self, channel: Channel) -> None:
        """Say that it waits."""
        if self._hear is not None and channel.idle and not channel.known and channel.leg in self.channels:
            if channel.give_up is not None:
                channel.give_up.cancel()
                channel.give_up = None
            channel.known = True
            if channel.data:
                self.tell(ev.VerbDone(self.now, channel.leg, channel.step, channel.result, channel.data))
            self.tell(ev.LegHeld(self.now, channel.leg, channel.step, channel.result))

    def lose_session(self, channel: Channel) -> None:
        """The hook session of one leg breaks: it knocks again."""
        if channel.known:
            channel.known = False
            if channel.idle:
                self._knock_later(channel)

    def _knock_later(self, channel: Channel) -> None:
        self._later(channel, KNOCK_MS, self.knock)

    def _wait_for_somebody(self, channel: Channel) -> None:
        if channel.give_up is None:
            channel.give_up = self.timers.after(self._give_up_ms, lambda: self._gives_up(channel))

    def _gives_up(self, channel: Channel) -> None:
        if channel.idle and not channel.known:
            self.end(channel, "platform", None, 16)
        channel.give_up = None

    # --- what a held leg is told to do

    def detect(self, channel: Channel, verb: Detect) -> None:
        """Listen from now on to who has answered."""
        if self.began(channel, verb):
            return
        self.must_be_idle(channel)
        channel.idle, channel.step, channel.result, channel.data = False, verb.id, "", ""
        longest_ms = round(verb.within_s * 1000)
        speech_ms = longest_ms if channel.phone.says is None else channel.phone.says
        heard_ms = min(speech_ms + SILENCE_MS if speech_ms else longest_ms, longest_ms)
        who = "machine" if speech_ms >= GREETING_MS else "person" if speech_ms and heard_ms < longest_ms else "unknown"
        self._later(channel, heard_ms, lambda c: self._did(c, verb, who))

    def play(self, channel: Channel, verb: Play | Ask) -> None:
        """Play prompts, and ask for keys; of an id that was done already the result is told again."""
        if any(_PROMPT.fullmatch(prompt) is None for prompt in verb.prompts):
            raise Refused("this is no prompt's name")
        if self.began(channel, verb):
            return
        self.must_be_idle(channel)
        channel.idle, channel.step, channel.result, channel.data = False, verb.id, "", ""
        if self.prompts is not None and not set(verb.prompts) <= set(self.prompts):
            self._did(channel, verb, "failed")
        else:
            self._later(channel, len(verb.prompts) * PROMPT_MS, lambda c: self._played(c, verb))

    def began(self, channel: Channel, verb: Verb) -> bool:
        """True for what the PBX has begun natively: it is not begun again, and what came of it is told again."""
        if channel.step != verb.id:
            return False
        if channel.result and channel.known:
            self.tell(ev.VerbDone(self.now, channel.leg, channel.step, channel.result, channel.data))
        return True

    def _played(self, channel: Channel, verb: Play | Ask) -> None:
        if isinstance(verb, Play):
            self._did(channel, verb, "done")
            return
        keys = channel.phone.keys[: verb.most]
        if len(keys) < max(1, verb.least):
            self._later(channel, round(verb.first_s * 1000), lambda c: self._did(c, verb, "timeout"))
        else:
            self._later(channel, KEY_MS * len(keys), lambda c: self._did(c, verb, "digits", keys))

    def _did(self, channel: Channel, verb: Play | Ask | Detect, result: str, data: str = "") -> None:
        channel.result, channel.data = result, data
        if channel.known:
            self.tell(ev.VerbDone(self.now, channel.leg, verb.id, result, data))
        self.hold(channel)

    def must_be_idle(self, channel: Channel) -> None:
        """Raises Refused for a leg that does something else, NoAnswerYet for one that has not knocked yet."""
        if channel.peer is not None or channel.native is not None or channel.state < LegState.answered:
            raise Refused("the leg is not held")
        if not channel.idle or not channel.known:
            raise NoAnswerYet("the leg has not knocked yet")

    def _stop_tapes(self, leg: str) -> None:
        for tape in self.tapes.values():
            if tape.leg == leg and tape.stopped_at is None:
                tape.stopped_at = self.now

    def _later(self, channel: Channel, delay_ms: int, act: Callable[[Channel], None]) -> None:
        def unless_over() -> None:
            if self.channels.get(channel.leg) is channel:
                act(channel)

        channel.alarms.append(self.timers.after(delay_ms, unless_over))
