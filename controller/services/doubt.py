"""A unit of which nobody could say whether it was committed: the call is read back, until the database answers."""

import asyncio

import structlog

from controller.core.call import Call
from controller.ports import CallStore

log = structlog.get_logger(__name__)

READ_EVERY_S = (0.05, 0.2, 0.5, 1.0)
"""How long after a read in vain the next one comes; the last value repeats."""
TRIES = 3600
"""After them, an hour, the database is given up: the next start will find the call."""


def is_same(one: Call, other: Call) -> bool:
    """Whether two states of a call are the same unit's."""
    return (one.sequence, one.steps) == (other.sequence, other.steps)


async def is_stored(store: CallStore, call: Call) -> bool:
    """Whether this state of a call was committed."""
    for tries in range(TRIES):
        await asyncio.sleep(READ_EVERY_S[min(tries, len(READ_EVERY_S) - 1)])
        try:
            stored = await store.get(call.id)
        except Exception as fault:
            log.warning("call in doubt not read", call=call.id, reason=str(fault))
        else:
            return stored is not None and is_same(stored, call)
    return False
