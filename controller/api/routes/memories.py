"""``/v1/memories``: who reaches whom by dialling a display number after a callback."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from controller.api.fields import E164, In, bare, with_plus
from controller.api.here import ReadCallbacks, WriteCallbacks
from controller.api.paging import PageOut, PageQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.core import ids
from controller.store.memories import Memory
from controller.times import or_none, rfc3339

router = APIRouter(prefix="/v1/memories", tags=["memories"], route_class=Route)

PREFIX = "mem_"


class MemoryOut(Out):
    """`party` dials `display` and reaches `caller`, or `forward_to`, until `expires_at`."""

    id: str
    callback_id: str
    display: str
    party: str
    caller: str
    forward_to: str | None
    reference: str | None
    created_at: str
    expires_at: str
    last_used_at: str | None
    uses: int


class MemoryChange(In):
    """What may be changed; what is left out stays as it is."""

    caller: E164 | None = Field(None, description="Another original caller.")
    forward_to: E164 | None = Field(None, description="Who is reached in the caller's place; null for the caller again.")
    ttl_s: Annotated[int, Field(ge=1, le=90 * 86_400)] | None = Field(None, description="How long it lasts from now on.")


class MemoriesQuery(PageQuery):
    """How the list can be narrowed."""

    number: Annotated[E164, BeforeValidator(with_plus)] | None = Field(None, description="Of whoever has this number.")


def _view(memory: Memory) -> dict[str, Any]:
    return {
        "id": PREFIX + memory.id,
        "callback_id": "call_" + ids.call_of(memory.id),
        "display": memory.display,
        "party": memory.party,
        "caller": memory.caller,
        "forward_to": memory.forward_to,
        "reference": memory.reference,
        "created_at": rfc3339(memory.created_at),
        "expires_at": rfc3339(memory.expires_at),
        "last_used_at": or_none(memory.used_at),
        "uses": memory.uses,
    }


@router.get("", response_model=PageOut[MemoryOut], responses=documented())
async def listing(query: Annotated[MemoriesQuery, Query()], asked: ReadCallbacks) -> Response:
    """What is remembered now, the newest first."""
    now = asked.house.clock.now()
    found = await asked.house.database.memories.list(asked.tenant, now, query.number, query.limit, query.bare_after())
    return page(found.items, PREFIX, found.next, _view)


@router.get("/{memory_id}", response_model=MemoryOut, responses=documented("not_found"))
async def show(memory_id: str, asked: ReadCallbacks) -> Response:
    """One memory."""
    found = bare(PREFIX, memory_id)
    memory = found and await asked.house.database.memories.find(asked.tenant, found, asked.house.clock.now())
    return Json(_view(_there(memory)))


@router.patch(
    "/{memory_id}", response_model=MemoryOut, responses=documented("not_found", "invalid_number", "self_call", "suspended")
)
async def change(memory_id: str, new: MemoryChange, asked: WriteCallbacks) -> Response:
    """Another original caller, another number that is reached, or another time."""
    store, now, found = asked.house.database.memories, asked.house.clock.now(), bare(PREFIX, memory_id)
    memory = _there(found and await store.find(asked.tenant, found, now))
    values: dict[str, Any] = {}
    for name in ("caller", "forward_to"):
        if name in new.model_fields_set and (name == "forward_to" or new.caller is not None):
            number = values[name] = getattr(new, name)
            if number in (memory.party, memory.display):
                raise Problem("self_call", "this would reach the one who dials", name)
    if new.ttl_s is not None:
        values["expires_at"] = now + new.ttl_s * 1000
    return Json(_view(_there(await store.change(asked.tenant, memory.id, now, values))))


@router.delete("/{memory_id}", status_code=204, responses=documented("not_found", "suspended"))
async def forget(memory_id: str, asked: WriteCallbacks) -> Response:
    """Forget it.  A live call goes on."""
    found = bare(PREFIX, memory_id)
    if found is None or not await asked.house.database.memories.forget(asked.tenant, found):
        raise Problem("not_found", "there is no such memory")
    return Response(status_code=204)


def _there(memory: Memory | str | None) -> Memory:
    if not isinstance(memory, Memory):
        raise Problem("not_found", "there is no such memory")
    return memory
