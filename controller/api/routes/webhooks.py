"""``/v1/webhooks``: where a tenant wants its events sent, how delivery goes, and sending again."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from controller.api.fields import In, bare
from controller.api.here import Asked, NewWebhooks, ReadWebhooks, WriteWebhooks
from controller.api.house import House
from controller.api.ids import new_id
from controller.api.paging import Cursor, PageOut, PageQuery, Time, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.api.status import Url
from controller.core import ids
from controller.core.facts import EVENTS, NODE_FACTS
from controller.services.webhooks_guard import Forbidden
from controller.services.webhooks_sign import new_secret
from controller.store.rows import DeliveryInfo, Endpoint, Rotation, Signing
from controller.times import or_none, parse, rfc3339

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=Route)

STREAMS = ("bind_", "agt_", "node_")
OLD_SECRET_MS = 24 * 3600 * 1000
"""How long the secret before a rotation still signs."""


def _event(text: str) -> str:
    if text != "*" and text not in EVENTS:
        raise PydanticCustomError("invalid_request", "there is no such event; `*` stands for all")
    return text


Events = Annotated[
    list[Annotated[str, AfterValidator(_event)]],
    Field(min_length=1, max_length=50, description="Event types, or `*` for all.", examples=[["call.ended", "cdr.created"]]),
]
Concurrent = Annotated[int, Field(ge=1, le=100)]
CONCURRENT = "Requests under way at once; null: as the installation has it."


class NewWebhook(In):
    """A new endpoint."""

    url: Url
    events: Events = Field(default_factory=lambda: ["*"])
    concurrent: Concurrent | None = Field(None, description=CONCURRENT)


class WebhookChange(In):
    """What is given is changed.  Of a `status` endpoint: `state` and `concurrent` only."""

    url: Url | None = None
    events: Events | None = None
    state: Literal["active", "disabled"] | None = None
    concurrent: Concurrent | None = Field(None, description=CONCURRENT)
    rotate_secret: bool = Field(False, description="Make a new secret; the old one signs beside it for 24 h.")


class WebhookOut(Out):
    """An endpoint.  `parked`: its whole retry schedule failed; set it `active` to go on where it stopped.

    `kind`: `subscribed` to all of the tenant's events, or `status`: a host that calls named in their `status_url`, each at its
    own URL.  `operator`: a key with the scope `operator` asked for its events, so the installation's nodes are among them."""

    id: str
    kind: Literal["subscribed", "status"]
    url: str
    events: list[str]
    state: Literal["active", "parked", "disabled"]
    reason: str | None
    concurrent: int | None
    operator: bool
    created_at: str
    secret: str | None = Field(None, description="Shown once: when it is made. Standard Webhooks.")
    old_secret_until: str | None


class SecretOut(Out):
    """What signs for the `status_url` of calls.  `secret` is shown once, when it is made."""

    exists: bool
    secret: str | None = None
    old_secret_until: str | None


class DeliveryOut(Out):
    """An event on its way.  `parked`: not tried any more until its endpoint is set `active`, or it is replayed.

    `subject`: the id of the call, binding or agent, or `node_` and the name of the node, that it tells of."""

    id: str
    type: str
    subject: str
    call_id: str | None
    sequence: int
    occurred_at: str
    state: Literal["delivered", "pending", "parked"]
    attempts: int
    next_at: str | None
    last_status: int | None
    last_error: str | None


class Replay(In):
    """Which events are sent again: all of these since a time, or of one call, binding, agent or node.

    `subject`: as in a delivery; `call_id` is another name for it."""

    since: Time | None = None
    until: Time | None = None
    call_id: Cursor | None = None
    subject: Cursor | None = None


class ReplayOut(Out):
    """Of how many calls, bindings, agents and nodes events will be sent again."""

    calls: int


class DeliveriesQuery(PageQuery):
    """How the list can be narrowed."""

    state: Literal["delivered", "pending", "parked"] | None = None


def view(endpoint: Endpoint, secret: str | None = None) -> dict[str, Any]:
    """An endpoint as it goes out."""
    return {
        "id": "whk_" + endpoint.id,
        "kind": endpoint.kind,
        "url": endpoint.url,
        "events": endpoint.events,
        "state": endpoint.state,
        "reason": endpoint.reason,
        "concurrent": endpoint.concurrent,
        "operator": endpoint.operator_at is not None,
        "created_at": rfc3339(endpoint.created_at),
        "secret": secret,
        "old_secret_until": or_none(endpoint.old_secret_until),
    }


