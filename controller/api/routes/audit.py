"""``/v1/audit``: who did what, and who was refused.  No number, key press or secret is in it."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from controller.api.here import ReadAudit
from controller.api.paging import PageOut, PeriodQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Route
from controller.api.shapes import Out
from controller.services.journal import NOBODY
from controller.store.rows import Audit, AuditFilter
from controller.times import rfc3339

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Route)


class AuditOut(Out):
    """One entry.  `actor` is the id of an API key, `patchbay` for what nobody asked for, null for whom nobody knows.  `action`
    is the method and path of a request, or what happened to the installation.  `count`: so many equal ones in a second."""

    id: str
    at: str
    tenant: str | None
    actor: str | None
    action: str
    target: str | None
    result: Literal["done", "refused", "failed"]
    status: int | None
    code: str | None
    count: int
    request_id: str | None
    address: str | None
    reason: str | None


class AuditQuery(PeriodQuery):
    """Who, and on what."""

    actor: Annotated[str | None, Field(max_length=80, description="The id of a key, or `patchbay`.")] = None
    target: Annotated[str | None, Field(max_length=80, description="An id or a name.")] = None
    installation: Annotated[bool, Field(description="What belongs to no tenant; operators only.")] = False


def view(entry: Audit) -> dict[str, Any]:
    """An entry as it goes out."""
    data = msgspec.json.decode(entry.data)
    return {
        "id": "aud_" + entry.id,
        "at": rfc3339(entry.at),
        "tenant": entry.tenant or None,
        "actor": entry.actor or None,
        "action": entry.action,
        "target": entry.target or None,
        "result": data["result"],
        "status": data.get("status"),
        "code": data.get("code"),
        "count": data.get("count", 1),
        "request_id": data.get("request_id"),
        "address": data.get("address"),
        "reason": data.get("reason"),
    }


@router.get("", response_model=PageOut[AuditOut], responses=documented())
async def listing(query: Annotated[AuditQuery, Query()], asked: ReadAudit) -> Response:
    """Who did what, the newest first.  What a request did is here before it is answered; a refusal within a second."""
    if query.installation and not asked.who.may("operator"):
        raise Problem("forbidden", "only an operator reads what belongs to no tenant", "installation")
    where = AuditFilter(query.actor, query.target, query.since(), query.until())
    tenant = NOBODY if query.installation else asked.tenant
    found = await asked.house.database.audit.list(tenant, query.limit, query.bare_after(), where)
    return page(found.items, "aud_", found.next, view)
