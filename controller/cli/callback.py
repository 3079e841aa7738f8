"""`patchbay callback`: make, look at and cancel callbacks."""

import uuid
from typing import Any

import click

from controller.cli import watching
from controller.cli.callback_fields import callback_options, fields, party
from controller.cli.calls_shown import call_lines, show_calls
from controller.cli.common import FAILED, Api, Ended, connected, limited, print_json, show
from controller.cli.given import call_filters


@click.group("callback")
def command() -> None:
    """Ring the caller, then the callee, and bridge them."""


@command.command()
@click.argument("caller")
@click.argument("callee")
@callback_options
@click.option("--idempotency-key", metavar="TEXT", help="A repeat with the same key makes no second call.")
@click.option("--watch", is_flag=True, help="Follow the call until it has ended.")
@connected
def create(api: Api, caller: str, callee: str, watch: bool, idempotency_key: str | None, **options: Any) -> None:
    """Call CALLER, then CALLEE, and connect them.  One of them may be an agent's id, or `queue`."""
    body: dict[str, Any] = {"caller": party(caller), "callee": party(callee), **fields(options)}
    key = idempotency_key or str(uuid.uuid4())
    made = api.send("POST", "/v1/callbacks", body, {"Idempotency-Key": key})
    if watch:
        watching.watch(api, made["id"])
    else:
        show(api, made, {"id": made["id"], "status": made["status"], "place in queue": made["queue_position"]})


@command.command("show")
@click.argument("callback_id")
@connected
def show_one(api: Api, callback_id: str) -> None:
    """One callback as it is now."""
    call = api.send("GET", f"/v1/callbacks/{callback_id}")
    show(api, call, call_lines(call))


@command.command()
@click.argument("callback_id")
@click.option("--unless", type=click.Choice(["ringing", "answered"]), help="Keep it when the callee has got that far.")
@connected
def cancel(api: Api, callback_id: str, unless: str | None) -> None:
    """Give a callback up.  Exit code 1 when it was kept."""
    answer = api.send("DELETE", f"/v1/callbacks/{callback_id}", unless=unless)
    if api.as_json:
        print_json(answer)
    if not answer["canceled"]:
        raise Ended(f"kept: {answer['kept_because']}", FAILED)
    if not api.as_json:
        click.echo("canceled" + (f", dropped: {', '.join(answer['dropped'])}" if answer["dropped"] else ""))


@command.command("list")
@click.option("--status", metavar="STATUS", help="queued, dialing, ringing, answered, bridged, ended, or live.")
@call_filters
@limited
@connected
def list_all(api: Api, limit: int, **where: Any) -> None:
    """Callbacks, the newest first."""
    show_calls(api, api.items("/v1/callbacks", limit, **where))
