"""Whoever holds a link, for tests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from controller.drivers.freeswitch import events
from controller.drivers.freeswitch.link import Link
from tests.drivers.freeswitch.fake_esl import FakeEsl

ASKED = "api status"


class Driver:
    """Whoever holds a link: notes what it is told."""

    def __init__(self, server: FakeEsl) -> None:
        self.told: list[str] = []
        self.heard: list[events.Heard] = []
        self.news = asyncio.Event()
        self.link = Link(server.settings, self._up, self._heard, self._down)

    async def _up(self) -> None:
        self._note("up")

    def _heard(self, body: bytes) -> None:
        self.heard.append(events.decode(body))
        self.news.set()

    def _down(self, reason: str) -> None:
        self._note(f"down: {reason}")

    def _note(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    async def until(self, there: Callable[[], bool], within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while not there():
                self.news.clear()
                await self.news.wait()

    async def is_up(self) -> None:
        await self.until(lambda: self.told[-1:] == ["up"])
        await asyncio.sleep(0)


@asynccontextmanager
async def driving(server: FakeEsl) -> AsyncIterator[Driver]:
    """A link that is held as long as the block.  It leaves no thread behind."""
    driver = Driver(server)
    running = asyncio.create_task(driver.link.run())
    try:
        yield driver
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert not threads()


def threads() -> list[str]:
    """The driver's threads."""
    return [one.name for one in threading.enumerate() if one.name == "esl"]
