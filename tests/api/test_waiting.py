"""OP1, OP3: calls that wait for a node, through restarts."""

from pathlib import Path

from tests.api.test_nodes import Site, site
from tests.house import BUSY, CALLEE, CALLER, body

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
