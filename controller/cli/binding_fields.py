"""What bindings can be told, at their making and later, and the requests' fields made of it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from controller.cli.given import METADATA, nullable, pairs

R = TypeVar("R")
TTL_FROM = click.option("--ttl-from", type=click.Choice(["created", "last_call"]), help="From when on --ttl counts.")
RULES = "allowed, announce, ring_timeout_s, record, max_duration_s, otherwise"
SHARED = (
    TTL_FROM,
    click.option("--a-to-b", multiple=True, metavar="KEY=VALUE", help=f"For calls of A: {RULES}; repeatable."),
    click.option("--b-to-a", multiple=True, metavar="KEY=VALUE", help="For calls to A, the same."),
    click.option("--block", multiple=True, metavar="NUMBER", help="Who is refused; repeatable."),
    click.option("--allow", multiple=True, metavar="NUMBER", help="Of anyone, only these; repeatable."),
    click.option("--reference", metavar="TEXT"),
    METADATA,
)
NEW = (
    click.option("--mode", type=click.Choice(["axb", "ax", "axn", "axe", "axyb"]), default="axb", show_default=True),
    click.option("--x", metavar="NUMBER", help="The X; left out: one of the pool."),
    click.option("--y", metavar="NUMBER", help="The Y of axyb; left out: one of the pool."),
    click.option("--extension", metavar="DIGITS", help="Of axe; left out: chosen."),
    click.option("--pool", metavar="NAME", help="Name or id; left out: your only one."),
    click.option("--area", metavar="TEXT"),
    click.option("--ttl", "ttl_s", type=int, metavar="SECONDS", help="When it ends by itself; left out: never."),
    click.option("--a-pin", metavar="DIGITS", help="What A keys in from a phone that is not known; not shown again."),
    click.option("--b-pin", metavar="DIGITS", help="The same of B."),
    *SHARED,
)
CHANGE = (
    click.option("--b", metavar="NUMBER|none", help="Of ax, axn and axe: whom A reaches by dialling X."),
    click.option("--temporary-callee", metavar="NUMBER|none", help="Whom A reaches instead for a while."),
    click.option("--temporary", "temporary_s", type=int, metavar="SECONDS", help="How long that is [300]."),
    click.option("--ttl", "ttl_s", metavar="SECONDS|never", help="When it ends by itself, counted from now."),
    *SHARED,
    click.option("--block-nobody", is_flag=True, help="Refuse nobody any more."),
    click.option("--allow-anybody", is_flag=True, help="Let anybody call again."),
)


def options(which: tuple[Callable[[Callable[..., R]], Callable[..., R]], ...]) -> Callable[..., Callable[..., R]]:
    """Give a command these options."""

    def give(command: Callable[..., R]) -> Callable[..., R]:
        for option in reversed(which):
            command = option(command)
        return command

    return give


def new_fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a new binding; what was not given is left out."""
    return nullable({**given, **_directions(given)})


def changed_fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a change; `none` and `never` are null.  Ends in exit code 2 if there is nothing to change."""
    nobody, anybody = given.pop("block_nobody"), given.pop("allow_anybody")
    found = nullable({**given, **_directions(given)}, "none", "never")
    if isinstance(found.get("ttl_s"), str):
        if not found["ttl_s"].isdecimal():
            raise click.UsageError("--ttl takes seconds, or never")
        found["ttl_s"] = int(found["ttl_s"])
    if "temporary_s" in found and "temporary_callee" not in found:
        raise click.UsageError("say whom: --temporary-callee")
    found |= {name: [] for name, empty in (("block", nobody), ("allow", anybody)) if empty}
    if not found:
        raise click.UsageError("say what to change")
    return found


def _directions(given: dict[str, Any]) -> dict[str, Any]:
    return {name: pairs(given[name], "--" + name.replace("_", "-")) for name in ("a_to_b", "b_to_a")}
