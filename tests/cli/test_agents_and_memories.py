"""`patchbay agent`, `patchbay memory`, and what `patchbay callback create` can be told of time, retries and agents."""

import pytest

from tests.cli.conftest import Run
from tests.house import CALLEE, CALLER, SHOWN, SILENT, Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_agent_is_added_goes_on_duty_and_gets_the_callback_that_waits(shared: Standing, run: Run) -> None:
    made = await run("agent", "add", "Ann", CALLER, "--json")
    assert (made.code, made.json["state"]) == (0, "away")
    agent = made.json["id"]
    call = await run("callback", "create", "queue", CALLEE, "--display", SHOWN, "--json")
    assert (call.code, call.json["queue_position"]) == (0, 1)
    assert (await run("agent", "state", agent, "on_duty")).code == 0
    await shared.until(call.json["id"], status="bridged")
    assert "busy" in (await run("agent", "list")).out
    assert (await run("callback", "cancel", call.json["id"])).code == 0
    await shared.until(call.json["id"], status="ended")
    assert (await run("agent", "remove", agent)).code == 0
    assert (await run("agent", "state", agent, "away")).code == 3


async def test_a_memory_is_listed_changed_and_forgotten(shared: Standing, run: Run) -> None:
    call = await run("callback", "create", CALLER, SILENT, "--display", SHOWN, "--memory", 3600, "--json")
    assert call.code == 0, call.err
    await shared.until_fact(call.json["id"], "call.leg.dialing", leg="callee")
    memory = (await run("memory", "list", "--number", SILENT, "--json")).json["items"][0]
    assert (memory["callback_id"], memory["caller"]) == (call.json["id"], CALLER)
    assert (await run("memory", "change", memory["id"], "--forward-to", CALLEE, "--json")).json["forward_to"] == CALLEE
    assert (await run("memory", "change", memory["id"], "--forward-to", "none", "--json")).json["forward_to"] is None
    assert CALLER in (await run("memory", "show", memory["id"])).out
    assert (await run("memory", "forget", memory["id"])).code == 0
    assert (await run("memory", "show", memory["id"])).code == 3
    assert (await run("callback", "cancel", call.json["id"])).code == 0


async def test_a_callback_for_later_with_retries_and_a_key(shared: Standing, run: Run) -> None:
    made = await run(
        "callback", "create", CALLER, CALLEE, "--display", SHOWN, "--retries", 2, "--backoff", 5, "--retry-on", "busy",
        "--retry-on", "no_answer", "--not-after", "2090-01-01T00:00:00Z", "--confirm-key", "1",
        "--on-unknown", "hang_up", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert (made.json["retries_left"], made.json["not_after"]) == (2, "2090-01-01T00:00:00.000Z")
    live = shared.patchbay.house.desk.live_call(made.json["id"][5:])
    assert live is not None
    assert live.retry is not None
    assert live.vars["machine_detection"] == {"machine": False, "unknown": False}
    assert (live.retry.backoff_ms, live.retry.on, live.vars["confirm"]["key"]) == (5000, ("busy", "no_answer"), "1")
    assert (await run("callback", "cancel", made.json["id"])).code == 0
    refused = await run("callback", "create", CALLER, CALLEE, "--display", SHOWN, "--schedule-at", "tomorrow")
    assert (refused.code, "schedule_at" in refused.err) == (1, True)
