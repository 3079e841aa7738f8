"""``/v1/queues``: the callbacks that wait for an agent.  Each tenant has one queue, that all of its agents are in."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from controller.api.here import Asked, ReadAgents
from controller.api.paging import NamesQuery, PageOut, PageQuery, page, page_of_names
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.routes.agents import PREFIX, QUEUE
from controller.api.shapes import Out
from controller.core.agent import wanted
from controller.core.call import Call
from controller.times import rfc3339

router = APIRouter(prefix="/v1/queues", tags=["agents"], route_class=Route)


class QueueOut(Out):
    """The one queue: how many callbacks wait, and how many agents could take one now."""

    id: str
    waiting: int
    on_duty: int


class WaitingOut(Out):
    """A callback that waits.  `agent_id`: who must take it, null for whoever is idle longest; `position`: from 1, among those
    that wait for the same."""

    id: str
    position: int
    agent_id: str | None
    requested_at: str
    reference: str | None


async def _view(asked: Asked) -> dict[str, Any]:
    on_duty = await asked.house.database.agents.on_duty(asked.tenant)
    return {"id": QUEUE, "waiting": asked.house.agents.length(asked.tenant), "on_duty": on_duty}


def _known(queue_id: str) -> None:
    if queue_id != QUEUE:
        raise Problem("not_found", "there is no such queue")


@router.get("", response_model=PageOut[QueueOut], responses=documented())
async def listing(query: Annotated[NamesQuery, Query()], asked: ReadAgents) -> Response:
    """The one queue that every agent is in."""
    return page_of_names({QUEUE: await _view(asked)}, query)


@router.get("/{queue_id}", response_model=QueueOut, responses=documented("not_found"))
async def show(queue_id: str, asked: ReadAgents) -> Response:
    """One queue."""
    _known(queue_id)
    return Json(await _view(asked))


@router.get("/{queue_id}/calls", response_model=PageOut[WaitingOut], responses=documented("not_found"))
async def calls(queue_id: str, query: Annotated[PageQuery, Query()], asked: ReadAgents) -> Response:
    """Who waits, those that were requested first first.  `GET /v1/agents?state=on_duty` says who could take one."""
    _known(queue_id)
    desk, after = asked.house.desk, query.bare_after() or ""
    waiting = sorted(call for call in asked.house.agents.waiting(asked.tenant) if call > after)
    shown = waiting[: query.limit]
    following = shown[-1] if len(waiting) > len(shown) else None

    def view(call: Call) -> dict[str, Any]:
        want, place = wanted(call), desk.position(call.id)
        return {
            "id": "call_" + call.id,
            "position": place[0] if place else 0,
            "agent_id": PREFIX + want.agent if want is not None and want.agent else None,
            "requested_at": rfc3339(call.requested_at),
            "reference": call.reference,
        }

    live = (desk.live_call(call) for call in shown)
    return page([call for call in live if call is not None], "call_", following, view)
