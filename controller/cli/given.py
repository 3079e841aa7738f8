"""What several commands are given in the same way: periods, filters of calls, JSON, and `none` for null."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

R = TypeVar("R")


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object, such as `{"order": 42}`."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object.  Ends in exit code 2 for anything else."""
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.fail("write a JSON object, such as '{\"order\": 42}'", param, ctx)
        return found


METADATA = click.option("--metadata", type=JsonObject(), metavar="JSON", help="An object of your own, echoed as it is.")


def _all(options: Iterable[Callable[[Callable[..., R]], Callable[..., R]]], command: Callable[..., R]) -> Callable[..., R]:
    for option in reversed(list(options)):
        command = option(command)
    return command


def period(command: Callable[..., R]) -> Callable[..., R]:
    """`from_` and `to`, as the API takes them."""
    options = (
        click.option("--from", "from_", metavar="TIME", help="At or after this time, such as 2026-01-31T00:00:00Z."),
        click.option("--to", metavar="TIME", help="Before this time."),
    )
    return _all(options, command)


def call_filters(command: Callable[..., R]) -> Callable[..., R]:
    """What calls and their records can be narrowed by."""
    options = (
        click.option("--number", metavar="NUMBER", help="Caller or callee."),
        click.option("--reference", metavar="TEXT"),
        click.option("--disposition", metavar="NAME", help="completed, busy, no_answer ..."),
        click.option("--binding", "binding_id", metavar="ID"),
        period,
    )
    return _all(options, command)


def pairs(given: Iterable[str], name: str) -> dict[str, Any] | None:
    """`KEY=VALUE` as an object, None where there is none; a value that is JSON is taken for what it is.

    >>> pairs(["record=true", "announce=connecting"], "--a-to-b")
    {'record': True, 'announce': 'connecting'}
    """
    found: dict[str, Any] = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise click.UsageError(f"{name} takes KEY=VALUE, such as record=true")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found or None


def nullable(fields: dict[str, Any], *words: str) -> dict[str, Any]:
    """The fields that were given; one that says one of these words is null."""
    return {name: None if value in words else value for name, value in fields.items() if value is not None and value != ()}
