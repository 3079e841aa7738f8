"""`patchbay agent`: who takes calls."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, show, show_list
from controller.cli.given import nullable

STATES = click.Choice(["on_duty", "busy", "away"])


@click.group("agent")
def command() -> None:
    """Agents: a callback for `{"queue": "default"}` waits for whoever of them is on duty and idle longest."""


@command.command()
@click.argument("name")
@click.argument("number")
@click.option("--state", type=STATES, default="away", show_default=True)
@connected
def add(api: Api, name: str, number: str, state: str) -> None:
    """Add an agent who takes calls on a phone."""
    _show(api, api.send("POST", "/v1/agents", {"name": name, "number": number, "state": state}))


@command.command("list")
@click.option("--state", "wanted", type=STATES, help="As they are now: busy while they have a call.")
@limited
@connected
def list_all(api: Api, wanted: str | None, limit: int) -> None:
    """Your agents."""
    columns = {name: lambda item, name=name: item[name] or "" for name in ("id", "name", "number", "state", "call_id")}
    show_list(api, api.items("/v1/agents", limit, state=wanted), columns)


@command.command("show")
@click.argument("agent_id")
@connected
def show_one(api: Api, agent_id: str) -> None:
    """One agent."""
    _show(api, api.send("GET", f"/v1/agents/{agent_id}"))


@command.command()
@click.argument("agent_id")
@click.option("--name", metavar="TEXT")
@click.option("--number", metavar="NUMBER")
@connected
def change(api: Api, agent_id: str, **fields: Any) -> None:
    """Give an agent another name or phone."""
    if not (given := nullable(fields)):
        raise click.UsageError("say what: --name or --number")
    _show(api, api.send("PATCH", f"/v1/agents/{agent_id}", given))


@command.command()
@click.argument("agent_id")
@click.argument("new_state", metavar="STATE", type=STATES)
@connected
def state(api: Api, agent_id: str, new_state: str) -> None:
    """Say that an agent is on_duty, busy or away."""
    _show(api, api.send("PATCH", f"/v1/agents/{agent_id}", {"state": new_state}))


@command.command()
@click.argument("agent_id")
@connected
def remove(api: Api, agent_id: str) -> None:
    """Remove an agent."""
    api.send("DELETE", f"/v1/agents/{agent_id}")
    show(api, {"id": agent_id, "removed": True}, {"removed": agent_id})


def _show(api: Api, agent: dict[str, Any]) -> None:
    show(api, agent, {name: agent[name] for name in ("id", "name", "number", "state")})