def _delivery(info: DeliveryInfo) -> dict[str, Any]:
    return {
        "id": "evt_" + info.id,
        "type": info.type,
        "subject": _subject(info.call),
        "call_id": None if ids.is_stream(info.call) else _subject(info.call),
        "sequence": info.sequence,
        "occurred_at": rfc3339(info.at),
        "state": info.state,
        "attempts": info.attempts,
        "next_at": or_none(info.next_at),
        "last_status": info.last_status,
        "last_error": info.last_error,
    }


def _subject(call: str) -> str:
    return call if ids.is_stream(call) else "call_" + call


async def find(house: House, tenant: str, webhook_id: str) -> Endpoint:
    """A tenant's endpoint.  Raises Problem."""
    found = bare("whk_", webhook_id)
    endpoint = await house.database.endpoints.get(tenant, found) if found else None
    if endpoint is None:
        raise Problem("not_found", "there is no such webhook")
    return endpoint


async def _check_url(house: House, url: str) -> None:
    try:
        await house.webhooks.check_url(url)
    except Forbidden as error:
        raise Problem("invalid_request", str(error), "url") from None


@router.post(
    "",
    status_code=201,
    response_model=WebhookOut,
    responses=documented("suspended", "idempotency_conflict", "idempotency_in_flight"),
)
async def create(new: NewWebhook, asked: NewWebhooks) -> Response:
    """Send events to a URL from now on.  The answer shows the secret that signs them, and nothing shows it again."""
    operator = _may_name(asked, new.events)
    await _check_url(asked.house, new.url)
    now, secret = asked.house.clock.now(), new_secret()
    endpoint = Endpoint(
        new_id(now), asked.tenant, new.url, secret, tuple(new.events), now,
        concurrent=new.concurrent, operator_at=now if operator else None,
    )  # fmt: skip
    answer = msgspec.json.encode(view(endpoint, secret))
    await asked.house.database.endpoints.add(endpoint, asked.once.record(answer, secret=True) if asked.once else None)
    await asked.house.webhooks.reload()
    return Json(answer, 201, {"Location": "/v1/webhooks/whk_" + endpoint.id})


@router.get("", response_model=PageOut[WebhookOut], responses=documented())
async def listing(query: Annotated[PageQuery, Query()], asked: ReadWebhooks) -> Response:
    """All endpoints."""
    found = await asked.house.database.endpoints.list(asked.tenant, query.limit, query.bare_after())
    return page(found.items, "whk_", found.next, view)


@router.get("/status/secret", response_model=SecretOut, responses=documented())
async def status_secret(asked: ReadWebhooks) -> Response:
    """Is there a secret for `status_url`, and does the one before it still sign?"""
    return Json(_secret(await asked.house.database.tenants.signing(asked.tenant)))


@router.post("/status/secret", response_model=SecretOut, responses=documented("suspended"))
async def new_status_secret(asked: WriteWebhooks) -> Response:
    """Make a new secret for `status_url`; the old one signs beside it for 24 h.  Nothing shows it again."""
    rotate = _rotation(asked.house)
    await asked.house.database.tenants.rotate_signing(asked.tenant, rotate)
    await asked.house.webhooks.reload()
    return Json(_secret(await asked.house.database.tenants.signing(asked.tenant), rotate.secret))


def _may_name(asked: Asked, events: Collection[str]) -> bool:
    """Whether it is an operator who asks.  Raises Problem when somebody else names what only operators hear."""
    operator = asked.who.may("operator")
    if not operator and not set(NODE_FACTS).isdisjoint(events):
        raise Problem("forbidden", "only a key with the scope operator may hear of nodes", "events")
    return operator


def _rotation(house: House) -> Rotation:
    now = house.clock.now()
    return Rotation(new_secret(), now, now + OLD_SECRET_MS)


def _secret(signing: Signing | None, secret: str | None = None) -> dict[str, Any]:
    until = signing.old_secret_until if signing and signing.old_secret else None
    return {"exists": signing is not None, "secret": secret, "old_secret_until": or_none(until)}


