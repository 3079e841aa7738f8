"""OP1: nodes are added, drained, lost, found again and removed while calls go on; each PBX here is an exchange of its own."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from controller.api.routes.nodes import NodeOut
from controller.config import Node, Trunk
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import LoopTimers
from controller.ports import Clock, Pbx
from controller.store.nodes import DRAINED_MS
from controller.wiring import running
from tests.house import CALLER, PHONES, SHOWN, SHOWN_TOO, SILENT, WITHIN_S, Standing, free_socket, served, settings

LOST_AFTER_S = 1
FOR_EVER_MS = 10_000_000
SECRET = "s3cret-word"
NEVER_ENDS = {**PHONES, "+14155550102": Phone(ring_after_ms=5, answer_after_ms=15)}


def document(name: str, **more: Any) -> dict[str, Any]:
    """A node as it is posted."""
    ways = {"ami": {"secret": SECRET}, "hook": {"token": SECRET}}
    return {"name": name, "kind": "asterisk", "lost_after_s": LOST_AFTER_S, **ways, **more}


@dataclass(slots=True)
class Site:
    """A controller and its PBXes, by name."""

    here: Standing
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    links: dict[str, Simulator] = field(default_factory=dict)

    async def nodes(self) -> dict[str, dict[str, Any]]:
        answer = await self.here.http.get("/v1/nodes")
        assert SECRET not in answer.text
        for node in answer.json()["items"]:
            NodeOut.model_validate(node)
        return {node["name"]: node for node in answer.json()["items"]}

    async def until(self, name: str, *states: str) -> dict[str, Any]:
        """The node once it is in one of these states."""
        async with asyncio.timeout(WITHIN_S):
            while (node := (await self.nodes()).get(name)) is None or node["state"] not in states:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # an operator who looks
        return node

    async def added(self, name: str, **more: Any) -> None:
        answer = await self.here.http.post("/v1/nodes", json=document(name, **more))
        assert answer.status_code == 201, answer.text
        assert SECRET not in answer.text
        await self.until(name, "up")

    async def drained(self, name: str, on: bool = True) -> None:
        answer = await self.here.http.patch(f"/v1/nodes/{name}", json={"state": "draining" if on else "up"})
        assert answer.json()["draining"] is on

    async def talking(self, **fields: Any) -> dict[str, Any]:
        """A call whose parties talk."""
        return await self.here.until((await self.here.callback(**fields))["id"], status="bridged")

    async def node_of(self, call: str) -> str:
        return str((await self.here.until_fact(call, "call.started"))["data"]["node"])

    def lose(self, name: str) -> None:
        """The PBX cannot be reached any more; its calls go on."""
        self.links[name].cut("pulled", FOR_EVER_MS)

    def find(self, name: str) -> None:
        """It can be reached again."""
        self.links[name].cut("plugged in", 1)


@asynccontextmanager
async def site(
    folder: Path, names: Sequence[str] = ("pbx1",), exchanges: dict[str, Exchange] | None = None, **more: Any
) -> AsyncIterator[Site]:
    """A controller with these PBXes in its configuration; more can be added.  ``exchanges``: those that were there before."""
    exchanges = {} if exchanges is None else exchanges
    links: dict[str, Simulator] = {}

    async def open_pbx(node: Node, _trunks: Sequence[Trunk], _clock: Clock) -> Pbx:
        made = exchanges.setdefault(node.name, Exchange(LoopTimers(time.time_ns() // 1_000_000), NEVER_ENDS))
        links[node.name] = Simulator(made, node.name)
        return links[node.name]

    (folder / "spool").mkdir(parents=True, exist_ok=True)
    with free_socket() as listener:
        wanted = settings(folder, listener.getsockname()[1], nodes=[document(name) for name in names], **more)
        async with running(wanted, open_pbx) as patchbay, served(patchbay, listener) as (key, http):
            for number in (SHOWN, SHOWN_TOO):
                await http.post("/v1/numbers", json={"number": number})
            base = str(http.base_url).rstrip("/")
            made = Site(Standing(patchbay, Exchange(LoopTimers(0), {}), [], base, key, http, folder), exchanges, links)
            for name in names:
                await made.until(name, "up", "draining")
            yield made


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def test_a_node_that_is_added_carries_calls_and_its_secrets_are_not_shown(place: Site) -> None:
    await place.added("pbx2", capacity=1000)
    assert {name: node["added"] for name, node in (await place.nodes()).items()} == {"pbx1": False, "pbx2": True}
    calls = [await place.talking() for _ in range(4)]
    assert {await place.node_of(call["id"]) for call in calls} == {"pbx1", "pbx2"}
    for call in calls:  # both legs are on the call's own node
        legs = [leg for leg in place.exchanges[await place.node_of(call["id"])].channels if leg.startswith(call["id"][5:])]
        assert len(legs) == 2
        assert {leg["node"] for leg in call["legs"]} == {await place.node_of(call["id"])}
    await place.here.patchbay.house.journal.flush()
    log = await place.here.http.get("/v1/audit?target=pbx2")
    assert [entry["action"] for entry in log.json()["items"]] == ["POST /v1/nodes"]
    assert SECRET not in log.text


async def test_two_nodes_have_two_names_and_what_cannot_be_is_refused(place: Site) -> None:
    await place.added("pbx2")
    for wrong, status, param in (
        (document("pbx1"), 409, "name"),
        (document("pbx2"), 409, "name"),
        (document("pbx3", hook=None), 422, "kind"),
        (document("pbx3", kind="freeswitch"), 422, "kind"),
        (document("pbx3", spool="/var/../etc"), 422, "spool"),
        (document("pbx3", spool="relative"), 422, "spool"),
        (document("pbx3", ami={"secret": "two\nlines"}), 422, "ami.secret"),
        (document("pbx3", ami={"secret": "x", "host": "a b"}), 422, "ami.host"),
        (document("Pbx3"), 422, "name"),
        (document("pbx3", unknown=1), 422, "unknown"),
    ):
        answer = await place.here.http.post("/v1/nodes", json=wrong)
        assert (answer.status_code, answer.json()["param"]) == (status, param), answer.text
        assert SECRET not in answer.text
    tenant = await place.here.key_for("main", "*")
    for method, path in (("GET", "/v1/nodes"), ("POST", "/v1/nodes"), ("DELETE", "/v1/nodes/pbx2")):
        answer = await place.here.http.request(method, path, json=document("pbx3"), headers=tenant)
        assert answer.status_code == 403
    assert set(await place.nodes()) == {"pbx1", "pbx2"}


async def test_a_drained_node_keeps_its_calls_and_gets_no_new_ones_also_after_a_restart(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await place.added("pbx2")
        await place.drained("pbx2")
        old = {await place.node_of((await place.talking())["id"]) for _ in range(3)}
        assert old == {"pbx1"}
        await place.drained("pbx1")
        waiting = (await place.here.callback())["id"]
        assert (await place.here.http.get(f"/v1/callbacks/{waiting}")).json()["status"] == "queued"
        assert (await place.nodes())["pbx1"]["live_calls"] == 3
    async with site(tmp_path) as place:
        assert {name: node["draining"] for name, node in (await place.nodes()).items()} == {"pbx1": True, "pbx2": True}
        await place.until("pbx2", "draining")
        await place.drained("pbx2", on=False)
        assert (await place.here.until(waiting, status="bridged"))["legs"][0]["node"] == "pbx2"


async def test_a_call_that_only_an_added_node_can_carry_still_waits_for_it_after_a_restart(tmp_path: Path) -> None:
    carrier = {"name": "carrier", "prefixes": ["+1415"], "nodes": ["pbx2"], "calls_per_second": 1000, "concurrent": 1000}
    async with site(tmp_path, trunks=[carrier]) as place:
        await place.added("pbx2")
        await place.drained("pbx2")
        waiting = (await place.here.callback())["id"]
    async with site(tmp_path, trunks=[carrier]) as place:
        assert (await place.here.http.get(f"/v1/callbacks/{waiting}")).json()["status"] == "queued"
        await place.until("pbx2", "draining")
        await place.drained("pbx2", on=False)
        assert (await place.here.until(waiting, status="bridged"))["legs"][0]["node"] == "pbx2"


async def test_a_node_is_removed_once_nothing_of_it_is_left(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.added("pbx2")
    await place.drained("pbx1")
    call = await place.talking()
    remove = "/v1/nodes/pbx2"

    async def refused() -> str:
        answer = await place.here.http.delete(remove)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now")
        return str(answer.json()["detail"])

    assert "drain it" in await refused()
    await place.drained("pbx2")
    assert "every controller" in await refused()
    clock = place.here.patchbay.house.clock
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + DRAINED_MS)
    assert "live calls" in await refused()
    await place.here.http.delete(f"/v1/callbacks/{call['id']}")
    await place.here.until(call["id"], status="ended")
    assert (await place.here.http.delete(remove)).status_code == 204
    assert set(await place.nodes()) == {"pbx1"}
    assert (await place.here.http.delete(remove)).status_code == 404
    configured = await place.here.http.delete("/v1/nodes/pbx1")
    assert (configured.status_code, "configuration" in configured.json()["detail"]) == (409, True)
    lease = await place.here.patchbay.house.database.leases.holder("pbx2")
    assert lease is not None
    assert not lease.lives
    await place.added("pbx2")


async def ended_once(place: Site, call: str) -> dict[str, Any]:
    """The call's end, told once, with its record."""
    ended = await place.here.until(call, status="ended")
    kinds = [fact["type"] for fact in await place.here.facts(call)]
    assert (kinds.count("call.ended"), kinds.count("cdr.created")) == (1, 1)
    assert [fact["sequence"] for fact in await place.here.facts(call)] == list(range(1, len(kinds) + 1))
    assert all(leg["ended_at"] for leg in ended["legs"])
    return ended


