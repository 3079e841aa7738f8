"""What `patchbay callback create` can be told, and the request's fields made of it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from controller.cli.given import METADATA

R = TypeVar("R")
THEN = click.Choice(["hang_up", "continue"])
WHOM = click.Choice(["both", "caller", "callee", "none"])
OPTIONS = (
    click.option("--caller-display", metavar="NUMBER", help="What the caller's phone shows."),
    click.option("--callee-display", metavar="NUMBER", help="What the callee's phone shows."),
    click.option("--display", metavar="NUMBER", help="What both phones show."),
    click.option("--record/--no-record", default=None, help="Record it."),
    click.option("--notice", type=WHOM, help="Who is told of the recording."),
    click.option("--max-duration", type=int, metavar="SECONDS"),
    click.option("--warn", type=WHOM, help="Who hears that the end is near."),
    click.option("--ring-caller", type=int, metavar="SECONDS"),
    click.option("--ring-callee", type=int, metavar="SECONDS"),
    click.option("--wait", type=click.Choice(["early_media", "ringback", "music"]), help="What the caller hears meanwhile."),
    click.option("--announce-caller", metavar="PROMPT|none", help="What the caller hears before the callee is dialled."),
    click.option("--announce-callee", metavar="PROMPT|none", help="What the callee hears before the two talk."),
    click.option("--confirm", is_flag=True, help="The caller must press a key (1) before the callee is dialled."),
    click.option("--confirm-key", metavar="KEY", help="The same with this key."),
    click.option("--confirm-prompt", metavar="PROMPT", help="What the caller hears then; press-1 by default."),
    click.option("--confirm-repeats", type=int, metavar="COUNT", help="How often it is said again."),
    click.option("--confirm-timeout", type=int, metavar="SECONDS", help="How long a key is waited for each time."),
    click.option("--confirm-replay-key", metavar="KEY", help="Says it again."),
    click.option("--confirm-hang-up-key", metavar="KEY", help="Ends the call."),
    click.option("--on-machine", type=THEN, help="Listen to who answers the caller's phone; what then, if a machine."),
    click.option("--on-unknown", type=THEN, help="The same, if it cannot be told."),
    click.option("--schedule-at", metavar="TIME", help="Start no sooner, such as 2030-01-31T13:45:00Z."),
    click.option("--not-after", metavar="TIME", help="Give it up when it has not started by then."),
    click.option("--retries", type=int, metavar="COUNT", help="Try again so often when it comes to nothing."),
    click.option("--backoff", type=int, metavar="SECONDS", help="How long after the end of an attempt the next begins."),
    click.option("--retry-on", multiple=True, metavar="DISPOSITION", help="What another attempt follows; repeatable."),
    click.option("--memory", type=int, metavar="SECONDS", help="How long the callee can call back and reach the caller."),
    click.option("--flow", metavar="NAME"),
    click.option("--reference", metavar="TEXT"),
    METADATA,
    click.option("--status-url", metavar="URL", help="Where this call's events are posted."),
)
RENAMED = {
    "notice": "recording_notice", "max_duration": "max_duration_s", "warn": "warn_to", "memory": "memory_ttl_s",
}  # fmt: skip
PLAIN = ("record", "wait", "schedule_at", "not_after", "flow", "reference", "metadata", "status_url", *RENAMED)
CONFIRM = {
    "confirm_key": "key", "confirm_prompt": "prompt", "confirm_repeats": "repeats", "confirm_timeout": "timeout_s",
    "confirm_replay_key": "replay_key", "confirm_hang_up_key": "hang_up_key",
}  # fmt: skip
RING = {"ring_caller": "caller", "ring_callee": "callee"}
ANNOUNCE = {"announce_caller": "caller", "announce_callee": "callee"}
MACHINE = {"on_machine": "on_machine", "on_unknown": "on_unknown"}
RETRY = {"retries": "attempts", "backoff": "backoff_s", "retry_on": "on"}


def callback_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command all of them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def fields(options: dict[str, Any]) -> dict[str, Any]:
    """The request's fields; what was not given is left out, so that the defaults are the API's own."""
    found = {leg + "_display": options[leg + "_display"] or options["display"] for leg in ("caller", "callee")}
    if None in found.values():
        raise click.UsageError("say what each phone shows: --display, or --caller-display and --callee-display")
    if options["retries"] is None and (options["backoff"] is not None or options["retry_on"]):
        raise click.UsageError("say how often: --retries")
    found |= {RENAMED.get(name, name): options[name] for name in PLAIN if options[name] is not None}
    confirm = _part(options, CONFIRM)
    announce = {leg: None if prompt == "none" else prompt for leg, prompt in _part(options, ANNOUNCE).items()}
    parts = {"ring_timeout_s": _part(options, RING), "announce": announce, "machine_detection": _part(options, MACHINE)}
    found |= {name: part for name, part in {**parts, "retry": _part(options, RETRY)}.items() if part}
    return found | ({"confirm": confirm} if confirm or options["confirm"] else {})


def party(given: str) -> str | dict[str, str]:
    """A number, an agent's id, or `queue`."""
    if given == "queue":
        return {"queue": "default"}
    return {"agent": given} if given.startswith("agt_") else given


def _part(options: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What was given of an object."""
    return {name: options[option] for option, name in names.items() if options[option] is not None and options[option] != ()}
