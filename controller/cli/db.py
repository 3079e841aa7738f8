"""`patchbay db`: the database itself."""

import asyncio

import click

from controller.cli.common import print_json
from controller.cli.local import configured
from controller.config import Settings


@click.group("db")
def command() -> None:
    """The database itself, while no controller holds it."""


@command.command()
@configured
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def upgrade(settings: Settings, as_json: bool) -> None:
    """Bring the tables up to this version."""
    asyncio.run(_upgrade(settings))
    if as_json:
        print_json({"ok": True})
    else:
        click.echo("the database is up to date")


async def _upgrade(settings: Settings) -> None:
    from controller.cli.alone import database_alone

    async with database_alone(settings):
        pass
