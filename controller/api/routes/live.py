"""``/v1/live``: a WebSocket with every event of the tenant as it happens, the same envelopes as webhooks get.

The key comes in the ``Authorization`` header or, from a browser, as a ticket that was bought with it.  What the client sends is
read and ignored.  A client that does not keep up is cut off (close code 1013) rather than remembered for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from controller.api.auth import Keys, Who, allow
from controller.api.gate import address_of, request_id_of
from controller.api.here import ReadLive, Rooms
from controller.api.problems import Problem, documented, respond
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.envelope import encode
from controller.ports import Live
from controller.services.feed import TooSlow
from controller.services.journal import NOBODY
from controller.store.errors import Unavailable
from controller.times import rfc3339

router = APIRouter(tags=["live"], route_class=Route)

SEND_TIMEOUT_S = 10.0
RECHECK_S = 30.0
"""How often the key behind a socket is looked at again."""
GOING_AWAY, POLICY, TRY_LATER = 1001, 1008, 1013


class TicketOut(Out):
    """A ticket: open `/v1/live?ticket=...` with it, once, before it expires."""

    ticket: str
    expires_at: str


@router.post("/v1/live/tickets", status_code=201, response_model=TicketOut, responses=documented())
async def ticket(asked: ReadLive) -> Response:
    """A ticket for one live socket."""
    word, life_s = asked.rooms.keys.ticket(asked.who)
    return Json({"ticket": word, "expires_at": rfc3339(asked.house.clock.now() + round(life_s * 1000))}, 201)


@router.websocket("/v1/live")
async def live(
    socket: WebSocket,
    ticket: Annotated[str | None, Query(max_length=100)] = None,
    call_id: Annotated[str | None, Query(max_length=100)] = None,
    types: Annotated[str | None, Query(max_length=1000)] = None,
) -> None:
    """Events as they happen; ``call_id`` and ``types`` (separated by commas) narrow them."""
    rooms: Rooms = socket.app.state.rooms
    address = address_of(socket.scope)
    try:
        who = rooms.keys.redeem(ticket) if ticket else await rooms.keys.who(socket.headers.get("authorization", ""), address)
        allow(who, "live:read")
    except Problem as problem:
        await socket.send_denial_response(respond(problem, "/v1/live", request_id_of(socket.scope)))
        return
    wanted = frozenset(types.split(",")) if types else None
    await _serve(socket, rooms, who, lambda item: _matches(item, (call_id or "").removeprefix("call_"), wanted))


async def _serve(socket: WebSocket, rooms: Rooms, who: Who, matches: Callable[[Live], bool]) -> None:
    """Send until the client leaves, is too slow, or its key is revoked."""
    heard = (who.tenant, NOBODY) if who.may("operator") else (who.tenant,)
    async with rooms.house.feed.subscribe(*heard) as lives:
        await socket.accept()
        tasks = [
            asyncio.create_task(work) for work in (_send(socket, lives, matches), _receive(socket), _check(rooms.keys, who))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ending = next(iter(done)).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if ending is not None:
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(*ending)


Ending = tuple[int, str] | None
"""Close code and reason; None when the client has gone."""


async def _send(socket: WebSocket, lives: AsyncIterator[Live], matches: Callable[[Live], bool]) -> Ending:
    try:
        async for item in lives:
            if matches(item):
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_text(encode(item.fact, item.reference, item.metadata).decode())
    except WebSocketDisconnect:
        return None
    except (TooSlow, TimeoutError):
        return TRY_LATER, "too slow: read on from the timeline"
    return GOING_AWAY, "the controller is stopping"


async def _receive(socket: WebSocket) -> Ending:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    return None


async def _check(keys: Keys, who: Who) -> Ending:
    while True:
        await asyncio.sleep(RECHECK_S)
        try:
            await keys.check(who)
        except Problem:
            return POLICY, "the key was revoked"
        except Unavailable:
            continue


def _matches(item: Live, call: str, wanted: frozenset[str] | None) -> bool:
    return (not call or item.fact.call == call) and (wanted is None or item.fact.type in wanted)