async def test_a_lost_node_ends_its_calls_truthfully_and_new_ones_go_elsewhere(place: Site) -> None:
    talking = await place.talking()
    ringing = (await place.here.callback(callee=SILENT))["id"]
    await place.here.until_fact(ringing, "call.leg.ringing", leg="callee")
    first = (await place.here.callback(caller=SILENT, callee=CALLER))["id"]
    await place.here.until(first, status="ringing")
    canceled = (await place.here.callback(callee=SILENT))["id"]
    await place.here.until_fact(canceled, "call.leg.ringing", leg="callee")
    place.lose("pbx1")
    await place.until("pbx1", "down")
    assert (await place.here.http.delete(f"/v1/callbacks/{canceled}")).json()["canceled"]
    waiting = (await place.here.callback())["id"]
    await place.added("pbx2")
    assert (await place.here.until(waiting, status="bridged"))["legs"][0]["node"] == "pbx2"
    for call in (talking["id"], ringing, first):
        ended = await ended_once(place, call)
        assert (ended["disposition"], ended["hangup_by"]) == ("lost", "platform")
    assert (await ended_once(place, canceled))["disposition"] == "canceled"
    lost = await place.until("pbx1", "lost")
    assert (lost["live_calls"], lost["reason"]) == (0, "pulled")
    assert len(place.exchanges["pbx1"].channels) > 0
    place.find("pbx1")
    await place.until("pbx1", "up")
    async with asyncio.timeout(WITHIN_S):
        while place.exchanges["pbx1"].channels:  # noqa: ASYNC110 - nothing tells; legs of ended calls are hung up
            await asyncio.sleep(0.01)
    assert (await place.here.http.get(f"/v1/calls/{waiting}")).json()["status"] == "bridged"
    assert max(place.exchanges["pbx1"].rang.values()) == 1


