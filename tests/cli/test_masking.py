"""`patchbay pool`, `number` and `binding` against a running house."""

import pytest

from tests.cli.conftest import Run
from tests.house import CALLEE, CALLER

pytestmark = pytest.mark.asyncio(loop_scope="session")
X, OTHER = "+14155550931", "+14155550932"


async def test_numbers_are_pooled_bound_shown_and_released(run: Run) -> None:
    pool = (await run("pool", "add", "cli", "--cool-off", "60", "--unknown", "reject", "--json")).json
    number = (await run("number", "add", X, "--pool", "cli", "--area", "415", "--json")).json
    assert (number["kind"], number["pool"], number["area"]) == ("x", pool["id"], "415")
    assert (await run("number", "add", OTHER, "--x", "--json")).json["pool"] is None
    made = await run("binding", "create", CALLER, CALLEE, "--pool", "cli", "--ttl", "600", "--reference", "r", "--json")
    assert (made.code, made.json["x"], made.json["ttl_s"]) == (0, X, 600)
    binding = made.json["id"]
    assert (await run("binding", "show", binding, "--json")).json == made.json
    shown = await run("binding", "show", binding)
    assert X in shown.out
    listed = await run("binding", "list", "--status", "active", "--reference", "r")
    assert binding in listed.out
    assert CALLER not in listed.out
    full = await run("binding", "create", CALLER, CALLEE, "--pool", "cli")
    assert (full.code, "pool_exhausted" in full.err) == (1, True)
    assert (await run("binding", "release", binding, "--json")).json["status"] == "released"
    assert (await run("binding", "show", "bind_NOBODY")).code == 3
    assert (await run("number", "state", number["id"], "frozen", "--json")).json["state"] == "frozen"
    assert "frozen" in (await run("number", "list", "--kind", "x")).out
    assert (await run("pool", "remove", pool["id"])).code == 1
    assert "cli" in (await run("pool", "list")).out


async def test_a_repeat_with_its_key_binds_once_and_two_sides_see_two_numbers(run: Run) -> None:
    words = ("binding", "create", CALLER, CALLEE, "--mode", "axyb", "--x", OTHER, "--y", X, "--idempotency-key", "k", "--json")
    refused = await run(*words)
    assert (refused.code, refused.json["code"]) == (1, "number_conflict")
    numbers = {item["number"]: item["id"] for item in (await run("number", "list", "--kind", "x", "--json")).json["items"]}
    await run("number", "state", numbers[X], "active")
    extra = "+14155550933"
    await run("number", "add", extra, "--x")
    words = tuple(extra if word == X else word for word in words)
    made, again = await run(*words), await run(*words)
    assert made.json == again.json
    assert f"{OTHER} / {extra}" in (await run("binding", "show", made.json["id"])).out
