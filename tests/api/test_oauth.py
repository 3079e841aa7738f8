"""POST /v1/oauth/token: RFC 6749's client credentials and refresh, and what the tokens are good for."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.auth import SCOPES, Who
from controller.api.routes.oauth import OAuthErrorOut, Refused, TokenOut, _scopes
from tests.house import Standing, logged, standing

PATH = "/v1/oauth/token"


async def made(house: Standing, *scopes: str, **more: Any) -> dict[str, Any]:
    """A new key, over the API."""
    answer = await house.http.post("/v1/keys", json={"name": "client", "scopes": list(scopes or ["*"]), **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def ask(house: Standing, **form: str) -> httpx2.Response:
    """The token endpoint, without the house's own key."""
    async with httpx2.AsyncClient(base_url=house.base) as http:
        return await http.post(PATH, data=form)


async def granted(house: Standing, key: dict[str, Any], **form: str) -> dict[str, Any]:
    """Tokens for a key."""
    answer = await ask(house, **{"grant_type": "client_credentials", **client(key), **form})
    assert answer.status_code == 200, answer.text
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    return TokenOut.model_validate(answer.json()).model_dump()


def client(key: dict[str, Any]) -> dict[str, str]:
    return {"client_id": key["id"], "client_secret": key["key"]}


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": "Bearer " + tokens["access_token"]}


async def status(house: Standing, tokens: dict[str, Any], path: str = "/v1/calls") -> int:
    return (await house.http.get(path, headers=bearer(tokens))).status_code


async def refreshed(house: Standing, key: dict[str, Any], tokens: dict[str, Any], **form: str) -> httpx2.Response:
    return await ask(house, grant_type="refresh_token", refresh_token=tokens["refresh_token"], **client(key), **form)


async def test_a_token_does_what_its_key_may_and_no_more_than_was_asked_for(house: Standing) -> None:
    key = await made(house, "calls:read", "webhooks:write")
    whole = await granted(house, key)
    assert (whole["token_type"], whole["expires_in"], whole["scope"]) == ("Bearer", 900, "calls:read webhooks:write")
    assert [await status(house, whole, path) for path in ("/v1/calls", "/v1/webhooks", "/v1/cdrs")] == [200, 200, 403]
    part = await granted(house, key, scope="webhooks:read")
    assert part["scope"] == "webhooks:read"
    assert [await status(house, part, path) for path in ("/v1/calls", "/v1/webhooks")] == [403, 200]
    made_there = await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"}, headers=bearer(part))
    assert made_there.status_code == 403


async def test_basic_authentication_will_do_too(house: Standing) -> None:
    key = await made(house)
    async with httpx2.AsyncClient(base_url=house.base, auth=(key["id"], key["key"])) as http:
        answer = await http.post(PATH, data={"grant_type": "client_credentials"})
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["ratelimit-remaining"]) > 0
        both = await http.post(PATH, data={"grant_type": "client_credentials", "client_id": key["id"]})
        assert (both.status_code, both.json()["error"]) == (400, "invalid_request")


async def test_a_refresh_token_is_good_once_and_its_second_use_ends_all(house: Standing) -> None:
    key = await made(house, "calls:read", "webhooks:read")
    first = await granted(house, key, scope="calls:read webhooks:read")
    second = (await refreshed(house, key, first, scope="calls:read")).json()
    assert (second["scope"], await status(house, second), await status(house, second, "/v1/webhooks")) == (
        "calls:read",
        200,
        403,
    )
    third = (await refreshed(house, key, second)).json()
    assert third["scope"] == "calls:read webhooks:read"
    assert await status(house, first) == 200
    stolen = await refreshed(house, key, first)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert [await status(house, tokens) for tokens in (first, second, third)] == [401, 401, 401]
    assert (await refreshed(house, key, third)).json()["error"] == "invalid_grant"
    assert await status(house, await granted(house, key)) == 200


async def test_two_refreshes_at_once_are_one_too_many(house: Standing) -> None:
    key = await made(house)
    tokens = await granted(house, key)
    answers = await asyncio.gather(refreshed(house, key, tokens), refreshed(house, key, tokens))
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await refreshed(house, key, won)).json()["error"] == "invalid_grant"


async def test_a_refresh_token_is_its_own_clients(house: Standing) -> None:
    key, other = await made(house), await made(house)
    tokens = await granted(house, key)
    answer = await ask(house, grant_type="refresh_token", refresh_token=tokens["refresh_token"], **client(other))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await refreshed(house, key, tokens)).status_code == 200


