"""``/v1/trunks``: the ways out, as the operator sees them.  Those of the configuration file are changed there."""

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from controller.api.fields import In, Name
from controller.api.here import Asked, NewByOperator, Operator
from controller.api.house import House
from controller.api.paging import NamesQuery, PageOut, page_of_names
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.config import Host, Port, Trunk, User
from controller.store.errors import Taken
from controller.store.nodes import DRAINED_MS
from controller.store.trunks import TrunkKept

router = APIRouter(prefix="/v1/trunks", tags=["nodes"], route_class=Route)

MOST = 1000
SHOWN_SIP = ("host", "port", "username", "from_domain", "rtp_timeout_s", "codecs")


def _password(text: str) -> str:
    if ";" in text or "${" in text or "$$" in text:
        raise PydanticCustomError("invalid_request", "a PBX's configuration cannot carry `;`, `${` or `$$`")
    return text


Password = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]{1,255}$"),
    AfterValidator(_password),
    Field(json_schema_extra={"writeOnly": True}),
]
Prefix = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{0,15}$"), Field(examples=["+1"])]
Codec = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{2,10}$")]
Kinds = Annotated[list[Literal["asterisk", "freeswitch"]], Field(max_length=2)]
Nodes = Annotated[list[Name], Field(max_length=MOST)]
Prefixes = Annotated[list[Prefix], Field(min_length=1, max_length=MOST)]
Rate = Annotated[float, Field(gt=0, le=10_000)]
Most = Annotated[int, Field(ge=1, le=20_000)]


class NewSip(In):
    """The carrier at the other end.  The password is not shown again."""

    host: Host
    port: Port = 5060
    username: User | None = None
    password: Password | None = None
    from_domain: Host | None = None
    rtp_timeout_s: Annotated[int, Field(ge=0, le=3600)] = 0
    codecs: Annotated[list[Codec], Field(min_length=1, max_length=20)] = Field(["ulaw", "alaw"])

    @model_validator(mode="after")
    def _both(self) -> "NewSip":
        if (self.username is None) != (self.password is None):
            raise PydanticCustomError("invalid_request", "give username and password, or neither")
        return self


class NewTrunk(In):
    """A way out: the numbers with these prefixes (of several trunks the longest prefix decides), on these nodes and on nodes of
    these kinds (none named: on all).

    `sip` is what the PBX's own configuration is rendered from; without it you configure the endpoint (Asterisk) or gateway
    (FreeSWITCH) of this name there yourself."""

    name: Name
    prefixes: Prefixes = Field([""], description='`""`: every number.')
    nodes: Nodes = Field(default_factory=list)
    kinds: Kinds = Field(default_factory=list)
    calls_per_second: Rate = 10
    concurrent: Most = 200
    sip: NewSip | None = None


class TrunkChange(In):
    """What is given is changed.  `draining`: it gets no new calls; those that no other trunk can take wait."""

    prefixes: Prefixes | None = None
    nodes: Nodes | None = None
    kinds: Kinds | None = None
    calls_per_second: Rate | None = None
    concurrent: Most | None = None
    sip: NewSip | None = Field(None, description="As a whole; null: you configure it at the PBX yourself.")
    state: Literal["up", "draining"] | None = None


class SipOut(Out):
    """The carrier at the other end, without the password."""

    host: str
    port: int
    username: str | None
    from_domain: str | None
    rtp_timeout_s: int
    codecs: list[str]


class TrunkOut(Out):
    """A way out.  `added`: at run time, not by the configuration; `draining`: it gets no new calls."""

    name: str
    state: Literal["up", "draining"]
    added: bool
    prefixes: list[str]
    nodes: list[str]
    kinds: list[str]
    calls_per_second: float
    concurrent: int
    sip: SipOut | None


def _view(house: House, trunk: Trunk) -> dict[str, Any]:
    return {
        "name": trunk.name,
        "state": "draining" if trunk.name in house.trunks.draining else "up",
        "added": house.trunks.is_added(trunk.name) is not False,
        "prefixes": trunk.prefixes,
        "nodes": trunk.nodes,
        "kinds": trunk.kinds,
        "calls_per_second": trunk.calls_per_second,
        "concurrent": trunk.concurrent,
        "sip": None if trunk.sip is None else {name: getattr(trunk.sip, name) for name in SHOWN_SIP},
    }


