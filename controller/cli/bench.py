"""`patchbay bench`: what this machine's PBX can do, and what is left of that with every step durable."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol, TypeVar

import click
from rich.console import Console
from rich.table import Table

from controller.bench import callback as asterisk
from controller.bench import capacity
from controller.bench import ladder as freeswitch
from controller.bench.ours import BenchFailed
from controller.bench.room import Load
from controller.lab.freeswitch import FreeSwitchFailed


class Result(Protocol):
    """What a round gave."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""


R = TypeVar("R", bound=Result)


@click.group()
def command() -> None:
    """Measure, as a ratio to the PBX's own limit in the same run."""


@command.command()
@click.option("--pbx", type=click.Choice(["asterisk", "freeswitch"]), default="asterisk", show_default=True)
@click.option("--runs", default=5, show_default=True, help="How often; medians are printed.")
@click.option("--seconds", default=10, show_default=True, help="How long each load lasts.")
@click.option("--rtp/--no-rtp", default=True, help="With audio both ways.")
@click.option("--record/--no-record", default=True, help="Recorded in stereo.")
@click.option("--webhook/--no-webhook", default=False, help="With a receiver of all events (Asterisk).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def callback(
    pbx: Literal["asterisk", "freeswitch"], runs: int, seconds: int, rtp: bool, record: bool, webhook: bool, as_json: bool
) -> None:
    """Callbacks per second, set-up time, CPU: a raw AMI or ESL script and the controller in turn on the same PBX.

    FreeSWITCH does not recover from overload: there the rate climbs to the highest that is carried cleanly."""
    load = Load(rtp=rtp, record=record)
    if pbx == "freeswitch":
        _show(runs, load, as_json, lambda say: freeswitch.climb(load, seconds, say), freeswitch.table)
    else:
        _show(runs, load, as_json, lambda say: asterisk.bench(load, seconds, webhook, say), asterisk.table)


def _show(
    runs: int,
    load: Load,
    as_json: bool,
    measure: Callable[[Callable[[str], None]], Coroutine[Any, Any, R]],
    table: Callable[[Load, Sequence[R]], Table],
) -> None:
    """Measure so often, and print what came of it."""
    progress = Console(stderr=True)
    results: list[R] = []
    try:
        for number in range(1, runs + 1):
            progress.print(f"run {number} of {runs}: {load.label}", highlight=False)
            results.append(asyncio.run(measure(lambda text: progress.print("  " + text, highlight=False))))
    except (BenchFailed, freeswitch.NotClean, FreeSwitchFailed) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps([result.plain() for result in results]))
    else:
        Console().print(table(load, results))


@command.command()
@click.option("--calls", default=500, show_default=True, help="How many at once.")
@click.option("--seconds", default=15, show_default=True, help="How long all of them are held.")
@click.option("--rtp/--no-rtp", default=False, help="With audio both ways.")
@click.option("--record/--no-record", default=False, help="Recorded in stereo.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def hold(calls: int, seconds: int, rtp: bool, record: bool, as_json: bool) -> None:
    """Calls held at once on Asterisk."""
    load = Load(rtp=rtp, record=record)
    _show(1, load, as_json, lambda say: capacity.hold(load, calls, seconds, say), capacity.held_table)


@command.command()
@click.option("--rate", default=200.0, show_default=True, help="Requests per second.")
@click.option("--seconds", default=5, show_default=True, help="For how long.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def accept(rate: float, seconds: int, as_json: bool) -> None:
    """How fast callbacks are accepted, durably, while calls go on."""
    load = Load(rtp=False, record=False)
    _show(1, load, as_json, lambda say: capacity.accept(load, rate, seconds, say), capacity.accepted_table)


@command.command()
@click.option("--calls", default=500, show_default=True, help="How many of each kind.")
@click.option("--runs", default=3, show_default=True, help="How often.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def inbound(calls: int, runs: int, as_json: bool) -> None:
    """What a masked call's decision adds to its set-up: INVITE in to INVITE out, against a static dialplan."""
    from controller.bench import inbound as room

    _show(runs, Load(rtp=False, record=False), as_json, lambda say: room.bench(calls, say), room.table)


@command.command()
@click.option(
    "--database",
    metavar="URL",
    help="Of its own, empty or filled by this before [a SQLite file that is removed afterwards].",
)
@click.option("--bindings", default=1_000_000, show_default=True, help="How many there are at last; begins with 1,000.")
@click.option("--count", default=5000, show_default=True, help="How many look-ups and bindings are measured at each size.")
@click.option("--fill", is_flag=True, help="Only fill the database; to measure on a quiet machine later.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def masking(database: str | None, bindings: int, count: int, fill: bool, as_json: bool) -> None:
    """Look-ups and new bindings, from a thousand bindings to a million."""
    from controller.bench import masking as room

    progress = Console(stderr=True)
    sizes = (*(size for size in (1_000, 10_000, 100_000, 1_000_000) if size < bindings), bindings)
    lines = asyncio.run(room.alone(database, sizes, count, lambda told: progress.print(told, highlight=False), not fill))
    if as_json:
        click.echo(json.dumps([line.plain() for line in lines]))
    else:
        Console().print(room.table(lines))
