"""`patchbay trunk`: the ways out."""

from typing import Any, TextIO

import click
import yaml

from controller.cli.common import USAGE, Api, Ended, connected, limited, show, show_list

NEXT = "next, before calls take it: patchbay config render, and let the PBX reload that"


@click.group("trunk")
def command() -> None:
    """The trunks behind the API; for operators."""


@command.command("list")
@limited
@connected
def list_all(api: Api, limit: int) -> None:
    """All trunks: those of the configuration, and those that were added."""
    columns = {
        "name": lambda trunk: trunk["name"],
        "state": lambda trunk: trunk["state"],
        "prefixes": lambda trunk: ", ".join(prefix or "any" for prefix in trunk["prefixes"]),
        "on": lambda trunk: ", ".join([*trunk["nodes"], *trunk["kinds"]]) or "all",
        "per second": lambda trunk: trunk["calls_per_second"],
        "at once": lambda trunk: trunk["concurrent"],
        "from": lambda trunk: "added" if trunk["added"] else "configuration",
    }
    show_list(api, api.items("/v1/trunks", limit), columns)


@command.command("show")
@click.argument("name")
@connected
def show_one(api: Api, name: str) -> None:
    """One trunk, without its password."""
    _show(api, api.send("GET", f"/v1/trunks/{name}"))


@command.command()
@click.argument("file", type=click.File())
@connected
def add(api: Api, file: TextIO) -> None:
    """Add the trunk that FILE describes (`-` for stdin), in the form that an entry of `trunks:` in the configuration has.

    Its password is kept by the controller and never shown again."""
    document = _document(file)
    if "name" not in document:
        raise Ended(f"{file.name} describes no trunk; begin with `name:`", USAGE)
    _show(api, api.send("POST", "/v1/trunks", document), NEXT)


@command.command()
@click.argument("name")
@click.argument("file", type=click.File())
@connected
def change(api: Api, name: str, file: TextIO) -> None:
    """Change what FILE says of an added trunk; the rest stays as it is."""
    _show(api, api.send("PATCH", f"/v1/trunks/{name}", _document(file)))


@command.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let it have new calls again.")
@connected
def drain(api: Api, name: str, undo: bool) -> None:
    """Give an added trunk no new calls; those that it has go on."""
    _show(api, api.send("PATCH", f"/v1/trunks/{name}", {"state": "up" if undo else "draining"}))


@command.command()
@click.argument("name")
@connected
def remove(api: Api, name: str) -> None:
    """Forget a trunk that was added, is drained, and has no calls left."""
    api.send("DELETE", f"/v1/trunks/{name}")
    show(api, {"name": name, "removed": True}, {"removed": name})


def _document(file: TextIO) -> dict[str, Any]:
    try:
        document: Any = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise Ended(f"{file.name} is no YAML: {error}", USAGE) from None
    if not isinstance(document, dict):
        raise Ended(f"{file.name} describes no trunk; write its fields, one a line", USAGE)
    return document


def _show(api: Api, trunk: dict[str, Any], following: str | None = None) -> None:
    on = ", ".join([*trunk["nodes"], *trunk["kinds"]]) or "all nodes"
    lines = {"name": trunk["name"], "state": trunk["state"], "prefixes": ", ".join(trunk["prefixes"]) or "any", "on": on}
    show(api, trunk, lines | ({"": following} if following else {}))
