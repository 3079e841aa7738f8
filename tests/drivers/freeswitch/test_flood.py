"""20,000 events a second into asyncio, and nothing else there is held up."""

import asyncio
import multiprocessing
import socket
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from controller.config import Esl
from controller.core import events as ev
from controller.drivers.freeswitch import events
from controller.drivers.freeswitch.link import Link
from tests.drivers.freeswitch.fake_esl import PASSWORD, event, frame

LEG = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE01"
SECONDS = 5
PER_SECOND = 20_000
FILLER = {f"variable_filler_{number}": "x" * 40 for number in range(100)}  # a real event has 7 KB


def _flood(listening: socket.socket, rate: int, seconds: int) -> None:
    """A server in a process of its own: log-in, one subscription, then events at a steady rate."""
    connection, _ = listening.accept()
    with connection:
        connection.sendall(frame("auth/request"))
        connection.recv(1000)
        connection.sendall(frame("command/reply", reply="+OK accepted"))
        connection.recv(1000)
        connection.sendall(frame("command/reply", reply="+OK"))
        ten = b"".join(event("DTMF", Unique_ID=LEG, DTMF_Digit=str(digit), **FILLER) for digit in range(10))
        begin, sent = time.monotonic(), 0
        while sent < rate * seconds:
            due = min((int((time.monotonic() - begin) * rate) - sent) // 10, (rate * seconds - sent) // 10, 20)
            if due <= 0:
                time.sleep(0.001)
                continue
            connection.sendall(ten * due)
            sent += 10 * due
        with suppress(OSError):
            while connection.recv(1000):
                pass


async def _lags(every_s: float, lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lags.append(loop.time() - due)


@dataclass(slots=True)
class Flood:
    """What came of one: events heard, how long it took (s), and each lag of the loop (s)."""

    keys: str
    took: float
    lags: list[float]

    def lag_ms(self, percent: int) -> float:
        """A percentile of the lags."""
        return statistics.quantiles(self.lags, n=100)[percent - 1] * 1000


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers no beat."""
    monkeypatch.setattr("controller.drivers.freeswitch.link.BEAT_EVERY_S", 3600)
    monkeypatch.setattr("controller.drivers.freeswitch.link.BEAT_WITHIN_S", 3600)


@pytest.mark.usefixtures("unhurried")
async def test_each_event_of_a_flood_is_heard_once_and_in_order() -> None:
    flood = await flooded(PER_SECOND, seconds=1)
    digits = "".join(str(number % 10) for number in range(PER_SECOND))
    assert flood.keys == digits


@pytest.mark.soak
@pytest.mark.usefixtures("unhurried")
async def test_a_flood_of_events_holds_nothing_up() -> None:
    flood = await flooded(PER_SECOND, SECONDS)
    print(
        f"{len(flood.keys)} events in {flood.took:.2f} s; loop lag p50 {flood.lag_ms(50):.2f} ms, "
        f"p99 {flood.lag_ms(99):.2f} ms, max {max(flood.lags) * 1000:.1f} ms"
    )
    assert flood.took < SECONDS * 1.1
    assert flood.lag_ms(99) < 5


async def flooded(rate: int, seconds: int) -> Flood:
    """Let so many events come."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=_flood, args=(listening, rate, seconds), daemon=True)
    heard, lags, legs = list[str](), list[float](), events.Legs()
    done = asyncio.Event()

    def hear(body: bytes) -> None:
        heard.extend(event.digit for event in events.read(events.decode(body), legs) if isinstance(event, ev.Digit))
        if len(heard) >= rate * seconds:
            done.set()

    async def up() -> None:
        return

    link = Link(Esl(port=listening.getsockname()[1], password=SecretStr(PASSWORD)), up, hear, lambda _reason: None)
    server.start()
    begin = time.monotonic()
    running, ticking = asyncio.create_task(link.run()), asyncio.create_task(_lags(0.001, lags))
    try:
        async with asyncio.timeout(60):
            await done.wait()
        took = time.monotonic() - begin
    finally:
        running.cancel()
        ticking.cancel()
        await asyncio.wait((running, ticking))
        server.kill()
        server.join()
        listening.close()
    return Flood("".join(heard), took, lags)
