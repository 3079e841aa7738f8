"""`patchbay call`: every call, whatever it came from."""

import uuid
from typing import Any, get_args

import click

from controller.cli import watching
from controller.cli.calls_shown import call_lines, show_calls
from controller.cli.common import Api, connected, limited, show
from controller.cli.given import call_filters, nullable
from controller.core.verbs import Notice


@click.group("call")
def command() -> None:
    """Look at calls, follow one live, act on it."""


@command.command("list")
@click.option("--status", metavar="STATUS", help="queued, dialing, ringing, answered, bridged, ended, or live.")
@click.option("--kind", type=click.Choice(["callback", "masked", "inbound", "robot"]))
@call_filters
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


ACTIONS = (
    "hangup", "mute", "unmute", "play", "record", "pause_recording", "resume_recording", "stop_recording", "transfer",
)  # fmt: skip
TAKES = {
    "mute": {"leg"}, "unmute": {"leg"}, "play": {"leg", "prompts"}, "transfer": {"to", "display"},
    "record": {"recording_notice"},
}  # fmt: skip
NEEDS = {"play": {"prompts"}, "transfer": {"to", "display"}}


@command.command()
@click.argument("call_id")
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("prompts", metavar="[PROMPT]...", nargs=-1)
@click.option("--leg", metavar="NAME", help="Of mute, unmute and play: caller (if left out), callee, transfer ...")
@click.option("--to", metavar="NUMBER", help="Of transfer: to whom the caller is connected.")
@click.option("--display", metavar="NUMBER", help="Of transfer: what that phone shows.")
@click.option("--recording-notice", type=click.Choice(get_args(Notice)), help="Of record: who is told before.")
@click.option("--idempotency-key", metavar="TEXT", help="A repeat with the same key does nothing more.")
@connected
def act(api: Api, call_id: str, action: str, idempotency_key: str | None, **fields: Any) -> None:
    """Do something to a live call; what comes of it is told by its events."""
    given = nullable(fields)
    if extra := given.keys() - TAKES.get(action, set()):
        raise click.UsageError(f"{action} takes no {', '.join(sorted(extra))}")
    if missing := NEEDS.get(action, set()) - given.keys():
        raise click.UsageError(f"{action} needs {', '.join(sorted(missing))}")
    key = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    call = api.send("POST", f"/v1/calls/{call_id}/actions", {"action": action, **given}, key)
    show(api, call, {"id": call["id"], "status": call["status"]})
