"""What is due when: ids with a time each, the earliest first.  Adding, removing and taking cost little at any size."""

import heapq
from collections.abc import Iterator


class Timetable:
    """One time (ms) per id."""

    def __init__(self) -> None:
        self._when: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._when)

    def __contains__(self, item: str) -> bool:
        return item in self._when

    def put(self, item: str, when: int) -> None:
        """Set an id's time, in the place of the one that it had."""
        self._when[item] = when
        heapq.heappush(self._heap, (when, item))
        if len(self._heap) > 2 * len(self._when) + 100:  # of times that count no more, no more are kept than this
            self._heap = [(at, one) for one, at in self._when.items()]
            heapq.heapify(self._heap)

    def when(self, item: str) -> int | None:
        """An id's time."""
        return self._when.get(item)

    def drop(self, item: str) -> None:
        """Forget an id; an unknown one is no error."""
        self._when.pop(item, None)

    def next(self) -> int | None:
        """The earliest time."""
        while self._heap:
            when, item = self._heap[0]
            if self._when.get(item) == when:
                return when
            heapq.heappop(self._heap)
        return None

    def due(self, now: int) -> Iterator[str]:
        """Take out what is due, the earliest first."""
        while (when := self.next()) is not None and when <= now:
            item = heapq.heappop(self._heap)[1]
            del self._when[item]
            yield item
