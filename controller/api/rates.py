"""How many requests a tenant may make: a token bucket each, in this process.  An answer says how much is left."""

from collections import OrderedDict
from math import ceil

from controller.api.problems import Problem
from controller.ports import Clock

REMEMBER_MOST = 10_000
"""Tenants whose bucket is remembered; the longest unused is forgotten, and is full when it is used again."""
Headers = tuple[tuple[bytes, bytes], ...]


class Rates:
    """All buckets.  ``burst_s``: how long a tenant's rate can be saved up."""

    def __init__(self, clock: Clock, per_second: int, burst_s: float) -> None:
        self._clock, self._per_second, self._burst_s = clock, per_second, burst_s
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()

    def take(self, tenant: str, own: int | None = None) -> Headers:
        """One request of this tenant, whose ``own`` bound (per second) may differ; the headers that tell how many more there
        may be.  Raises Problem when there may be none now."""
        rate, now = own or self._per_second, self._clock.monotonic()
        most = max(1.0, rate * self._burst_s)
        bucket = self._buckets.get(tenant)
        if bucket is None:
            bucket = self._buckets[tenant] = [most, now]
            if len(self._buckets) > REMEMBER_MOST:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(tenant)
        left = min(most, bucket[0] + (now - bucket[1]) * rate)
        bucket[1] = now
        if left < 1.0:
            bucket[0] = left
            wait = {"Retry-After": str(ceil((1.0 - left) / rate))}
            told = {name.decode(): value.decode() for name, value in _headers(most, left, rate)}
            raise Problem("rate_limited", f"this tenant may make {rate} requests a second", headers=wait | told)
        bucket[0] = left = left - 1.0
        return _headers(most, left, rate)


def _headers(most: float, left: float, rate: float) -> Headers:
    """``RateLimit-Reset``: seconds until all of it may be used again."""
    return (
        (b"ratelimit-limit", b"%d" % most),
        (b"ratelimit-remaining", b"%d" % left),
        (b"ratelimit-reset", b"%d" % ceil((most - left) / rate)),
    )
