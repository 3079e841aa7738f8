"""``/v1/nodes``: the PBXes, as the operator sees them."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from starlette.responses import Response

from controller.api.fields import In, Name
from controller.api.here import NewByOperator, Operator
from controller.api.house import House
from controller.api.paging import NamesQuery, PageOut, page_of_names
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.config import Host, Node, Port, User
from controller.services.desk import NodeStatus
from controller.store.errors import Taken
from controller.store.nodes import DRAINED_MS, NodeKept
from controller.times import rfc3339

router = APIRouter(prefix="/v1", tags=["nodes"], route_class=Route)


class NodeOut(Out):
    """One PBX.  `draining`: it gets no new calls.  `lost`: it was away for too long, and its calls were ended.  `boot` changes
    when the PBX restarts.  `added`: at run time, not by the configuration."""

    name: str
    kind: Literal["asterisk", "freeswitch"]
    state: Literal["up", "down", "resyncing", "draining", "lost"]
    draining: bool
    added: bool
    live_calls: int
    capacity: int
    boot: str
    since: str
    reason: str


class NodeChange(In):
    """Drain a node, or let it have calls again."""

    state: Literal["up", "draining"]


def _folder(text: str) -> str:
    if ".." in text.split("/") or not text.isprintable():
        raise ValueError("write the whole path, such as /var/spool/asterisk/patchbay")
    return text


Secret = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$"), Field(json_schema_extra={"writeOnly": True})]
Folder = Annotated[str, StringConstraints(pattern=r"^/.{0,254}$"), AfterValidator(_folder)]


class NewAmi(In):
    """How to reach Asterisk's manager interface."""

    host: Host = "127.0.0.1"
    port: Port = 5038
    username: User = "patchbay"
    secret: Secret


class NewHook(In):
    """Where our FastAGI hook listens for this node, and the word that its dialplan says."""

    host: Host = "127.0.0.1"
    port: Port = 4573
    token: Secret


class NewEsl(In):
    """How to reach FreeSWITCH's event socket."""

    host: Host = "127.0.0.1"
    port: Port = 8021
    password: Secret


class NewNode(In):
    """A PBX, as in the configuration file: `ami` and `hook` for Asterisk, `esl` for FreeSWITCH.  Secrets are not shown again.

    `sip`, `dead_man` and `prompts` only concern how the PBX's own configuration is rendered."""

    name: Name
    kind: Literal["asterisk", "freeswitch"]
    ami: NewAmi | None = None
    hook: NewHook | None = None
    esl: NewEsl | None = None
    spool: Folder = "/var/spool/asterisk/patchbay"
    capacity: Annotated[int, Field(ge=1, le=20_000)] = 500
    lost_after_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    sip: dict[str, Any] | None = None
    dead_man: dict[str, Any] | None = None
    prompts: Folder | None = None


def _view(house: House, node: NodeStatus) -> dict[str, Any]:
    return {
        "name": node.name,
        "kind": node.kind,
        "state": node.state,
        "draining": node.name in house.fleet.draining,
        "added": bool(house.fleet.is_added(node.name)),
        "live_calls": node.live_calls,
        "capacity": node.capacity,
        "boot": node.boot,
        "since": rfc3339(node.since),
        "reason": node.reason,
    }


def _node(house: House, name: str) -> NodeStatus:
    for node in house.desk.nodes():
        if node.name == name:
            return node
    raise Problem("not_found", "there is no such node")


@router.post(
    "/nodes",
    status_code=201,
    response_model=NodeOut,
    responses=documented("conflict", "idempotency_conflict", "idempotency_in_flight"),
)
async def add(new: NewNode, asked: NewByOperator) -> Response:
    """Add a PBX.  Whichever controller gets its lease first connects to it; `GET` it to see it come up."""
    house, now = asked.house, asked.house.clock.now()
    document = new.model_dump(exclude_none=True)
    try:
        node = Node.model_validate(document)
    except ValidationError as error:
        raise Problem("invalid_request", str(error.errors()[0]["msg"]).removeprefix("Value error, "), "kind") from None
    if house.fleet.is_added(new.name) is not None:
        raise Problem("conflict", "there is a node of this name", "name")
    shown = NodeStatus(node.name, node.kind, "down", 0, node.capacity, "", now, "just added")
    answer = msgspec.json.encode({**_view(house, shown), "added": True})
    record = asked.once.record(answer) if asked.once else None
    try:
        await house.database.nodes.add(new.name, msgspec.json.encode(document).decode(), now, record)
    except Taken:
        raise Problem("conflict", "there is a node of this name", "name") from None
    await house.fleet.refresh()
    return Json(answer, 201, {"Location": "/v1/nodes/" + new.name})


@router.get("/nodes", response_model=PageOut[NodeOut], responses=documented())
async def nodes(query: Annotated[NamesQuery, Query()], asked: Operator) -> Response:
    """All PBXes, by name."""
    return page_of_names({node.name: _view(asked.house, node) for node in asked.house.desk.nodes()}, query)


@router.get("/nodes/{name}", response_model=NodeOut, responses=documented("not_found"))
async def node(name: str, asked: Operator) -> Response:
    """One PBX."""
    return Json(_view(asked.house, _node(asked.house, name)))


@router.patch("/nodes/{name}", response_model=NodeOut, responses=documented("not_found"))
async def change(name: str, new: NodeChange, asked: Operator) -> Response:
    """Drain a node: it keeps its calls and gets no new ones, also after a restart, until it is told otherwise."""
    house = asked.house
    _node(house, name)
    await house.database.nodes.drain(name, new.state == "draining", house.clock.now())
    await house.fleet.refresh()
    return Json(_view(house, _node(house, name)))


KEPT = {
    "not_draining": f"drain it first, and wait {DRAINED_MS // 1000} s until every controller has heard of it",
    "calls": "it has live calls",
    "recordings": "recordings of it are not stored yet",
    "unknown": "it is in the configuration file; remove it there",
}


@router.delete("/nodes/{name}", status_code=204, responses=documented("not_found", "not_possible_now"))
async def remove(name: str, asked: Operator) -> Response:
    """Forget a PBX that was added at run time, is drained, and has no calls and no recordings left."""
    _node(asked.house, name)
    try:
        await asked.house.database.nodes.remove(name, asked.house.clock.now())
    except NodeKept as kept:
        raise Problem("not_possible_now", KEPT[kept.why]) from None
    await asked.house.fleet.refresh()
    return Response(status_code=204)
