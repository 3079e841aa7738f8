"""``/v1/numbers``: the numbers that a tenant owns.  Nothing else may be shown to anybody; an X stands between people."""

import zlib
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from controller.api.fields import In, Prompt, Text, XNumber, bare
from controller.api.here import Asked, NewNumbers, ReadNumbers, WriteNumbers
from controller.api.ids import new_id
from controller.api.menus import fits
from controller.api.paging import PageOut, PageQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.saying import check_prompts
from controller.api.shapes import Out
from controller.api.status import Url
from controller.core.masking import SPOTS
from controller.core.route import WINDOW_S, Extension
from controller.core.route import Route as XRoute
from controller.services.answers import BYTES, NOBODY, Answer, Menu, prompts_of, stored
from controller.services.question import CONTEXT
from controller.services.webhooks_guard import Forbidden
from controller.services.webhooks_sign import new_secret
from controller.store.errors import Taken
from controller.store.pools import InUse
from controller.store.rows import OwnedNumber
from controller.times import rfc3339

router = APIRouter(prefix="/v1/numbers", tags=["numbers"], route_class=Route)

Kind = Literal["display", "x"]
PoolId = Annotated[str, Field(pattern=r"^pool_[A-Za-z0-9]{1,40}$")]


class ExtensionIn(In):
    """The caller is answered and asked for an extension, before you are."""

    prompt: Prompt = Field("extension", description="What the caller hears.")
    least: Annotated[int, Field(ge=1, le=15)] = 1
    most: Annotated[int, Field(ge=1, le=15)] = Field(15, description="With so many digits, or `#`, it is complete.")
    repeats: Annotated[int, Field(ge=0, le=5)] = Field(2, description="How often who keys in fewer is asked again.")

    @field_validator("most")
    @classmethod
    def _not_less(cls, most: int, info: ValidationInfo) -> int:
        if most < info.data.get("least", 1):
            raise PydanticCustomError("invalid_request", "this is less than `least`")
        return most


class RouteIn(In):
    """What becomes of calls to this X that no binding takes: with `url` you are asked, call by call; `answer` holds where you
    are not, or do not answer."""

    url: Url | None = Field(None, description="Asked with a signed POST; see [X mode](../how-to/route-calls-yourself.md).")
    timeout_ms: Annotated[int, Field(ge=50, le=4000)] = 700
    answer: Answer = NOBODY
    window_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = Field(
        WINDOW_S, description="How far back the caller's earlier calls to X count."
    )
    extension: ExtensionIn | None = Field(None, description="With `url` only: what the caller keys in first.")

    @field_validator("answer")
    @classmethod
    def _small(cls, answer: Answer) -> Answer:
        if len(msgspec.json.encode(stored(answer))) > BYTES:
            raise PydanticCustomError("invalid_request", "this may take 8192 bytes as JSON")
        return answer

    @field_validator("extension")
    @classmethod
    def _for_a_question(cls, extension: ExtensionIn | None, info: ValidationInfo) -> ExtensionIn | None:
        if extension is not None and info.data.get("url", "") is None:
            raise PydanticCustomError("invalid_request", "nobody is told of it without a `url`")
        return extension


