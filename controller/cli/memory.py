"""`patchbay memory`: who reaches whom by dialling a display number after a callback."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, show, show_list


@click.group("memory")
def command() -> None:
    """Call memories: who was called by a callback dials the number that was shown, and reaches the original caller."""


@command.command("list")
@click.option("--number", metavar="NUMBER", help="Of whoever has this number.")
@limited
@connected
def list_all(api: Api, limit: int, number: str | None) -> None:
    """What is remembered now, the newest first."""
    columns = {
        "id": lambda item: item["id"],
        "display": lambda item: item["display"],
        "party": lambda item: item["party"],
        "reaches": lambda item: item["forward_to"] or item["caller"],
        "until": lambda item: item["expires_at"],
        "uses": lambda item: item["uses"],
    }
    show_list(api, api.items("/v1/memories", limit, number=number), columns)


@command.command("show")
@click.argument("memory_id")
@connected
def show_one(api: Api, memory_id: str) -> None:
    """One memory."""
    _show(api, api.send("GET", f"/v1/memories/{memory_id}"))


@command.command()
@click.argument("memory_id")
@click.option("--caller", metavar="NUMBER", help="Another original caller.")
@click.option("--forward-to", metavar="NUMBER", help="Who is reached in the caller's place; `none` for the caller again.")
@click.option("--ttl", "ttl_s", type=int, metavar="SECONDS", help="How long it lasts from now on.")
@connected
def change(api: Api, memory_id: str, **fields: Any) -> None:
    """Change whom it reaches, or for how long."""
    body = {name: value for name, value in fields.items() if value is not None}
    if body.get("forward_to") == "none":
        body["forward_to"] = None
    _show(api, api.send("PATCH", f"/v1/memories/{memory_id}", body))


@command.command()
@click.argument("memory_id")
@connected
def forget(api: Api, memory_id: str) -> None:
    """Forget it."""
    api.send("DELETE", f"/v1/memories/{memory_id}")
    show(api, {"id": memory_id, "forgotten": True}, {"forgotten": memory_id})


def _show(api: Api, memory: dict[str, Any]) -> None:
    told = {name: memory[name] for name in ("id", "display", "party", "caller", "forward_to", "expires_at", "uses")}
    show(api, memory, told)
