"""Calls per second and calls at once: what a tenant, a trunk and a node may still start now.

Places are kept as sets of call ids, so giving one back twice, or taking it again after a restart, does no harm: no slot leaks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BURST_S = 1.0
"""A rate may be used up in bursts of this length."""


@dataclass(slots=True)
class Limit:
    """One bound: ``rate`` calls per second, ``most`` at once.  Time is monotonic seconds."""

    rate: float
    most: int
    tokens: float = 0.0
    filled: float | None = None
    holders: set[str] = field(default_factory=set)

    def _fill(self, now: float) -> None:
        burst = max(1.0, self.rate * BURST_S)
        if self.filled is None:
            self.tokens = burst
        else:
            self.tokens = min(burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now

    def wait(self, now: float) -> float | None:
        """Seconds until one more may start: 0 now, None when a place must be given back first."""
        self._fill(now)
        if len(self.holders) >= self.most:
            return None
        return 0.0 if self.tokens >= 1.0 else (1.0 - self.tokens) / self.rate

    def take(self, call: str) -> None:
        """A call starts; ``wait`` said 0."""
        self.tokens -= 1.0
        self.holders.add(call)


class Limits:
    """All bounds by name, made when first asked for: ``tenant:acme``, ``trunk:carrier``, ``node:pbx1``."""

    def __init__(self, bounds: Mapping[str, tuple[float, int]], default: tuple[float, int]) -> None:
        self._bounds = dict(bounds)
        self._default = default
        self._limits: dict[str, Limit] = {}
        self._held: dict[str, tuple[str, ...]] = {}

    def limit(self, name: str) -> Limit:
        """The bound of this name."""
        found = self._limits.get(name)
        if found is None:
            rate, most = self._bounds.get(name, self._default)
            found = self._limits[name] = Limit(rate, most)
        return found

    def bound(self, name: str, rate: float, most: int) -> None:
        """Set a bound; those who hold a place under the old one keep it."""
        self._bounds[name] = rate, most
        limit = self.limit(name)
        limit.rate, limit.most = rate, most

    def own(self, kind: str, given: Mapping[str, tuple[float | None, int | None]]) -> None:
        """Set the bounds of all of a kind: what is not given, or None, is as for everybody."""
        for name in [name for name in self._bounds if name.startswith(f"{kind}:")]:
            if name.partition(":")[2] not in given:
                self.bound(name, *self._default)
                del self._bounds[name]
        for name, (rate, most) in given.items():
            self.bound(f"{kind}:{name}", self._default[0] if rate is None else rate, self._default[1] if most is None else most)

    def wait(self, names: Iterable[str], now: float) -> float | None:
        """Seconds until all of these allow one more; None when a place must be given back first."""
        longest = 0.0
        for name in names:
            wait = self.limit(name).wait(now)
            if wait is None:
                return None
            longest = max(longest, wait)
        return longest

    def take(self, call: str, names: Iterable[str]) -> None:
        """A call starts on all of these."""
        self._held[call] = tuple(names)
        for name in self._held[call]:
            self.limit(name).take(call)

    def hold(self, call: str, names: Iterable[str]) -> None:
        """A call that lives already (after a restart) holds its places; its start is not counted against the rates."""
        self._held[call] = tuple(names)
        for name in self._held[call]:
            self.limit(name).holders.add(call)

    def give_back(self, call: str) -> bool:
        """A call has ended: its places are free.  False if it held none."""
        names = self._held.pop(call, None)
        for name in names or ():
            self.limit(name).holders.discard(call)
        return names is not None

    def live(self, name: str) -> int:
        """How many calls hold a place."""
        return len(self.limit(name).holders)
