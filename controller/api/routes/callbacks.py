"""``/v1/callbacks``: ring the caller, then the callee, and bridge them."""

import re
from functools import partial
from typing import Annotated, Any, Literal, Self

import msgspec
from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from controller.api.fields import E164, In, Metadata, Name, Prompt, Reference, RingSeconds, TalkSeconds, Time, as_e164
from controller.api.finding import find_call
from controller.api.here import ReadCallbacks, WriteCallbacks, asked_once, needs
from controller.api.house import House
from controller.api.ids import new_id
from controller.api.paging import PageOut
from controller.api.policing import DIALLING, permit
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route, read, takes
from controller.api.routes.agents import QUEUE
from controller.api.routes.calls import CallsQuery, list_calls
from controller.api.saying import check_prompts
from controller.api.shapes import CallOut, CancelOut
from controller.api.status import StatusUrl
from controller.api.views import call_view
from controller.core.acts import CancelReply
from controller.core.agent import WANTED
from controller.core.call import Call, Retry
from controller.core.retry import USUAL, MayFollow
from controller.core.verbs import Notice, Wait
from controller.services.inbox import Busy
from controller.services.room import QueueFull
from controller.services.scheduler import NoRoute
from controller.times import parse

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"], route_class=Route)

PARTIES = ("caller", "callee")
NUMBERS = ("caller", "callee", "caller_display", "callee_display")


_AGENT = re.compile(r"agt_[0-9A-Za-z]{1,40}", re.ASCII)


def _party(value: Any) -> Any:
    """A number, or ``{"agent": id}``, or ``{"queue": "default"}``."""
    if not isinstance(value, dict):
        return as_e164(value)
    agent = value.get("agent")
    if value == {"queue": QUEUE} or (len(value) == 1 and isinstance(agent, str) and _AGENT.fullmatch(agent)):
        return value
    raise PydanticCustomError("invalid_request", "write a number, an agent's id, or the queue `default`")


class RingTimeout(In):
    """How long each phone may ring."""

    caller: RingSeconds = 30
    callee: RingSeconds = 45


class Announce(In):
    """Prompts before the parties are connected; null for none."""

    caller: Prompt | None = "connecting"
    callee: Prompt | None = None


def _a_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


LATEST_MS = 90 * 86_400_000
Party = Annotated[
    str | dict[str, str],
    BeforeValidator(_party),
    Field(
        examples=["+14155550101"],
        json_schema_extra={
            "description": "A number; or an agent, or the queue, whose idlest agent is assigned when there is one.",
            "anyOf": [
                {"type": "string", "pattern": r"^\+[1-9][0-9]{6,14}$"},
                {"type": "object", "properties": {"agent": {"type": "string"}}, "required": ["agent"]},
                {"type": "object", "properties": {"queue": {"const": QUEUE}}, "required": ["queue"]},
            ],
        },
    ),
]
Key = Annotated[str, Field(pattern=r"^[0-9*#]$", examples=["1"])]


class Confirm(In):
    """A key that the caller must press before the callee is dialled.  Nothing, or any other key, plays the prompt again,
    `repeats` times; then the call is over as `no_answer`.  `replay_key` plays it again, `hang_up_key` ends the call as
    `canceled`."""

    prompt: Prompt = "press-1"
    key: Key = "1"
    repeats: Annotated[int, Field(ge=0, le=10)] = 2
    timeout_s: Annotated[int, Field(ge=1, le=60)] = 5
    replay_key: Key | None = None
    hang_up_key: Key | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [key for key in (self.key, self.replay_key, self.hang_up_key) if key is not None]
        if len(set(keys)) < len(keys):
            raise PydanticCustomError("invalid_request", "each key may mean one thing")
        if self.prompt == "press-1" and self.key != "1":
            raise PydanticCustomError("invalid_request", "name a prompt that says which key to press; press-1 says 1")
        return self


Then = Literal["hang_up", "continue"]


class MachineDetection(In):
    """Listen to who has answered the caller's phone before anything is said and anybody else is dialled.  A person says a few
    words and waits; a machine speaks on.  `unknown`: nobody said anything, it cannot be told, or the PBX has nothing to listen
    with.  A call that is hung up here ends as `no_answer`, which a retry plan may follow."""

    on_machine: Then = "hang_up"
    on_unknown: Then = "continue"


class RetryPlan(In):
    """What follows a call that came to nothing: up to `attempts` further calls, each `backoff_s` after the end of the one
    before, while that ended as one of `on`.  A person who refused, or was busy, is called again only if `on` says so."""

    attempts: Annotated[int, Field(ge=1, le=10)]
    backoff_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    on: Annotated[tuple[MayFollow, ...], BeforeValidator(_a_list), Field(min_length=1, max_length=6)] = USUAL


