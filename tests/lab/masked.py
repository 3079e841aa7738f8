"""Whether what a phone was sent bears a number that it must not know, in any notation, and no random id taken for one.

All numbers of a lab are +1415555xxxx.  A whole number (with or without its country code, with separators or percent-encoded)
counts wherever it stands, but not as a part of a longer run of digits.  The seven digits of a local number count where they
stand alone: inside a tag, a branch or a Call-ID, which are letters and digits by chance, they are chance too.
"""

import re
from urllib.parse import unquote

from controller.lab.phones.client import Call

AREA, EXCHANGE = "415", "555"
_BETWEEN = r"[ .\-/()]{0,2}"
_WHOLE = re.compile(rf"(?<![0-9])(?:(?:00|011)?1{_BETWEEN})?{AREA}{_BETWEEN}{EXCHANGE}{_BETWEEN}([0-9]{{4}})(?![0-9])")
_LOCAL = re.compile(rf"(?<![0-9A-Za-z]){EXCHANGE}[ .\-/]?([0-9]{{4}})(?![0-9A-Za-z])")
FORBIDDEN = {"Diversion", "Remote-Party-ID", "P-Preferred-Identity", "History-Info", "Referred-By"}


def numbers_in(text: str, patterns: tuple[re.Pattern[str], ...] = (_WHOLE, _LOCAL)) -> set[str]:
    """The lab's numbers that stand in a text, as E.164."""
    found = {last for way in (text, unquote(text)) for pattern in patterns for last in pattern.findall(way)}
    return {f"+1{AREA}{EXCHANGE}{last}" for last in found}


_SPACED = re.compile(rf"(?<![0-9A-Za-z.:-]){EXCHANGE}[ \-]([0-9]{{4}})(?![0-9A-Za-z.:-])")
COUNTED = (_WHOLE, _SPACED)
"""For logs, and for what is a count or a time: seven digits in a row are a number there only by chance."""


def sent_to(call: Call) -> list[tuple[str, str]]:
    """Everything that a phone was sent in a call, piece by piece: what it is, and its text."""
    pieces = []
    for message in call["received"]:
        pieces += [("start", message["start"]), ("SDP", message["sdp"] or "")]
        pieces += list(message["headers"].items())
    return pieces


def leaks(call: Call, allowed: set[str], known: set[str]) -> list[tuple[str, str]]:
    """Where a number stands that somebody here has and that this phone must not see: which piece, and which number."""
    found = []
    for name, text in sent_to(call):
        found += [(name, number) for number in sorted(numbers_in(text) & known - allowed)]
    return found


def check_masked(call: Call, own: str, display: str, known: set[str]) -> None:
    """Who calls is the display, and in no SIP message and no SDP that a phone was sent is any number but that and its own."""
    headers = call["headers"]
    assert re.fullmatch(rf'"\{display}" <sip:\{display}@[0-9.:]+>;tag=\S+', headers["From"]), headers["From"]
    assert not FORBIDDEN & set(headers)
    assert leaks(call, {own, display}, known) == []
    for message in call["received"]:
        for name in ("From", "Contact", "P-Asserted-Identity"):
            said = numbers_in(message["headers"].get(name, "")) & known
            assert own not in said or (name == "From" and message["start"].startswith("SIP/2.0")), (name, message)
