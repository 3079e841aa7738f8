"""``/v1/numbers/{id}/last-agent``: which agent an X remembers for a customer, and how that is forgotten."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from controller.api.fields import E164, In, bare, with_plus
from controller.api.here import Asked, ReadNumbers, WriteNumbers
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.services.last_agents import sticky_of
from controller.store.rows import OwnedNumber
from controller.times import rfc3339

router = APIRouter(prefix="/v1/numbers/{number_id}/last-agent", tags=["numbers"], route_class=Route)


class CustomerQuery(In):
    """Of whom."""

    customer: Annotated[E164, BeforeValidator(with_plus)] = Field(description="The customer's number.")


class LastAgentOut(Out):
    """The customer spoke to this agent in `call_id`, which began `at`, and reaches them again until `expires_at`."""

    agent_id: str
    call_id: str
    at: str
    expires_at: str


@router.get("", response_model=LastAgentOut, responses=documented("not_found"))
async def show(number_id: str, query: Annotated[CustomerQuery, Query()], asked: ReadNumbers) -> Response:
    """The agent to whom a customer spoke last by this X, as far back as its route says (`sticky_s`; a week)."""
    number = await _x(number_id, asked)
    answer = None if number.route is None else number.route.answer
    sticky_s = sticky_of(answer, asked.house.flows)
    found = await asked.house.last_agents.of(asked.tenant, query.customer, number.number, sticky_s)
    if found is None:
        raise Problem("not_found", "this number remembers no agent for them")
    return Json(
        {
            "agent_id": "agt_" + found.agent.id,
            "call_id": "call_" + found.call,
            "at": rfc3339(found.at),
            "expires_at": rfc3339(found.until),
        }
    )


@router.delete("", status_code=204, responses=documented("not_found", "suspended"))
async def forget(number_id: str, query: Annotated[CustomerQuery, Query()], asked: WriteNumbers) -> Response:
    """Forget it: no call that has begun counts any more, whether or not there was one.  The calls themselves stay."""
    number = await _x(number_id, asked)
    await asked.house.last_agents.forget(asked.tenant, query.customer, number.number)
    return Response(status_code=204)


async def _x(number_id: str, asked: Asked) -> OwnedNumber:
    name = bare("num_", number_id)
    found = await asked.house.database.x_numbers.get(asked.tenant, name) if name else None
    if found is None or found.kind != "x":
        raise Problem("not_found", "there is no such X")
    return found
