"""What a leg costs: a price per minute by the beginning of its number, in the increments that carriers bill by.

Money is whole millionths of the table's one currency, so sums are exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass

MICRO = 1_000_000
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_minute``: millionths; ``first_s`` are always paid for, then each begun ``step_s`` (as 60/60, 60/1, 1/1)."""

    prefix: str
    per_minute: int
    first_s: int = 60
    step_s: int = 60

    def cost(self, ms: int) -> int:
        """Of a leg that was answered for so long, rounded up to a whole millionth; nothing for one that was not."""
        if ms <= 0:
            return 0
        seconds = -(-ms // 1000)
        beyond = max(0, seconds - self.first_s)
        billed = self.first_s + -(-beyond // self.step_s) * self.step_s
        return -(-billed * self.per_minute // MINUTE_S)


class Rates:
    """The rate table.  The longest prefix counts."""

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        self._by_prefix = {rate.prefix: rate for rate in rates}
        self._lengths = tuple(sorted({len(prefix) for prefix in self._by_prefix}, reverse=True))

    def __len__(self) -> int:
        return len(self._by_prefix)

    def of(self, number: str) -> Rate | None:
        """The rate of a number; None: it has no price."""
        for length in self._lengths:
            found = self._by_prefix.get(number[:length])
            if found is not None:
                return found
        return None