@router.post(
    "",
    status_code=201,
    response_model=TrunkOut,
    responses=documented("conflict", "idempotency_conflict", "idempotency_in_flight"),
)
async def add(new: NewTrunk, asked: NewByOperator) -> Response:
    """Add a trunk.  Calls take it from now on, so the PBX must know it before: render its configuration anew
    (`patchbay config render` has what was added), and let it reload that."""
    house = asked.house
    text = msgspec.json.encode(new.model_dump(exclude_none=True)).decode()
    answer = msgspec.json.encode(_view(house, Trunk.model_validate_json(text)))
    if house.trunks.is_added(new.name) is not None:
        raise Problem("conflict", "there is a trunk of this name", "name")
    record = asked.once.record(answer) if asked.once else None
    try:
        await house.database.trunks.add(new.name, text, house.clock.now(), record)
    except Taken:
        raise Problem("conflict", "there is a trunk of this name", "name") from None
    await house.trunks.refresh()
    return Json(answer, 201, {"Location": "/v1/trunks/" + new.name})


@router.get("", response_model=PageOut[TrunkOut], responses=documented())
async def listing(query: Annotated[NamesQuery, Query()], asked: Operator) -> Response:
    """The ways out, by name: those of the configuration, and those that were added."""
    return page_of_names({trunk.name: _view(asked.house, trunk) for trunk in asked.house.trunks.known}, query)


@router.get("/{name}", response_model=TrunkOut, responses=documented("not_found"))
async def show(name: str, asked: Operator) -> Response:
    """One trunk."""
    return Json(_view(asked.house, _trunk(asked, name)))


@router.patch("/{name}", response_model=TrunkOut, responses=documented("not_found", "not_possible_now"))
async def change(name: str, new: TrunkChange, asked: Operator) -> Response:
    """Change a trunk that was added.  New calls, and those that wait, go by it at once; what has begun keeps its trunk: drain
    it before you take it off a node.  After a change of `sip`, `nodes` or `kinds` the PBX's configuration is to be rendered
    anew.  A trunk of the configuration file is changed there: `not_possible_now`."""
    house = asked.house
    if house.trunks.is_added(name) is False:
        raise Problem("not_possible_now", CONFIGURED)
    draining = None if new.state is None else new.state == "draining"
    changed = await house.database.trunks.change(name, partial(_edited, new), draining, house.clock.now())
    if changed is None:
        raise Problem("not_found", "there is no such trunk")
    await house.trunks.refresh()
    return Json(_view(house, _trunk(asked, name)))


def _edited(new: TrunkChange, settings: str) -> str:
    """The stored settings with what is given."""
    before = msgspec.json.decode(settings)
    given = {name: getattr(new, name) for name in new.model_fields_set - {"state", "sip"}}
    after = {**before, **{name: value for name, value in given.items() if value is not None}}
    if "sip" in new.model_fields_set:
        after["sip"] = None if new.sip is None else new.sip.model_dump(exclude_none=True)
    return msgspec.json.encode(after).decode()


CONFIGURED = "it is in the configuration file: change it there"
KEPT = {
    "not_draining": f"drain it first, and wait {DRAINED_MS // 1000} s until every controller has heard of it",
    "calls": "live calls go over it",
}


@router.delete("/{name}", status_code=204, responses=documented("not_found", "not_possible_now"))
async def remove(name: str, asked: Operator) -> Response:
    """Forget a trunk that was added, is drained, and that no live call goes over."""
    house = asked.house
    if house.trunks.is_added(name) is False:
        raise Problem("not_possible_now", CONFIGURED)
    try:
        await house.database.trunks.remove(name, house.clock.now())
    except TrunkKept as kept:
        if kept.why == "unknown":
            raise Problem("not_found", "there is no such trunk") from None
        raise Problem("not_possible_now", KEPT[kept.why]) from None
    await house.trunks.refresh()
    return Response(status_code=204)


def _trunk(asked: Asked, name: str) -> Trunk:
    found = asked.house.trunks.get(name)
    if found is None:
        raise Problem("not_found", "there is no such trunk")
    return found
