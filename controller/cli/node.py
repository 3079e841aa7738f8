"""`patchbay node`: the PBXes."""

from typing import Any, TextIO

import click
import yaml

from controller.cli.common import USAGE, Api, Ended, connected, print_json, show, show_list


@click.group("node")
def command() -> None:
    """The PBXes behind the API; for operators."""


@command.command("list")
@connected
def list_all(api: Api) -> None:
    """All PBXes."""
    show_list(
        api,
        api.items("/v1/nodes", None),
        {
            "name": lambda node: node["name"],
            "kind": lambda node: node["kind"],
            "state": lambda node: node["state"],
            "calls": lambda node: f"{node['live_calls']} of {node['capacity']}",
            "since": lambda node: node["since"],
            "reason": lambda node: node["reason"],
        },
    )


@command.command()
@click.argument("file", type=click.File())
@connected
def add(api: Api, file: TextIO) -> None:
    """Add the PBX that FILE describes (`-` for stdin), in the form that an entry of `nodes:` in the configuration has.

    Its secrets are kept by the controller and never shown again."""
    try:
        document: Any = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise Ended(f"{file.name} is no YAML: {error}", USAGE) from None
    if not isinstance(document, dict):
        raise Ended(f"{file.name} describes no node; begin with `name:`", USAGE)
    _show(api, api.send("POST", "/v1/nodes", document))


@command.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let it have new calls again.")
@connected
def drain(api: Api, name: str, undo: bool) -> None:
    """Give a PBX no new calls; those that it has go on."""
    _show(api, api.send("PATCH", f"/v1/nodes/{name}", {"state": "up" if undo else "draining"}))


@command.command()
@click.argument("name")
@connected
def remove(api: Api, name: str) -> None:
    """Forget a PBX that was added, is drained, and has no calls left."""
    api.send("DELETE", f"/v1/nodes/{name}")
    if api.as_json:
        print_json({"name": name, "removed": True})
    else:
        click.echo(f"removed {name}")


def _show(api: Api, node: dict[str, Any]) -> None:
    show(api, node, {"name": node["name"], "state": node["state"], "calls": node["live_calls"]})
