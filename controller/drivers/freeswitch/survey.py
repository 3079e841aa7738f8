"""The truth after a gap: which legs of ours live, and what each does.

``show channels`` reads a table that FreeSWITCH writes behind its own back, up to a fifth of a second late.  So a mark is
put into the table of tasks, which is written by the same queue; once it is there, so is every leg that was made before.
What the leg does is then asked of the leg itself (``uuid_dump``).
"""

import asyncio
import json
import secrets
from contextlib import suppress

from controller.core import ids
from controller.core.call import LegState
from controller.drivers.freeswitch import commands, events
from controller.drivers.freeswitch.ended import ms
from controller.drivers.freeswitch.events import Heard, Legs
from controller.drivers.freeswitch.link import Link
from controller.ports import LegSeen, Unreachable

MARK_WITHIN_S = 5.0
LOOK_EVERY_S = 0.02
AT_ONCE = 50


async def legs(link: Link, known: Legs) -> list[LegSeen]:
    """The live legs of ours; ``known`` learns of those that came in.  Raises Unreachable."""
    await _settled(link)
    try:
        rows = json.loads(await link.act(commands.CHANNELS)).get("rows", [])
    except ValueError:
        raise Unreachable("the PBX does not list its channels") from None
    room = asyncio.Semaphore(AT_ONCE)

    async def look(uuid: str) -> Heard | None:
        async with room:
            return dumped(await link.act(commands.dump(uuid)))

    uuids = [uuid for row in rows if ids.is_leg_id(uuid := str(row.get("uuid", ""))) or row.get("direction") == "inbound"]
    found = dict(zip(uuids, await asyncio.gather(*map(look, uuids)), strict=True))
    for uuid, heard in found.items():
        if heard is not None and ids.is_leg_id(heard.named):
            known.arrive(uuid, heard.named)
    theirs = {known.arrived.get(uuid, uuid): known.ours(heard) for uuid, heard in found.items() if heard is not None}
    return [seen(leg, heard) for leg, heard in theirs.items() if ids.is_leg_id(leg)]


async def _settled(link: Link) -> None:
    """Wait until FreeSWITCH has written what it had to write so far.  Raises Unreachable."""
    mark = secrets.token_hex(8)
    await link.act(commands.mark(mark))
    try:
        async with asyncio.timeout(MARK_WITHIN_S):
            while mark not in await link.act(commands.TASKS):  # noqa: ASYNC110  nothing tells when it is there
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise Unreachable("the PBX is far behind with its list of channels") from None
    finally:
        with suppress(Unreachable):
            await link.act(commands.unmark(mark))


def dumped(dump: str) -> Heard | None:
    """A leg's own word; None when it has ended meanwhile.  Raises Unreachable."""
    if dump.startswith("-ERR"):
        return None
    try:
        return events.decode(dump.encode())
    except ValueError:
        raise Unreachable("the PBX does not say what a leg does") from None


def seen(leg: str, heard: Heard) -> LegSeen:
    """A leg as it shows itself.  One that came in can be held before its answer."""
    last = events.outcome(heard.step, heard.result, heard.data)
    since, bridged = ms(heard.answered), heard.bridged_to if ids.is_leg_id(heard.bridged_to) else ""
    held = (since is not None or bool(heard.trunk)) and not heard.does and not bridged and heard.state == "CS_EXECUTE"
    joined = ms(heard.bridged) if bridged else None
    return LegSeen(leg, _state(heard), held, last.step, last.result, bridged, since, joined)


def _state(heard: Heard) -> LegState:
    if ms(heard.answered):
        return LegState.answered
    return LegState.ringing if ms(heard.progress) or ms(heard.early) else LegState.dialing
