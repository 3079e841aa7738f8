"""One round of the callback bench: the raw script and the controller in turn, at saturation and at a steady 50 a second."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rich.table import Table

from controller.bench.figures import Plain, figures_table, percentile, usage
from controller.bench.ours import accept_p99, controller, run
from controller.bench.raw import RawScript
from controller.bench.receiver import Receiver
from controller.bench.room import CALLER, DISPLAY, Load, Room

STEADY = 50.0
SETTING_UP = 20
"""Set-ups under way at saturation: enough to keep the PBX busy, few enough that none waits for long."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verdict(Plain):
    """One round.  Rates in callbacks per second, times in ms, memory in MB."""

    DERIVED = ("ratio",)
    raw_per_second: float
    ours_per_second: float
    raw_pbx_ms: float
    ours_pbx_ms: float
    controller_ms: float
    rss_mb: float
    raw_setup_p50: float
    raw_setup_p99: float
    ours_setup_p50: float
    ours_setup_p99: float
    accept_p99: float
    lag_p99: float
    most_alive: int
    failed: int
    delivered: int

    @property
    def ratio(self) -> float:
        """Ours to raw."""
        return self.ours_per_second / self.raw_per_second if self.raw_per_second else 0.0


async def bench(load: Load, seconds: int, webhook: bool, say: Say) -> Verdict:
    """One round, in a room of its own.  Raises BenchFailed."""
    with Room(load) as room:
        pbx = room.pbx.pid or 0
        say("raw AMI script at saturation")
        before = usage(pbx)
        async with RawScript(room.ami, CALLER, "callers", DISPLAY) as script:
            await script.saturate(SETTING_UP, seconds)
            raw = script.outcome
        raw_used = usage(pbx) - before
        raw_rate = _middle_rate(raw.ended, seconds)
        room.allow(round(raw_rate * load.hold_s) + SETTING_UP)
        say("raw AMI script at 50/s")
        async with RawScript(room.ami, CALLER, "callers", DISPLAY) as script:
            await script.pace(STEADY, seconds)
            steady = script.outcome
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(controller(room))
            receiver = await stack.enter_async_context(Receiver()) if webhook else None
            if receiver:
                await one.post("/v1/webhooks", {"url": receiver.url})
            say("controller at saturation")
            full = await run(one, seconds)
            say("controller at 50/s")
            paced = await run(one, seconds, STEADY)
        return Verdict(
            raw_per_second=raw_rate,
            ours_per_second=full.per_second,
            raw_pbx_ms=1000 * raw_used.cpu_s / max(1, len(raw.ended)),
            ours_pbx_ms=1000 * full.pbx.cpu_s / max(1, full.completed),
            controller_ms=1000 * full.usage.cpu_s / max(1, full.completed),
            rss_mb=full.usage.rss / 1e6,
            raw_setup_p50=1000 * percentile(steady.setup_s, 0.5),
            raw_setup_p99=1000 * percentile(steady.setup_s, 0.99),
            ours_setup_p50=1000 * percentile(paced.setup_s, 0.5),
            ours_setup_p99=1000 * percentile(paced.setup_s, 0.99),
            accept_p99=1000 * accept_p99(paced),
            lag_p99=1000 * full.lag_p99_s,
            most_alive=full.most_alive,
            failed=full.failed + paced.failed + raw.failed + steady.failed,
            delivered=receiver.received if receiver else 0,
        )


def _middle_rate(ended: Sequence[float], seconds: float) -> float:
    """Ends per second without the first and last parts of a run, when the number of calls alive is not steady."""
    if not ended:
        return 0.0
    first = min(ended) + 0.25 * seconds
    last = min(ended) + 0.9 * seconds
    return sum(first <= moment < last for moment in ended) / (last - first)


ROWS: tuple[tuple[str, str, Callable[[Verdict], float]], ...] = (
    ("callbacks/s, raw AMI script", "{:.0f}", lambda v: v.raw_per_second),
    ("callbacks/s, Patchbay", "{:.0f}", lambda v: v.ours_per_second),
    ("ratio", "{:.2f}", lambda v: v.ratio),
    ("controller CPU per callback, ms", "{:.2f}", lambda v: v.controller_ms),
    ("Asterisk CPU per callback, ms (raw)", "{:.2f}", lambda v: v.raw_pbx_ms),
    ("Asterisk CPU per callback, ms (Patchbay)", "{:.2f}", lambda v: v.ours_pbx_ms),
    ("set-up at 50/s, ms p50 (raw)", "{:.1f}", lambda v: v.raw_setup_p50),
    ("set-up at 50/s, ms p50 (Patchbay)", "{:.1f}", lambda v: v.ours_setup_p50),
    ("set-up at 50/s, ms p99 (raw)", "{:.1f}", lambda v: v.raw_setup_p99),
    ("set-up at 50/s, ms p99 (Patchbay)", "{:.1f}", lambda v: v.ours_setup_p99),
    ("API accept at 50/s, ms p99", "{:.1f}", lambda v: v.accept_p99),
    ("event lag at saturation, ms p99", "{:.0f}", lambda v: v.lag_p99),
    ("most calls at once (Patchbay)", "{:.0f}", lambda v: v.most_alive),
    ("controller memory, MB", "{:.0f}", lambda v: v.rss_mb),
    ("events delivered by webhook", "{:.0f}", lambda v: v.delivered),
    ("calls that failed", "{:.0f}", lambda v: v.failed),
)


def table(load: Load, verdicts: Sequence[Verdict]) -> Table:
    """Medians, with the least and the most."""
    return figures_table(f"callback: {load.label}, {load.hold_s} s talk, every step durable", ROWS, verdicts)
