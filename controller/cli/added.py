"""The configuration with what was added at run time: nodes and trunks that are rows.  A module of its own, because loading what
it needs takes a second."""

import asyncio
from pathlib import Path

from controller.cli.common import UNAVAILABLE, Ended
from controller.config import Node, Settings, Trunk
from controller.store.database import Database
from controller.store.errors import Unavailable


def with_added(settings: Settings) -> Settings:
    """The settings with the nodes and trunks of the database, which is only read.  Raises Ended."""
    file = settings.database.url.removeprefix("sqlite:///")
    if file != settings.database.url and not Path(file).exists():
        return settings  # nothing was added yet, and it is not for us to make the file
    try:
        return asyncio.run(_read(settings))
    except Unavailable as error:
        why = f"the database cannot be read: {error}"
        raise Ended(f"{why}; --no-database renders what the file alone says", UNAVAILABLE) from None


async def _read(settings: Settings) -> Settings:
    database = await Database.open(settings.database.url, migrate=False)
    try:
        nodes, trunks = await database.nodes.all(), await database.trunks.all()
    finally:
        await database.close()
    known = {node.name for node in settings.nodes} | {f"trunk {trunk.name}" for trunk in settings.trunks}
    added = [Node.model_validate_json(one.settings) for one in nodes if one.settings is not None and one.name not in known]
    more = [Trunk.model_validate_json(one.settings) for one in trunks if f"trunk {one.name}" not in known]
    return settings.model_copy(update={"nodes": (*settings.nodes, *added), "trunks": (*settings.trunks, *more)})