@router.get("/{webhook_id}", response_model=WebhookOut, responses=documented("not_found"))
async def show(webhook_id: str, asked: ReadWebhooks) -> Response:
    """One endpoint."""
    return Json(view(await find(asked.house, asked.tenant, webhook_id)))


@router.patch("/{webhook_id}", response_model=WebhookOut, responses=documented("not_found", "not_possible_now", "suspended"))
async def change(webhook_id: str, new: WebhookChange, asked: WriteWebhooks) -> Response:
    """Change an endpoint, wake a parked one, or give it a new secret.  One that an operator had told of nodes (`operator`) is
    changed by operators only."""
    endpoint = await find(asked.house, asked.tenant, webhook_id)
    operator = _may_name(asked, new.events or ())
    if endpoint.operator_at is not None and not operator:
        raise Problem("forbidden", "it is told of nodes: only a key with the scope operator changes it")
    changes: dict[str, Any] = new.model_dump(exclude_unset=True, exclude_none=True, exclude={"rotate_secret"})
    if "concurrent" in new.model_fields_set:
        changes["concurrent"] = new.concurrent
    if endpoint.kind == "status" and (new.rotate_secret or not changes.keys() <= {"state", "concurrent"}):
        raise Problem("not_possible_now", "this endpoint belongs to `status_url`: change its `state` or `concurrent` only")
    if "url" in changes:
        await _check_url(asked.house, changes["url"])
    if "events" in changes:
        changes["events"] = tuple(changes["events"])
    if "state" in changes:
        changes["reason"] = None
    if operator and endpoint.operator_at is None and not {"*", *NODE_FACTS}.isdisjoint(new.events or ()):
        changes["operator_at"] = asked.house.clock.now()
    rotate = _rotation(asked.house) if new.rotate_secret else None
    changed = await asked.house.database.endpoints.change(asked.tenant, endpoint.id, rotate, **changes)
    if changed is None:
        raise Problem("not_found", "there is no such webhook")
    await asked.house.webhooks.reload()
    return Json(view(changed, rotate.secret if rotate else None))


@router.delete("/{webhook_id}", status_code=204, responses=documented("not_found", "not_possible_now", "suspended"))
async def delete(webhook_id: str, asked: WriteWebhooks) -> Response:
    """Send nothing there any more."""
    endpoint = await find(asked.house, asked.tenant, webhook_id)
    if endpoint.kind == "status":
        raise Problem("not_possible_now", "calls may be on their way there: set its `state` to `disabled`")
    await asked.house.database.endpoints.delete(asked.tenant, endpoint.id)
    await asked.house.webhooks.reload()
    return Response(status_code=204)


@router.get("/{webhook_id}/deliveries", response_model=PageOut[DeliveryOut], responses=documented("not_found"))
async def deliveries(webhook_id: str, query: Annotated[DeliveriesQuery, Query()], asked: ReadWebhooks) -> Response:
    """How delivery goes: the events of calls, the newest call first, then those of bindings, agents and nodes."""
    endpoint = await find(asked.house, asked.tenant, webhook_id)
    found = await asked.house.database.webhooks.deliveries(
        asked.tenant, endpoint.id, query.state, query.limit, query.bare_after()
    )
    return page(found.items, "evt_", found.next, _delivery)


@router.post(
    "/{webhook_id}/replay",
    status_code=202,
    response_model=ReplayOut,
    responses=documented("not_found", "not_possible_now", "suspended"),
)
async def replay(webhook_id: str, new: Replay, asked: NewWebhooks) -> Response:
    """Send events again, in order per call, with the ids that they had.  Of bindings, agents and nodes those of the last days
    (`webhooks.keep_days`) that came after the endpoint."""
    endpoint = await find(asked.house, asked.tenant, webhook_id)
    if endpoint.state == "disabled":
        raise Problem("not_possible_now", "this endpoint is disabled: set its state to `active` first")
    call = new.subject or new.call_id
    if call is not None and not call.startswith(STREAMS):
        call = bare("call_", call)
        if call is None or await asked.house.database.calls.find(asked.tenant, call) is None:
            raise Problem("not_found", "there is no such call", "subject" if new.subject else "call_id")
    since = None if new.since is None else parse(new.since)
    until = None if new.until is None else parse(new.until)
    return Json({"calls": await asked.house.webhooks.replay(endpoint.id, call=call, since=since, until=until)}, 202)
