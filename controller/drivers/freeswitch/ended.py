"""What FreeSWITCH knows of an ended leg: the line that it writes down (mod_cdr_csv), or the headers of its last event.

    1|uuid|peer|step|result|created|ringing|early media|answered|bridged|ended|cause|q850|SIP|who|leg|

``leg``: our id of a leg that came in; of all others the uuid is the id, and this is empty.
``peer``: the leg that this one was dialled for; only such a leg has a bridge of its own, the other may have had several.
Times are microseconds since the epoch, 0 or empty where they did not happen.  ``cause``: FreeSWITCH's name; ``SIP``:
``sip:486``, the final response to our INVITE or what ended the dialog; ``who``: ``recv_bye`` and its like: the phone or
network of this leg let go, ``send_bye`` and its like: FreeSWITCH did.
"""

import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.core import ids
from controller.core.call import Why
from controller.core.events import LegEnded
from controller.drivers.freeswitch.causes import CAUSE_OF_SIP, Q850_OF_SIP, REFUSED_AS, TIMERS

KEEP_S = 48 * 3600
READ_AT_MOST = 64 << 20
FIELDS = 17
NORMAL_CLEARING = 16
NO_ANSWER = 19
FOLDER, FILE = "cdr-csv", "Master.csv"
REFUSED = {said: meant for meant, said in REFUSED_AS.items()}
_SIP = re.compile(r"sip:([1-6][0-9]{2})")


@dataclass(frozen=True, slots=True)
class Line:
    """One line, taken apart.  Times in ms.  ``came_in``: somebody called us on this leg; ``far``: it was dialled for another,
    and has the limit of their talk, whose cause that other leg only takes over."""

    came_in: bool
    far: bool
    leg: str
    step: str
    result: str
    ringing: int | None
    answered: int | None
    bridged: int | None
    ended: int
    cause: str
    q850: int | None
    sip: int | None
    who: str


def parse(text: str) -> Line | None:
    """A line as it was written; None for anything else."""
    parts = text.rstrip("\n").split("|")
    leg = _leg(text)
    if len(parts) != FIELDS or parts[0] != "1" or not ids.is_leg_id(leg):
        return None
    _, peer, step, result, _, ringing, early, *rest = parts[1:15]
    return line(bool(parts[15]), leg, peer, step, result, (ringing, early), *rest)


def _leg(text: str) -> str:
    """Whose line it is, at a glance: there are many, and few are looked for."""
    named = text.rstrip("\n|").rpartition("|")[2]
    return named if len(named) == ids.LEG_WIDTH else text[2 : 2 + ids.LEG_WIDTH]


def line(
    came_in: bool,
    leg: str,
    peer: str,
    step: str,
    result: str,
    ringing: tuple[str, str],
    answered: str,
    bridged: str,
    ended: str,
    cause: str,
    q850: str,
    sip: str,
    who: str,
) -> Line | None:
    """A line from its parts as FreeSWITCH writes them."""
    over = ms(ended)
    if over is None:
        return None
    rang = [at for at in (ms(text) for text in ringing) if at is not None]
    response = _SIP.fullmatch(sip)
    number = int(response[1]) if response else None
    known = int(q850) if q850.isdecimal() else None
    joined = ms(bridged) if peer else None
    first = min(rang, default=None)
    return Line(came_in, bool(peer), leg, step, result, first, ms(answered), joined, over, cause, known, number, who)


def ms(text: str) -> int | None:
    """Milliseconds from microseconds as text; None where it did not happen."""
    return int(text) // 1000 if text.isdecimal() and int(text) else None


def judge(line: Line) -> LegEnded:
    """Who or what ended the leg, by what FreeSWITCH noted.

    The SIP status is the final response to our INVITE: 200 for a leg that was answered, none for one that we gave up, 408 where
    nothing at all came back (RFC 3261, 8.1.3.1); a leg that came in has none before its answer.  FreeSWITCH makes a Q.850
    cause of its own from a SIP status; where it is no more than that, RFC 3398's (as Asterisk has it) is said instead, so that
    both PBXes mean the same.
    """
    why, sip, q850 = _why(line), line.sip, line.q850
    if line.answered is not None:
        sip, q850 = 200, q850 or NORMAL_CLEARING
    elif why == "timer":
        sip, q850 = None, NO_ANSWER
    elif line.came_in:
        sip, q850 = None, REFUSED.get(q850 or 0, q850)
    elif why == "platform":
        sip = None
    elif sip in Q850_OF_SIP and CAUSE_OF_SIP.get(sip) == line.cause:
        q850 = Q850_OF_SIP[sip]
    return LegEnded(line.ended, line.leg, q850, sip, why, line.ringing, line.answered, line.bridged)


def _why(line: Line) -> Why:
    if line.who.startswith("recv_"):
        return "remote"
    if line.answered is not None:
        return "limit" if line.far and line.cause == "ALLOTTED_TIMEOUT" else "platform"
    if line.came_in:
        return "platform"
    if line.cause in TIMERS:
        return "timer"
    return "remote" if line.sip is not None and line.sip >= 300 else "platform"


class Journal:
    """The files of lines in the PBX's spool: the one that is written, and those put aside.  Blocking: call it in a thread."""

    def __init__(self, spool: Path) -> None:
        self._folder = spool / FOLDER

    def find(self, legs: Collection[str]) -> Mapping[str, LegEnded]:
        """The ends of those legs, newest files first, READ_AT_MOST bytes in all."""
        wanted, found, left = set(legs), dict[str, LegEnded](), READ_AT_MOST
        for path in self._files():
            if not wanted or left <= 0:
                break
            data = _tail(path, left)
            left -= len(data)
            for line in _lines(data, wanted):
                found[line.leg] = judge(line)
                wanted.discard(line.leg)
        return found

    def tidy(self) -> None:
        """Remove files that are too old to be of use."""
        before = time.time() - KEEP_S
        for path in self._files():
            with suppress(OSError):
                if path.name != FILE and path.stat().st_mtime < before:
                    path.unlink()

    def _files(self) -> list[Path]:
        """Newest first; those put aside have the time in their names."""
        aside = sorted(self._folder.glob(f"{FILE}.[0-9]*"), reverse=True)
        return [self._folder / FILE, *aside]


def _tail(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            return file.read(most)
    except OSError:
        return b""


def _lines(data: bytes, wanted: Collection[str]) -> Iterator[Line]:
    for text in data.decode("ascii", "replace").split("\n"):
        if _leg(text) in wanted and (line := parse(text)) is not None:
            yield line
