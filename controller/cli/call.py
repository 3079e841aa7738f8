"""`patchbay call`: every call, whatever it came from."""

from typing import Any

import click

from controller.cli import watching
from controller.cli.calls_shown import call_lines, show_calls
from controller.cli.common import Api, connected, limited, show


@click.group("call")
def command() -> None:
    """Look at calls, follow one live, hang one up."""


@command.command("list")
@click.option("--status", metavar="STATUS", help="queued, dialing, ringing, answered, bridged, ended, or live.")
@click.option("--kind", type=click.Choice(["callback", "masked", "inbound", "robot"]))
@click.option("--number", metavar="NUMBER")
@click.option("--reference", metavar="TEXT")
@click.option("--disposition", metavar="NAME")
@limited
@connected
def list_all(api: Api, limit: int, **where: Any) -> None:
    """Calls, the newest first."""
    show_calls(api, api.items("/v1/calls", limit, **where))


@command.command("show")
@click.argument("call_id")
@connected
def show_one(api: Api, call_id: str) -> None:
    """One call as it is now."""
    call = api.send("GET", f"/v1/calls/{call_id}")
    show(api, call, call_lines(call))


@command.command()
@click.argument("call_id")
@connected
def watch(api: Api, call_id: str) -> None:
    """Follow a call until it has ended.  With --json: one event a line."""
    watching.watch(api, call_id)


@command.command()
@click.argument("call_id")
@connected
def hangup(api: Api, call_id: str) -> None:
    """End a call."""
    call = api.send("POST", f"/v1/calls/{call_id}/actions", {"action": "hangup"})
    show(api, call, {"id": call["id"], "status": call["status"]})