class NewCallback(In):
    """A callback.  `caller_display` is what the caller's own phone shows, `callee_display` what the callee's shows."""

    caller: Party
    callee: Party
    caller_display: E164
    callee_display: E164
    record: bool = False
    recording_notice: Notice = "both"
    max_duration_s: TalkSeconds = 3600
    ring_timeout_s: RingTimeout = RingTimeout()
    wait: Wait = "early_media"
    announce: Announce = Announce()
    warn_to: Notice = "none"
    flow: Name = "callback"
    reference: Reference | None = None
    metadata: Metadata | None = None
    confirm: Confirm | None = None
    machine_detection: MachineDetection | None = None
    schedule_at: Time | None = None
    not_after: Time | None = None
    retry: RetryPlan | None = None
    memory_ttl_s: Annotated[int, Field(ge=1, le=90 * 86_400)] | None = None
    status_url: StatusUrl | None = None


def _when(new: NewCallback, now: int) -> tuple[int | None, int | None]:
    """`schedule_at` and `not_after` in ms.  Raises Problem for a time that has passed or is too far."""
    schedule_at, not_after = (None if text is None else parse(text) for text in (new.schedule_at, new.not_after))
    if schedule_at is not None and schedule_at > now + LATEST_MS:
        raise Problem("invalid_request", "at most 90 days ahead", "schedule_at")
    if not_after is not None and not_after <= max(now, schedule_at or 0):
        raise Problem("invalid_request", "this must lie ahead, and after schedule_at", "not_after")
    return schedule_at, not_after


PLAIN = ("record", "recording_notice", "max_duration_s", "wait", "warn_to")


def variables(new: NewCallback) -> dict[str, Any]:
    """The call's variables: what was asked for.  The rest keeps the flow's own defaults."""
    given = new.model_fields_set
    found: dict[str, Any] = {name: getattr(new, name) for name in NUMBERS}
    for leg in PARTIES:
        if isinstance(found[leg], dict):
            agent = found.pop(leg).get("agent")
            found[WANTED] = {"leg": leg, "agent": agent and agent.removeprefix("agt_")}
    found |= {name: getattr(new, name) for name in PLAIN if name in given}
    if new.memory_ttl_s is not None:
        found["memory_ttl_s"] = new.memory_ttl_s
    if new.confirm is not None:
        found["confirm"] = new.confirm.model_dump()
    if new.machine_detection is not None:
        wanted = new.machine_detection
        found["machine_detection"] = {name: getattr(wanted, "on_" + name) == "continue" for name in ("machine", "unknown")}
    if "ring_timeout_s" in given:
        found["ring_timeout_s"] = new.ring_timeout_s.model_dump(exclude_unset=True)
    if "announce" in given:  # null means none, where the flow's default may be a prompt
        found["announce"] = {leg: prompt or "" for leg, prompt in new.announce.model_dump(exclude_unset=True).items()}
    return found


def _plan(asked: RetryPlan | None, now: int) -> Retry | None:
    if asked is None:
        return None
    return Retry(tuple(new_id(now) for _ in range(asked.attempts)), asked.backoff_s * 1000, asked.on)


def _prompts(new: NewCallback) -> dict[str, str | None]:
    """Those that the request itself names."""
    asked: dict[str, str | None] = {}
    if "announce" in new.model_fields_set:
        asked = {"announce." + leg: getattr(new.announce, leg) for leg in new.announce.model_fields_set}
    if new.confirm is not None:
        asked["confirm.prompt"] = new.confirm.prompt
    return asked


async def _check_agent(house: House, tenant: str, new: NewCallback) -> None:
    """One of the two may be an agent, who must be there.  Raises Problem."""
    asked = [(leg, getattr(new, leg)) for leg in PARTIES if isinstance(getattr(new, leg), dict)]
    if len(asked) == len(PARTIES):
        raise Problem("invalid_request", "one of the two must be a number", "callee")
    for leg, party in asked:
        agent = party.get("agent")
        if agent is not None and await house.database.agents.find(tenant, agent.removeprefix("agt_")) is None:
            raise Problem("invalid_request", "there is no such agent", leg)


