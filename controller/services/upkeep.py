"""What has been kept long enough goes, a little at a time, so that nobody waits for it."""

import asyncio
from typing import Protocol

import structlog

from controller.ports import Clock, NotSaved
from controller.services.last_agents import LONGEST_S

log = structlog.get_logger(__name__)

EVERY_S = 600.0
DAY_MS = 86_400_000
KEYS_LIVE_MS = DAY_MS
"""An Idempotency-Key is good for 24 hours."""
TRIES_LIVE_MS = 7 * DAY_MS
"""No guard against guessing (``masking.wrong_keys.within_s``) looks further back: then the callers' numbers go."""
MARKS_LIVE_MS = LONGEST_S * 1000
"""Nobody's last agent is looked for further back: then the customers' numbers go."""


class Timelines(Protocol):
    """Where the timelines of calls lie."""

    async def forget_facts(self, before: int, limit: int = 500) -> int:
        """Delete some that ended before a time (ms); how many calls, 0 when there are no more."""


class Sweepable(Protocol):
    """Where something lies that is good for a while only: Idempotency-Keys, wrong extensions and PINs, who is to be
    forgotten."""

    async def sweep(self, before: int) -> int:
        """Delete those from before a time (ms); how many."""


class AuditLog(Protocol):
    """Where the audit log lies."""

    async def forget(self, before: int, limit: int = 1000) -> int:
        """Delete some entries from before a time (ms); how many, 0 when there are no more."""


async def upkeep(
    timelines: Timelines,
    keys: Sweepable,
    tries: Sweepable,
    marks: Sweepable,
    audit: AuditLog,
    timeline_days: int,
    audit_days: int,
    clock: Clock,
) -> None:
    """Tidy every ten minutes, until cancelled."""
    while True:
        try:
            await tidy(timelines, keys, tries, marks, timeline_days, clock.now())
            gone = True
            while gone:
                gone = await audit.forget(clock.now() - audit_days * DAY_MS) > 0
                await asyncio.sleep(0)
        except NotSaved as error:
            log.warning("upkeep put off", reason=str(error))
        await asyncio.sleep(EVERY_S)


async def tidy(timelines: Timelines, keys: Sweepable, tries: Sweepable, marks: Sweepable, timeline_days: int, now: int) -> int:
    """Tidy once; how many timelines went."""
    await keys.sweep(now - KEYS_LIVE_MS)
    await tries.sweep(now - TRIES_LIVE_MS)
    await marks.sweep(now - MARKS_LIVE_MS)
    gone = 0
    while went := await timelines.forget_facts(now - timeline_days * DAY_MS):
        gone += went
        await asyncio.sleep(0)
    return gone
