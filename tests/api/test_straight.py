"""The short way in answers as the framework's own does."""

from typing import Any

import pytest

from controller.api.straight import Straight, straight_routes
from tests.house import CALLER, Standing, body

AWAY = ("date", "x-request-id", "content-length", "ratelimit-remaining", "ratelimit-reset", "location")
CALLBACKS = "/v1/callbacks"


def test_these_go_the_short_way() -> None:
    assert set(straight_routes()) == {("POST", CALLBACKS), ("POST", "/v1/oauth/token")}


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("POST", CALLBACKS, {"json": body()}),
        ("POST", CALLBACKS, {"json": body(callee=CALLER)}),
        ("POST", CALLBACKS, {"json": {}}),
        ("POST", CALLBACKS, {"content": b"{"}),
        ("POST", CALLBACKS, {"content": b"x" * 300_000}),
        ("POST", CALLBACKS, {"json": body(), "headers": {"Authorization": "Bearer wrong"}}),
        ("POST", CALLBACKS, {"json": body(), "headers": {"Idempotency-Key": "ü".encode()}}),
        ("POST", CALLBACKS + "/", {"json": body()}),
        ("PUT", CALLBACKS, {"json": body()}),
        ("HEAD", CALLBACKS, {}),
        ("OPTIONS", CALLBACKS, {}),
        ("POST", "/v1/oauth/token", {"data": {"grant_type": "client_credentials"}}),
        ("POST", "/v1/oauth/token", {"data": {"grant_type": "wrong"}}),
    ],
)
async def test_it_answers_like_the_long_way(
    house: Standing, monkeypatch: pytest.MonkeyPatch, method: str, path: str, asked: dict[str, Any]
) -> None:
    short = await house.http.request(method, path, **asked)
    monkeypatch.setattr(Straight, "takes", lambda _self, _scope: False)
    long = await house.http.request(method, path, **asked)
    assert (short.status_code, _head(short.headers)) == (long.status_code, _head(long.headers))
    assert _shape(short) == _shape(long)


def _head(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in AWAY}


def _shape(answer: Any) -> Any:
    if not answer.content:
        return b""
    return {
        name: value for name, value in answer.json().items() if name in ("code", "param", "detail", "status", "type", "title")
    } | {"fields": sorted(answer.json())}


async def test_a_repeat_gets_the_first_answer_either_way(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"Idempotency-Key": "one"}
    short = await house.http.post(CALLBACKS, json=body(), headers=key)
    assert (await house.http.post(CALLBACKS, json=body(), headers=key)).content == short.content
    refused = await house.http.post(CALLBACKS, json=body(callee=CALLER), headers=key)
    monkeypatch.setattr(Straight, "takes", lambda _self, _scope: False)
    assert (await house.http.post(CALLBACKS, json=body(), headers=key)).content == short.content
    again = await house.http.post(CALLBACKS, json=body(callee=CALLER), headers=key)
    assert (refused.status_code, refused.json()["code"]) == (again.status_code, again.json()["code"])
