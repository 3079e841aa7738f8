"""Time for an exchange: the running event loop's, or an agenda that a test steps by hand."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol


class Alarm(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Now it will not."""


class Timers(Protocol):
    """A clock that can be told to do things later."""

    def now(self) -> int:
        """Milliseconds since the epoch."""

    def after(self, delay_ms: int, act: Callable[[], None]) -> Alarm:
        """Do something in so many ms."""


class LoopTimers:
    """The running event loop's time, counted from ``epoch_ms``, going ``pace`` times as fast.

    What happens by an alarm happens at the alarm's time, also when the loop is late."""

    def __init__(self, epoch_ms: int = 1_750_000_000_000, pace: float = 1.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._epoch_ms = epoch_ms
        self._pace = pace
        self._alarm_at: int | None = None

    def now(self) -> int:
        """Milliseconds since the epoch."""
        if self._alarm_at is not None:
            return self._alarm_at
        return self._epoch_ms + round((self._loop.time() - self._begin) * 1000 * self._pace)

    def after(self, delay_ms: int, act: Callable[[], None]) -> Alarm:
        """Do something in so many ms."""
        at = self.now() + delay_ms
        when = self._begin + (at - self._epoch_ms) / 1000 / self._pace
        return self._loop.call_at(when, self._ring, at, act)

    def _ring(self, at: int, act: Callable[[], None]) -> None:
        self._alarm_at = at
        try:
            act()
        finally:
            self._alarm_at = None


class _Entry:
    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        self.act = None


class Agenda:
    """Virtual time: nothing happens but by ``step`` or ``run``."""

    def __init__(self, epoch_ms: int = 1_750_000_000_000) -> None:
        self._now = epoch_ms
        self._order = count()
        self._entries: list[tuple[int, int, _Entry]] = []

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self._now

    def after(self, delay_ms: int, act: Callable[[], None]) -> Alarm:
        """Do something in so many ms."""
        entry = _Entry(act)
        heapq.heappush(self._entries, (self._now + delay_ms, next(self._order), entry))
        return entry

    def step(self, until: int | None = None) -> bool:
        """Go to the next thing and do it; False when there is none (before ``until``)."""
        while self._entries and (until is None or self._entries[0][0] <= until):
            at, _, entry = heapq.heappop(self._entries)
            if entry.act is not None:
                self._now = at
                entry.act()
                return True
        return False

    def run(self, for_ms: int) -> None:
        """Do all that happens within so many ms."""
        until = self._now + for_ms
        while self.step(until):
            pass
        self._now = until
