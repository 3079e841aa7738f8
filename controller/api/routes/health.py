"""``/healthz``, ``/readyz`` and ``/metrics``: for load balancers and Prometheus.  No key is needed, and nothing is told."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from controller.api.house import House
from controller.api.problems import Problem
from controller.api.requests import Json
from controller.ports import NotSaved
from controller.store.errors import Unavailable

router = APIRouter(tags=["health"])

PING_EVERY_S = 1.0
PING_TIMEOUT_S = 2.0
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Pulse:
    """Can the database be written?  Asked at most once a second, however often somebody wants to know."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[bool] | None = None

    async def beats(self) -> bool:
        """True if the last write went through."""
        now = self._house.clock.monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= PING_EVERY_S):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._house.database.ping()
        except (NotSaved, Unavailable, TimeoutError):
            return False
        return True


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives and answers."""
    return Json({"status": "ok"})


@router.get("/readyz", responses={503: {"description": "`pbx_unavailable` or `storage_unavailable`"}})
async def readyz(request: Request) -> Response:
    """Calls can be taken and made: the database can be written and a PBX is up."""
    pulse: Pulse = request.app.state.pulse
    checks: dict[str, Any] = {
        "database": "ok" if await pulse.beats() else "cannot be written",
        "nodes": {node.name: node.state for node in request.app.state.rooms.house.desk.nodes()},
    }
    if checks["database"] != "ok":
        raise Problem("storage_unavailable", headers={"Retry-After": "1"}, checks=checks)
    if "up" not in checks["nodes"].values():
        raise Problem("pbx_unavailable", headers={"Retry-After": "1"}, checks=checks)
    return Json({"status": "ready", "checks": checks})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(request.app.state.metrics.text(), media_type=PROMETHEUS)
