"""What every request passes: ids, keys, sizes, errors, and what the log may say of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from controller.api.requests import LARGEST_BODY
from tests.house import CALLEE, CALLER, WITHIN_S, Standing, body, logged, standing

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIELDS = {"type", "title", "status", "detail", "instance", "code", "param", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/calls/", 404, "not_found"),
        ("PUT", "/v1/callbacks", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/calls/call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE", 404, "not_found"),
        ("GET", "/v1/calls/x", 404, "not_found"),
        ("GET", "/v1/callbacks/rec_01JD3Y8Q4ZK5T0M6W9RB2XHCVE", 404, "not_found"),
        ("GET", "/v1/calls/call_..%2f..%2fetc", 404, "not_found"),
        ("GET", "/v1/recordings/rec_%00/media", 404, "not_found"),
        ("GET", "/v1/tenants/%F0%9F%98%80", 404, "not_found"),
    ],
)
async def test_every_refusal_is_a_problem_with_a_code(shared: Standing, method: str, path: str, status: int, code: str) -> None:
    answer = await shared.http.request(method, path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem.keys() >= FIELDS
    assert problem["request_id"] == answer.headers["x-request-id"]
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"[]", b"null", b'"x"', b'{"a": NaN}', b'{"caller": "\\ud800"}', b"\xff\xfe", b"[" * 5000, b'{"a":1e999}'],
)
async def test_a_body_that_is_no_json_object_is_refused(shared: Standing, sent: bytes) -> None:
    for path in ("/v1/callbacks", "/v1/webhooks", "/v1/numbers"):
        answer = await shared.http.post(path, content=sent, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_request_id_is_echoed_if_it_is_harmless_and_made_if_not(shared: Standing) -> None:
    kept = await shared.http.get("/healthz", headers={"X-Request-Id": "order-42:a/b=="})
    assert kept.headers["x-request-id"] == "order-42:a/b=="
    for bad in ("x" * 129, "a b", "<script>", "ä"):
        made = await shared.http.get("/healthz", headers={"X-Request-Id": bad.encode("latin-1")})
        assert made.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Basic cGI6",
        "Bearer xx_1",
        "Bearer pb_" + "A" * 43,
        "Bearer pb_ü",
        "Bearer pb_" + "x" * 500,
    ],
)
async def test_without_a_valid_key_nothing_under_v1_is_told(shared: Standing, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    async with httpx2.AsyncClient(base_url=shared.base, headers=headers) as http:
        for method, path in (("GET", "/v1/calls"), ("POST", "/v1/callbacks"), ("GET", "/v1/nothing"), ("PUT", "/v1/calls")):
            answer = await http.request(method, path, json=body() if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_body_may_be_so_large_and_no_larger(shared: Standing) -> None:
    answer = await shared.http.post("/v1/callbacks", content=b" " * (LARGEST_BODY + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 16_384

    answer = await shared.http.post("/v1/callbacks", content=chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_body_that_does_not_come_is_not_waited_for(shared: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.api.requests.BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(shared.base.rpartition(":")[2]))
    head = f"POST /v1/numbers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shared.key}\r\nContent-Length: 10\r\n\r\n"
    writer.write(head.encode() + b"{")
    assert (await asyncio.wait_for(reader.readline(), WITHIN_S)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_scopes_decide_what_a_key_may_do(shared: Standing) -> None:
    reader = await shared.key_for("main", "callbacks:read")
    writer = await shared.key_for("main", "callbacks:write")
    every = await shared.key_for("main", "*")
    assert (await shared.http.get("/v1/callbacks", headers=reader)).status_code == 200
    assert (await shared.http.get("/v1/callbacks", headers=writer)).status_code == 200
    for headers, method, path in (
        (reader, "POST", "/v1/callbacks"),
        (reader, "GET", "/v1/calls"),
        (writer, "GET", "/v1/webhooks"),
        (every, "GET", "/v1/nodes"),
        (every, "GET", "/v1/trunks"),
        (every, "POST", "/v1/tenants"),
        (every, "PATCH", "/v1/nodes/pbx1"),
    ):
        answer = await shared.http.request(method, path, headers=headers, json=body() if method != "GET" else None)
        assert answer.status_code in (403, 422), (method, path)
        if path != "/v1/tenants" and method != "PATCH":
            assert answer.json()["code"] == "forbidden", (method, path)


async def test_a_fault_of_ours_is_told_without_its_details(
    shared: Standing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_desk: Any, _call: Any) -> None:
        raise RuntimeError("secret detail +14155550101")

    monkeypatch.setattr(type(shared.patchbay.house.desk), "outlook", broken)
    answer = await shared.http.post("/v1/callbacks", json=body())
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


async def test_the_request_log_has_no_query_number_or_key(tmp_path: Path) -> None:
    with logged(tmp_path / "log"):
        async with standing(tmp_path) as house:
            await house.callback(reference="order " + CALLER)
            await house.http.get("/v1/calls", params={"number": CALLEE, "reference": "4155550101"})
            await house.http.get(f"/v1/calls?after={house.key}")
            await house.http.post("/v1/callbacks", json=body(callee=CALLER + "0"))
            ticket = (await house.http.post("/v1/live/tickets")).json()["ticket"]
            async with connect(f"ws{house.base.removeprefix('http')}/v1/live?ticket={ticket}&call_id=4155550101"):
                pass
    lines = (tmp_path / "log").read_text()
    assert '"route":"/v1/callbacks"' in lines
    for secret in (CALLER, CALLER[1:], CALLEE, CALLEE[1:], "4155550101", house.key, ticket):
        assert secret not in lines
    assert all(json.loads(line) for line in lines.splitlines())
