"""OP5: a tenant may make so many requests; an answer says how many are left, a refusal when there will be more."""

import asyncio
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.problems import Problem
from controller.api.rates import Rates
from tests.api.test_lockout import Ticking
from tests.house import Standing, standing


class Fine(Ticking):
    """A clock in fractions of seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


async def test_a_tenant_that_asks_too_much_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with standing(tmp_path, access={"requests_per_second": 50, "burst_s": 0.2}) as house:
        answers = await asyncio.gather(*(house.http.get("/v1/flows") for _ in range(40)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert len(refused) >= 20
        for answer in refused:
            assert (answer.json()["code"], answer.headers["retry-after"]) == ("rate_limited", "1")
            assert (answer.headers["ratelimit-limit"], answer.headers["ratelimit-remaining"]) == ("10", "0")
            assert int(answer.headers["ratelimit-reset"]) == 1
        other = await house.key_for("other")
        calm = await house.http.get("/v1/flows", headers=other)
        assert (calm.status_code, calm.headers["ratelimit-remaining"]) == (200, "9")
        assert (await house.http.get("/healthz")).status_code == 200


async def test_an_operator_gives_a_tenant_a_rate_of_its_own(house: Standing) -> None:
    other = await house.key_for("acme")
    assert (await house.http.get("/v1/flows", headers=other)).headers["ratelimit-limit"] == "2000"
    changed = await house.http.patch("/v1/tenants/acme", json={"requests_per_second": 7})
    assert (changed.status_code, changed.json()["requests_per_second"]) == (200, 7)
    assert (await house.http.get("/v1/flows", headers=other)).headers["ratelimit-limit"] == "14"
    assert (await house.http.patch("/v1/tenants/acme", json={"name": "A"})).json()["requests_per_second"] == 7
    assert (await house.http.patch("/v1/tenants/acme", json={"requests_per_second": None})).json()[
        "requests_per_second"
    ] is None
    assert (await house.http.get("/v1/flows", headers=other)).headers["ratelimit-limit"] == "2000"
    for bad in (0, -1, 1.5, "7", 10**9):
        assert (await house.http.patch("/v1/tenants/acme", json={"requests_per_second": bad})).status_code == 422


async def test_an_operator_bounds_a_tenants_calls_and_those_beyond_wait(tmp_path: Path) -> None:
    async with standing(tmp_path) as house:
        bound = await house.http.patch("/v1/tenants/main", json={"calls_per_second": 0.5, "concurrent_calls": 1})
        assert (bound.status_code, bound.json()["calls_per_second"], bound.json()["concurrent_calls"]) == (200, 0.5, 1)
        first, second = await house.callback(), await house.callback()
        await house.until(first["id"], status="bridged")
        waiting = (await house.http.get(f"/v1/callbacks/{second['id']}")).json()
        assert (waiting["status"], waiting["queue_position"]) == ("queued", 1)
        kept = await house.http.patch("/v1/tenants/main", json={"name": "M"})
        assert (kept.json()["calls_per_second"], kept.json()["concurrent_calls"]) == (0.5, 1)
        free = await house.http.patch("/v1/tenants/main", json={"calls_per_second": None, "concurrent_calls": None})
        assert (free.json()["calls_per_second"], free.json()["concurrent_calls"]) == (None, None)
        await house.until(second["id"], status="bridged")
        for bad in ({"calls_per_second": 0}, {"calls_per_second": -1}, {"calls_per_second": "2"}, {"concurrent_calls": 0}):
            assert (await house.http.patch("/v1/tenants/main", json=bad)).status_code == 422
        tenant = await house.key_for("acme", "*")
        assert (await house.http.patch("/v1/tenants/acme", json={"calls_per_second": 99}, headers=tenant)).status_code == 403


async def test_a_bound_set_by_another_controller_counts_within_a_look(tmp_path: Path) -> None:
    async with standing(tmp_path) as house:
        patchbay = house.patchbay
        await patchbay.house.database.tenants.change("main", calls_per_second=3.0, concurrent_calls=2)
        await patchbay.house.policy.refresh()
        limit = patchbay.scheduler._limits.limit("tenant:main")
        assert (limit.rate, limit.most) == (3.0, 2)


@given(
    st.integers(1, 1000),
    st.floats(0.05, 10),
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["a", "b"])), min_size=1, max_size=80),
)
def test_no_tenant_gets_more_than_its_rate_and_none_pays_for_another(
    rate: int, burst_s: float, asks: list[tuple[float, str]]
) -> None:
    clock = Fine()
    rates = Rates(clock, rate, burst_s)
    allowed: dict[str, list[float]] = {"a": [], "b": []}
    most = max(1.0, rate * burst_s)
    for wait, tenant in asks:
        clock.seconds += wait
        try:
            told = dict(rates.take(tenant))
        except Problem as problem:
            clock.seconds += int((problem.headers or {})["Retry-After"])
            rates.take(tenant)  # as promised
            allowed[tenant].append(clock.seconds)
            continue
        allowed[tenant].append(clock.seconds)
        assert 0 <= int(told[b"ratelimit-remaining"]) <= int(told[b"ratelimit-limit"]) == int(most)
        assert 0 <= int(told[b"ratelimit-reset"]) <= ceil(most / rate) + 1
    for times in allowed.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= most + (times[last] - times[first]) * rate + 1e-6


def test_a_tenant_that_saves_up_gets_its_burst_and_no_more() -> None:
    clock = Fine()
    rates = Rates(clock, 10, 2)
    for _ in range(20):
        rates.take("a")
    with pytest.raises(Problem):
        rates.take("a")
    clock.seconds += 1000
    for _ in range(20):
        rates.take("a")
    with pytest.raises(Problem):
        rates.take("a")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.api.rates.REMEMBER_MOST", 5)
    rates = Rates(Fine(), 10, 1)
    for number in range(100):
        rates.take(str(number))
    assert list(rates._buckets) == ["95", "96", "97", "98", "99"]
