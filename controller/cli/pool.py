"""`patchbay pool`: the X numbers to choose from."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, show, show_list
from controller.cli.given import nullable


@click.group("pool")
def command() -> None:
    """Pools of X numbers; `patchbay number add --x --pool` puts one in."""


@command.command()
@click.argument("name")
@click.option("--area-match", type=click.Choice(["loose", "strict"]))
@click.option("--cool-off", "cool_off_s", type=int, metavar="SECONDS", help="How long a number rests after a binding.")
@click.option("--unknown", type=click.Choice(["reject", "prompt", "pin"]), help="What becomes of a phone that is not known.")
@click.option("--prompt", metavar="NAME", help="What such a phone hears.")
@connected
def add(api: Api, name: str, **fields: Any) -> None:
    """Make a pool."""
    body = {"name": name, **{field: value for field, value in fields.items() if value is not None}}
    made = api.send("POST", "/v1/pools", body)
    show(api, made, {"id": made["id"], "name": made["name"]})


@command.command("list")
@limited
@connected
def list_all(api: Api, limit: int) -> None:
    """Your pools."""
    columns = {
        "id": lambda item: item["id"],
        "name": lambda item: item["name"],
        "numbers": lambda item: item["numbers"],
        "area": lambda item: item["area_match"],
        "cool-off s": lambda item: item["cool_off_s"],
        "unknown": lambda item: item["unknown"],
    }
    show_list(api, api.items("/v1/pools", limit), columns)


@command.command()
@click.argument("pool_id")
@click.option("--area-match", type=click.Choice(["loose", "strict"]))
@click.option("--cool-off", "cool_off_s", type=int, metavar="SECONDS", help="How long a number rests after a binding.")
@click.option("--unknown", type=click.Choice(["reject", "prompt", "pin"]), help="What becomes of a phone that is not known.")
@click.option("--prompt", metavar="NAME|none", help="What such a phone hears.")
@connected
def change(api: Api, pool_id: str, **fields: Any) -> None:
    """Change a pool; bindings that are there keep their cool-off."""
    if not (given := nullable(fields, "none")):
        raise click.UsageError("say what to change")
    changed = api.send("PATCH", f"/v1/pools/{pool_id}", given)
    show(api, changed, {name: changed[name] for name in ("id", "name", "area_match", "cool_off_s", "unknown", "prompt")})


@command.command()
@click.argument("pool_id")
@connected
def remove(api: Api, pool_id: str) -> None:
    """Remove an empty pool."""
    api.send("DELETE", f"/v1/pools/{pool_id}")
    show(api, {"id": pool_id, "removed": True}, {"removed": pool_id})
