"""How far we are behind a PBX: what the events of the last minute tell of it."""

from collections import deque

from controller.ports import Clock

WINDOW_S = 60.0
KEPT = 5000
"""At most so many events are kept; where more than these come within a minute, the latest speak."""


class Lags:
    """By how much (ms) each event came later than it happened by the PBX's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: deque[tuple[float, int]] = deque(maxlen=KEPT)

    def note(self, happened_at: int) -> None:
        """An event comes in now."""
        self._noted.append((self._clock.monotonic(), self._clock.now() - happened_at))

    def clear(self) -> None:
        """The link is a new one: what was said over the old one says nothing of it."""
        self._noted.clear()

    def p99_s(self) -> float:
        """99 of 100 were behind by less than this (s); 0 where nothing came within the window."""
        since = self._clock.monotonic() - WINDOW_S
        while self._noted and self._noted[0][0] < since:
            self._noted.popleft()
        lags = sorted(lag for _, lag in self._noted)
        return lags[int(len(lags) * 0.99)] / 1000 if lags else 0.0
