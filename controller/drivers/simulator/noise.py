"""What goes wrong between an exchange and its controller, by seeded chance.  The exchange itself is always right."""

from dataclasses import dataclass
from random import Random
from typing import Literal

Loss = Literal["", "before", "after"]


@dataclass(frozen=True, slots=True)
class Rates:
    """Chances from 0 to 1: per event, or per verb.  ``slow_ms``: how long a verb or a question may be on its way."""

    twice: float = 0.0
    late: float = 0.0
    never: float = 0.0
    lost_before: float = 0.0
    lost_after: float = 0.0
    slow_ms: int = 8


QUIET = Rates(slow_ms=0)
LATE_MS = 400
"""How late an event may be."""


class Noise:
    """Draws what happens to events and verbs."""

    def __init__(self, rates: Rates = QUIET, seed: int = 0) -> None:
        self._rates = rates
        self._random = Random(seed)

    def delays(self) -> tuple[int, ...]:
        """When an event is heard, each time that it is: ms from now."""
        draw, rates = self._random, self._rates
        if draw.random() < rates.never:
            return ()
        first = draw.randint(1, LATE_MS) if draw.random() < rates.late else 0
        return (first, first + draw.randint(0, LATE_MS)) if draw.random() < rates.twice else (first,)

    def loss(self) -> Loss:
        """Whether a verb, or its acknowledgement, is lost."""
        drawn = self._random.random()
        if drawn < self._rates.lost_before:
            return "before"
        return "after" if drawn < self._rates.lost_before + self._rates.lost_after else ""

    def slowness_ms(self) -> int:
        """How long a verb takes to be accepted."""
        return self._random.randint(0, self._rates.slow_ms)
