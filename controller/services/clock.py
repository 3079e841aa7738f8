"""The real clock."""

import time


class SystemClock:
    """Implements ``ports.Clock``."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that only move forward."""
        return time.monotonic()
