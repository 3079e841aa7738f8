"""``/v1/calls``: every call, whatever it came from; its timeline; and what may be done to it while it lives."""

from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from controller.api.fields import E164, In, Name, Prompt, Reference, with_plus
from controller.api.finding import find_call
from controller.api.here import ActOnCalls, ReadCalls
from controller.api.house import House
from controller.api.paging import Cursor, PageOut, PageQuery, PeriodQuery, page
from controller.api.policing import DIALLING, permit
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.saying import check_prompts
from controller.api.shapes import CallOut, EventOut, Kind, Status
from controller.api.views import call_view
from controller.core.call import Call, Disposition
from controller.core.verbs import Notice
from controller.envelope import envelope
from controller.services.inbox import Busy
from controller.services.scheduler import NoRoute
from controller.store.rows import CallFilter

router = APIRouter(prefix="/v1/calls", tags=["calls"], route_class=Route)

ENDED = "the call is over"


class FilterQuery(PeriodQuery):
    """How a list of calls or their records can be narrowed."""

    number: Annotated[E164, BeforeValidator(with_plus)] | None = Field(None, description="Caller or callee.")
    reference: Reference | None = None
    disposition: Disposition | None = None
    binding_id: Cursor | None = None

    def where(self, kind: str | None, status: str | None) -> CallFilter:
        """What the store is asked."""
        return CallFilter(
            kind=kind,
            status=status,
            disposition=self.disposition,
            reference=self.reference,
            binding=self.binding_id,
            number=self.number,
            since=self.since(),
            until=self.until(),
        )


class CallsQuery(FilterQuery):
    """The same with the status."""

    status: Status | Literal["live"] | None = Field(None, description="`live`: started and not ended.")


class AllCallsQuery(CallsQuery):
    """The same for calls of every kind."""

    kind: Kind | None = None


async def list_calls(house: House, tenant: str, query: CallsQuery, kind: str | None) -> Response:
    """A page of calls, as they are in the database: behind the truth by a moment at most."""
    where = query.where(kind, query.status)
    found = await house.database.calls.list(tenant, where, query.limit, query.bare_after())
    return page(found.items, "call_", found.next, lambda call: call_view(call, house.desk.position(call.id)))


@router.get("", response_model=PageOut[CallOut], responses=documented())
async def listing(query: Annotated[AllCallsQuery, Query()], asked: ReadCalls) -> Response:
    """Calls, the newest first."""
    return await list_calls(asked.house, asked.tenant, query, query.kind)


@router.get("/{call_id}", response_model=CallOut, responses=documented("not_found"))
async def show(call_id: str, asked: ReadCalls) -> Response:
    """One call as it is now."""
    call = await find_call(asked.house, asked.tenant, call_id)
    return Json(call_view(call, asked.house.desk.position(call.id)))


@router.get("/{call_id}/events", response_model=PageOut[EventOut], responses=documented("not_found"))
async def events(call_id: str, query: Annotated[PageQuery, Query()], asked: ReadCalls) -> Response:
    """What happened to a call, in order: `after` is the `next` of the page before."""
    call = await find_call(asked.house, asked.tenant, call_id)
    facts = await asked.house.database.calls.facts(asked.tenant, call.id, _sequence(call, query.after), query.limit + 1)
    shown = facts[: query.limit]
    following = shown[-1].id if len(facts) > query.limit else None
    return page(shown, "evt_", following, lambda fact: envelope(fact, call.reference, call.metadata))


def _sequence(call: Call, after: str | None) -> int:
    """The sequence number in a cursor, which is the id of the last event seen."""
    if after is None:
        return 0
    number = after.removeprefix("evt_" + call.id)
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise Problem("invalid_request", "give the `next` of this timeline's page before", "after")
    return int(number)


# --- actions


LegName = Annotated[
    Name, Field(description="`caller`, `callee`, `transfer` (who was put there by a transfer), or as the call's flow names it.")
]
EVER = ("caller", "callee", "transfer")
"""Legs that a call may yet have."""


class Hangup(In):
    """End the call."""

    action: Literal["hangup"]


class Muting(In):
    """What this leg says is not passed on, or is again."""

    action: Literal["mute", "unmute"]
    leg: LegName = "caller"


class Play(In):
    """Play prompts to one leg; the other does not hear them."""

    action: Literal["play"]
    leg: LegName = "caller"
    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=10)]


class Record(In):
    """Start recording.  The parties hear so first, while they talk on; audio is kept from the end of that notice on, and
    the event `recording.started` says when."""

    action: Literal["record"]
    recording_notice: Notice | None = Field(None, description="Who is told; left out: as the call was asked for, else both.")


class Recording(In):
    """Pause, go on with, or stop recording.  Keys that are pressed while it is paused are noted nowhere."""

    action: Literal["pause_recording", "resume_recording", "stop_recording"]


class Transfer(In):
    """Keep the caller, let the other side go, and connect the caller to another number, which sees `display`."""

    action: Literal["transfer"]
    to: E164
    display: E164


Action = Annotated[Hangup | Muting | Play | Record | Recording | Transfer, Field(discriminator="action")]


@router.post(
    "/{call_id}/actions",
    status_code=202,
    response_model=CallOut,
    responses=documented(
        "not_found", "not_possible_now", "invalid_number", *DIALLING, "rate_limited", "suspended", "idempotency_conflict",
        "idempotency_in_flight",
    ),
)  # fmt: skip
async def act(call_id: str, action: Action, asked: ActOnCalls) -> Response:
    """Act on a live call.  The answer is the call; what comes of it is told by events."""
    call = await find_call(asked.house, asked.tenant, call_id)
    leg = getattr(action, "leg", "caller")
    if leg not in EVER and call.named(leg) is None:
        raise Problem("invalid_request", "this call has no such leg", "leg")
    if isinstance(action, Play):
        await check_prompts(asked.house, {f"prompts.{place}": name for place, name in enumerate(action.prompts)})
    if isinstance(action, Transfer):
        await permit(asked.house, partial(_check_transfer, asked.house, call, action))

    async def carry_out() -> bytes:
        await _carry_out(asked.house, call, action)
        return msgspec.json.encode(call_view(asked.house.desk.live_call(call.id) or call))

    return await asked.once.around(202, carry_out) if asked.once else Json(await carry_out(), 202)


def _check_transfer(house: House, call: Call, new: Transfer) -> None:
    others = tuple(leg.number for leg in call.legs[:1])
    house.policy.check_leg(call, "transfer", new.to, new.display, others, param="to", display_param="display")


async def _carry_out(house: House, call: Call, action: Action) -> None:
    """Raises Problem when it is not possible."""
    args = action.model_dump(exclude={"action", "leg"}, exclude_none=True)
    try:
        refused = await house.desk.act(call.id, action.action, getattr(action, "leg", ""), args)
    except KeyError:
        refused = ENDED
    except NoRoute:
        raise Problem("destination_blocked", "no trunk leads to this number from the call's PBX", "to") from None
    except Busy:
        raise Problem("rate_limited", "too much is asked of this call at once", headers={"Retry-After": "1"}) from None
    if refused is not None:
        raise Problem("not_possible_now", refused)
