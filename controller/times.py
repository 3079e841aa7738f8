"""Times at the seams: RFC 3339 in UTC with milliseconds outside, integers of milliseconds since the epoch inside."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from time import gmtime, strftime

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as text.

    >>> rfc3339(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    second, rest = divmod(ms, 1000)
    return f"{_second(second)}.{rest:03d}Z"


def or_none(ms: int | None) -> str | None:
    """The same for a time that may not be known."""
    return None if ms is None else rfc3339(ms)


def parse(text: str) -> int:
    """An RFC 3339 time with any offset as milliseconds since the epoch.  Raises ValueError.

    >>> parse("2023-11-14T23:13:20.123+01:00")
    1700000000123
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("write the time like 2026-01-31T13:45:00Z")
    day, clock, fraction, offset = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None
    return int(whole.timestamp()) * 1000 + int(((fraction or ".0")[1:] + "00")[:3])
