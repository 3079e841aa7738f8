"""``/v1/tenants``: who calls are made for.  For operators."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from controller.api.fields import In, Name, Text
from controller.api.here import NewByOperator, Operator
from controller.api.paging import Limit, NameCursor, PageOut
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.store.errors import Taken
from controller.store.rows import Tenant
from controller.store.tenants import BOUNDS
from controller.times import or_none, rfc3339

router = APIRouter(prefix="/v1/tenants", tags=["tenants"], route_class=Route)


ONCE = ("suspended", "idempotency_conflict", "idempotency_in_flight")


class NewTenant(In):
    """A tenant.  The id is a short name, chosen once."""

    id: Name
    name: Text


class TenantChange(In):
    """What is given is changed.  A suspended tenant may read and starts nothing; its live calls go on."""

    name: Text | None = None
    suspended: bool | None = None
    requests_per_second: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="Its own bound on requests; null: the installation's."
    )
    calls_per_second: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        None, description="How many of its calls may start in a second; the others wait.  Null: the installation's."
    )
    concurrent_calls: Annotated[int, Field(ge=1, le=20_000)] | None = Field(
        None, description="How many of its calls may live at once; the others wait.  Null: the installation's."
    )


class TenantOut(Out):
    """A tenant."""

    id: str
    name: str
    created_at: str
    suspended_at: str | None
    requests_per_second: int | None
    calls_per_second: float | None
    concurrent_calls: int | None


def view(tenant: Tenant) -> dict[str, Any]:
    """A tenant as it goes out."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "created_at": rfc3339(tenant.created_at),
        "suspended_at": or_none(tenant.suspended_at),
        **{bound: getattr(tenant, bound) for bound in BOUNDS},
    }


@router.post("", status_code=201, response_model=TenantOut, responses=documented("conflict", *ONCE))
async def create(new: NewTenant, asked: NewByOperator) -> Response:
    """Add a tenant.  It has no keys yet: `POST /v1/keys` with its id makes one."""
    now = asked.house.clock.now()
    tenant = Tenant(new.id, new.name, now)
    answer = msgspec.json.encode(view(tenant))
    try:
        await asked.house.database.tenants.add(tenant.id, tenant.name, now, asked.once.record(answer) if asked.once else None)
    except Taken:
        raise Problem("conflict", "there is a tenant with this id", "id") from None
    return Json(answer, 201, {"Location": "/v1/tenants/" + new.id})


@router.get("", response_model=PageOut[TenantOut], responses=documented())
async def listing(asked: Operator, limit: Annotated[Limit, Query()] = 50, after: NameCursor = None) -> Response:
    """All tenants."""
    found = await asked.house.database.tenants.list(limit, after)
    return Json({"items": [view(tenant) for tenant in found.items], "next": found.next})


@router.get("/{tenant_id}", response_model=TenantOut, responses=documented("not_found"))
async def show(tenant_id: str, asked: Operator) -> Response:
    """One tenant."""
    tenant = await asked.house.database.tenants.get(tenant_id)
    if tenant is None:
        raise Problem("not_found", "there is no such tenant")
    return Json(view(tenant))


@router.patch("/{tenant_id}", response_model=TenantOut, responses=documented("not_found"))
async def change(tenant_id: str, new: TenantChange, asked: Operator) -> Response:
    """Rename or suspend a tenant, or give it bounds of its own, on requests and on calls."""
    changes: dict[str, Any] = {} if new.name is None else {"name": new.name}
    changes |= {bound: getattr(new, bound) for bound in BOUNDS if bound in new.model_fields_set}
    if new.suspended is not None:
        changes["suspended_at"] = asked.house.clock.now() if new.suspended else None
    tenant = await asked.house.database.tenants.change(tenant_id, **changes)
    if tenant is None:
        raise Problem("not_found", "there is no such tenant")
    asked.rooms.keys.forget()
    await asked.house.policy.changed()
    return Json(view(tenant))
