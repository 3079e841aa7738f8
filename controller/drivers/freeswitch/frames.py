"""Bytes to frames: how FreeSWITCH's event socket cuts its stream.  Pure; no I/O.

A frame is header lines ``Name: value``, an empty line, and as many bytes of body as ``Content-Length`` says.  The header is
split into lines first and each value decoded then, never the other way round: whatever a caller's phone said can end no
line and begin no header.  Events come as JSON bodies, which need no decoding at all.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

LONGEST_HEAD = 65_536
LONGEST_BODY = 64 << 20


class BadFrame(ValueError):
    """The stream makes no sense: nothing that follows can be trusted."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.  ``kind``: its Content-Type; ``reply``: its Reply-Text, empty if it has none."""

    kind: str
    reply: str
    body: bytes


class Framer:
    """Cuts a stream, however it arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[str, str, int] | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes.  Raises BadFrame."""
        self._buffer += data
        frames, at = list[Frame](), 0
        while True:
            if self._head is None:
                end = self._buffer.find(b"\n\n", at)
                if end < 0:
                    break
                self._head = _head(bytes(self._buffer[at:end]))
                at = end + 2
            kind, reply, length = self._head
            if len(self._buffer) - at < length:
                break
            frames.append(Frame(kind, reply, bytes(self._buffer[at : at + length])))
            at += length
            self._head = None
        del self._buffer[:at]
        if self._head is None and len(self._buffer) > LONGEST_HEAD:
            raise BadFrame("a header without end")
        return frames


def _head(block: bytes) -> tuple[str, str, int]:
    """Content-Type, Reply-Text and the length of the body."""
    headers = dict(_header(line) for line in block.split(b"\n") if line)
    length = headers.get("Content-Length", "0")
    if not (length.isascii() and length.isdecimal()) or len(length) > 9 or int(length) > LONGEST_BODY:
        raise BadFrame("a body of unknown length")
    return headers.get("Content-Type", ""), headers.get("Reply-Text", ""), int(length)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.partition(b":")
    return name.decode("utf-8", "replace"), unquote_to_bytes(value.strip()).decode("utf-8", "replace")
