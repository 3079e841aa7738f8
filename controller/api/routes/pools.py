"""``/v1/pools``: X numbers to choose from, and what holds for all of them."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from controller.api.fields import In, Name, Prompt, bare
from controller.api.here import NewNumbers, ReadNumbers, WriteNumbers
from controller.api.ids import new_id
from controller.api.paging import PageOut, PageQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.saying import check_prompts
from controller.api.shapes import Out
from controller.store.errors import Taken
from controller.store.pools import InUse
from controller.store.rows import Pool
from controller.times import rfc3339

router = APIRouter(prefix="/v1/pools", tags=["pools"], route_class=Route)

CoolOff = Annotated[int, Field(ge=0, le=30 * 86_400, description="How long a number stays taken for a party after a binding.")]
Match = Annotated[
    Literal["loose", "strict"], Field(description="Whether another area will do when none of the wanted is free.")
]
Unknown = Annotated[
    Literal["reject", "prompt", "pin"],
    Field(description="What becomes of a phone that no binding knows. All but `reject` answer."),
]


class NewPool(In):
    """A new pool; numbers are put into it by `POST /v1/numbers`."""

    name: Name
    area_match: Match = "loose"
    cool_off_s: CoolOff = 0
    unknown: Unknown = "reject"
    prompt: Prompt | None = Field(None, description="What such a phone hears.")


class PoolChange(In):
    """What is given is changed; bindings that are there keep the cool-off that they began with."""

    area_match: Match | None = None
    cool_off_s: CoolOff | None = None
    unknown: Unknown | None = None
    prompt: Prompt | None = None


class PoolOut(Out):
    """A pool.  `numbers`: how many there are in it."""

    id: str
    name: str
    area_match: Literal["loose", "strict"]
    cool_off_s: int
    unknown: Literal["reject", "prompt", "pin"]
    prompt: str | None
    numbers: int
    created_at: str


def view(pool: Pool) -> dict[str, Any]:
    """A pool as it goes out."""
    return {
        "id": "pool_" + pool.id,
        "name": pool.name,
        "area_match": pool.area_match,
        "cool_off_s": pool.cool_ms // 1000,
        "unknown": pool.unknown,
        "prompt": pool.prompt,
        "numbers": pool.numbers,
        "created_at": rfc3339(pool.created_at),
    }


@router.post(
    "",
    status_code=201,
    response_model=PoolOut,
    responses=documented("conflict", "suspended", "idempotency_conflict", "idempotency_in_flight"),
)
async def add(new: NewPool, asked: NewNumbers) -> Response:
    """Make a pool."""
    await check_prompts(asked.house, {"prompt": new.prompt})
    now = asked.house.clock.now()
    rules = (new.area_match, new.cool_off_s * 1000, new.unknown, new.prompt)
    pool = Pool(new_id(now), asked.tenant, new.name, *rules, now)
    answer = msgspec.json.encode(view(pool))
    try:
        await asked.house.database.pools.add(pool, asked.once.record(answer) if asked.once else None)
    except Taken:
        raise Problem("conflict", "there is a pool of this name", "name") from None
    return Json(answer, 201, {"Location": "/v1/pools/pool_" + pool.id})


@router.get("", response_model=PageOut[PoolOut], responses=documented())
async def listing(query: Annotated[PageQuery, Query()], asked: ReadNumbers) -> Response:
    """Your pools."""
    found = await asked.house.database.pools.list(asked.tenant, query.limit, query.bare_after())
    return page(found.items, "pool_", found.next, view)


@router.get("/{pool_id}", response_model=PoolOut, responses=documented("not_found"))
async def show(pool_id: str, asked: ReadNumbers) -> Response:
    """One pool."""
    name = bare("pool_", pool_id)
    return _shown(await asked.house.database.pools.get(asked.tenant, name) if name else None)


@router.patch("/{pool_id}", response_model=PoolOut, responses=documented("not_found", "suspended"))
async def change(pool_id: str, new: PoolChange, asked: WriteNumbers) -> Response:
    """Change what is given."""
    await check_prompts(asked.house, {"prompt": new.prompt})
    changes = new.model_dump(exclude_unset=True)
    changes = {field: value for field, value in changes.items() if value is not None or field == "prompt"}
    if "cool_off_s" in changes:
        changes["cool_ms"] = changes.pop("cool_off_s") * 1000
    name = bare("pool_", pool_id)
    return _shown(await asked.house.database.pools.change(asked.tenant, name, **changes) if name else None)


@router.delete("/{pool_id}", status_code=204, responses=documented("not_found", "not_possible_now", "suspended"))
async def remove(pool_id: str, asked: WriteNumbers) -> Response:
    """Remove an empty pool."""
    name = bare("pool_", pool_id)
    try:
        if name is None or not await asked.house.database.pools.remove(asked.tenant, name):
            raise Problem("not_found", "there is no such pool")
    except InUse:
        raise Problem("not_possible_now", "there are numbers in it") from None
    return Response(status_code=204)


def _shown(pool: Pool | None) -> Response:
    if pool is None:
        raise Problem("not_found", "there is no such pool")
    return Json(view(pool))
