"""`patchbay cdr`: the records of closed calls."""

import json
from typing import Any, TextIO

import click

from controller.cli.common import Api, connected, print_json
from controller.cli.given import call_filters


@click.group("cdr")
def command() -> None:
    """The records of closed calls."""


@command.command()
@call_filters
@click.option("--kind", "call_kind", type=click.Choice(["callback", "masked", "inbound", "robot"]))
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option(
    "--output", "-o", type=click.File("w", lazy=True, encoding="utf-8"), default="-", help="A file instead of stdout."
)
@connected
def export(api: Api, kind: str, call_kind: str | None, output: TextIO, **where: Any) -> None:
    """All records, the newest first: as CSV, or as JSON, a record a line."""
    count, where = 0, where | {"kind": call_kind}
    if kind == "csv":
        count = _csv(api, output, where)
    else:
        for record in api.items("/v1/cdrs", None, **where):
            output.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    if api.as_json and output.name != "<stdout>":
        print_json({"records": count, "file": output.name})


def _csv(api: Api, output: TextIO, where: dict[str, Any]) -> int:
    """Page by page; each page has a header line, and only the first one's is kept."""
    after, count = None, 0
    while True:
        answer = api.raw("GET", "/v1/cdrs", format="csv", limit=200, after=after, **where)
        lines = answer.text.splitlines(keepends=True)
        output.write("".join(lines if count == 0 and after is None else lines[1:]))
        count += max(0, len(lines) - 1)
        following = answer.links.get("next", {}).get("url")
        if following is None:
            return count
        after = str(answer.url.join(following).params["after"])
