"""A circuit breaker: who keeps failing is left alone for a while, then tried by one.

| state     | who may ask                   | an answer | a failure                                   |
|-----------|-------------------------------|-----------|---------------------------------------------|
| closed    | everybody                     | closed    | open, when it is the TRIES-th in a row      |
| open      | nobody, for ``rest_s``        | closed    | open                                        |
| half-open | one, the rest waits for it    | closed    | open again, for twice as long, up to MOST_S |
"""

from dataclasses import dataclass
from typing import Literal

TRIES = 5
REST_S = 5.0
MOST_S = 60.0

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Breaker:
    """Times are seconds of a clock that only moves forward."""

    failures: int = 0
    rest_s: float = REST_S
    opened_at: float | None = None
    probing: bool = False

    def state(self, now: float) -> State:
        """Where it stands."""
        if self.opened_at is None:
            return "closed"
        return "half_open" if now >= self.opened_at + self.rest_s else "open"

    def lets(self, now: float) -> bool:
        """Whether one more may ask now.  Who may must say how it went: ``heard``, ``failed`` or ``gave_up``."""
        state = self.state(now)
        if state == "half_open" and not self.probing:
            self.probing = True
            return True
        return state == "closed"

    def heard(self) -> None:
        """There was an answer."""
        self.failures, self.rest_s, self.opened_at, self.probing = 0, REST_S, None, False

    def failed(self, now: float) -> bool:
        """There was none; True if it opens by that."""
        self.failures += 1
        if self.opened_at is None:
            if self.failures < TRIES:
                return False
        elif not self.probing:
            return False  # began before it opened
        else:
            self.rest_s = min(2 * self.rest_s, MOST_S)
        self.opened_at, self.probing = now, False
        return True

    def gave_up(self) -> None:
        """Nobody knows: who asked went away."""
        self.probing = False
