"""``/v1/lists/{block,allow,dnc}``: what may be called, what may not, and who wants not to be called."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from controller.api.fields import In, Text, bare, is_possible, with_plus
from controller.api.here import NewLists, ReadLists, WriteLists
from controller.api.ids import new_id
from controller.api.paging import PageOut, PageQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.core.numbers import PREFIX
from controller.core.policy_state import ListEntry, ListName
from controller.store.errors import Taken
from controller.store.policies import ListFull
from controller.times import rfc3339

router = APIRouter(prefix="/v1/lists", tags=["lists"], route_class=Route)


def _prefix(text: Any) -> Any:
    if not isinstance(text, str) or PREFIX.fullmatch(text) is None:
        raise PydanticCustomError("invalid_number", "write a number, or the beginning of one, with its country: +1415")
    return text


Prefix = Annotated[str, BeforeValidator(_prefix), Field(examples=["+1415"], json_schema_extra={"pattern": r"^\+[0-9]{0,15}$"})]
"""The beginning of numbers in E.164 form; `+` alone is every number."""


class NewEntry(In):
    """An entry.  On `block` and `allow` a number stands for all that begin with it; on `dnc` for itself alone."""

    number: Prefix
    note: Text | None = Field(None, description="Why it is here, for people.")


class EntryOut(Out):
    """An entry of a list."""

    id: str
    list: ListName
    number: str
    note: str | None
    created_at: str


class ListQuery(PageQuery):
    """How a list can be narrowed."""

    number: Annotated[Prefix, BeforeValidator(with_plus)] | None = Field(None, description="This entry only.")


def _view(which: ListName, entry: ListEntry) -> dict[str, Any]:
    told = {"id": "lst_" + entry.id, "list": which, "number": entry.number, "note": entry.note or None}
    return {**told, "created_at": rfc3339(entry.created_at)}


@router.post(
    "/{name}",
    status_code=201,
    response_model=EntryOut,
    responses=documented(
        "number_conflict", "invalid_number", "quota_exceeded", "suspended", "idempotency_conflict", "idempotency_in_flight",
    ),
)  # fmt: skip
async def add(name: ListName, new: NewEntry, asked: NewLists) -> Response:
    """Add an entry.  It counts from now on, for calls that wait too."""
    if name == "dnc" and not is_possible(new.number):
        raise Problem("invalid_number", "the do-not-call list holds whole numbers", "number")
    now = asked.house.clock.now()
    entry = ListEntry(new_id(now), new.number, new.note or "", now)
    answer = msgspec.json.encode(_view(name, entry))
    try:
        record = asked.once.record(answer) if asked.once else None
        await asked.house.database.policies.add(entry, asked.tenant, name, record)
    except Taken:
        raise Problem("number_conflict", "this number is on the list already", "number") from None
    except ListFull:
        raise Problem("quota_exceeded", "this list is full", "number") from None
    await asked.house.policy.changed()
    return Json(answer, 201, {"Location": f"/v1/lists/{name}/lst_{entry.id}"})


@router.get("/{name}", response_model=PageOut[EntryOut], responses=documented())
async def listing(name: ListName, query: Annotated[ListQuery, Query()], asked: ReadLists) -> Response:
    """The entries of a list, the newest first."""
    found = await asked.house.database.policies.list(asked.tenant, name, query.number, query.limit, query.bare_after())
    return page(found.items, "lst_", found.next, lambda entry: _view(name, entry))


@router.get("/{name}/{entry_id}", response_model=EntryOut, responses=documented("not_found"))
async def show(name: ListName, entry_id: str, asked: ReadLists) -> Response:
    """One entry."""
    bare_id = bare("lst_", entry_id)
    found = None if bare_id is None else await asked.house.database.policies.find(asked.tenant, name, bare_id)
    if found is None:
        raise Problem("not_found", "there is no such entry")
    return Json(_view(name, found))


@router.delete("/{name}/{entry_id}", status_code=204, responses=documented("not_found", "suspended"))
async def remove(name: ListName, entry_id: str, asked: WriteLists) -> Response:
    """Take an entry off."""
    found = bare("lst_", entry_id)
    if found is None or not await asked.house.database.policies.remove(asked.tenant, name, found):
        raise Problem("not_found", "there is no such entry")
    await asked.house.policy.changed()
    return Response(status_code=204)
