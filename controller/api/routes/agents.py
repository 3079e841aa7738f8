"""``/v1/agents``: who takes calls."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from controller.api.fields import E164, In, Text, bare
from controller.api.here import NewAgents, ReadAgents, WriteAgents
from controller.api.house import House
from controller.api.ids import new_id
from controller.api.paging import PageOut, PageQuery, page
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.core.agent import Agent, AgentState
from controller.times import rfc3339

router = APIRouter(prefix="/v1", tags=["agents"], route_class=Route)

PREFIX, QUEUE = "agt_", "default"


class NewAgent(In):
    """Somebody who takes calls on an ordinary phone."""

    name: Text
    number: E164
    state: AgentState = "away"


class AgentChange(In):
    """What may be changed; what is left out stays as it is."""

    name: Text | None = None
    number: E164 | None = None
    state: AgentState | None = None


class AgentOut(Out):
    """An agent.  `state` is `busy` while they are assigned to `call_id`, whatever they said."""

    id: str
    name: str
    number: str
    state: AgentState
    call_id: str | None
    created_at: str


class AgentsQuery(PageQuery):
    """How the list can be narrowed."""

    state: AgentState | None = Field(None, description="As they are shown: `busy` while they are assigned.")


def _view(agent: Agent) -> dict[str, Any]:
    return {
        "id": PREFIX + agent.id,
        "name": agent.name,
        "number": agent.number,
        "state": agent.seen,
        "call_id": agent.call and "call_" + agent.call,
        "created_at": rfc3339(agent.created_at),
    }


@router.post(
    "/agents",
    status_code=201,
    response_model=AgentOut,
    responses=documented("invalid_number", "suspended", "idempotency_conflict", "idempotency_in_flight"),
)
async def add(new: NewAgent, asked: NewAgents) -> Response:
    """Add an agent."""
    now = asked.house.clock.now()
    agent = Agent(new_id(now), asked.tenant, new.name, new.number, new.state, None, now)
    answer = msgspec.json.encode(_view(agent))
    await asked.house.database.agents.add(agent, now, asked.once.record(answer) if asked.once else None)
    asked.house.agents.look()
    return Json(answer, 201, {"Location": "/v1/agents/" + PREFIX + agent.id})


@router.get("/agents", response_model=PageOut[AgentOut], responses=documented())
async def listing(query: Annotated[AgentsQuery, Query()], asked: ReadAgents) -> Response:
    """Your agents, the newest first."""
    found = await asked.house.database.agents.list(asked.tenant, query.limit, query.bare_after(), query.state)
    return page(found.items, PREFIX, found.next, _view)


@router.get("/agents/{agent_id}", response_model=AgentOut, responses=documented("not_found"))
async def show(agent_id: str, asked: ReadAgents) -> Response:
    """One agent."""
    return Json(_view(await find_agent(asked.house, asked.tenant, agent_id)))


@router.patch("/agents/{agent_id}", response_model=AgentOut, responses=documented("not_found", "invalid_number", "suspended"))
async def change(agent_id: str, new: AgentChange, asked: WriteAgents) -> Response:
    """Go on duty or away, or change the name or the phone.  Going on duty starts a callback that waits."""
    agent = await find_agent(asked.house, asked.tenant, agent_id)
    values = new.model_dump(exclude_none=True)
    changed = await asked.house.database.agents.change(asked.tenant, agent.id, asked.house.clock.now(), values)
    if changed is None:
        raise Problem("not_found", "there is no such agent")
    asked.house.agents.look()
    return Json(_view(changed))


@router.delete("/agents/{agent_id}", status_code=204, responses=documented("not_found", "suspended"))
async def remove(agent_id: str, asked: WriteAgents) -> Response:
    """Remove an agent.  A live call goes on; callbacks that wait for this one end as `failed`."""
    found = bare(PREFIX, agent_id)
    if found is None or not await asked.house.database.agents.remove(asked.tenant, found, asked.house.clock.now()):
        raise Problem("not_found", "there is no such agent")
    asked.house.agents.gone(asked.tenant, found)
    return Response(status_code=204)


async def find_agent(house: House, tenant: str, agent_id: str) -> Agent:
    """The agent with this id.  Raises Problem."""
    found = bare(PREFIX, agent_id)
    agent = None if found is None else await house.database.agents.find(tenant, found)
    if agent is None:
        raise Problem("not_found", "there is no such agent")
    return agent
