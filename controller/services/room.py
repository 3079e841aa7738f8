"""How many calls may wait: of one tenant, and of all.

A call that is being written down has its place already, so that however many are asked for at once no more are taken in than
there is room for.  Who waits counts whatever the bound: an attempt of a retry plan, and what is found after a start, was
accepted before, also when the bound is lower now.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class QueueFull(Exception):
    """The queue's bound is reached; ``retry_after_s`` says when there may be room."""

    def __init__(self, whose: str, retry_after_s: int) -> None:
        super().__init__(f"the queue of {whose} is full")
        self.whose = whose
        self.retry_after_s = retry_after_s


class Room:
    """Who waits, by id.  ``rate``/``rate_of``: calls per second that usually start, of all and of a tenant."""

    def __init__(self, bound: int, tenant_bound: int, rate: float, rate_of: Callable[[str], float]) -> None:
        self.bound, self.tenant_bound, self._rate, self._rate_of = bound, tenant_bound, rate, rate_of
        self._waiting: dict[str, str] = {}
        self._promised: dict[str, str] = {}
        self._per_tenant: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._waiting

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def taken(self) -> int:
        """Places that no other call can have: of those who wait, and of those that are being written down."""
        return len(self._waiting) + len(self._promised)

    def check(self, tenant: str) -> None:
        """Raises QueueFull when one more call of this tenant does not fit."""
        mine = self._per_tenant[tenant]
        if mine >= self.tenant_bound:
            raise QueueFull("this tenant", max(1, round(mine / self._rate_of(tenant) / 10)))
        if self.taken() >= self.bound:
            raise QueueFull("this installation", max(1, round(self.bound / self._rate / 10)))

    @contextmanager
    def promised(self, call_id: str, tenant: str) -> Iterator[None]:
        """A place for a call that is being written down.  It is free again at the end, unless the call has entered."""
        self._promised[call_id] = tenant
        self._per_tenant[tenant] += 1
        try:
            yield
        finally:
            if self._promised.pop(call_id, None) is not None:
                self._less(tenant)

    def enter(self, call_id: str, tenant: str) -> None:
        """A call waits, in the place that it was promised or one more."""
        self._waiting[call_id] = tenant
        if self._promised.pop(call_id, None) is None:
            self._per_tenant[tenant] += 1

    def leave(self, call_id: str) -> None:
        """A call waits no more; an unknown one is no error."""
        tenant = self._waiting.pop(call_id, None)
        if tenant is not None:
            self._less(tenant)

    def _less(self, tenant: str) -> None:
        self._per_tenant[tenant] -= 1
        if not self._per_tenant[tenant]:
            del self._per_tenant[tenant]
