"""One endpoint's deliveries: a few workers, each taking one call's lane at a time and sending its letters one after another.

A receiver that keeps failing is called by one worker only, and ever more slowly, until it answers again; one that says
``Retry-After`` by none until then.  A letter is tried by the schedule in the settings; when that is exhausted its lane is
parked, and if nothing at all got through meanwhile, so is the endpoint.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from controller.config import Webhooks as Settings
from controller.ports import Clock, Endpoint, EndpointState
from controller.services.tasks import Tasks
from controller.services.webhooks_guard import Forbidden, Target, parse
from controller.services.webhooks_http import Answer, NoAnswer
from controller.services.webhooks_lanes import Budget, Lane, Lanes, Letter
from controller.services.webhooks_sign import Signer, retry_after_s

log = structlog.get_logger(__name__)

TURN = 16
"""Letters that a lane may send before another lane gets the worker."""
DOUBT = 5
"""Failures in a row after which one worker is enough, and pauses after each further failure."""
DOUBT_S = (0.05, 0.2, 1.0, 5.0)
"""How long it pauses; the last value repeats."""
JITTER = 0.2
"""A retry comes up to this share later than the schedule says."""

Post = Callable[[Target, bytes, bytes], Awaitable[Answer]]
Verdict = Callable[["Outlet", EndpointState, str], None]
"""Told when the endpoint must not be called any more, and why."""


class Outlet:
    """Delivers to one endpoint."""

    def __init__(
        self, endpoint: Endpoint, settings: Settings, post: Post, clock: Clock, budget: Budget, tasks: Tasks, verdict: Verdict
    ) -> None:
        self.lanes = Lanes(endpoint.id, budget)
        self.update(endpoint)
        self.active = True
        self.held = False
        self.replaying = asyncio.Lock()
        self.scan_floor = 0
        self.failures = 0
        self.sent = self.refused = 0
        self.turned = asyncio.Event()
        self._settings, self._post, self._clock, self._tasks, self._verdict = settings, post, clock, tasks, verdict
        self._workers = self._woken = 0
        self._resting: list[asyncio.Future[None]] = []
        self._paused_until = 0

    def update(self, endpoint: Endpoint) -> None:
        """Its tenant changed it.  Raises ValueError (also Forbidden) when it cannot be delivered to at all."""
        target, signer = parse(endpoint.url), Signer(endpoint.secrets)
        self.endpoint, self._target, self._signer, self._types = endpoint, target, signer, frozenset(endpoint.types)

    def revive(self) -> None:
        """It may be called again."""
        self.active, self.failures = True, 0
        self.lanes.scan_at = self.scan_floor = self._paused_until = 0

    def offer(
        self, call: str, letters: tuple[Letter, ...], types: tuple[str, ...], over: bool, target: Target | None = None
    ) -> None:
        """Facts of these types were committed.  ``target``: where this call is told of, if not where the endpoint is."""
        self.lanes.offer(call, self.wanted(letters, types), over, target)
        self.kick()

    def wants(self, kind: str) -> bool:
        """True if it subscribed to facts of this type."""
        return not self._types or kind in self._types

    def wanted(self, letters: tuple[Letter, ...], types: tuple[str, ...]) -> tuple[Letter, ...]:
        """The letters without the bodies that the endpoint did not subscribe to."""
        if not self._types or self._types.issuperset(types):
            return letters
        return tuple(
            letter if kind in self._types else Letter(letter.sequence, letter.id, None)
            for letter, kind in zip(letters, types, strict=True)
        )

    # --- workers

    def kick(self) -> None:
        """Wake workers for the lanes that wait, or start some."""
        allowed = self._allowed()
        while allowed and self._woken < self.lanes.waiting:
            if self._resting:
                rest = self._resting.pop()
                if not rest.done():
                    self._woken += 1
                    rest.set_result(None)
            elif self._workers < allowed:
                self._woken += 1
                self._workers += 1
                self._tasks.spawn(self._work())
            else:
                break

    def dismiss(self) -> None:
        """Let the workers that rest go home."""
        while self._resting:
            self._resting.pop().cancel()

    def _allowed(self) -> int:
        if not self.active or self.held or self._paused_until > self._clock.now():
            return 0
        return 1 if self.failures >= DOUBT else self.endpoint.concurrent or self._settings.concurrent

    async def _work(self) -> None:
        """Take lanes as they come.  A worker rests between them: a new task for each fact would cost more than its HTTP."""
        loop = asyncio.get_running_loop()
        self._woken -= 1
        try:
            while self._workers <= self._allowed():
                lane = self.lanes.next_ready()
                if lane is not None:
                    await self._turn(lane)
                    self.turned.set()
                    continue
                rest = loop.create_future()
                self._resting.append(rest)
                await rest
                self._woken -= 1
        finally:
            self._workers -= 1
            self.kick()

    async def _turn(self, lane: Lane) -> None:
        for _ in range(TURN):
            if not lane.pending or not self._allowed():
                break
            letter, status = lane.pending[0], None
            if letter.body is not None:
                status = await self._send(lane, letter, letter.body)
                if status is None:
                    return
            self.lanes.delivered(lane, self._clock.now(), status)
        if self.active and not self.held:
            self.lanes.rest(lane)
        else:
            self.lanes.let_go(lane)

    async def _send(self, lane: Lane, letter: Letter, body: bytes) -> int | None:
        """Try once: the status if it was delivered, else None, and the lane has left."""
        try:
            answer = await self._post(
                lane.target or self._target, self._signer.headers(letter.id, self._clock.now(), body), body
            )
        except (NoAnswer, Forbidden) as failure:
            self._failed(lane, None, str(failure))
            return None
        except Exception:
            log.exception("webhook try failed by a fault of ours", endpoint=self.endpoint.id)
            self._failed(lane, None, "internal error")
            return None
        if 200 <= answer.status < 300:
            self._succeeded()
            return answer.status
        self._failed(lane, answer, _in_words(answer.status))
        return None

    def _succeeded(self) -> None:
        self.sent += 1
        doubted, self.failures = self.failures >= DOUBT, 0
        if doubted:
            self.kick()

    # --- failures

    def _failed(self, lane: Lane, answer: Answer | None, error: str) -> None:
        self.refused += 1
        self.failures += 1
        now, tries, schedule = self._clock.now(), lane.attempt + 1, self._settings.retry_s
        status = answer.status if answer else None
        wished = retry_after_s(answer.retry_after, now) if answer else None
        tell = log.info if self.failures == 1 else log.debug
        tell("webhook not delivered", endpoint=self.endpoint.id, call=lane.call, tries=tries, reason=error)
        if self.failures >= DOUBT:
            self._pause(now, DOUBT_S[min(self.failures - DOUBT, len(DOUBT_S) - 1)])
        if status == 410 and self.endpoint.kind == "status":
            self.lanes.fail(lane, None, status, error)  # this call's URL is gone; the next call's may not be
        elif status == 410:
            self.lanes.fail(lane, now, status, error)
            self._verdict(self, "disabled", "the receiver answered 410 Gone")
        elif tries >= len(schedule):
            self.lanes.fail(lane, None, status, error)
            if self.failures >= len(schedule):
                self._verdict(self, "parked", f"{self.failures} tries in a row failed, the last one: {error}")
        else:
            delay_s = schedule[tries] * (1 + random.uniform(0, JITTER))
            if wished:
                self._pause(now, wished)
                delay_s = max(delay_s, wished)
            self.lanes.fail(lane, now + round(delay_s * 1000), status, error)

    def _pause(self, now: int, seconds: float) -> None:
        """Nothing goes out before the time that the receiver asked for."""
        self._paused_until = max(self._paused_until, now + round(seconds * 1000))
        asyncio.get_running_loop().call_later(seconds + 0.001, self.kick)


def _in_words(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed"
    return f"HTTP {status}"