async def test_a_node_that_comes_back_in_time_loses_nothing(place: Site) -> None:
    call = await place.talking()
    place.links["pbx1"].cut("short", 300)
    await place.until("pbx1", "up")
    assert (await place.here.http.get(f"/v1/calls/{call['id']}")).json()["status"] == "bridged"
    assert (await place.here.http.delete(f"/v1/callbacks/{call['id']}")).json()["canceled"]
    assert (await ended_once(place, call["id"]))["disposition"] == "canceled"


async def test_operators_hear_of_nodes_at_once_and_find_it_in_the_log(place: Site) -> None:
    address = place.here.base.replace("http", "ws") + "/v1/live?types=node.up,node.down"
    tenant = await place.here.key_for("main", "live:read")
    headers = {"Authorization": f"Bearer {place.here.key}"}
    async with connect(address, additional_headers=headers) as operator, connect(address, additional_headers=tenant) as other:
        place.lose("pbx1")
        told = [await asyncio.wait_for(operator.recv(), WITHIN_S) for _ in range(2)]
        place.find("pbx1")
        told.append(await asyncio.wait_for(operator.recv(), WITHIN_S))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.recv(), 0.2)
    events = [json.loads(text) for text in told]
    assert [(event["type"], event["call_id"], event["data"]["node"], event["data"]["lost"]) for event in events] == [
        ("node.down", None, "pbx1", False), ("node.down", None, "pbx1", True), ("node.up", None, "pbx1", False),
    ]  # fmt: skip
    await place.here.patchbay.house.journal.flush()
    log = (await place.here.http.get("/v1/audit?installation=true&target=pbx1")).json()["items"]
    assert [(entry["action"], entry["actor"]) for entry in log] == [
        ("node.up", "patchbay"), ("node.lost", "patchbay"), ("node.down", "patchbay"), ("node.up", "patchbay"),
    ]  # fmt: skip


async def test_what_another_controller_did_is_seen_within_seconds_and_a_row_of_no_use_harms_nobody(place: Site) -> None:
    database = place.here.patchbay.house.database
    await database.nodes.add("broken", "{}", 1)
    await database.nodes.add("pbx2", json.dumps(document("pbx2")), 1)
    await place.until("pbx2", "up")
    await database.nodes.drain("pbx2", True, 1)
    await place.until("pbx2", "draining")
    await database.nodes.remove("pbx2", DRAINED_MS + 1)
    async with asyncio.timeout(WITHIN_S):
        while "pbx2" in await place.nodes():  # noqa: ASYNC110 - an operator who looks
            await asyncio.sleep(0.02)
    assert set(await place.nodes()) == {"pbx1"}


async def test_the_policy_has_its_word_on_an_added_node_too(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.added("pbx2")
    await place.drained("pbx1")
    monkeypatch.setattr(place.here.patchbay.house.policy, "allowed", lambda _call, _verb: "destination_blocked")
    call = await place.here.until((await place.here.callback())["id"], status="ended")
    assert call["disposition"] == "blocked"
    assert not place.exchanges["pbx2"].rang
