"""`patchbay tenant`, `key` and `webhook`: who may ask, and where events go."""

import json

import pytest

from tests.cli.conftest import Run
from tests.house import Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_tenant_is_made_renamed_given_a_rate_and_suspended(run: Run) -> None:
    assert (await run("tenant", "create", "shop", "Shop")).code == 0
    assert "Shop" in (await run("tenant", "show", "shop")).out
    renamed = await run("tenant", "rename", "shop", "The Shop", "--json")
    assert (renamed.code, renamed.json["name"]) == (0, "The Shop")
    assert (await run("tenant", "rate", "shop", 25, "--json")).json["requests_per_second"] == 25
    assert "25" in (await run("tenant", "show", "shop")).out
    assert (await run("tenant", "rate", "shop", 0, "--json")).json["requests_per_second"] is None
    bound = await run("tenant", "limits", "shop", "--calls-per-second", 2.5, "--concurrent", 20, "--json")
    assert (bound.json["calls_per_second"], bound.json["concurrent_calls"]) == (2.5, 20)
    free = await run("tenant", "limits", "shop", "--calls-per-second", 0, "--json")
    assert (free.json["calls_per_second"], free.json["concurrent_calls"]) == (None, 20)
    assert "as everybody" in (await run("tenant", "show", "shop")).out
    assert (await run("tenant", "limits", "shop")).code == 2
    assert (await run("tenant", "suspend", "shop", "--json")).json["suspended_at"]
    assert (await run("tenant", "suspend", "shop", "--undo", "--json")).json["suspended_at"] is None
    assert (await run("tenant", "rename", "nobody", "x")).code == 3


async def test_an_operator_makes_lists_and_revokes_a_tenants_keys(run: Run) -> None:
    assert (await run("tenant", "create", "bank", "Bank")).code == 0
    made = (await run("key", "create", "theirs", "--tenant", "bank", "--expires", "2999-01-31T00:00:00Z", "--json")).json
    assert (made["tenant"], made["expires_at"]) == ("bank", "2999-01-31T00:00:00.000Z")
    listed = await run("key", "list", "--tenant", "bank")
    assert "theirs" in listed.out
    assert "theirs" not in (await run("key", "list")).out
    assert (await run("key", "list", "--tenant", "main", PATCHBAY_API_KEY=made["key"])).code == 1
    assert (await run("key", "revoke", made["id"])).code == 3
    assert (await run("key", "revoke", made["id"], "--tenant", "bank")).code == 0
    assert (await run("call", "list", PATCHBAY_API_KEY=made["key"])).code == 1
    assert (await run("key", "create", "x", "--expires", "yesterday")).code == 1
    assert (await run("key", "create", "x", "--local", "--expires", "2999-01-31T00:00:00Z")).code == 2


async def test_a_token_is_got_for_a_key_and_used_in_its_place(run: Run) -> None:
    made = (await run("key", "create", "client", "--scope", "calls:read", "--scope", "cdrs:read", "--json")).json
    tokens = (await run("key", "token", made["id"], "--scope", "calls:read", "--json", PATCHBAY_API_KEY=made["key"])).json
    assert tokens["scope"] == "calls:read"
    assert (await run("call", "list", PATCHBAY_API_KEY=tokens["access_token"])).code == 0
    assert (await run("cdr", "export", PATCHBAY_API_KEY=tokens["access_token"])).code == 1
    wrong = await run("key", "token", "key_1", PATCHBAY_API_KEY=made["key"])
    assert (wrong.code, "invalid_client" in wrong.err) == (1, True)


async def test_an_endpoint_is_shown_changed_and_given_a_new_secret(shared: Standing, run: Run) -> None:
    made = (await run("webhook", "create", "http://127.0.0.1:9/", "--concurrent", 3, "--json")).json
    assert made["concurrent"] == 3
    changed = await run(
        "webhook", "change", made["id"], "--event", "call.ended", "--event", "cdr.created", "--state", "disabled",
        "--url", "http://127.0.0.1:10/", "--json",
    )  # fmt: skip
    assert (changed.json["events"], changed.json["state"]) == (["call.ended", "cdr.created"], "disabled")
    assert "http://127.0.0.1:10/" in (await run("webhook", "show", made["id"])).out
    first = (await run("webhook", "rotate", made["id"], "--json")).json
    assert first["secret"] not in (None, made["secret"])
    assert first["old_secret_until"]
    shown = json.loads((await run("webhook", "show", made["id"], "--json")).out)
    assert shown["secret"] is None
    assert (await run("webhook", "deliveries", made["id"], "--state", "parked", "--json")).json == {"items": []}
    assert (await run("webhook", "delete", made["id"])).code == 0
    secrets = [(await run("webhook", "status-secret", "--json")).json["secret"] for _ in range(2)]
    assert secrets[0] != secrets[1]
