"""Questions to a business over HTTP, while a caller waits: signed like webhooks, guarded like them, and soon given up.

A question is one POST.  Each has its time, from the look-up of the host to the last byte of the answer; only so many are under
way at once, and what fails again and again is not asked for a while (``core.breaker``).  Nothing is queued and nothing
repeated: a caller hears ringing meanwhile, and somebody else's slow server must not be why.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import structlog

from controller.config import Webhooks as Settings
from controller.core.breaker import Breaker
from controller.core.status import origin_of
from controller.ports import Clock
from controller.services.webhooks_guard import Forbidden, Guard, Resolve, target_of
from controller.services.webhooks_http import Client, NoAnswer, Reading
from controller.services.webhooks_sign import Signer

log = structlog.get_logger(__name__)

AT_ONCE = 1000
AT_ONCE_EACH = 100
"""Questions under way: of all, and to one host of one tenant."""
REMEMBERED = 10_000
"""Hosts that are known; of more the one that was asked longest ago is forgotten."""
SWEEP_S = 10.0

Why = Literal["timeout", "failed", "status", "too_many", "resting"]
RESULTS = ("answered", "invalid", *get_args(Why))
"""How questions end; ``invalid`` is an answer too, but not one to go by."""


class NotAnswered(Exception):
    """There is no answer to go by.  ``why``: a word for metrics and events."""

    def __init__(self, why: Why, what: str) -> None:
        super().__init__(what)
        self.why = why


class _Host:
    __slots__ = ("breaker", "under_way")

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.under_way = 0


class Asker:
    """Asks.  ``results``: how questions ended, by word."""

    def __init__(self, settings: Settings, clock: Clock, resolve: Resolve | None = None) -> None:
        self._clock = clock
        guard = Guard(settings.allow_private, resolve)
        self._client = Client(guard, settings.connect_timeout_s, settings.read_timeout_s, settings.ca_file, Reading)
        self._hosts: OrderedDict[tuple[str, str], _Host] = OrderedDict()
        self._under_way = 0
        self.results: Counter[str] = Counter()

    async def ask(self, tenant: str, url: str, secrets: Sequence[str], question: str, body: bytes, within_s: float) -> bytes:
        """The body of a 2xx answer.  ``question``: its id, the same when it is asked again.  Raises NotAnswered."""
        try:
            with self._turn(tenant, origin_of(url)):
                answer = await self._post(url, secrets, question, body, within_s)
        except NotAnswered as failure:
            self.results[failure.why] += 1
            raise
        self.results["answered"] += 1
        return answer

    async def _post(self, url: str, secrets: Sequence[str], question: str, body: bytes, within_s: float) -> bytes:
        try:
            async with asyncio.timeout(within_s):
                headers = Signer(secrets).headers(question, self._clock.now(), body)
                answer = await self._client.post(target_of(url), headers, body)
        except TimeoutError:
            raise NotAnswered("timeout", f"no answer within {within_s:g} s") from None
        except (NoAnswer, Forbidden, ValueError) as failure:
            raise NotAnswered("failed", str(failure)) from None
        if not 200 <= answer.status < 300:
            raise NotAnswered("status", f"HTTP {answer.status}")
        return answer.body

    @contextmanager
    def _turn(self, tenant: str, origin: str) -> Iterator[None]:
        host = self._hosts.setdefault((tenant, origin), _Host())
        self._hosts.move_to_end((tenant, origin))
        if self._under_way >= AT_ONCE or host.under_way >= AT_ONCE_EACH:
            raise NotAnswered("too_many", "too many questions are under way")
        if not host.breaker.lets(self._clock.monotonic()):
            raise NotAnswered("resting", "it failed too often and is left alone for a while")
        self._under_way += 1
        host.under_way += 1
        try:
            yield
        except NotAnswered as failure:
            if host.breaker.failed(self._clock.monotonic()):
                log.warning(
                    "a business is not asked for a while", tenant=tenant, reason=str(failure), rest_s=host.breaker.rest_s
                )
            raise
        except BaseException:
            host.breaker.gave_up()
            raise
        else:
            host.breaker.heard()
        finally:
            self._under_way -= 1
            host.under_way -= 1
            self._forget()

    def _forget(self) -> None:
        while len(self._hosts) > REMEMBERED and not next(iter(self._hosts.values())).under_way:
            self._hosts.popitem(last=False)

    @property
    def under_way(self) -> int:
        """Questions that wait for their answer."""
        return self._under_way

    def resting(self) -> int:
        """Hosts that are left alone now."""
        now = self._clock.monotonic()
        return sum(host.breaker.state(now) != "closed" for host in self._hosts.values())

    async def run(self) -> None:
        """Let go of idle connections, until cancelled."""
        try:
            while True:
                await asyncio.sleep(SWEEP_S)
                self._client.sweep()
        finally:
            self._client.close()