def _flow_version(house: House, new: NewCallback) -> str:
    """The flow's latest version.  Raises Problem for one that is none for callbacks, or that knows no key gate."""
    try:
        flow = house.flows.latest(new.flow)
    except KeyError:
        raise Problem("invalid_request", "there is no such flow; GET /v1/flows lists them", "flow") from None
    missing = set(flow.needs) - set(NUMBERS)
    if missing:
        raise Problem("invalid_request", f"this flow needs {', '.join(sorted(missing))}: it is none for callbacks", "flow")
    if flow.arrives:
        raise Problem("invalid_request", "this flow takes calls that come in: it is none for callbacks", "flow")
    if new.confirm is not None and "confirm" not in flow.defaults:
        raise Problem("invalid_request", "this flow asks for no key: leave `confirm` out, or name another flow", "confirm")
    if new.machine_detection is not None and "machine_detection" not in flow.defaults:
        deaf = "this flow listens for no machine: leave `machine_detection` out, or name another flow"
        raise Problem("invalid_request", deaf, "machine_detection")
    return flow.version


@router.post(
    "",
    status_code=202,
    response_model=CallOut,
    responses=documented(
        "invalid_number", *DIALLING, "queue_full", "suspended",
        "idempotency_conflict", "idempotency_in_flight",
    ),
    openapi_extra=takes(NewCallback) | needs("callbacks:write"),
)  # fmt: skip
async def create(request: Request) -> Response:
    """Queue a callback.  The answer's `id` is the call's."""
    asked = await asked_once(request, "callbacks:write")
    new = await read(request, NewCallback)
    await check_prompts(asked.house, _prompts(new))
    if new.status_url is not None:
        await asked.rooms.status.ensure(asked.tenant, new.status_url)
    await _check_agent(asked.house, asked.tenant, new)
    version = _flow_version(asked.house, new)
    now = asked.house.clock.now()
    not_before, not_after = _when(new, now)
    call = Call(
        id=new_id(now),
        tenant=asked.tenant,
        kind="callback",
        flow=new.flow,
        flow_version=version,
        requested_at=now,
        vars=variables(new),
        reference=new.reference,
        metadata=new.metadata,
        status_url=new.status_url,
        not_before=not_before,
        not_after=not_after,
        retry=_plan(new.retry, now),
    )
    await permit(asked.house, partial(asked.house.policy.check, call))
    try:
        seen = call_view(call, asked.house.desk.outlook(call))
        answer = msgspec.json.encode(seen)
        await asked.house.desk.open(call, asked.once.record(answer) if asked.once else None)
    except NoRoute as error:
        raise Problem("destination_blocked", "no trunk leads to this number", error.leg) from None
    except QueueFull as error:
        retry = {"Retry-After": str(error.retry_after_s)}
        raise Problem("queue_full", f"{error}; try again in {error.retry_after_s} s", headers=retry) from None
    return Json(answer, 202, {"Location": "/v1/callbacks/" + seen["id"]})


@router.get("", response_model=PageOut[CallOut], responses=documented())
async def listing(query: Annotated[CallsQuery, Query()], asked: ReadCallbacks) -> Response:
    """Callbacks, the newest first."""
    return await list_calls(asked.house, asked.tenant, query, kind="callback")


@router.get("/{callback_id}", response_model=CallOut, responses=documented("not_found"))
async def show(callback_id: str, asked: ReadCallbacks) -> Response:
    """One callback as it is now."""
    call = await find_call(asked.house, asked.tenant, callback_id, "callback")
    return Json(call_view(call, asked.house.desk.position(call.id)))


async def _over(house: House, call_id: str) -> CancelReply:
    """The answer for a call that neither lives here nor waits.  Raises Problem for one that lives all the same."""
    stored = await house.database.calls.get(call_id)
    if stored is not None and not stored.ended:
        raise Problem("pbx_unavailable", "its PBX is not conducted from here at the moment", headers={"Retry-After": "1"})
    return CancelReply(False, kept_because="ended")


@router.delete("/{callback_id}", response_model=CancelOut, responses=documented("not_found", "rate_limited", "pbx_unavailable"))
async def cancel(
    callback_id: str,
    asked: WriteCallbacks,
    unless: Annotated[
        Literal["ringing", "answered"] | None,
        Query(description="Keep a call whose callee rings (or is further), or whose callee has answered."),
    ] = None,
) -> Response:
    """Give a callback up, in any state, unless it has got that far; and with it the rest of its retry plan."""
    call = await find_call(asked.house, asked.tenant, callback_id, "callback")
    try:
        reply = await asked.house.desk.cancel(call.id, unless or "")
        if reply.kept_because == "ended":
            reply = await asked.house.desk.cancel_plan(call) or reply
    except KeyError:
        reply = await asked.house.desk.cancel_plan(call) or await _over(asked.house, call.id)
    except Busy:
        raise Problem("rate_limited", "too much is asked of this call at once", headers={"Retry-After": "1"}) from None
    return Json({"canceled": reply.canceled, "dropped": reply.dropped, "kept_because": reply.kept_because})