class NewNumber(In):
    """A number that is yours.  Those of kind `x` can be given to bindings; they may be shown like any other."""

    kind: Kind = "display"
    number: XNumber = Field(description="E.164; of kind `x` also the digits that your trunk delivers.")
    pool: PoolId | None = Field(None, description="Kind `x` only: where it may be chosen from.")
    area: Text | None = Field(None, description="Kind `x` only: your own name for its area.")

    @field_validator("number")
    @classmethod
    def _of_its_kind(cls, number: str, info: ValidationInfo) -> str:
        if info.data.get("kind") != "x" and not number.startswith("+"):
            raise PydanticCustomError("invalid_number", "write the number in E.164 form, such as +14155550101")
        return number

    route: RouteIn | None = Field(None, description="Kind `x` only: what becomes of calls that no binding takes.")

    @field_validator("pool", "area", "route")
    @classmethod
    def _of_an_x(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("kind") != "x":
            raise PydanticCustomError("invalid_request", "this is for numbers of kind x")
        return value


class NumberChange(In):
    """What is given is changed."""

    kind: Literal["x"] | None = Field(None, description="Make a display number an X, too.")
    state: Literal["active", "locked", "frozen"] | None = Field(
        None, description="`locked`: no longer chosen; `frozen`: nothing goes through it, until it is active again."
    )
    pool: PoolId | None = None
    area: Text | None = None
    route: RouteIn | None = Field(None, description="What becomes of calls that no binding takes; null: they are refused.")


class NumberOut(Out):
    """A number.  What follows `kind` is of an X: `cooling` is one that was for anyone to dial and rests before its next use;
    `use` is what it serves now."""

    id: str
    number: str
    created_at: str
    kind: Kind
    state: Literal["active", "locked", "frozen", "cooling"] | None
    pool: str | None
    area: str | None
    use: Literal["pairs", "open", "extensions"] | None
    route: RouteIn | None
    carries: list[Literal["voice"]] = Field(description="Calls; an SMS that is sent to it is not carried here.")


class NumbersQuery(PageQuery):
    """How the list can be narrowed."""

    kind: Kind | None = None
    pool: PoolId | None = None


def view(number: OwnedNumber, now: int) -> dict[str, Any]:
    """A number as it goes out at ``now`` (ms)."""
    cooling = number.state == "active" and number.idle_from <= now < number.taken_until
    return {
        "id": "num_" + number.id,
        "number": number.number,
        "created_at": rfc3339(number.created_at),
        "kind": number.kind,
        "state": "cooling" if cooling else number.state,
        "pool": "pool_" + number.pool if number.pool else None,
        "area": number.area,
        "use": number.use,
        "route": None if number.route is None else {name: getattr(number.route, name) for name in RouteIn.model_fields},
        "carries": ["voice"],
    }


def spot(number: str) -> int:
    """Its place in a pool's round: any, but always the same."""
    return zlib.crc32(number.encode()) % SPOTS


@router.post(
    "",
    status_code=201,
    response_model=NumberOut,
    responses=documented("number_conflict", "invalid_number", "suspended", "idempotency_conflict", "idempotency_in_flight"),
)
async def add(new: NewNumber, asked: NewNumbers) -> Response:
    """Add a number that your trunk lets you show, or leads to you."""
    now = asked.house.clock.now()
    pool = await _pool(asked, new.pool)
    state: Any = "active" if new.kind == "x" else None
    route = await _route(asked, new.route)
    number = OwnedNumber(new_id(now), asked.tenant, new.number, now, new.kind, state, new.area, pool, route=route)
    answer = msgspec.json.encode(view(number, now))
    try:
        record = asked.once.record(answer) if asked.once else None
        await asked.house.database.x_numbers.add(number, spot(number.number), record, _secret(route))
    except Taken:
        raise Problem("number_conflict", "this number is listed already", "number") from None
    await asked.house.policy.changed()
    return Json(answer, 201, {"Location": "/v1/numbers/num_" + number.id})


async def _route(asked: Asked, route: RouteIn | None) -> XRoute | None:
    """A route as it is kept; its URL may be called, and its flow is there.  Raises Problem."""
    if route is None:
        return None
    if route.url is not None:
        try:
            await asked.house.webhooks.check_url(route.url)
        except Forbidden as error:
            raise Problem("invalid_request", str(error), "route.url") from None
    if isinstance(route.answer, Menu):
        fits(asked.house, route.answer, CONTEXT, "route.answer")
    await check_prompts(asked.house, _prompts(route))
    extension = None if route.extension is None else Extension(**route.extension.model_dump())
    return XRoute(route.url, route.timeout_ms, stored(route.answer), route.window_s, extension)


def _prompts(route: RouteIn) -> dict[str, str | None]:
    asked = {"route.answer." + field: name for field, name in prompts_of(route.answer).items()}
    return asked if route.extension is None else {**asked, "route.extension.prompt": route.extension.prompt}


def _secret(route: XRoute | None) -> str:
    """What is to sign questions, for a tenant that has no secret yet."""
    return "" if route is None or route.url is None else new_secret()


async def _pool(asked: Asked, pool: str | None) -> str | None:
    if pool is None:
        return None
    name = bare("pool_", pool)
    if name is None or await asked.house.database.pools.get(asked.tenant, name) is None:
        raise Problem("invalid_request", "there is no such pool", "pool")
    return name


@router.get("", response_model=PageOut[NumberOut], responses=documented())
async def listing(query: Annotated[NumbersQuery, Query()], asked: ReadNumbers) -> Response:
    """Your numbers."""
    pool = None if query.pool is None else bare("pool_", query.pool) or ""
    found = await asked.house.database.x_numbers.list(asked.tenant, query.kind, pool, query.limit, query.bare_after())
    now = asked.house.clock.now()
    return page(found.items, "num_", found.next, lambda number: view(number, now))


@router.get("/{number_id}", response_model=NumberOut, responses=documented("not_found"))
async def show(number_id: str, asked: ReadNumbers) -> Response:
    """One number."""
    name = bare("num_", number_id)
    found = await asked.house.database.x_numbers.get(asked.tenant, name) if name else None
    if found is None:
        raise Problem("not_found", "there is no such number")
    return Json(view(found, asked.house.clock.now()))


@router.patch("/{number_id}", response_model=NumberOut, responses=documented("not_found", "suspended"))
async def change(number_id: str, new: NumberChange, asked: WriteNumbers) -> Response:
    """Make a number an X, put an X into another pool, lock or freeze it.  Bindings stay, and live calls go on."""
    name, numbers = bare("num_", number_id), asked.house.database.x_numbers
    found = await numbers.get(asked.tenant, name) if name else None
    if name is None or found is None:
        raise Problem("not_found", "there is no such number")
    fields = new.model_fields_set - {"kind"}
    if fields and "x" not in (found.kind, new.kind):
        raise Problem("invalid_request", "this is for numbers of kind x", min(fields))
    changes: dict[str, Any] = {} if new.kind is None else {"kind": new.kind}
    if new.state is not None:
        changes["state"] = new.state
    if "area" in fields:
        changes["area"] = new.area or ""
    if "pool" in fields:
        changes["pool"] = await _pool(asked, new.pool)
    secret = ""
    if "route" in fields:
        changes["route"] = await _route(asked, new.route)
        secret = _secret(changes["route"])
    changed = await numbers.change(asked.tenant, name, spot(found.number), secret, **changes)
    if changed is None:
        raise Problem("not_found", "there is no such number")
    return Json(view(changed, asked.house.clock.now()))


@router.delete("/{number_id}", status_code=204, responses=documented("not_found", "number_conflict", "suspended"))
async def remove(number_id: str, asked: WriteNumbers) -> Response:
    """Never show this number again.  Live calls are not touched; an X with bindings, or one that cools off, stays."""
    found = bare("num_", number_id)
    now = asked.house.clock.now()
    try:
        if found is None or not await asked.house.database.x_numbers.remove(asked.tenant, found, now):
            raise Problem("not_found", "there is no such number")
    except InUse:
        raise Problem("number_conflict", "bindings stand behind this number, or it cools off after them") from None
    await asked.house.policy.changed()
    return Response(status_code=204)
