"""/v1/policy and /v1/lists over real HTTP: each rule by its code and param, settings, lists, and what explain says."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from controller.api.problems import CODES
from controller.api.routes.policy import ExplainOut, PolicyOut
from controller.config import ConfigInvalid, load
from controller.core.policy import CODES as REFUSALS
from controller.core.policy import RULES
from tests.api.policing import OPEN, RATES, change, put, refused
from tests.house import BUSY, CALLEE, CALLER, SHOWN, SHOWN_TOO, SILENT, Standing, body, standing


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Standing]:
    """A house with the defaults, where no tenant has set anything."""
    async with standing(tmp_path, policy={}) as here:
        yield here


@pytest.fixture
async def wide(tmp_path: Path) -> AsyncIterator[Standing]:
    """A house that may call everything the rules leave, with a trunk to everywhere."""
    async with standing(tmp_path, policy=OPEN, trunks=[{"name": "carrier", "prefixes": ["+"]}]) as here:
        yield here


async def test_nothing_may_be_called_before_a_prefix_is_allowed(strict: Standing) -> None:
    assert (await change(strict, hours=None))["own"] == ["hours"]
    assert await refused(strict) == (422, "destination_blocked", "caller", "allow_list")
    entry = await put(strict, "allow", CALLER)
    assert await refused(strict) == (422, "destination_blocked", "callee", "allow_list")
    await put(strict, "allow", "+1415")
    await strict.callback()
    await strict.http.delete(f"/v1/lists/allow/{entry}")
    await strict.callback()


async def test_the_defaults_are_those_of_the_interface(strict: Standing) -> None:
    policy = (await strict.http.get("/v1/policy")).json()
    PolicyOut.model_validate(policy)
    assert policy["calls_per_callee_24h"] == 3
    assert (policy["hours"]["open"], policy["hours"]["close"], len(policy["hours"]["days"])) == ("08:00", "21:00", 7)
    assert (policy["minutes_per_day"], policy["spend_per_day"], policy["currency"]) == (None, None, None)
    assert (policy["allow_kinds"], policy["own"], policy["stopped"]) == ([], [], None)


@pytest.mark.parametrize(
    ("changed", "code", "param", "rule"),
    [
        ({"caller_display": "+14155550198"}, "caller_id_not_owned", "caller_display", "display"),
        ({"callee_display": "+14155550198"}, "caller_id_not_owned", "callee_display", "display"),
        ({"callee": CALLER}, "self_call", "callee", "self_call"),
        ({"callee": SHOWN_TOO}, "destination_blocked", "callee", "own_number"),
        ({"caller": SHOWN}, "destination_blocked", "caller", "own_number"),
        ({"callee": "+19005551234"}, "destination_blocked", "callee", "kind"),
        ({"callee": "+491805123456"}, "destination_blocked", "callee", "kind"),
        ({"callee": "+881612345678"}, "destination_blocked", "callee", "kind"),
        ({"caller": "+447012345678"}, "destination_blocked", "caller", "kind"),
        ({"callee": "+19115551234"}, "emergency_blocked", "callee", "emergency"),
    ],
)
async def test_each_rule_is_named_on_post(wide: Standing, changed: dict[str, Any], code: str, param: str, rule: str) -> None:
    if code == "emergency_blocked":  # no number in E.164 at all: refused before any rule is asked
        answer = (await wide.http.post("/v1/callbacks", json=body(**changed))).json()
        assert (answer["code"], answer["param"]) == (code, param)
        return
    assert (await refused(wide, **changed))[1:] == (code, param, rule)


@pytest.mark.parametrize("number", ["112", "911", "+1911", "+49112", "+112"])
async def test_no_list_and_no_setting_lets_an_emergency_number_through(wide: Standing, number: str) -> None:
    await change(wide, allow_kinds=["premium", "shared_cost", "satellite", "personal", "own"])
    for leg in ("caller", "callee"):
        answer = (await wide.http.post("/v1/callbacks", json=body(**{leg: number}))).json()
        assert (answer["code"], answer["param"]) == ("emergency_blocked", leg)
    asked = (await wide.http.get("/v1/policy/explain", params={"from": SHOWN, "to": number})).json()
    assert (asked["allowed"], asked["code"]) == (False, "emergency_blocked")


async def test_kinds_can_be_allowed_by_name(wide: Standing) -> None:
    await change(wide, allow_kinds=["premium"])
    await wide.callback(callee="+19005551234")
    assert (await refused(wide, callee="+881612345678"))[3] == "kind"


@pytest.mark.parametrize(("name", "entry", "code", "rule"), [
    ("block", CALLEE[:9], "destination_blocked", "block_list"), ("dnc", CALLEE, "do_not_call", "do_not_call"),
])  # fmt: skip
async def test_a_listed_number_is_refused_until_it_is_taken_off(
    wide: Standing, name: str, entry: str, code: str, rule: str
) -> None:
    made = await put(wide, name, entry)
    assert await refused(wide, caller=CALLER.replace("0101", "9101")) == (422, code, "callee", rule)
    again = await wide.http.post(f"/v1/lists/{name}", json={"number": entry})
    assert (again.status_code, again.json()["code"]) == (409, "number_conflict")
    listed = (await wide.http.get(f"/v1/lists/{name}", params={"number": entry})).json()
    assert [item["id"] for item in listed["items"]] == [made]
    assert (await wide.http.delete(f"/v1/lists/{name}/{made}")).status_code == 204
    assert (await wide.http.delete(f"/v1/lists/{name}/{made}")).status_code == 404
    await wide.callback()


@pytest.mark.parametrize(
    ("name", "number"), [("block", "4155"), ("allow", "+1 415"), ("dnc", "+1415"), ("block", "+1" * 10), ("dnc", 5)]
)
async def test_what_is_no_number_comes_on_no_list(house: Standing, name: str, number: Any) -> None:
    answer = await house.http.post(f"/v1/lists/{name}", json={"number": number})
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "invalid_number", "number")


async def test_calling_hours_are_the_callees_own(wide: Standing) -> None:
    """Open for an hour that is some hours away in California, where the callee is."""
    local = datetime.now(ZoneInfo("America/Los_Angeles")) + timedelta(hours=6)
    if local.hour == 23:
        local += timedelta(hours=2)
    opens = f"{local.hour:02d}:00"
    await change(wide, hours={"open": opens, "close": f"{local.hour:02d}:59"})
    answer = await wide.http.post("/v1/callbacks", json=body())
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["param"]) == (422, "outside_calling_hours", "callee")
    assert 3600 < int(answer.headers["Retry-After"]) < 86_400
    asked = (await wide.http.post("/v1/policy/explain", json={"from": SHOWN, "to": CALLEE})).json()
    again = (await wide.http.post("/v1/policy/explain", json={"from": SHOWN, "to": CALLEE, "at": asked["opens_at"]})).json()
    assert (asked["allowed"], again["allowed"]) == (False, True)
    assert asked["time_zones"] == ["America/Los_Angeles"]
    later = await wide.callback(schedule_at=asked["opens_at"])
    assert later["status"] == "queued", "it is asked about the time that it is for"


async def test_a_callee_is_called_three_times_in_24_hours_whatever_waits_and_also_after_a_restart(tmp_path: Path) -> None:
    limited = {"allow": ["+"], "hours": None}
    async with standing(tmp_path, policy=limited) as house:
        made = [await house.callback() for _ in range(3)]
        assert await refused(house) == (429, "frequency_exceeded", "callee", "callee_24h")
        for call in made:
            await house.until(call["id"], status="bridged")
            await house.http.delete(f"/v1/callbacks/{call['id']}")
            await house.until(call["id"], status="ended")
        assert (await refused(house))[1] == "frequency_exceeded"
        await house.callback(callee=SILENT)
    async with standing(tmp_path, policy=limited, seed=False) as house:
        answer = await house.http.post("/v1/callbacks", json=body())
        assert answer.json()["code"] == "frequency_exceeded"
        assert 86_000 < int(answer.headers["Retry-After"]) <= 86_400
        await house.callback(callee=SILENT)


async def test_a_call_that_was_canceled_before_its_callee_rang_does_not_count(tmp_path: Path) -> None:
    async with standing(tmp_path, policy={"allow": ["+"], "hours": None, "calls_per_callee_24h": 1}) as house:
        for _ in range(3):
            call = await house.callback(caller=SILENT)
            assert (await refused(house))[1] == "frequency_exceeded"
            await house.http.delete(f"/v1/callbacks/{call['id']}")
            await house.until(call["id"], status="ended")
        await house.callback()


async def test_a_callee_who_did_not_pick_up_was_called_all_the_same(tmp_path: Path) -> None:
    async with standing(tmp_path, policy={"allow": ["+"], "hours": None, "calls_per_callee_24h": 1}) as house:
        call = await house.callback(callee=SILENT)
        await house.until_fact(call["id"], "call.leg.ringing", leg="callee")
        await house.http.delete(f"/v1/callbacks/{call['id']}")
        await house.until(call["id"], status="ended")
        assert (await refused(house, callee=SILENT))[1] == "frequency_exceeded"
        call = await house.callback(callee=BUSY)
        await house.until(call["id"], status="ended")
        assert (await refused(house, callee=BUSY))[1] == "frequency_exceeded"


async def test_a_cap_that_is_set_later_counts_what_was_before_and_no_minute_twice(house: Standing) -> None:
    call = await house.callback()
    await house.until(call["id"], status="bridged")
    await house.http.delete(f"/v1/callbacks/{call['id']}")
    await house.until(call["id"], status="ended")
    policy = house.patchbay.house.policy
    policy.counts.sweep(policy._clock.now() + 3_600_000)  # ended legs are no longer known by their ids
    used = policy.counts.used("main", policy._clock.now())
    await change(house, calls_per_callee_24h=1)
    assert (await refused(house))[1] == "frequency_exceeded"
    assert policy.counts.used("main", policy._clock.now()) == used


async def test_minutes_and_money_are_counted_over_a_restart(tmp_path: Path) -> None:
    policy = {**OPEN, "rates": RATES, "spend_per_day": 1.5}
    async with standing(tmp_path, policy=policy) as house:
        call = await house.callback()
        await house.until(call["id"], status="bridged")
        await house.http.delete(f"/v1/callbacks/{call['id']}")
        ended = await house.until(call["id"], status="ended")
        seconds = sum(1 for leg in ended["legs"] if leg["answered_at"])
        today = (await house.http.get("/v1/policy")).json()["today"]
        assert today["spend"] >= seconds == 2
        assert await refused(house) == (429, "quota_exceeded", "spend_per_day", "spend")
    async with standing(tmp_path, policy=policy, seed=False) as house:
        assert (await house.http.get("/v1/policy")).json()["today"] == today
        assert (await refused(house, caller=CALLER))[2] == "spend_per_day"
        await change(house, spend_per_day=None, minutes_per_day=0)
        assert await refused(house) == (429, "quota_exceeded", "minutes_per_day", "minutes")
        await change(house, minutes_per_day=1000)
        await house.callback()


async def test_what_has_no_price_is_not_called_while_spending_is_capped(tmp_path: Path) -> None:
    rates = [{**RATES[0], "prefix": "+44"}]
    async with standing(tmp_path, policy={**OPEN, "rates": rates}) as house:
        await house.callback()
        await change(house, spend_per_day=100)
        assert await refused(house) == (429, "quota_exceeded", "spend_per_day", "spend")


async def test_a_spend_cap_without_a_rate_table_is_refused_by_name(house: Standing, tmp_path: Path) -> None:
    answer = await house.http.patch("/v1/policy", json={"spend_per_day": 5})
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "invalid_request", "spend_per_day")
    config = tmp_path / "patchbay.yaml"
    config.write_text("policy: {spend_per_day: 5}\n")
    with pytest.raises(ConfigInvalid, match=r"policy\.spend_per_day needs policy\.rates"):
        load(config)


async def test_a_tenant_whose_cap_can_no_longer_be_counted_dials_nothing(tmp_path: Path) -> None:
    async with standing(tmp_path, policy={**OPEN, "rates": RATES}) as house:
        await change(house, spend_per_day=5)
    async with standing(tmp_path, policy=OPEN, seed=False) as house:
        assert (await refused(house))[1] == "suspended"


async def test_explain_tells_what_each_rule_says_and_calls_nobody(house: Standing) -> None:
    fine = (await house.http.post("/v1/policy/explain", json={"from": SHOWN, "to": CALLEE})).json()
    ExplainOut.model_validate(fine)
    assert (fine["allowed"], fine["code"], fine["rule"]) == (True, None, None)
    assert [rule["rule"] for rule in fine["rules"]] == [*(rule.name for rule in RULES), "route"]
    premium = (await house.http.get("/v1/policy/explain", params={"from": SHOWN, "to": "+19005551234"})).json()
    ExplainOut.model_validate(premium)
    assert (premium["allowed"], premium["code"], premium["rule"]) == (False, "destination_blocked", "kind")
    assert {rule["rule"] for rule in premium["rules"] if rule["verdict"] == "refused"} == {"kind", "allow_list", "route"}
    other = (await house.http.get("/v1/policy/explain", params={"from": "+14155550155", "to": CALLEE})).json()
    assert other["code"] == "caller_id_not_owned"
    assert (await house.http.get("/v1/calls")).json()["items"] == []


async def test_settings_are_changed_one_by_one_and_set_back(house: Standing) -> None:
    first = await change(house, calls_per_callee_24h=7, hours={"open": "09:00", "close": "24:00", "days": ["mon"]})
    assert (first["calls_per_callee_24h"], first["own"]) == (7, ["calls_per_callee_24h", "hours"])
    second = await change(house, minutes_per_day=5)
    assert (second["calls_per_callee_24h"], second["minutes_per_day"], second["hours"]["days"]) == (7, 5, ["mon"])
    last = await change(house, reset=["calls_per_callee_24h", "hours"])
    assert (last["calls_per_callee_24h"], last["hours"], last["own"]) == (None, None, ["minutes_per_day"])


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"hours": {"open": "21:00", "close": "08:00"}}, "hours"),
        ({"hours": {"open": "8"}}, "hours.open"),
        ({"hours": {"open": "08:00", "days": []}}, "hours"),
        ({"calls_per_callee_24h": -1}, "calls_per_callee_24h"),
        ({"calls_per_callee_24h": "3"}, "calls_per_callee_24h"),
        ({"allow_kinds": ["emergency"]}, "allow_kinds.0"),
        ({"emergency": True}, "emergency"),
        ({"reset": ["everything"]}, "reset.0"),
    ],
)
async def test_a_setting_that_makes_no_sense_is_refused_by_name(house: Standing, settings: dict[str, Any], param: str) -> None:
    answer = await house.http.patch("/v1/policy", json=settings)
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "invalid_request", param)


async def test_every_change_is_in_the_audit_log_without_a_number(house: Standing) -> None:
    entry = await put(house, "dnc", CALLEE)
    await change(house, minutes_per_day=5)
    await house.http.delete(f"/v1/lists/dnc/{entry}")
    await house.http.post("/v1/policy/stop", json={})
    rows = (await house.patchbay.house.database.audit.list("main")).items
    assert [row.action for row in rows][:4] == [
        "POST /v1/policy/stop",
        "DELETE /v1/lists/{name}/{entry_id}",
        "PATCH /v1/policy",
        "POST /v1/lists/{name}",
    ]
    assert rows[1].target == entry
    assert CALLEE[2:] not in str(rows)


def test_every_code_of_the_policy_is_one_of_the_interface() -> None:
    assert CODES.keys() >= REFUSALS


async def test_an_entry_is_where_its_location_says_and_on_no_other_list(wide: Standing) -> None:
    entry = await put(wide, "block", CALLEE)
    other = await wide.key_for("other")
    for name, headers in (("block", other), ("dnc", None), ("allow", None)):
        answer = await wide.http.get(f"/v1/lists/{name}/{entry}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await wide.http.get("/v1/lists/block/lst_nothing")).status_code == 404
    assert (await wide.http.delete(f"/v1/lists/block/{entry}")).status_code == 204
    assert (await wide.http.get(f"/v1/lists/block/{entry}")).status_code == 404