async def test_a_secret_is_good_with_its_own_id_only(house: Standing) -> None:
    key, other = await made(house), await made(house)
    answer = await ask(house, grant_type="client_credentials", client_id=other["id"], client_secret=key["key"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_refresh_token_opens_nothing_else(house: Standing) -> None:
    tokens = await granted(house, await made(house))
    assert (
        await house.http.get("/v1/calls", headers={"Authorization": "Bearer " + tokens["refresh_token"]})
    ).status_code == 401


async def test_a_revoked_key_takes_its_tokens_along(house: Standing) -> None:
    key = await made(house)
    tokens = await granted(house, key)
    assert await status(house, tokens) == 200
    assert (await house.http.delete(f"/v1/keys/{key['id']}")).status_code == 204
    assert await status(house, tokens) == 401
    answer = await refreshed(house, key, tokens)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_tokens_expire_with_their_time_their_grant_and_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = {"token_s": 900, "refresh_s": 3600, "grant_s": 4000}
    async with standing(tmp_path, access=access) as house:
        key = await made(house)
        tokens = await granted(house, key)
        assert await status(house, tokens) == 200
        clock = type(house.patchbay.house.clock)
        now, ticks = clock.now, clock.monotonic

        def later(seconds: float) -> None:
            monkeypatch.setattr(clock, "now", lambda self: now(self) + round(seconds * 1000))
            monkeypatch.setattr(clock, "monotonic", lambda self: ticks(self) + seconds)

        later(901)
        gone = await house.http.get("/v1/calls", headers=bearer(tokens))
        assert (gone.status_code, gone.json()["code"]) == (401, "unauthorized")
        again = (await refreshed(house, key, tokens)).json()
        later(901 + 3500)
        assert (await refreshed(house, key, again)).json()["error"] == "invalid_grant"
        soon = await granted(house, await made(house, expires_at="2999-01-01T00:00:00Z"))
        assert soon["expires_in"] == 900
    async with standing(tmp_path / "short", access={"token_s": 900, "refresh_s": 600}) as house:
        assert (await granted(house, await made(house)))["refresh_token"] is None


async def test_a_key_that_ends_soon_gives_tokens_that_end_with_it(house: Standing) -> None:
    from controller.times import rfc3339

    soon = rfc3339(house.patchbay.house.clock.now() + 60_000)
    key = await made(house, "keys:write", "calls:read", expires_at=soon)
    assert key["expires_at"] == soon
    tokens = await granted(house, key)
    assert 0 < tokens["expires_in"] <= 60
    assert tokens["refresh_token"] is None
    child = await house.http.post("/v1/keys", json={"name": "n", "scopes": ["calls:read"]}, headers=bearer(tokens))
    assert child.json()["expires_at"] == soon
    late = {"name": "n", "scopes": ["calls:read"], "expires_at": "2999-01-01T00:00:00Z"}
    refused = await house.http.post("/v1/keys", json=late, headers=bearer(tokens))
    assert (refused.status_code, refused.json()["param"]) == (403, "expires_at")
    past = await house.http.post("/v1/keys", json={**late, "expires_at": "2001-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["param"]) == (422, "expires_at")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"x": "1"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"client_id": "key_1", "client_secret": "pb_" + "A" * 43}, 401, "invalid_client"),
        ({"grant_type": "password", "good": "1"}, 400, "unsupported_grant_type"),
        ({"good": "1"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "good": "1"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "pbr_x", "good": "1"}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials", "scope": "operator", "good": "1"}, 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "calls:write", "good": "1"}, 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "calls:read nonsense", "good": "1"}, 400, "invalid_scope"),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_wrong_is_told_as_the_rfc_says(shared: Standing, form: dict[str, str], status: int, error: str) -> None:
    if form.pop("good", None) or "good" in form:
        form |= client(await made(shared, "calls:read"))
    answer = await ask(shared, **form)
    found = OAuthErrorOut.model_validate(answer.json())
    assert (answer.status_code, found.error) == (status, error)
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_body_that_is_no_form_is_refused(shared: Standing) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    async with httpx2.AsyncClient(base_url=shared.base) as http:
        for sent, headers in (
            (b'{"grant_type": "client_credentials"}', {"Content-Type": "application/json"}),
            (b"grant_type=a&grant_type=b", kind),
            (b"grant_type=%ff", kind),
            (b"\xff=1", kind),
            (b"&".join(b"a%d=1" % n for n in range(100)), kind),
        ):
            answer = await http.post(PATH, content=sent, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), sent
        for header in ("Basic", "Basic ???", "Basic " + base64.b64encode(b"\xff").decode(), "Digest x", "Bearer " + shared.key):
            answer = await http.post(PATH, content=b"grant_type=client_credentials", headers={**kind, "Authorization": header})
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), header
        assert (await http.get(PATH)).status_code == 405


async def test_no_token_or_key_is_logged(tmp_path: Path) -> None:
    with logged(tmp_path / "log"):
        async with standing(tmp_path) as house:
            key = await made(house)
            tokens = await granted(house, key)
            await refreshed(house, key, tokens)
            await refreshed(house, key, tokens)
            await status(house, tokens)
    lines = (tmp_path / "log").read_text()
    assert "a refresh token was used twice" in lines
    for secret in (key["key"], tokens["access_token"], tokens["refresh_token"], key["key"][3:], tokens["refresh_token"][4:]):
        assert secret not in lines


@given(st.lists(st.sampled_from(SCOPES), unique=True, min_size=1), st.lists(st.sampled_from([*SCOPES, "x", "read", ""])))
def test_no_scope_is_ever_granted_that_the_key_lacks(owned: list[str], wanted: list[str]) -> None:
    owner = Who("", "", frozenset(owned))
    try:
        found = _scopes(" ".join(wanted), tuple(owned))
    except Refused:
        assert any(scope and (scope not in SCOPES or not owner.may(scope)) for scope in wanted)
        return
    assert found
    mine = Who("", "", frozenset(found))
    assert all(owner.may(scope) for scope in SCOPES if mine.may(scope))
