"""What the controller holds and takes: so many calls at once, and so many requests a second."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from controller.bench.callback import Say
from controller.bench.figures import Plain, figures_table, percentile
from controller.bench.ours import accept_p99, controller, run
from controller.bench.room import Load, Room

RAMP = 25.0
"""Callbacks per second while the calls to be held are set up."""
PACE = 40
"""Calls alive at once while requests come faster than calls can be made: they wait in the queue."""


@dataclass(frozen=True, slots=True)
class Held(Plain):
    """``most``: calls alive at once; times in ms."""

    wanted: int
    most: int
    failed: int
    setup_p50: float
    setup_p99: float
    lag_p99: float


@dataclass(frozen=True, slots=True)
class Accepted(Plain):
    """Requests at a steady rate; times in ms."""

    per_second: float
    answered: int
    refused: int
    p50: float
    p99: float
    failed: int


async def hold(load: Load, calls: int, seconds: int, say: Say) -> Held:
    """Set up so many calls, one after the other, each of which lasts until ``seconds`` after the last.  Raises BenchFailed."""
    ramp_s = calls / RAMP
    with Room(replace(load, hold_s=round(ramp_s) + seconds, alive=calls + 50)) as room:
        async with controller(room) as one:
            say(f"{calls} calls at {RAMP:.0f}/s, each for {room.load.hold_s} s")
            done = await run(one, ramp_s, RAMP)
    p50, p99 = (1000 * percentile(done.setup_s, share) for share in (0.5, 0.99))
    return Held(calls, done.most_alive, done.failed + done.refused, p50, p99, 1000 * done.lag_p99_s)


async def accept(load: Load, per_second: float, seconds: int, say: Say) -> Accepted:
    """Post at a steady rate.  Raises BenchFailed."""
    with Room(replace(load, alive=PACE)) as room:
        async with controller(room) as one:
            say(f"{per_second:.0f} requests/s for {seconds} s")
            done = await run(one, seconds, per_second)
    p50 = 1000 * percentile(done.accept_s, 0.5)
    return Accepted(per_second, len(done.accept_s), done.refused, p50, 1000 * accept_p99(done), done.failed)


HELD: tuple[tuple[str, str, Callable[[Held], float]], ...] = (
    ("calls wanted at once", "{:.0f}", lambda h: h.wanted),
    ("calls held at once", "{:.0f}", lambda h: h.most),
    ("calls that failed", "{:.0f}", lambda h: h.failed),
    ("set-up, ms p50", "{:.1f}", lambda h: h.setup_p50),
    ("set-up, ms p99", "{:.1f}", lambda h: h.setup_p99),
    ("event lag, ms p99", "{:.0f}", lambda h: h.lag_p99),
)

ACCEPTED: tuple[tuple[str, str, Callable[[Accepted], float]], ...] = (
    ("requests/s", "{:.0f}", lambda a: a.per_second),
    ("requests answered", "{:.0f}", lambda a: a.answered),
    ("of these refused", "{:.0f}", lambda a: a.refused),
    ("answered within, ms p50", "{:.1f}", lambda a: a.p50),
    ("answered within, ms p99", "{:.1f}", lambda a: a.p99),
    ("calls that failed", "{:.0f}", lambda a: a.failed),
)


def held_table(load: Load, results: Sequence[Held]) -> Table:
    """Medians, with the least and the most."""
    return figures_table(f"calls held: {load.label}", HELD, results)


def accepted_table(load: Load, results: Sequence[Accepted]) -> Table:
    """Medians, with the least and the most."""
    return figures_table(f"callbacks accepted while calls go on: {load.label}", ACCEPTED, results)
