"""Callbacks on FreeSWITCH: the highest rate that the raw script and the controller each carry cleanly.

Past its knee FreeSWITCH does not recover, so nothing here is driven to saturation: the rate climbs rung by rung, in coarse
steps and then in fine ones, and after a rung that was not clean FreeSWITCH is started anew.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from controller.bench.callback import Say
from controller.bench.figures import Plain, figures_table, percentile, usage
from controller.bench.ours import Controller, controller, run
from controller.bench.raw_esl import RawEsl
from controller.bench.room import CALLEE, CALLER, DISPLAY, SECRET, Load, Room

COARSE, FINE = 20, 5
HIGHEST = 200
SETUP_WITHIN_S = 1.0
"""A rung is clean when no call failed and 99 of 100 were set up within this."""


@dataclass(frozen=True, slots=True)
class Rung(Plain):
    """One rate for some seconds.  Times in ms; ``lag``: how far the controller was behind FreeSWITCH's events, p99."""

    DERIVED = ("clean",)
    per_second: int
    failed: int
    setup_p50: float
    setup_p99: float
    pbx_ms: float
    controller_ms: float = 0.0
    lag: float = 0.0

    @property
    def clean(self) -> bool:
        """FreeSWITCH kept up."""
        return not self.failed and self.setup_p99 <= 1000 * SETUP_WITHIN_S


@dataclass(frozen=True, slots=True)
class Climb:
    """The best clean rung of both, in one room."""

    raw: Rung
    ours: Rung

    @property
    def ratio(self) -> float:
        """Ours to raw."""
        return self.ours.per_second / self.raw.per_second

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"raw": self.raw.plain(), "ours": self.ours.plain(), "ratio": round(self.ratio, 3)}


class NotClean(RuntimeError):
    """Not even the lowest rate was carried cleanly."""


async def climb(load: Load, seconds: int, say: Say) -> Climb:
    """Both climbs in a room of their own.  Raises BenchFailed, NotClean, FreeSwitchFailed."""
    with Room(load, "freeswitch") as room:
        room.allow(HIGHEST * (load.hold_s + 4))
        raw = await _best(lambda rate: _raw(room, rate, seconds), room, say, "raw ESL script")
        async with controller(room) as one:
            ours = await _best(lambda rate: _ours(one, rate, seconds), room, say, "controller")
    return Climb(raw, ours)


async def _best(at: Callable[[int], Awaitable[Rung]], room: Room, say: Say, who: str) -> Rung:
    best: Rung | None = None
    for step in (COARSE, FINE):
        rate = (best.per_second if best else 0) + step
        while rate <= HIGHEST:
            rung = await at(rate)
            say(f"{who} at {rate}/s: " + ("clean" if rung.clean else f"{rung.failed} failed, p99 {rung.setup_p99:.0f} ms"))
            if not rung.clean:
                room.pbx.restart()
                break
            best, rate = rung, rate + step
    if best is None:
        raise NotClean(f"{who}: {FINE} callbacks a second are too many for this machine")
    return best


async def _raw(room: Room, rate: int, seconds: int) -> Rung:
    before, spool = usage(room.pbx.pid or 0), room.node.spool if room.load.record else None
    near, far = f"callers/{CALLER}", f"callees/{CALLEE}"
    async with RawEsl(room.ami, SECRET, near, far, DISPLAY, room.load.hold_s, spool) as script:
        await script.pace(rate, seconds)
        outcome = script.outcome
        failed = outcome.failed + script.alive
    used = usage(room.pbx.pid or 0) - before
    return _rung(rate, failed, outcome.setup_s, used.cpu_s, len(outcome.ended))


async def _ours(one: Controller, rate: int, seconds: int) -> Rung:
    await one.until_ready()
    done = await run(one, seconds, rate)
    rung = _rung(rate, done.failed + done.refused, done.setup_s, done.pbx.cpu_s, done.completed)
    return Rung(
        rate, rung.failed, rung.setup_p50, rung.setup_p99, rung.pbx_ms,
        1000 * done.usage.cpu_s / max(1, done.completed), 1000 * done.lag_p99_s,
    )  # fmt: skip


def _rung(rate: int, failed: int, setup_s: Sequence[float], cpu_s: float, calls: int) -> Rung:
    if not setup_s:
        return Rung(rate, max(1, failed), 0.0, 0.0, 0.0)
    p50, p99 = (1000 * percentile(setup_s, share) for share in (0.5, 0.99))
    return Rung(rate, failed, p50, p99, 1000 * cpu_s / max(1, calls))


ROWS: tuple[tuple[str, str, Callable[[Climb], float]], ...] = (
    ("clean callbacks/s, raw ESL script", "{:.0f}", lambda c: c.raw.per_second),
    ("clean callbacks/s, Patchbay", "{:.0f}", lambda c: c.ours.per_second),
    ("ratio", "{:.2f}", lambda c: c.ratio),
    ("controller CPU per callback, ms", "{:.2f}", lambda c: c.ours.controller_ms),
    ("FreeSWITCH CPU per callback, ms (raw)", "{:.1f}", lambda c: c.raw.pbx_ms),
    ("FreeSWITCH CPU per callback, ms (Patchbay)", "{:.1f}", lambda c: c.ours.pbx_ms),
    ("set-up, ms p50 (raw)", "{:.0f}", lambda c: c.raw.setup_p50),
    ("set-up, ms p50 (Patchbay)", "{:.0f}", lambda c: c.ours.setup_p50),
    ("set-up, ms p99 (raw)", "{:.0f}", lambda c: c.raw.setup_p99),
    ("set-up, ms p99 (Patchbay)", "{:.0f}", lambda c: c.ours.setup_p99),
    ("events behind, ms p99", "{:.0f}", lambda c: c.ours.lag),
)


def table(load: Load, climbs: Sequence[Climb]) -> Table:
    """Medians, with the least and the most."""
    return figures_table(f"callback on FreeSWITCH: {load.label}, {load.hold_s} s talk, every step durable", ROWS, climbs)
