"""Trunks are added, changed, drained and removed while calls go on; those of the configuration file stay as they are."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from controller.api.routes.trunks import TrunkOut
from controller.store.nodes import DRAINED_MS
from tests.house import WITHIN_S, Standing, body, standing

SECRET = "s3cret-word"
SIP = {"host": "sip.carrier.example", "username": "4711", "password": SECRET, "codecs": ["g722", "alaw"]}
FOREIGN: dict[str, Any] = {"trunks": [{"name": "uk", "prefixes": ["+44"]}]}
"""A configuration whose trunk leads to none of the phones."""


async def add(house: Standing, name: str = "late", **more: Any) -> dict[str, Any]:
    answer = await house.http.post("/v1/trunks", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    assert SECRET not in answer.text
    made = answer.json()
    TrunkOut.model_validate(made)
    assert (await house.http.get(answer.headers["location"])).json() == made
    return dict(made)


async def change(house: Standing, name: str = "late", **fields: Any) -> dict[str, Any]:
    answer = await house.http.patch(f"/v1/trunks/{name}", json=fields)
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    TrunkOut.model_validate(answer.json())
    return dict(answer.json())


def trunk_of(house: Standing, call: str, leg: str = "callee") -> str:
    live = house.patchbay.house.desk.live_call(call[5:])
    assert live is not None
    return live.routes[leg]


async def test_a_trunk_is_added_shown_changed_and_written_down_without_its_password(house: Standing) -> None:
    made = await add(
        house, prefixes=["+44", "+33"], kinds=["asterisk"], nodes=["pbx1"], calls_per_second=5, concurrent=7, sip=SIP
    )
    assert made == {
        "name": "late", "state": "up", "added": True, "prefixes": ["+44", "+33"], "nodes": ["pbx1"], "kinds": ["asterisk"],
        "calls_per_second": 5.0, "concurrent": 7,
        "sip": {"host": "sip.carrier.example", "port": 5060, "username": "4711", "from_domain": None, "rtp_timeout_s": 0,
                "codecs": ["g722", "alaw"]},
    }  # fmt: skip
    listed = (await house.http.get("/v1/trunks")).json()["items"]
    assert [(trunk["name"], trunk["added"]) for trunk in listed] == [("carrier", False), ("late", True)]
    changed = await change(house, prefixes=["+49"], kinds=[], nodes=[], calls_per_second=0.5, concurrent=9, state="draining")
    assert changed == {**made, "prefixes": ["+49"], "kinds": [], "nodes": [], "calls_per_second": 0.5, "concurrent": 9,
                       "state": "draining"}  # fmt: skip
    (kept,) = await house.patchbay.house.database.trunks.all()
    assert SECRET in kept.settings, "what was not named stays"
    assert (await change(house, sip=None))["sip"] is None
    (kept,) = await house.patchbay.house.database.trunks.all()
    assert SECRET not in kept.settings
    await house.patchbay.house.journal.flush()
    log = await house.http.get("/v1/audit?target=late")
    assert [entry["action"] for entry in log.json()["items"]] == ["PATCH /v1/trunks/{name}"] * 2 + ["POST /v1/trunks"]
    assert SECRET not in log.text


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"name": "carrier"}, 409, "name"),
        ({"name": "Late"}, 422, "name"),
        ({"prefixes": []}, 422, "prefixes"),
        ({"prefixes": ["1415"]}, 201, None),
        ({"prefixes": ["+1x"]}, 422, "prefixes.0"),
        ({"kinds": ["panasonic"]}, 422, "kinds.0"),
        ({"nodes": ["A B"]}, 422, "nodes.0"),
        ({"calls_per_second": 0}, 422, "calls_per_second"),
        ({"concurrent": 0}, 422, "concurrent"),
        ({"state": "draining"}, 422, "state"),
        ({"sip": {"host": "a b"}}, 422, "sip.host"),
        ({"sip": {"host": "h", "username": "u"}}, 422, "sip"),
        ({"sip": {"host": "h", "username": "u", "password": "two\nlines"}}, 422, "sip.password"),
        ({"sip": {"host": "h", "username": "u", "password": "a;b"}}, 422, "sip.password"),
        ({"sip": {"host": "h", "username": "u", "password": "${x}"}}, 422, "sip.password"),
        ({"sip": {"host": "h", "codecs": ["ulaw,alaw"]}}, 422, "sip.codecs.0"),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_what_cannot_be_is_refused_by_its_name(
    shared: Standing, more: dict[str, Any], status: int, param: str | None
) -> None:
    answer = await shared.http.post("/v1/trunks", json={"name": "odd", **more})
    assert (answer.status_code, answer.json().get("param")) == (status, param), answer.text
    if status == 201:
        again = await shared.http.post("/v1/trunks", json={"name": "odd"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_those_of_the_configuration_and_those_of_nobody_are_not_changed(house: Standing) -> None:
    for method in ("PATCH", "DELETE"):
        answer = await house.http.request(method, "/v1/trunks/carrier", json={"concurrent": 1})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now")
        assert "configuration" in answer.json()["detail"]
        assert (await house.http.request(method, "/v1/trunks/nobody", json={"concurrent": 1})).status_code == 404
    assert (await house.http.get("/v1/trunks/carrier")).json()["concurrent"] == 1000
    tenant = await house.key_for("main", "*")
    for method, path in (("GET", ""), ("GET", "/carrier"), ("POST", ""), ("PATCH", "/carrier"), ("DELETE", "/carrier")):
        answer = await house.http.request(method, "/v1/trunks" + path, json={"name": "mine"}, headers=tenant)
        assert answer.status_code == 403, (method, path)


async def test_calls_go_over_an_added_trunk_and_the_longest_prefix_wins(tmp_path: Path) -> None:
    async with standing(tmp_path, **FOREIGN) as house:
        answer = await house.http.post("/v1/callbacks", json=body())
        assert (answer.status_code, answer.json()["code"]) == (422, "destination_blocked")
        await add(house, prefixes=["+1"])
        call = (await house.callback())["id"]
        await house.until(call, status="bridged")
        assert trunk_of(house, call) == "late"
        await add(house, "longer", prefixes=["+1415"])
        call = (await house.callback())["id"]
        await house.until(call, status="bridged")
        assert trunk_of(house, call) == "longer"
        await change(house, "longer", kinds=["freeswitch"])
        call = (await house.callback())["id"]
        assert trunk_of(house, call) == "late"


async def test_a_drained_trunk_gets_no_new_calls_another_takes_them_and_else_they_wait(tmp_path: Path) -> None:
    async with standing(tmp_path, **FOREIGN) as house:
        await add(house, prefixes=["+1415"])
        await add(house, "second", prefixes=["+1"])
        await change(house, state="draining")
        call = (await house.callback())["id"]
        assert trunk_of(house, call) == "second"
        await change(house, "second", state="draining")
        waiting = (await house.callback())["id"]
        assert (await house.http.get(f"/v1/calls/{waiting}")).json()["status"] == "queued"
        await change(house, "second", state="up")
        await house.until(waiting, status="bridged")
        assert trunk_of(house, waiting) == "second"
    async with standing(tmp_path, seed=False, **FOREIGN) as house:
        states = {trunk["name"]: trunk["state"] for trunk in (await house.http.get("/v1/trunks")).json()["items"]}
        assert states == {"late": "draining", "second": "up", "uk": "up"}


async def test_a_call_that_waits_outlives_a_restart_and_goes_over_the_next_trunk_that_leads_there(tmp_path: Path) -> None:
    async with standing(tmp_path, **FOREIGN) as house:
        await add(house, prefixes=["+1"])
        await change(house, state="draining")
        calls = [(await house.callback())["id"] for _ in range(2)]
    async with standing(tmp_path, seed=False, **FOREIGN) as house:
        assert (await house.http.get(f"/v1/calls/{calls[0]}")).json()["status"] == "queued"
        await change(house, prefixes=["+49"])
        await change(house, state="up")
        await add(house, "again", prefixes=["+1"])
        for call in (*calls, (await house.callback())["id"]):
            await house.until(call, status="bridged")
            assert trunk_of(house, call) == "again"


async def test_its_bounds_hold_and_follow(tmp_path: Path) -> None:
    async with standing(tmp_path, **FOREIGN) as house:
        await add(house, prefixes=["+1"], concurrent=1)
        await house.until((await house.callback())["id"], status="bridged")
        second = (await house.callback())["id"]
        assert (await house.http.get(f"/v1/calls/{second}")).json()["status"] == "queued"
        await change(house, concurrent=2)
        await house.until(second, status="bridged")


async def test_a_trunk_is_removed_once_nothing_goes_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with standing(tmp_path, **FOREIGN) as house:
        await add(house, prefixes=["+1"])
        call = (await house.callback())["id"]
        await house.until(call, status="bridged")

        async def refused() -> str:
            answer = await house.http.delete("/v1/trunks/late")
            assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now")
            return str(answer.json()["detail"])

        assert "drain it" in await refused()
        await change(house, state="draining")
        clock = house.patchbay.house.clock
        now = clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + DRAINED_MS)
        assert "live calls" in await refused()
        await house.http.delete(f"/v1/callbacks/{call}")
        await house.until(call, status="ended")
        assert (await house.http.delete("/v1/trunks/late")).status_code == 204
        assert [trunk["name"] for trunk in (await house.http.get("/v1/trunks")).json()["items"]] == ["uk"]
        assert (await house.http.post("/v1/callbacks", json=body())).json()["code"] == "destination_blocked"


async def test_what_another_controller_did_is_seen_within_seconds_and_a_row_of_no_use_harms_nobody(tmp_path: Path) -> None:
    async with standing(tmp_path, **FOREIGN) as house:
        trunks = house.patchbay.house.database.trunks
        await trunks.add("broken", "{}", 1)
        await trunks.add("uk", '{"name": "uk", "prefixes": ["+1"]}', 1)
        await trunks.add("late", '{"name": "late", "prefixes": ["+1"]}', 1)
        async with asyncio.timeout(WITHIN_S):
            while (await house.http.get("/v1/trunks/late")).status_code != 200:  # noqa: ASYNC110 - an operator who looks
                await asyncio.sleep(0.02)
        assert (await house.http.get("/v1/trunks/uk")).json()["prefixes"] == ["+44"], "the configuration wins"
        await house.until((await house.callback())["id"], status="bridged")


async def test_trunks_and_nodes_are_paged_by_name(house: Standing) -> None:
    for name in ("b", "a", "d"):
        await add(house, name, prefixes=["+9"])
    for path, names in (("/v1/trunks", ["a", "b", "carrier", "d"]), ("/v1/nodes", ["pbx1"])):
        seen, after = [], None
        while True:
            page = (await house.http.get(path, params={"limit": 1} | ({"after": after} if after else {}))).json()
            seen += [item["name"] for item in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert seen == names
        for wrong in ({"limit": 0}, {"limit": 201}, {"after": "No"}, {"unknown": 1}):
            assert (await house.http.get(path, params=wrong)).status_code == 422
