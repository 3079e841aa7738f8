"""OP1, OP3: calls that wait for a node, through its removal and through restarts."""

from pathlib import Path

import pytest

from controller.store.nodes import DRAINED_MS
from tests.api.test_nodes import Site, ended_once, site
from tests.house import BUSY, CALLEE, CALLER, SILENT, body

FAST = {"calls_per_second": 1000, "concurrent": 1000}
FAR = [
    {"name": "near", "prefixes": [CALLER, CALLEE], **FAST},
    {"name": "far", "prefixes": ["+1415555"], "nodes": ["pbx2"], **FAST},
]
"""Whoever is no caller or callee is reached from one node alone, which is in no configuration."""


async def waiting_for_pbx2(place: Site) -> str:
    """A callback that only a drained pbx2 could carry."""
    await place.added("pbx2")
    await place.drained("pbx2")
    waiting = await place.here.callback(callee=BUSY)
    assert (waiting["status"], waiting["queue_position"]) == ("queued", 1)
    return str(waiting["id"])


async def removed(place: Site) -> None:
    """pbx2 goes, though it has been draining for a moment only."""
    house = place.here.patchbay.house
    await house.database.nodes.remove("pbx2", house.clock.now() + DRAINED_MS)
    await house.fleet.refresh()


async def test_after_a_restart_a_call_still_has_its_way_over_a_node_that_was_added(tmp_path: Path) -> None:
    async with site(tmp_path, trunks=FAR) as place:
        waiting = await waiting_for_pbx2(place)
    async with site(tmp_path, trunks=FAR) as place:
        seen = (await place.here.http.get(f"/v1/callbacks/{waiting}")).json()
        assert (seen["status"], seen["queue_position"]) == ("queued", 1)
        await place.until("pbx2", "draining")
        await place.drained("pbx2", on=False)
        seen = await place.here.until(waiting, status="ended")
        assert (seen["disposition"], seen["legs"][0]["node"]) == ("busy", "pbx2")


async def test_a_node_that_is_removed_leaves_who_waits_for_it_a_while_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, trunks=FAR) as place:
        stays = await waiting_for_pbx2(place)
        await removed(place)
        assert (await place.talking())["legs"][0]["node"] == "pbx1"
        seen = (await place.here.http.get(f"/v1/callbacks/{stays}")).json()
        assert (seen["status"], seen["queue_position"], seen["estimated_start"]) == ("queued", None, None)
        refused = await place.here.http.post("/v1/callbacks", json=body(callee=BUSY))
        assert (refused.status_code, refused.json()["code"]) == (422, "destination_blocked")
        await place.added("pbx2")
        assert (await place.here.until(stays, status="ended"))["disposition"] == "busy"
        await place.drained("pbx2")
        ends = (await place.here.callback(callee=SILENT))["id"]
        monkeypatch.setattr("controller.services.scheduler.WAY_BACK_S", 0.0)
        await removed(place)
        ended = await ended_once(place, ends)
        assert (ended["disposition"], ended["hangup_by"], ended["legs"]) == ("failed", "platform", [])


async def test_after_a_restart_all_that_waits_is_taken_up_also_beyond_the_bound(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.drained("pbx1")
        waiting = [(await place.here.callback())["id"] for _ in range(5)]
    queue = {"tenant_calls_per_second": 1000, "tenant_concurrent": 1000, "bound": 2}
    async with site(tmp_path, queue=queue) as place:
        full = await place.here.http.post("/v1/callbacks", json=body())
        assert (full.status_code, full.json()["code"]) == (429, "queue_full")
        await place.drained("pbx1", on=False)
        for call in waiting:
            await place.here.until(call, status="bridged")
        await place.talking()
