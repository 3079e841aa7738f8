"""SIPp's message log (`-trace_msg`), read as it is written: SIP messages with their time and direction.

Each entry is a line of dashes with the local time, a line that says `UDP message sent (N bytes):` or
`UDP message received [N] bytes :`, an empty line and the N bytes of the message.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime

_ENTRY = re.compile(rb"-{20,} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\r?\n[A-Z]+ message (sent|received) [(\[](\d+)[^\n]*\n\n")
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class SipMessage:
    """One SIP message.  ``at``: Unix seconds; ``headers``: names as written, values of repeated ones joined by a comma."""

    at: float
    sent: bool
    start: str
    headers: dict[str, str]
    body: str = ""

    @property
    def call_id(self) -> str:
        """Which call it belongs to."""
        return self.headers.get("Call-ID", "")

    @property
    def method(self) -> str:
        """The request's method, or of a response that of its request."""
        return self.headers.get("CSeq", "").rpartition(" ")[2]

    @property
    def status(self) -> int:
        """The response's status, 0 for a request."""
        return int(self.start.split(" ", 2)[1]) if self.start.startswith("SIP/2.0 ") else 0

    def media(self) -> tuple[str, int] | None:
        """The RTP address that the SDP names (RFC 4566)."""
        host = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+) ", self.body, re.MULTILINE)
        return (host[1], int(port[1])) if host and port else None


def parse(at: float, sent: bool, text: str) -> SipMessage:
    """One message from its text."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    start, *lines = head.split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return SipMessage(at, sent, start, headers, body)


@dataclass(slots=True)
class TraceReader:
    """Bytes in, whole messages out."""

    _rest: bytes = field(default=b"")

    def feed(self, data: bytes) -> list[SipMessage]:
        """The messages that ``data`` completes."""
        self._rest += data
        found = []
        while entry := _ENTRY.search(self._rest):
            end = entry.end() + int(entry[3])
            if len(self._rest) < end:
                break
            at = datetime.fromisoformat(entry[1].decode()).timestamp()
            text = self._rest[entry.end() : end].decode("utf-8", "replace")
            found.append(parse(at, entry[2] == b"sent", text))
            self._rest = self._rest[end:]
        self._rest = self._rest[-_LONGEST:]
        return found
