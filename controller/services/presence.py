"""A controller says that it lives, whatever nodes it has, so that nobody works on its database behind its back."""

import asyncio
from contextlib import suppress

import structlog

from controller.ports import LEASE_BEAT_S, NotSaved, Presence
from controller.services.ownership import owner_name

log = structlog.get_logger(__name__)


async def tell_presence(store: Presence) -> None:
    """Say it each second until cancelled, and then that it has gone."""
    owner = owner_name()
    try:
        while True:
            try:
                await store.present(owner)
            except NotSaved as error:
                log.warning("the database is not told that we live", reason=str(error))
            await asyncio.sleep(LEASE_BEAT_S)
    finally:
        with suppress(NotSaved):
            await store.absent(owner)
