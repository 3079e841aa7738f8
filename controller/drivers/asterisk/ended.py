"""What Asterisk writes down of each ended leg (dialplan ``patchbay-ended``): one line, the same to us live and in a file.

    1|leg|step|result|answered|joined|due|ended|q850|SIP response|who

Times are ms since the epoch, empty where they did not happen.  ``joined``: a tilde follows, and how many seconds the bridge
might have lasted on (0: not limited that way), which tells its beginning where that was not noted.  ``due``: when the ring
timer was to strike, a plus, and how many ms the bridge may last; only legs that Asterisk dialled for another leg have it.
``who``: ``ours`` we hung up, ``self`` the phone or network of this leg, ``other`` the leg it talked with, empty: Asterisk
itself.
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from controller.core import ids
from controller.core.call import Why
from controller.core.events import LegEnded

KEEP_S = 48 * 3600
READ_AT_MOST = 64 << 20
_SIP = re.compile(r"SIP ([1-6][0-9]{2})\b")
NORMAL_CLEARING = 16
NO_ANSWER = 19
NOBODY_RESPONDED = 18


@dataclass(frozen=True, slots=True)
class Line:
    """One line, taken apart."""

    leg: str
    step: str
    result: str
    answered: int | None
    joined: int | None
    due: int | None
    limit: int
    ended: int
    q850: int | None
    sip: int | None
    who: str


def parse(text: str) -> Line | None:
    """A line as it was written; None for anything else."""
    parts = text.rstrip("\n").split("|")
    if len(parts) != 11 or parts[0] != "1" or not ids.is_leg_id(parts[1]):
        return None
    (ring_due, _, limit), (joined_at, _, left) = parts[6].partition("+"), parts[5].partition("~")
    answered, joined, due, ended = (_ms(part) for part in (parts[4], joined_at, ring_due, parts[7]))
    if ended is None:
        return None
    if answered is None:  # it heard no announcement, so nothing came between answer and bridge
        joined = joined or began(ended, left, limit)
    response = _SIP.match(parts[9])
    sip = int(response[1]) if response else None
    return Line(
        parts[1],
        parts[2],
        parts[3],
        answered or joined,
        joined,
        due,
        _ms(limit) or 0,
        ended,
        _ms(parts[8]) or None,
        sip,
        parts[10],
    )


def began(now: int, left: str, limit: str) -> int | None:
    """When a bridge of ``limit`` ms began that at ``now`` (ms) had ``left`` seconds to go; None where it had no such limit:
    Asterisk says ``0`` then, and ``0.000`` when the limit strikes in this very millisecond (funcs/func_timeout.c)."""
    try:
        left_ms = round(float(left) * 1000)
    except (ValueError, OverflowError):
        return None
    return now + left_ms - int(limit) if left != "0" and limit.isdigit() else None


def _ms(text: str) -> int | None:
    whole = text.partition(".")[0]
    return int(whole) if whole.isdigit() else None


def judge(line: Line) -> LegEnded:
    """Who or what ended the leg, by what Asterisk noted.

    The SIP status is the final response to our INVITE: 200 for a leg that was answered; 408 where nothing at all came back
    before timer B (RFC 3261, 8.1.3.1 treats that as a 408 received); none for a leg that we gave up.  A BYE without a reason
    is a normal clearing (RFC 3398, 7.2.4.1).  A leg that left during an announcement has its 200, but no time of its answer.
    """
    if line.answered is None and line.sip == 200:
        line = replace(line, answered=line.ended)
    why, sip, q850 = _why(line), line.sip, line.q850
    if line.answered is not None:
        sip, q850 = 200, q850 or NORMAL_CLEARING
    elif why == "timer":
        sip, q850 = None, NO_ANSWER  # what Asterisk says of an Originate, and leaves open for a Dial
    elif sip is None and why == "remote" and q850 == NOBODY_RESPONDED:
        sip = 408
    elif sip is not None and sip < 300:
        sip = None
    return LegEnded(line.ended, line.leg, q850, sip, why, None, line.answered, line.joined)


def _why(line: Line) -> Why:
    if line.who == "ours":  # at the limit both legs go: the near one may knock, and the call be over, before this one has gone
        return "limit" if _is_past_limit(line) else "platform"
    if line.who == "self":
        return "remote"
    dialled_natively = line.due is not None
    if line.who == "other":
        # Of a leg that lives on after its Connect, Asterisk still remembers who ended that one; its own end came from outside.
        return "platform" if dialled_natively else "remote"
    if line.answered is None:
        timed_out = line.ended >= (line.due or 0) if dialled_natively else line.q850 == NO_ANSWER
        return "timer" if timed_out and (line.sip or 0) < 300 else "platform"
    return "limit" if _is_past_limit(line) else "platform"


CLOCKS_MS = 50
"""How far the bridge's own timer may be from the times of day that are noted."""


def _is_past_limit(line: Line) -> bool:
    return line.due is not None and line.joined is not None and line.ended + CLOCKS_MS >= line.joined + line.limit


class Journal:
    """The files of lines, one per hour, in the PBX's spool.  Blocking: call it in a thread."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool

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
                if path.stat().st_mtime < before:
                    path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._spool.glob("ended-[0-9]*.log"), reverse=True)


def _tail(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            return file.read(most)
    except OSError:
        return b""


def _lines(data: bytes, wanted: Collection[str]) -> Iterator[Line]:
    for text in data.decode("ascii", "replace").split("\n"):
        if text[2 : 2 + ids.LEG_WIDTH] in wanted and (line := parse(text)) is not None:
            yield line
