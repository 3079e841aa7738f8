"""``/v1/bindings``: who reaches whom through which X."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from controller.api.binding_shapes import (
    BindingChange,
    BindingEventOut,
    BindingOut,
    BindingsQuery,
    NewBinding,
    edited,
    view,
    wanted,
)
from controller.api.fields import bare
from controller.api.here import Asked, NewBindings, ReadBindings, WriteBindings
from controller.api.ids import new_id
from controller.api.menus import MASKED, fits
from controller.api.paging import PageOut, PageQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.saying import check_prompts
from controller.core import ids
from controller.core.masking import Binding
from controller.envelope import envelope
from controller.store.errors import NumberConflict, NumberUnknown, PoolExhausted
from controller.store.rows import Idempotency, Pool

router = APIRouter(prefix="/v1/bindings", tags=["bindings"], route_class=Route)

MOST_POOLS = 200


@router.post(
    "",
    status_code=201,
    response_model=BindingOut,
    responses=documented(
        "number_conflict", "pool_exhausted", "caller_id_not_owned", "self_call", "invalid_number", "suspended",
        "idempotency_conflict", "idempotency_in_flight",
    ),
)  # fmt: skip
async def create(new: NewBinding, asked: NewBindings) -> Response:
    """Let A and B, or A and anyone, reach each other through X only.  `number_conflict`: the X that you named is taken for one
    of them; `pool_exhausted`: so is every X of the pool."""
    await _check(asked, new)
    pool = await _pool(asked, new)
    now = asked.house.clock.now()
    binding = wanted(new, new_id(now), asked.tenant, now, pool.id if pool else "")
    once = asked.once

    def answer(made: Binding) -> bytes:
        return msgspec.json.encode(view(made, now))

    def keep(made: Binding) -> Idempotency:
        assert once is not None
        return once.record(answer(made))

    strict = pool is not None and pool.area_match == "strict"
    try:
        made = await asked.house.bindings.bind(binding, strict, keep if once else None)
    except NumberConflict as error:
        raise Problem("number_conflict", "this number is taken for one of the parties", error.param) from None
    except NumberUnknown as error:
        raise Problem("caller_id_not_owned", "this is no X number of yours: POST /v1/numbers, kind x", error.param) from None
    except PoolExhausted:
        raise Problem("pool_exhausted", "every number of the pool is taken for one of the parties", "pool") from None
    return Json(answer(made), 201, {"Location": "/v1/bindings/bind_" + made.id})


async def _pool(asked: Asked, new: NewBinding) -> Pool | None:
    """The pool to choose from: the one that is named by id or name, else the only one.  None when nothing is to be chosen."""
    if new.x is not None and (new.mode != "axyb" or new.y is not None):
        return None
    found = (await asked.house.database.pools.list(asked.tenant, MOST_POOLS)).items
    if new.pool is None:
        if len(found) != 1:
            raise Problem("invalid_request", "name the pool: there is not just one" if found else "make a pool first", "pool")
        return found[0]
    named = [pool for pool in found if new.pool in (pool.name, "pool_" + pool.id)]
    if not named:
        raise Problem("invalid_request", "there is no such pool", "pool")
    return named[0]


@router.get("", response_model=PageOut[BindingOut], responses=documented())
async def listing(query: Annotated[BindingsQuery, Query()], asked: ReadBindings) -> Response:
    """Bindings, the newest first, also those that have ended."""
    found = await asked.house.database.bindings.list(asked.tenant, query.where(), query.limit, query.bare_after())
    now = asked.house.clock.now()
    return page(found.items, "bind_", found.next, lambda binding: view(binding, now))


@router.get("/{binding_id}", response_model=BindingOut, responses=documented("binding_not_found"))
async def show(binding_id: str, asked: ReadBindings) -> Response:
    """One binding as it is now."""
    found = await _find(asked, binding_id)
    return Json(view(found, asked.house.clock.now()))


@router.get("/{binding_id}/events", response_model=PageOut[BindingEventOut], responses=documented("binding_not_found"))
async def events(binding_id: str, query: Annotated[PageQuery, Query()], asked: ReadBindings) -> Response:
    """What happened to a binding, in order."""
    found = await _find(asked, binding_id)
    stream, after = ids.told_in(query.bare_after() or "")
    since = after if stream == ids.stream_id("bind_", found.id) else 0
    facts = await asked.house.database.bindings.facts(asked.tenant, found.id, since, query.limit + 1)
    shown = facts[: query.limit]
    following = "evt_" + shown[-1].id if len(facts) > query.limit else None
    return Json({"items": [envelope(fact, found.reference, found.metadata) for fact in shown], "next": following})


@router.patch(
    "/{binding_id}", response_model=BindingOut, responses=documented("binding_not_found", "binding_expired", "suspended")
)
async def change(binding_id: str, new: BindingChange, asked: WriteBindings) -> Response:
    """Change what is given; a new `ttl_s` starts the clock again.  Live calls go on as they began."""
    found = await _find(asked, binding_id)
    await _check(asked, new)
    fields = new.model_fields_set
    if found.use == "pairs" and fields & {"b", "temporary_callee"}:
        raise Problem("invalid_request", "both parties of this binding are fixed", "b" if "b" in fields else "temporary_callee")
    if {found.a, found.x} & {new.b, new.temporary_callee}:
        raise Problem("self_call", param="b" if new.b in (found.a, found.x) else "temporary_callee")
    changed = await asked.house.bindings.change(asked.tenant, found.id, lambda binding, now: edited(binding, new, now))
    if changed is None:
        raise Problem("binding_expired", "it has ended; make a new one")
    return Json(view(changed, asked.house.clock.now()))


@router.delete("/{binding_id}", response_model=BindingOut, responses=documented("binding_not_found", "suspended"))
async def release(binding_id: str, asked: WriteBindings) -> Response:
    """End a binding.  Live calls go on; one that has ended already is shown as it is."""
    name = bare("bind_", binding_id)
    released = await asked.house.bindings.release(asked.tenant, name) if name else None
    if released is None:
        raise Problem("binding_not_found", "there is no such binding")
    return Json(view(released, asked.house.clock.now()))


async def _check(asked: Asked, new: NewBinding | BindingChange) -> None:
    """Whether what is to be said is there, and what is to happen otherwise can.  Raises Problem."""
    await check_prompts(asked.house, {way + ".announce": getattr(new, way).announce for way in ("a_to_b", "b_to_a")})
    for way in ("a_to_b", "b_to_a"):
        menu = getattr(new, way).otherwise
        if menu is not None:
            fits(asked.house, menu, MASKED, way + ".otherwise")


async def _find(asked: Asked, binding_id: str) -> Binding:
    name = bare("bind_", binding_id)
    found = await asked.house.database.bindings.get(asked.tenant, name) if name else None
    if found is None:
        raise Problem("binding_not_found", "there is no such binding")
    return found
