"""`patchbay binding`: who reaches whom through which X."""

import uuid
from typing import Any

import click

from controller.cli.binding_fields import CHANGE, NEW, changed_fields, new_fields, options
from controller.cli.common import Api, connected, limited, show, show_list
from controller.cli.given import period


@click.group("binding")
def command() -> None:
    """Masked numbers: let two sides reach each other through X only."""


@command.command()
@click.argument("a")
@click.argument("b", required=False)
@options(NEW)
@click.option("--idempotency-key", metavar="TEXT", help="A repeat with the same key binds nothing more.")
@connected
def create(api: Api, a: str, b: str | None, idempotency_key: str | None, **fields: Any) -> None:
    """Bind A and B, or A alone where anyone may call."""
    body = new_fields({"a": a, "b": b, **fields})
    made = api.send("POST", "/v1/bindings", body, {"Idempotency-Key": idempotency_key or str(uuid.uuid4())})
    show(api, made, _lines(made))


@command.command("list")
@click.option("--status", type=click.Choice(["active", "released", "expired"]))
@click.option("--number", metavar="NUMBER", help="A or B.")
@click.option("--x", metavar="NUMBER", help="X or Y.")
@click.option("--reference", metavar="TEXT")
@period
@limited
@connected
def list_all(api: Api, limit: int, **where: Any) -> None:
    """Bindings, the newest first."""
    columns = {
        "id": lambda item: item["id"],
        "mode": lambda item: item["mode"],
        "status": lambda item: item["status"],
        "x": _shown,
        "expires": lambda item: item["expires_at"] or "never",
        "reference": lambda item: item["reference"],
    }
    show_list(api, api.items("/v1/bindings", limit, **where), columns)


@command.command("show")
@click.argument("binding_id")
@connected
def show_one(api: Api, binding_id: str) -> None:
    """One binding as it is now."""
    found = api.send("GET", f"/v1/bindings/{binding_id}")
    show(api, found, {**_lines(found), "a": found["a"], "b": found["b"], "last call": found["last_call_at"]})


@command.command()
@click.argument("binding_id")
@options(CHANGE)
@connected
def change(api: Api, binding_id: str, **fields: Any) -> None:
    """Change what is given; rules of a direction, and lists of numbers, are given as a whole.  A live call goes on."""
    made = api.send("PATCH", f"/v1/bindings/{binding_id}", changed_fields(fields))
    show(api, made, {**_lines(made), "b": made["b"], "for a while": made["temporary_callee"]})


@command.command()
@click.argument("binding_id")
@limited
@connected
def events(api: Api, binding_id: str, limit: int) -> None:
    """What happened to a binding, in order."""
    columns = {
        "at": lambda event: event["occurred_at"],
        "event": lambda event: event["type"],
        "x": lambda event: event["data"]["x"],
    }
    show_list(api, api.items(f"/v1/bindings/{binding_id}/events", limit), columns)


@command.command()
@click.argument("binding_id")
@connected
def release(api: Api, binding_id: str) -> None:
    """End a binding; a live call goes on."""
    ended = api.send("DELETE", f"/v1/bindings/{binding_id}")
    show(api, ended, {"id": ended["id"], "status": ended["status"]})


def _lines(binding: dict[str, Any]) -> dict[str, Any]:
    expires = binding["expires_at"] or "never"
    return {"id": binding["id"], "status": binding["status"], "x": _shown(binding), "expires": expires}


def _shown(binding: dict[str, Any]) -> str:
    """X, and what goes with it."""
    if binding["y"]:
        return f"{binding['x']} / {binding['y']}"
    return f"{binding['x']} ext. {binding['extension']}" if binding["extension"] else str(binding["x"])
