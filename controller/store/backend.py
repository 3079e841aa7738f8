"""What the two databases have in common for the rest of the store: jobs and units.

A job is an ordinary function of a SQLAlchemy connection, so its SQL is written once.  Where it runs is the backend's business:
on SQLite in a thread, on PostgreSQL over asyncpg; never on the event loop's own time.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from controller.store.units import UnitRows

T = TypeVar("T")
Job = Callable[[Connection], T]

WAITING_BOUND = 20_000
"""Units and jobs that may wait for their commit; more are refused."""
BATCH_BOUND = 500
"""Units that share one transaction."""


class Backend(Protocol):
    """One open database."""

    dialect: str

    @property
    def waiting(self) -> int:
        """Units that are not committed yet."""

    async def read(self, job: Job[T]) -> T:
        """Run a job that only reads.  Raises Unavailable."""

    async def write(self, job: Job[T]) -> T:
        """Run a job in a transaction that is durable when this returns.  Raises NotSaved, and what the job raises."""

    async def commit(self, rows: UnitRows) -> None:
        """Write a unit in a group commit.  Raises NotSaved."""

    async def close(self) -> None:
        """Finish what waits and leave."""


class Pace:
    """How long to wait before the next commit so that more units share it.

    A commit costs about 170 us of CPU beside its rows, so at 2,500 units/s one commit per unit would take half a processor.
    Below ``FROM`` units per second nothing waits; above it commits begin ``GAP_S`` after the last one's end, which makes a unit
    cost less than half.  ``OVER_S``: what the rate is measured over; ``ENOUGH``: units that are company enough.
    """

    FROM = 1000.0
    GAP_S = 0.004
    OVER_S = 0.1
    ENOUGH = 50

    def __init__(self) -> None:
        self._rate = 0.0
        self._last = 0.0

    def pause(self, waiting: int, now: float) -> float:
        """Seconds to wait at ``now`` (monotonic) when so many units wait already."""
        if self._rate < self.FROM or waiting >= self.ENOUGH:
            return 0.0
        return max(0.0, self._last + self.GAP_S - now)

    def committed(self, units: int, now: float) -> None:
        """A commit of so many units is over."""
        fade = max(0.0, 1.0 - (now - self._last) / self.OVER_S)
        self._rate = self._rate * fade + units / self.OVER_S
        self._last = now
