"""`patchbay key`: API keys."""

import asyncio
import time
from typing import Any

import click

from controller.cli.common import USAGE, Api, Ended, connected, limited, print_json, show, show_list

EVERYTHING = ("*", "operator")
ONCE = "this is the only time it is shown"


@click.group("key")
def command() -> None:
    """API keys: make, list, revoke; tokens for them."""


@command.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Such as callbacks:write; may be repeated [*].")
@click.option("--tenant", metavar="ID", help="Another tenant's; for operators.")
@click.option("--expires", metavar="TIME", help="When it ends by itself, such as 2027-01-31T00:00:00Z.")
@click.option("--local", is_flag=True, help="Work on the database itself, while no controller holds it: an operator's key.")
@click.option("--config", metavar="FILE", help="With --local: the configuration file.")
@connected
def create(
    api: Api, name: str, scopes: tuple[str, ...], tenant: str | None, expires: str | None, local: bool, config: str | None
) -> None:
    """Make a key called NAME."""
    if local and expires:
        raise Ended("a key made with --local does not end by itself: leave --expires out", USAGE)
    if local:
        made = asyncio.run(_create_locally(config, name, scopes or EVERYTHING, tenant))
    elif config:
        raise Ended("--config goes with --local", USAGE)
    else:
        body: dict[str, Any] = {"name": name, "scopes": list(scopes or ("*",))}
        more = {"tenant": tenant, "expires_at": expires}
        made = api.send("POST", "/v1/keys", body | {field: value for field, value in more.items() if value})
    show(api, made, {"id": made["id"], "key": made["key"], "": ONCE})


async def _create_locally(config: str | None, name: str, scopes: tuple[str, ...], tenant: str | None) -> dict[str, Any]:
    """For who has lost the last key.  Raises Ended."""
    from controller.api.auth import SCOPES
    from controller.api.first import make_key
    from controller.cli.alone import database_alone
    from controller.cli.local import find_config
    from controller.config import ConfigInvalid, load

    if unknown := set(scopes) - set(SCOPES):
        raise Ended(f"there is no scope {', '.join(sorted(unknown))}; there are {', '.join(SCOPES)}", USAGE)
    try:
        settings = load(find_config(config))
    except ConfigInvalid as invalid:
        raise Ended(str(invalid), USAGE) from None
    async with database_alone(settings) as database:
        made = await make_key(database, time.time_ns() // 1_000_000, name, scopes, tenant)
    if made is None:
        raise Ended(f"there is no tenant {tenant}", 3)
    return {"id": made.id, "tenant": made.tenant, "name": name, "scopes": list(scopes), "key": made.text}


of_tenant = click.option("--tenant", metavar="ID", help="Another tenant's; for operators.")


@command.command("list")
@of_tenant
@limited
@connected
def list_all(api: Api, limit: int, tenant: str | None) -> None:
    """Your keys, also revoked ones."""
    show_list(
        api,
        api.items("/v1/keys", limit, tenant=tenant),
        {
            "id": lambda key: key["id"],
            "name": lambda key: key["name"],
            "begins with": lambda key: key["prefix"],
            "scopes": lambda key: " ".join(key["scopes"]),
            "made": lambda key: key["created_at"],
            "last used": lambda key: key["last_used_at"],
            "ends": lambda key: key["expires_at"],
            "revoked": lambda key: key["revoked_at"],
        },
    )


@command.command()
@click.argument("key_id")
@of_tenant
@connected
def revoke(api: Api, key_id: str, tenant: str | None) -> None:
    """Make a key and its tokens worthless."""
    api.send("DELETE", f"/v1/keys/{key_id}", tenant=tenant)
    if api.as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        click.echo(f"revoked {key_id}")


@command.command()
@click.argument("key_id")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Only these of the key's scopes; may be repeated.")
@connected
def token(api: Api, key_id: str, scopes: tuple[str, ...]) -> None:
    """Get a short-lived token for the key that this command uses, whose id is KEY_ID."""
    form = {"grant_type": "client_credentials", "client_id": key_id, "client_secret": api.key}
    made = api.form("/v1/oauth/token", form | ({"scope": " ".join(scopes)} if scopes else {}))
    show(api, made, {"token": made["access_token"], "seconds": made["expires_in"], "refresh": made.get("refresh_token")})
