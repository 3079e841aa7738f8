"""Health, metrics, and the description of the interface."""

import re
from pathlib import Path

import pytest

from controller.ports import NotSaved
from tests.house import CALLEE, CALLER, SHOWN, SHOWN_TOO, Standing, standing


async def test_ready_means_a_pbx_is_up_and_the_database_can_be_written(
    house: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await house.http.get("/healthz")).json() == {"status": "ok"}
    ready = (await house.http.get("/readyz")).json()
    assert ready == {"status": "ready", "checks": {"database": "ok", "nodes": {"pbx1": "up"}}}

    async def full() -> None:
        raise NotSaved("disk full")

    monkeypatch.setattr("controller.api.routes.health.PING_EVERY_S", 0.0)
    monkeypatch.setattr(house.patchbay.house.database, "ping", full)
    answer = await house.http.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.json()["checks"]["database"]) == (
        503,
        "storage_unavailable",
        "cannot be written",
    )
    assert (await house.http.get("/healthz")).status_code == 200


async def test_without_a_pbx_it_is_not_ready_and_still_takes_calls(tmp_path: Path) -> None:
    async with standing(tmp_path, up=False, nodes=[]) as house:
        answer = await house.http.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "pbx_unavailable")


@pytest.mark.asyncio(loop_scope="session")
async def test_metrics_have_few_labels_and_no_numbers(shared: Standing) -> None:
    made = await shared.callback()
    await shared.http.get(f"/v1/calls/{made['id']}")
    await shared.http.get("/no/such/path")
    text = (await shared.http.get("/metrics")).text
    assert 'patchbay_http_requests_total{method="GET",route="/v1/calls/{call_id}",status="200"}' in text
    assert 'route="none",status="404"' in text
    assert 'patchbay_node_up{node="pbx1",kind="asterisk"} 1.0' in text.replace(
        'kind="asterisk",node="pbx1"', 'node="pbx1",kind="asterisk"'
    )
    await shared.until(made["id"], status="bridged")
    await shared.http.delete(f"/v1/callbacks/{made['id']}")
    await shared.until(made["id"], status="ended")
    text = (await shared.http.get("/metrics")).text
    assert re.search(r'^patchbay_calls_ended_total\{[^}]*"canceled"[^}]*\} [1-9]', text, re.MULTILINE)
    for name in ("queue_length", "units_total", "units_waiting", "event_lag_p99_seconds", "webhook_tries_total"):
        assert f"patchbay_{name}" in text
    assert "_created" not in text
    for told in (made["id"], CALLER, CALLEE, SHOWN, SHOWN_TOO):
        assert told.lstrip("+") not in text


@pytest.mark.asyncio(loop_scope="session")
async def test_the_interface_is_described_and_the_page_loads_nothing_from_elsewhere(shared: Standing) -> None:
    described = (await shared.http.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    new = described["components"]["schemas"]["NewCallback"]
    assert set(new["required"]) == {"caller", "callee", "caller_display", "callee_display"}
    post = described["paths"]["/v1/callbacks"]["post"]
    assert {"202", "401", "409", "422", "429", "503"} <= post["responses"].keys()
    assert [parameter["name"] for parameter in post["parameters"]] == ["Idempotency-Key"]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith("/v1/"), path
            assert operation["description"].startswith(operation["summary"].split()[0]), path
            assert " " in operation["summary"], path
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', str(described).replace("'", '"')))
    assert wanted <= described["components"]["schemas"].keys()
    for path in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        page = await shared.http.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
