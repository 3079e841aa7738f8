"""`patchbay webhook`: where events are sent."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, show, show_list


@click.group("webhook")
def command() -> None:
    """Where events are sent, how delivery goes, sending again."""


at_once = click.option("--concurrent", type=click.IntRange(1, 100), help="Requests under way at once.")
SHOWN = {
    "id": "id",
    "url": "url",
    "events": "events",
    "state": "state",
    "reason": "reason",
    "old secret until": "old_secret_until",
}


@command.command()
@click.argument("url")
@click.option("--event", "events", multiple=True, metavar="TYPE", help="Only events of this type; may be repeated.")
@at_once
@connected
def create(api: Api, url: str, events: tuple[str, ...], concurrent: int | None) -> None:
    """Send events to URL.  The secret that signs them is shown once."""
    body = {"url": url, "events": list(events) or ["*"]}
    made = api.send("POST", "/v1/webhooks", body | ({"concurrent": concurrent} if concurrent else {}))
    show(api, made, {"id": made["id"], "secret": made["secret"], "": "keep the secret: it is not shown again"})


@command.command("list")
@limited
@connected
def list_all(api: Api, limit: int) -> None:
    """All endpoints."""
    show_list(
        api,
        api.items("/v1/webhooks", limit),
        {
            "id": lambda item: item["id"],
            "state": lambda item: item["state"],
            "url": lambda item: item["url"],
            "events": lambda item: " ".join(item["events"]),
            "reason": lambda item: item["reason"],
        },
    )


@command.command("show")
@click.argument("webhook_id")
@connected
def show_one(api: Api, webhook_id: str) -> None:
    """One endpoint."""
    _show(api, api.send("GET", f"/v1/webhooks/{webhook_id}"))


@command.command()
@click.argument("webhook_id")
@click.option("--url", metavar="URL")
@click.option("--event", "events", multiple=True, metavar="TYPE", help="Only events of this type; may be repeated; * is all.")
@click.option("--state", type=click.Choice(["active", "disabled"]), help="active also wakes a parked one.")
@at_once
@connected
def change(api: Api, webhook_id: str, events: tuple[str, ...], **new: Any) -> None:
    """Change an endpoint: what is given is changed."""
    body = {name: value for name, value in new.items() if value is not None} | ({"events": list(events)} if events else {})
    _show(api, api.send("PATCH", f"/v1/webhooks/{webhook_id}", body))


@command.command()
@click.argument("webhook_id")
@connected
def rotate(api: Api, webhook_id: str) -> None:
    """Give an endpoint a new secret, shown once; for 24 hours the old one signs too."""
    made = api.send("PATCH", f"/v1/webhooks/{webhook_id}", {"rotate_secret": True})
    show(api, made, {"secret": made["secret"], "old one until": made["old_secret_until"]})


@command.command("status-secret")
@connected
def status_secret(api: Api) -> None:
    """Make a new secret for what goes to the status_url of calls, shown once; for 24 hours the old one signs too."""
    made = api.send("POST", "/v1/webhooks/status/secret")
    show(api, made, {"secret": made["secret"], "old one until": made["old_secret_until"]})


def _show(api: Api, endpoint: dict[str, Any]) -> None:
    lines = {name: endpoint[field] for name, field in SHOWN.items()}
    show(api, endpoint, lines | {"events": " ".join(endpoint["events"])})


@command.command()
@click.argument("webhook_id")
@click.option("--state", type=click.Choice(["pending", "delivered", "parked"]))
@limited
@connected
def deliveries(api: Api, webhook_id: str, limit: int, **where: Any) -> None:
    """How delivery goes, the newest event first."""
    show_list(
        api,
        api.items(f"/v1/webhooks/{webhook_id}/deliveries", limit, **where),
        {
            "event": lambda item: item["type"],
            "of": lambda item: item["subject"],
            "state": lambda item: item["state"],
            "tries": lambda item: item["attempts"],
            "next": lambda item: item["next_at"],
            "last": lambda item: item["last_error"] or item["last_status"],
        },
    )


@command.command()
@click.argument("webhook_id")
@click.option("--since", metavar="TIME", help="From this time on, such as 2026-01-31T00:00:00Z.")
@click.option("--until", metavar="TIME")
@click.option("--call", "call_id", metavar="ID", help="Only this call's events.")
@click.option("--of", "subject", metavar="ID", help="Only those of this call, binding or agent; of a node: node_NAME.")
@connected
def replay(api: Api, webhook_id: str, **which: Any) -> None:
    """Send events again, with the ids that they had."""
    body = {name: value for name, value in which.items() if value is not None}
    answer = api.send("POST", f"/v1/webhooks/{webhook_id}/replay", body)
    show(api, answer, {"calls": answer["calls"]})


@command.command()
@click.argument("webhook_id")
@connected
def delete(api: Api, webhook_id: str) -> None:
    """Send nothing there any more."""
    api.send("DELETE", f"/v1/webhooks/{webhook_id}")
    show(api, {"id": webhook_id, "deleted": True}, {"deleted": webhook_id})
