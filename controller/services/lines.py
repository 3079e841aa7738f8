"""The lines of the queue: calls that wait for the same way out stand in one, first in first out, and the lines take turns."""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

LineKey = tuple[str, tuple[str, ...]]
"""What a line's calls wait for: the tenant, and the trunks that could carry them."""


@dataclass(slots=True)
class _Line:
    """``order`` are the ordinals of those in ``waiting``."""

    waiting: deque[str] = field(default_factory=deque)
    order: list[int] = field(default_factory=list)


class Lines:
    """All lines; the one whose turn is next comes first."""

    def __init__(self) -> None:
        self._lines: OrderedDict[LineKey, _Line] = OrderedDict()
        self._where: dict[str, tuple[LineKey, int]] = {}
        self._ordinals = count()

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._where

    def each(self) -> list[LineKey]:
        """The lines as they are now."""
        return list(self._lines)

    def pairs(self) -> Iterator[tuple[LineKey, Sequence[str]]]:
        """Each line with the calls that stand in it."""
        for key, line in self._lines.items():
            yield key, line.waiting

    def first(self, key: LineKey) -> str | None:
        """Who has waited longest in a line."""
        line = self._lines[key]
        return line.waiting[0] if line.waiting else None

    def length(self, key: LineKey) -> int:
        """How many stand in a line."""
        line = self._lines.get(key)
        return len(line.order) if line else 0

    def place(self, call_id: str) -> tuple[LineKey, int] | None:
        """A call's line, and its place there from 1."""
        found = self._where.get(call_id)
        return None if found is None else (found[0], bisect_left(self._lines[found[0]].order, found[1]) + 1)

    def join(self, call_id: str, key: LineKey) -> None:
        """Stand at a line's end."""
        line = self._lines.setdefault(key, _Line())
        ordinal = next(self._ordinals)
        line.waiting.append(call_id)
        line.order.append(ordinal)
        self._where[call_id] = (key, ordinal)

    def leave(self, call_id: str) -> None:
        """Stand in no line any more; one that does not is no error."""
        found = self._where.pop(call_id, None)
        if found is None:
            return
        key, ordinal = found
        line = self._lines[key]
        del line.order[bisect_left(line.order, ordinal)]
        if line.waiting[0] == call_id:
            line.waiting.popleft()
        else:
            line.waiting.remove(call_id)

    def had_its_turn(self, key: LineKey, used: bool) -> None:
        """A line that used its turn is last now; one in which nobody is left goes."""
        if not self._lines[key].waiting:
            del self._lines[key]
        elif used:
            self._lines.move_to_end(key)
