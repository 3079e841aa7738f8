"""`patchbay queue`: who waits for an agent."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, print_json, print_table, show_list


@click.group("queue")
def command() -> None:
    """Callbacks that wait for an agent: made with `patchbay callback create queue`, or for an agent by name."""


@command.command("list")
@connected
def list_all(api: Api) -> None:
    """Your queues: one, that every agent is in."""
    columns = {
        "id": lambda queue: queue["id"],
        "waiting": lambda queue: queue["waiting"],
        "on duty": lambda queue: queue["on_duty"],
    }
    show_list(api, api.items("/v1/queues", None), columns)


@command.command("show")
@click.argument("queue_id", default="default")
@limited
@connected
def show_one(api: Api, queue_id: str, limit: int) -> None:
    """Who waits, in which place and for whom; and which agents are on duty and free."""
    queue = api.send("GET", f"/v1/queues/{queue_id}")
    calls = list(api.items(f"/v1/queues/{queue_id}/calls", limit))
    agents = list(api.items("/v1/agents", limit, state="on_duty"))
    if api.as_json:
        print_json({**queue, "calls": calls, "agents": agents})
        return
    click.echo(f"{queue['id']}: {queue['waiting']} waiting, {queue['on_duty']} on duty and free\n")
    print_table(("place", "call", "for", "since", "reference"), map(_call, calls), "nobody waits")
    print_table(
        ("agent", "name", "number"), ((agent["id"], agent["name"], agent["number"]) for agent in agents), "nobody is free"
    )


def _call(call: dict[str, Any]) -> tuple[Any, ...]:
    since = call["requested_at"][:19].replace("T", " ")
    return call["position"], call["id"], call["agent_id"] or "anybody", since, call["reference"]
