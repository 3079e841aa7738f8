"""``/v1/keys``: API keys.  Only a key's SHA-256 is kept; the key itself is shown once."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from controller.api.auth import SCOPES
from controller.api.fields import In, Name, Text, bare
from controller.api.here import Asked, NewKeys, ReadKeys, WriteKeys
from controller.api.ids import new_id
from controller.api.paging import PageOut, PageQuery, Time, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.store.keys import new_key
from controller.store.rows import ApiKey
from controller.times import or_none, parse, rfc3339

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=Route)


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise PydanticCustomError("invalid_request", "there is no such scope")
    return text


Scope = Annotated[str, AfterValidator(_scope), Field(json_schema_extra={"enum": [*SCOPES]})]
OfTenant = Annotated[Name | None, Query(description="Another tenant's: operators only.")]


class NewKey(In):
    """A new key.  It can be given no scope that yours lacks, and does not outlive yours."""

    name: Text
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
    expires_at: Time | None = Field(None, description="When it ends by itself; left out: when yours does.")
    tenant: Name | None = Field(None, description="Another tenant's: operators only.")


class KeyOut(Out):
    """A key.  `prefix` tells keys apart; `key` is shown once, when it is made.  `id` and `key` are also client id and
    secret for `POST /v1/oauth/token`.  `last_used_at` is exact to about a minute."""

    id: str
    tenant: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    key: str | None = None


class KeysQuery(PageQuery):
    """Whose keys."""

    tenant: Name | None = Field(None, description="Another tenant's: operators only.")


def view(key: ApiKey) -> dict[str, Any]:
    """A key as it goes out."""
    return {
        "id": "key_" + key.id,
        "tenant": key.tenant,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": rfc3339(key.created_at),
        "expires_at": or_none(key.expires_at),
        "last_used_at": or_none(key.last_used_at),
        "revoked_at": or_none(key.revoked_at),
        "key": None,
    }


async def _tenant(asked: Asked, wanted: str | None) -> str:
    """Whose keys are meant: the asker's, or for an operator anybody's.  Raises Problem."""
    if wanted is None or wanted == asked.tenant:
        return asked.tenant
    if not asked.who.may("operator"):
        raise Problem("forbidden", "only an operator has to do with another tenant's keys", "tenant")
    if await asked.house.database.tenants.get(wanted) is None:
        raise Problem("not_found", "there is no such tenant", "tenant")
    return wanted


def _expiry(asked: Asked, wanted: str | None) -> int | None:
    """When the new key ends.  Raises Problem: in the past, or later than the key that makes it."""
    own = asked.who.expires_at
    if wanted is None:
        return own
    until = parse(wanted)
    if until <= asked.house.clock.now():
        raise Problem("invalid_request", "this time is over", "expires_at")
    if own is not None and until > own:
        raise Problem("forbidden", "a key cannot outlive the one that makes it", "expires_at")
    return until


@router.post(
    "",
    status_code=201,
    response_model=KeyOut,
    responses=documented("not_found", "suspended", "idempotency_conflict", "idempotency_in_flight"),
)
async def create(new: NewKey, asked: NewKeys) -> Response:
    """Make a key."""
    missing = [scope for scope in new.scopes if not asked.who.may(scope)]
    if missing:
        raise Problem("forbidden", f"your own key lacks {', '.join(missing)}", "scopes")
    tenant = await _tenant(asked, new.tenant)
    now, made, until = asked.house.clock.now(), new_key(), _expiry(asked, new.expires_at)
    key = ApiKey(new_id(now), tenant, new.name, made.prefix, tuple(new.scopes), now, expires_at=until)
    answer = msgspec.json.encode({**view(key), "key": made.text})
    record = asked.once.record(answer, secret=True) if asked.once else None
    await asked.house.database.keys.add(tenant, key.id, key.name, made.prefix, made.hash, key.scopes, now, record, until)
    asked.rooms.keys.made(made.hash)
    return Json(answer, 201, {"Location": "/v1/keys/key_" + key.id})


@router.get("", response_model=PageOut[KeyOut], responses=documented("not_found"))
async def listing(query: Annotated[KeysQuery, Query()], asked: ReadKeys) -> Response:
    """Your keys, also revoked ones."""
    tenant = await _tenant(asked, query.tenant)
    found = await asked.house.database.keys.list(tenant, query.limit, query.bare_after())
    return page(found.items, "key_", found.next, view)


@router.get("/{key_id}", response_model=KeyOut, responses=documented("not_found"))
async def show(key_id: str, asked: ReadKeys, tenant: OfTenant = None) -> Response:
    """One key."""
    found, whose = bare("key_", key_id), await _tenant(asked, tenant)
    key = await asked.house.database.keys.get(whose, found) if found else None
    if key is None:
        raise Problem("not_found", "there is no such key")
    return Json(view(key))


@router.delete("/{key_id}", status_code=204, responses=documented("not_found", "suspended"))
async def revoke(key_id: str, asked: WriteKeys, tenant: OfTenant = None) -> Response:
    """Make a key and all its tokens worthless, at once here and within seconds on other machines."""
    found, whose = bare("key_", key_id), await _tenant(asked, tenant)
    if found is None or not await asked.house.database.keys.revoke(whose, found, asked.house.clock.now()):
        raise Problem("not_found", "there is no such key")
    asked.rooms.keys.forget()
    return Response(status_code=204)
