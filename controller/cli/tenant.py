"""`patchbay tenant`: who calls are made for."""

from typing import Any

import click

from controller.cli.common import Api, connected, limited, show, show_list


@click.group("tenant")
def command() -> None:
    """Who calls are made for; for operators."""


@command.command()
@click.argument("tenant_id")
@click.argument("name")
@connected
def create(api: Api, tenant_id: str, name: str) -> None:
    """Add a tenant; `key create --tenant` then makes its first key."""
    made = api.send("POST", "/v1/tenants", {"id": tenant_id, "name": name})
    show(api, made, {"id": made["id"], "name": made["name"]})


@command.command("list")
@limited
@connected
def list_all(api: Api, limit: int) -> None:
    """All tenants."""
    columns = {"id": lambda item: item["id"], "name": lambda item: item["name"], "suspended": lambda item: item["suspended_at"]}
    show_list(api, api.items("/v1/tenants", limit), columns)


@command.command("show")
@click.argument("tenant_id")
@connected
def show_one(api: Api, tenant_id: str) -> None:
    """One tenant."""
    _show(api, api.send("GET", f"/v1/tenants/{tenant_id}"))


@command.command()
@click.argument("tenant_id")
@click.argument("name")
@connected
def rename(api: Api, tenant_id: str, name: str) -> None:
    """Give a tenant another NAME; its id stays."""
    _show(api, api.send("PATCH", f"/v1/tenants/{tenant_id}", {"name": name}))


@command.command()
@click.argument("tenant_id")
@click.argument("per_second", type=click.IntRange(0, 100_000))
@connected
def rate(api: Api, tenant_id: str, per_second: int) -> None:
    """Let a tenant make so many requests PER_SECOND; 0: as many as the installation lets everybody."""
    _show(api, api.send("PATCH", f"/v1/tenants/{tenant_id}", {"requests_per_second": per_second or None}))


@command.command()
@click.argument("tenant_id")
@click.option("--calls-per-second", type=click.FloatRange(0, 10_000), help="How many of its calls may start in a second.")
@click.option("--concurrent", type=click.IntRange(0, 20_000), help="How many of its calls may live at once.")
@connected
def limits(api: Api, tenant_id: str, calls_per_second: float | None, concurrent: int | None) -> None:
    """Bound a tenant's calls; those beyond wait.  0: as many as the installation lets everybody."""
    given = {"calls_per_second": calls_per_second, "concurrent_calls": concurrent}
    change = {name: value or None for name, value in given.items() if value is not None}
    if not change:
        raise click.UsageError("say --calls-per-second or --concurrent")
    _show(api, api.send("PATCH", f"/v1/tenants/{tenant_id}", change))


@command.command()
@click.argument("tenant_id")
@click.option("--undo", is_flag=True, help="Let it call again.")
@connected
def suspend(api: Api, tenant_id: str, undo: bool) -> None:
    """Let a tenant start nothing any more; its live calls go on."""
    _show(api, api.send("PATCH", f"/v1/tenants/{tenant_id}", {"suspended": not undo}))


def _show(api: Api, tenant: dict[str, Any]) -> None:
    lines = {"id": tenant["id"], "name": tenant["name"], "suspended": tenant["suspended_at"] or "no"}
    bounds = {"requests": "requests_per_second", "calls": "calls_per_second", "calls at once": "concurrent_calls"}
    said = {name: tenant[bound] or "as everybody" for name, bound in bounds.items()}
    show(api, tenant, lines | {f"{name}{'' if 'once' in name else ' a second'}": value for name, value in said.items()})
