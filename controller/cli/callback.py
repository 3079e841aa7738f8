"""`patchbay callback`: make, look at and cancel callbacks."""

import uuid
from typing import Any

import click

from controller.cli import watching
from controller.cli.calls_shown import call_lines, show_calls
from controller.cli.common import FAILED, Api, Ended, connected, limited, print_json, show

THEN = ("hang_up", "continue")


@click.group("callback")
def command() -> None:
    """Ring the caller, then the callee, and bridge them."""


@command.command()
@click.argument("caller")
@click.argument("callee")
@click.option("--caller-display", metavar="NUMBER", help="What the caller's phone shows.")
@click.option("--callee-display", metavar="NUMBER", help="What the callee's phone shows.")
@click.option("--display", metavar="NUMBER", help="What both phones show.")
@click.option("--record/--no-record", default=None, help="Record it.")
@click.option("--notice", type=click.Choice(["both", "caller", "callee", "none"]), help="Who is told of the recording.")
@click.option("--max-duration", type=int, metavar="SECONDS")
@click.option("--ring-caller", type=int, metavar="SECONDS")
@click.option("--ring-callee", type=int, metavar="SECONDS")
@click.option("--confirm-key", metavar="KEY", help="The caller must press this key before the callee is dialled.")
@click.option("--confirm-prompt", metavar="PROMPT", help="What the caller hears then; press-1 by default.")
@click.option(
    "--on-machine", type=click.Choice(THEN), help="Listen to who answers the caller's phone; what then, if a machine."
)
@click.option("--on-unknown", type=click.Choice(THEN), help="The same, if it cannot be told.")
@click.option("--schedule-at", metavar="TIME", help="Start no sooner, such as 2030-01-31T13:45:00Z.")
@click.option("--not-after", metavar="TIME", help="Give it up when it has not started by then.")
@click.option("--retries", type=int, metavar="COUNT", help="Try again so often when it comes to nothing.")
@click.option("--backoff", type=int, metavar="SECONDS", help="How long after the end of an attempt the next begins.")
@click.option("--retry-on", multiple=True, metavar="DISPOSITION", help="What another attempt follows; repeatable.")
@click.option("--memory", type=int, metavar="SECONDS", help="How long the callee can call back and reach the caller.")
@click.option("--flow", metavar="NAME")
@click.option("--reference", metavar="TEXT")
@click.option("--idempotency-key", metavar="TEXT", help="A repeat with the same key makes no second call.")
@click.option("--watch", is_flag=True, help="Follow the call until it has ended.")
@connected
def create(api: Api, caller: str, callee: str, watch: bool, idempotency_key: str | None, **options: Any) -> None:
    """Call CALLER, then CALLEE, and connect them.  One of them may be an agent's id, or `queue`."""
    body: dict[str, Any] = {"caller": _party(caller), "callee": _party(callee), **_fields(options)}
    key = idempotency_key or str(uuid.uuid4())
    made = api.send("POST", "/v1/callbacks", body, {"Idempotency-Key": key})
    if watch:
        watching.watch(api, made["id"])
    else:
        show(api, made, {"id": made["id"], "status": made["status"], "place in queue": made["queue_position"]})


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """The request's fields; what was not given is left out, so that the defaults are the API's own."""
    found = {
        "caller_display": options["caller_display"] or options["display"],
        "callee_display": options["callee_display"] or options["display"],
        "record": options["record"],
        "recording_notice": options["notice"],
        "max_duration_s": options["max_duration"],
        "flow": options["flow"],
        "reference": options["reference"],
        "memory_ttl_s": options["memory"],
        "schedule_at": options["schedule_at"],
        "not_after": options["not_after"],
        "retry": _retry(options),
    }
    confirm = {"key": options["confirm_key"], "prompt": options["confirm_prompt"]}
    found["confirm"] = {name: value for name, value in confirm.items() if value is not None} or None
    machine = {name: options[name] for name in ("on_machine", "on_unknown") if options[name] is not None}
    found["machine_detection"] = machine or None
    ring = {"caller": options["ring_caller"], "callee": options["ring_callee"]}
    ring = {leg: seconds for leg, seconds in ring.items() if seconds is not None}
    if not (found["caller_display"] and found["callee_display"]):
        raise click.UsageError("say what each phone shows: --display, or --caller-display and --callee-display")
    return {name: value for name, value in found.items() if value is not None} | ({"ring_timeout_s": ring} if ring else {})


def _party(given: str) -> str | dict[str, str]:
    if given == "queue":
        return {"queue": "default"}
    return {"agent": given} if given.startswith("agt_") else given


def _retry(options: dict[str, Any]) -> dict[str, Any] | None:
    if options["retries"] is None:
        return None
    plan = {"attempts": options["retries"], "backoff_s": options["backoff"], "on": list(options["retry_on"]) or None}
    return {name: value for name, value in plan.items() if value is not None}


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
@click.option("--number", metavar="NUMBER")
@click.option("--reference", metavar="TEXT")
@limited
@connected
def list_all(api: Api, limit: int, **where: Any) -> None:
    """Callbacks, the newest first."""
    show_calls(api, api.items("/v1/callbacks", limit, **where))
