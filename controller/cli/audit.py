"""`patchbay audit`: who did what."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, show_list


@click.group("audit")
def command() -> None:
    """Who did what, and who was refused."""


@command.command("list")
@click.option("--actor", metavar="KEY_ID", help="Only what was done with this key; `patchbay` for what nobody asked for.")
@click.option("--target", metavar="ID", help="Only what was done to this call, key, node ...")
@click.option("--from", "since", metavar="TIME", help="Not before this time (RFC 3339).")
@click.option("--to", "until", metavar="TIME", help="Before this time.")
@click.option("--installation", is_flag=True, help="What belongs to no tenant, such as unknown keys and nodes; for operators.")
@limited
@connected
def list_all(
    api: Api, actor: str | None, target: str | None, since: str | None, until: str | None, installation: bool, limit: int
) -> None:
    """The log, newest first."""
    asked = {"actor": actor, "target": target, "from_": since, "to": until, "installation": installation or None}
    columns = {
        "at": lambda entry: entry["at"],
        "who": lambda entry: entry["actor"] or entry["address"],
        "what": lambda entry: entry["action"],
        "on": lambda entry: entry["target"],
        "result": _result,
    }
    show_list(api, api.items("/v1/audit", limit, **asked), columns)


def _result(entry: dict[str, Any]) -> str:
    words = [entry["result"], str(entry["status"] or ""), entry["code"] or entry["reason"] or ""]
    times = [f"({entry['count']} times)"] if entry["count"] > 1 else []
    return " ".join(word for word in (*words, *times) if word)
