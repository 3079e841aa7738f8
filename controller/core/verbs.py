"""What a PBX is asked to do.  No PBX's own words here: a driver's ``commands.py`` turns these into its wire.

Every verb has an ``id`` (see ``ids``) and the ``leg`` that it acts on; a verb seen twice with one id is one act.  Durations are
in seconds, prompts are names of files in ``dialplans/prompts`` without ending.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Notice = Literal["both", "caller", "callee", "none"]
Wait = Literal["early_media", "ringback", "music"]
PROMPT_NAME = "[a-z0-9][a-z0-9_-]{0,63}"
"""What a prompt may be called, everywhere: a regular expression, for ASCII alone."""


def sides(to: Notice) -> tuple[bool, bool]:
    """Whether the near leg (the caller's) and the far leg are meant."""
    return to in ("both", "caller"), to in ("both", "callee")


@dataclass(frozen=True, slots=True)
class Verb:
    """The root of all verbs."""

    rings: ClassVar[bool] = False
    """True for a verb that rings a phone: it is never sent twice."""
    lasts: ClassVar[bool] = True
    """True for a verb whose end comes later as ``VerbDone``; the others are done when the PBX has accepted them."""

    id: str
    leg: str

    @property
    def kind(self) -> str:
        """The verb's name in the journal: ``Dial``, ``Connect``, ..."""
        return type(self).__name__


@dataclass(frozen=True, slots=True)
class Dial(Verb):
    """A new leg ``leg`` to ``number`` over ``trunk``, showing ``display``; held once it is answered.

    Ends by LegHeld (answered and held) or LegEnded."""

    rings: ClassVar[bool] = True

    number: str = field(repr=False)
    trunk: str
    display: str = field(repr=False)
    ring_s: int


@dataclass(frozen=True, slots=True)
class Connect(Verb):
    """The PBX dials ``far`` for the held leg ``leg`` and bridges the two; it goes on without us.

    ``wait``: what ``leg`` hears meanwhile.  ``announce``: prompts to the far leg before the bridge.  ``notice``: the prompt
    that says the call is recorded, and ``notice_to`` whom.  ``record``: id of the recording (empty: none), kept from the
    bridge on to its end.  ``limit_s``: longest bridge; ``warn_s`` before its end ``warn_to`` hear the prompt ``warn``.
    ``closes``: after a bridge ``leg`` is not held again but hung up at once by the PBX itself.
    Ends by VerbDone: ``parted`` after a bridge, otherwise ``unanswered``; the far leg's LegEnded tells why.  After a bridge one
    that closes ends by ``leg``'s own LegEnded."""

    rings: ClassVar[bool] = True

    far: str
    number: str = field(repr=False)
    trunk: str
    display: str = field(repr=False)
    ring_s: int
    limit_s: int
    wait: Wait = "early_media"
    announce: tuple[str, ...] = ()
    notice: str = ""
    notice_to: Notice = "none"
    record: str = ""
    warn: str = ""
    warn_s: int = 0
    warn_to: Notice = "none"
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Join(Verb):
    """Bridge two held legs; both are held again when they part.  Ends by VerbDone ``parted``."""

    other: str


@dataclass(frozen=True, slots=True)
class Ring(Verb):
    """Send 180 to an unanswered inbound leg."""

    lasts: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Answer(Verb):
    """Answer an inbound leg; from here on its caller may be charged.  Ends by VerbDone ``done``."""


@dataclass(frozen=True, slots=True)
class Play(Verb):
    """Play prompts to a held leg, before its answer (183) where it came in and is not answered.  Ends by VerbDone ``done``."""

    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask(Verb):
    """Play prompts and collect ``least`` to ``most`` digits; a key interrupts unless ``barge`` is False.

    ``first_s``: time for the first key after the prompt, ``next_s``: between keys, ``stop``: key that ends the input.
    Ends by VerbDone ``digits`` (``data`` = the digits) or ``timeout``."""

    prompts: tuple[str, ...]
    least: int = 1
    most: int = 1
    first_s: float = 5.0
    next_s: float = 3.0
    stop: str = "#"
    barge: bool = True


@dataclass(frozen=True, slots=True)
class LookUp(Verb):
    """Ask a book of ours (``notation.BOOKS``), never the PBX, what becomes of the call whose held leg is ``leg``.

    ``keys``: what was keyed in.  Asked again under one id it is the same question, not another try.  Ends by Found."""

    book: str
    keys: str = field(default="", repr=False)
    within_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Detect(Verb):
    """Listen to who has answered a held leg, ``within_s`` at most: somebody who says a few words and waits, or a machine that
    speaks on.

    Ends by VerbDone ``person``, ``machine``, ``unknown`` (nothing was said, or it cannot be told), or ``failed`` where this
    PBX has nothing to listen with."""

    within_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Record(Verb):
    """Record a talk in mid-call: first ``notice_to`` hear the prompt ``notice`` while they talk on, then what ``leg`` says and
    hears is kept, a channel per party.  Asked again under one id it is the same recording.

    Beside what the leg does natively, it ends by VerbDone: ``recording`` when audio is kept, or ``failed``."""

    lasts: ClassVar[bool] = False
    recording: str
    notice: str = ""
    notice_to: Notice = "none"


@dataclass(frozen=True, slots=True)
class PauseRecord(Verb):
    """Write silence (``on``) or go on recording (not ``on``)."""

    lasts: ClassVar[bool] = False
    recording: str
    on: bool


@dataclass(frozen=True, slots=True)
class StopRecord(Verb):
    """End a recording."""

    lasts: ClassVar[bool] = False
    recording: str


@dataclass(frozen=True, slots=True)
class Mute(Verb):
    """What ``leg`` says is not passed on (``on``), or is again."""

    lasts: ClassVar[bool] = False
    on: bool


@dataclass(frozen=True, slots=True)
class Whisper(Verb):
    """Play prompts to a leg that is bridged; the other side does not hear them."""

    lasts: ClassVar[bool] = False
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part(Verb):
    """Take ``leg`` out of its bridge into hold; the leg on the other side is hung up.

    Ends by LegHeld of ``leg``, whose ``step`` is the Connect that had bridged it."""


@dataclass(frozen=True, slots=True)
class Hangup(Verb):
    """End a leg, whatever it does; one that came in and is not answered is refused.  An unknown or ended leg is no error.
    ``cause``: Q.850."""

    lasts: ClassVar[bool] = False
    cause: int = 16


VERBS: dict[str, type[Verb]] = {
    cls.__name__: cls
    for cls in (
        Dial, Connect, Join, Ring, Answer, Play, Ask, LookUp, Detect, Record, PauseRecord, StopRecord, Mute, Whisper, Part,
        Hangup,
    )
}  # fmt: skip
