"""An event loop whose time jumps: nobody waits for a timer, and only real threads take real time.

When nothing is ready and no thread works for us, the clock goes straight to the next timer.  So an hour of calls takes a
second, and the conductor, the scheduler and the store run unchanged.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

STUCK_S = 60.0
"""Real seconds without anything to do and without a timer: the test hangs."""
LEAST_S = 1e-6
"""The least step: a real clock also never stands still."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.outside = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.outside or timeout is None:
            ready = super().select(STUCK_S)
            assert ready, "nothing happens any more"
            return ready
        self.time += max(timeout, LEAST_S)
        return []


class WarpLoop(asyncio.SelectorEventLoop):
    """The loop.  ``outside``: how many threads work for us; while they do, time stands still."""

    def __init__(self) -> None:
        self._warp = _Selector()
        super().__init__(self._warp)

    def time(self) -> float:
        """Seconds, as fast as they can go."""
        return self._warp.time

    def enter(self) -> None:
        """A thread begins to work for us."""
        self._warp.outside += 1

    def leave(self, *_: Any) -> None:
        """It has done."""
        self._warp.outside -= 1

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """As ever, and time stands still meanwhile."""
        self.enter()
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self.leave)
        return future


def run(main: Callable[[], Any]) -> Any:
    """Run a coroutine function in a loop of its own."""
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(main())


class WarpClock:
    """Implements ``ports.Clock`` with the running loop's time."""

    EPOCH_MS = 1_750_000_000_000

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.EPOCH_MS + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        """Seconds that only move forward."""
        return self._loop.time()
