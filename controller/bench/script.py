"""What the two yardsticks share: a script without a library that begins calls, at saturation or at a pace, and counts what
becomes of them.  It keeps nothing else, and writes nothing down."""

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self

DRAIN_WITHIN_S = 60.0


@dataclass(slots=True)
class Outcome:
    """``setup_s``: seconds from Originate to the bridge; ``ended``: monotonic times of ends; ``failed``: calls not bridged."""

    setup_s: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    failed: int = 0
    most_alive: int = 0


class Script(ABC):
    """One connection to a PBX.  Of each PBX: ``_log_in``, ``_read`` what it says, ``_originate`` one call."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._begun: dict[str, float] = {}
        self._bridged: set[str] = set()
        self._news = asyncio.Event()
        self._number = 0
        self._prefix = f"raw{time.time_ns() // 1_000_000:013d}"
        self.outcome = Outcome()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
        await self._log_in()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        self._writer.close()

    @abstractmethod
    async def _log_in(self) -> None:
        """Say who we are.  Raises ConnectionError."""

    @abstractmethod
    async def _read(self) -> None:
        """Read until cancelled; ``_on_bridge`` and ``_on_end`` what concerns our calls."""

    @abstractmethod
    def _originate(self, leg: str) -> None:
        """Ask for one call, whose near leg bears that id."""

    @property
    def alive(self) -> int:
        """Calls begun and not ended."""
        return len(self._begun)

    @property
    def setting_up(self) -> int:
        """Calls begun and not bridged."""
        return len(self._begun) - len(self._bridged)

    async def saturate(self, setting_up: int, seconds: float) -> None:
        """Keep so many set-ups under way, beginning one for each that is bridged or fails."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            while self.setting_up < setting_up:
                self._begin()
            await self._wait(until)
        await self._drain()

    async def pace(self, per_second: float, seconds: float) -> None:
        """Begin calls at a steady rate, whatever becomes of them."""
        began, count = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            while count < passed * per_second:
                self._begin()
                count += 1
            await asyncio.sleep(0.5 / per_second)
        await self._drain()

    def _begin(self) -> None:
        self._number += 1
        leg = f"{self._prefix}{self._number:08d}"
        self._begun[leg] = time.monotonic()
        self._originate(leg)
        self.outcome.most_alive = max(self.outcome.most_alive, self.alive)

    def _on_bridge(self, leg: str) -> None:
        if leg in self._begun and leg not in self._bridged:
            self._bridged.add(leg)
            self.outcome.setup_s.append(time.monotonic() - self._begun[leg])
            self._news.set()

    def _on_end(self, leg: str) -> None:
        if self._begun.pop(leg, None) is None:
            return
        if leg in self._bridged:
            self._bridged.discard(leg)
            self.outcome.ended.append(time.monotonic())
        else:
            self.outcome.failed += 1
        self._news.set()

    async def _drain(self) -> None:
        """Wait until all calls have ended, at most DRAIN_WITHIN_S."""
        until = time.monotonic() + DRAIN_WITHIN_S
        while self.alive and time.monotonic() < until:
            await self._wait(until)

    async def _wait(self, until: float) -> None:
        """Until a call is bridged or ends, or that moment."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), max(0.001, until - time.monotonic()))
        except TimeoutError:
            return
