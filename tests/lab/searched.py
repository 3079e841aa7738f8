"""The search of a whole run: every message that any phone was sent, and every log, for numbers that do not belong there.

The law is one for all calls of a lab, whatever they are for: a phone is sent its own number, and the number that it was shown
or has dialled, and no other that anybody has; and what it was shown is nobody's own.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from controller.lab.phones.switchboard import MESSAGES, MOST_KEPT
from controller.lab.phones.trace import SipMessage, TraceReader
from tests.lab.masked import COUNTED, numbers_in
from tests.lab.stage import Stage, logs

_COUNTS = re.compile(r"^[ots]=.*$", re.MULTILINE)
_USER = re.compile(r"sips?:([^@;>]*)@")


@dataclass(slots=True)
class Searched:
    """``calls``, ``messages``: how many there were; ``found``: where a number stood that must not."""

    calls: int = 0
    messages: int = 0
    found: list[str] = field(default_factory=list)


def search(folder: Path, known: set[str], phones: set[str]) -> Searched:
    """Look through the phones' messages.  ``known``: all numbers that somebody here has; ``phones``: the real ones."""
    files = sorted((folder / MESSAGES).glob("*.log"))
    assert sum(path.stat().st_size for path in files) < MOST_KEPT, "there were too many to keep"
    done = Searched()
    for path in files:
        calls: dict[str, list[SipMessage]] = {}
        for message in TraceReader().feed(path.read_bytes()):
            calls.setdefault(message.call_id, []).append(message)
        for messages in calls.values():
            if messages[0].start.startswith("INVITE "):
                done.calls += 1
                done.messages += len(messages)
                done.found += _of_call(path.name, messages, known, phones)
    return done


def _of_call(where: str, messages: list[SipMessage], known: set[str], phones: set[str]) -> list[str]:
    invite = messages[0]
    own, other = ("From", "To") if invite.sent else ("To", "From")
    allowed, shown = {_user(invite, own), _user(invite, other)}, _user(invite, other)
    found = [f"{where}: From is a phone's own number"] if not invite.sent and shown in phones else []
    for message in messages:
        for name, text in pieces(message) if not message.sent else ():
            patterns = {"patterns": COUNTED} if name in ("CSeq", "counts") else {}
            found += [f"{where}: {name}: {number}" for number in sorted(numbers_in(text, **patterns) & known - allowed)]
    return found


def pieces(message: SipMessage) -> list[tuple[str, str]]:
    """Everything of a message; what SDP has of counts and times apart."""
    counts = "\n".join(_COUNTS.findall(message.body))
    return [("start", message.start), *message.headers.items(), ("SDP", _COUNTS.sub("", message.body)), ("counts", counts)]


def _user(invite: SipMessage, header: str) -> str:
    named = _USER.search(invite.headers.get(header, ""))
    return "+" + named[1].removeprefix("+") if named else ""


def numbers_logged(folder: Path, known: set[str]) -> list[str]:
    """File and line of each place in a lab's logs where a number stands that somebody has."""
    found = []
    for path in logs(folder):
        for at, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if numbers_in(line, COUNTED) & known:
                found.append(f"{path}:{at}: {line}")
    return found[:20]


def check_run(stage: Stage) -> None:
    """At the end of a lab: nobody was sent, and nothing has logged, a number that it must not know."""
    description = stage.lab.description
    phones = {phone["number"] for phone in (*description["phones"], *description["more_phones"])}
    seen = len(stage.lab.phones.calls())
    done = search(stage.lab.folder / "phones", stage.numbers(), phones)
    assert done.calls >= seen, "messages of some calls were not kept"
    assert done.found[:20] == []
    assert numbers_logged(stage.lab.folder, stage.numbers()) == []
