"""Logging: one line per event, JSON or text, and no phone number, key or secret in it, whoever wrote the line.

Everything passes one filter, also what the libraries say through `logging`.  It hides what looks like a telephone number (seven
and more digits, an optional `+`), an API key, a webhook secret and an `Authorization` value.  Our own ids are left readable.
"""

import logging
import re
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import msgspec
import structlog

from controller.config import Log
from controller.times import rfc3339

_HIDDEN = re.compile(
    r"(?P<id>(?<![A-Za-z0-9])(?:[a-z]+_)?[0-7][0-9A-HJKMNP-TV-Z]{25,34}(?![A-Za-z0-9]))"
    r"|(?P<key>pb[ar]?_[A-Za-z0-9_-]{8,}|pbt_[A-Za-z0-9_.-]{8,}|whsec_[A-Za-z0-9+/=_-]{8,})"
    r"|(?P<bearer>[Bb]earer +[^\s\"']+)"
    r"|(?P<number>(?:\+|%2[Bb])?[0-9](?:[ -]?[0-9]){6,})"
)
_STAND_INS = {"key": "[key]", "bearer": "Bearer [key]", "number": "[number]"}


def hide(text: str) -> str:
    """The text without numbers and secrets.

    >>> hide("dialling +14155550101 for call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE")
    'dialling [number] for call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE'
    """
    return _HIDDEN.sub(_stand_in, text)


def _stand_in(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    return match[0] if kind == "id" else _STAND_INS[kind]


def _hide_in(value: Any) -> Any:
    if isinstance(value, str):
        return hide(value) if len(value) > 6 else value
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {key: _hide_in(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_hide_in(item) for item in value]
    return hide(str(value))


def hide_all(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: every value of a line, hidden where it must be."""
    for key, value in event.items():
        if key not in ("level", "_record", "_from_structlog"):
            event[key] = _hide_in(value)
    return event


def _when(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["at"] = rfc3339(time.time_ns() // 1_000_000)
    return event


class _Line:
    """Where structlog writes: straight to the stream, which costs a third of the way through `logging`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """One line."""
        with suppress(OSError):  # a full disk must not stop what is logged about
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = msg


def configure(settings: Log, stream: TextIO = sys.stderr) -> None:
    """Send our lines and the libraries' to the stream through the filter."""
    render: Any = (
        structlog.processors.JSONRenderer(serializer=_encode)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="at")
    )
    chain: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info, hide_all, _when]
    structlog.configure(
        processors=[*chain, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level.upper())),
        logger_factory=lambda *_names: _Line(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.add_logger_name, *chain],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    # uvicorn's own lines name the query of a WebSocket, which may hold a ticket; what is worth telling, our gate tells.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").propagate = False


def _encode(event: Any, default: Any = None, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
