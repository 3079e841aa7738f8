"""Every command that goes through the API: what it does, what it prints, how it ends."""

import csv
import hashlib
import io
import json
import os
from pathlib import Path

import pytest

from tests.api.test_recordings import AUDIO, recorded
from tests.cli.conftest import Run, run_command
from tests.house import BUSY, CALLEE, CALLER, SHOWN, SHOWN_TOO, SILENT, Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_callback_is_made_shown_watched_and_canceled(shared: Standing, run: Run) -> None:
    made = await run(
        "callback", "create", CALLER, SILENT, "--caller-display", SHOWN, "--callee-display", SHOWN_TOO, "--record",
        "--ring-callee", 50, "--reference", "r1", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    call_id = made.json["id"]
    await shared.until_fact(call_id, "call.leg.ringing", leg="callee")
    live = shared.patchbay.house.desk.live_call(call_id[5:])
    assert live is not None
    assert (live.vars["record"], live.vars["ring_timeout_s"]) == (True, {"callee": 50})
    shown = await run("callback", "show", call_id)
    assert (shown.code, "answered" in shown.out, "r1" in shown.out) == (0, True, True)
    assert [item["id"] for item in (await run("callback", "list", "--reference", "r1", "--json")).json["items"]] == [call_id]
    kept = await run("callback", "cancel", call_id, "--unless", "ringing", "--json")
    assert (kept.code, kept.json["kept_because"]) == (1, "ringing")
    canceled = await run("callback", "cancel", call_id)
    assert (canceled.code, canceled.out) == (0, "canceled, dropped: caller, callee\n")
    await shared.until(call_id, status="ended")
    again = await run("callback", "cancel", call_id)
    assert (again.code, again.err) == (1, "patchbay: kept: ended\n")


async def test_a_call_is_followed_live_to_its_end(shared: Standing, run: Run) -> None:
    made = await run("callback", "create", CALLER, BUSY, "--display", SHOWN, "--watch", "--json")
    events = [json.loads(line) for line in made.out.splitlines()]
    assert (made.code, made.err) == (0, "")
    assert events == await shared.facts(events[0]["call_id"])
    later = await run("call", "watch", events[0]["call_id"])
    lines = later.out.splitlines()
    assert [line.split()[1] for line in lines] == [event["type"] for event in events]
    assert later.code == 0


async def test_calls_are_listed_shown_and_hung_up(shared: Standing, run: Run) -> None:
    call_id = (await shared.callback())["id"]
    await shared.until(call_id, status="bridged")
    assert call_id in (await run("call", "list", "--status", "live")).out
    assert (await run("call", "show", call_id, "--json")).json["status"] == "bridged"
    assert (await run("call", "hangup", call_id)).code == 0
    ended = await shared.until(call_id, status="ended")
    assert (ended["disposition"], ended["hangup_by"]) == ("completed", "platform")
    refused = await run("call", "hangup", call_id, "--json")
    assert (refused.code, refused.json["code"]) == (1, "not_possible_now")


async def test_records_are_exported_whole(shared: Standing, run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        call = await shared.callback(callee=BUSY, reference="=export")
        await shared.until(call["id"], status="ended")
    printed = await run("cdr", "export", "--reference", "=export")
    rows = list(csv.DictReader(io.StringIO(printed.out, newline="")))
    assert [row["reference"] for row in rows] == ["'=export", "'=export"]
    target = tmp_path / "records.json"
    said = await run("cdr", "export", "--reference", "=export", "--format", "json", "--output", target, "--json")
    assert said.json == {"records": 2, "file": str(target)}
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == [row["id"] for row in rows]


async def test_a_recording_is_downloaded_and_verified(shared: Standing, run: Run, tmp_path: Path) -> None:
    name = await recorded(shared, call_id="01JD3Y8Q4ZK5T0M6W9RB2XHC00")
    target = tmp_path / "a.wav"
    got = await run("recording", "get", name, "-o", target, "--json")
    assert (got.code, got.json["file"]) == (0, str(target))
    assert target.read_bytes() == AUDIO
    assert os.listdir(tmp_path) == ["a.wav"]
    assert (await run("recording", "verify", name)).out == f"ok  {hashlib.sha256(AUDIO).hexdigest()}\n"
    assert (await run("recording", "verify", name, target)).code == 0
    target.write_bytes(AUDIO[:-1])
    assert (await run("recording", "verify", name, target)).code == 1
    assert name in (await run("recording", "list", "--status", "stored")).out
    waiting = await recorded(shared, "recording", "01JD3Y8Q4ZK5T0M6W9RB2XHC01")
    assert (await run("recording", "get", waiting, "-o", tmp_path / "b.wav")).code == 1
    stored = shared.patchbay.house.recordings / f"{name[4:]}.wav"
    stored.write_bytes(b"changed")
    assert (await run("recording", "verify", name)).code == 1


async def test_webhooks_numbers_keys_nodes_and_tenants(run: Run) -> None:
    hook = (await run("webhook", "create", "http://127.0.0.1:9/", "--event", "call.ended", "--json")).json
    assert hook["secret"].startswith("whsec_")
    assert hook["id"] in (await run("webhook", "list")).out
    assert (await run("webhook", "replay", hook["id"], "--since", "2020-01-01T00:00:00Z", "--json")).json == {"calls": 0}
    assert (await run("webhook", "deliveries", hook["id"], "--json")).json == {"items": []}
    assert (await run("webhook", "delete", hook["id"])).code == 0
    number = (await run("number", "add", "+14155550170", "--json")).json
    assert "+14155550170" in (await run("number", "list")).out
    assert (await run("number", "remove", number["id"])).code == 0
    key = (await run("key", "create", "reader", "--scope", "calls:read", "--json")).json
    assert (await run("call", "list", PATCHBAY_API_KEY=key["key"])).code == 0
    assert (await run("key", "revoke", key["id"])).code == 0
    assert "reader" in (await run("key", "list")).out
    assert (await run("call", "list", PATCHBAY_API_KEY=key["key"])).code == 1
    assert (await run("node", "drain", "pbx1", "--json")).json["state"] == "draining"
    assert (await run("node", "drain", "pbx1", "--undo", "--json")).json["state"] == "up"
    assert "pbx1" in (await run("node", "list")).out
    assert (await run("tenant", "create", "acme", "Acme")).code == 0
    assert (await run("tenant", "suspend", "acme", "--json")).json["suspended_at"]
    assert "acme" in (await run("tenant", "list")).out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("callback", "show", "call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE"), 3),
        (("recording", "get", "rec_nothing"), 3),
        (("callback", "create", CALLER, CALLEE), 2),
        (("callback", "create", CALLER, CALLEE, "--display", "+14155550111"), 1),
        (("callback", "nonsense"), 2),
        (("call", "list", "--limit", "0"), 2),
        (("call", "list", "--api", "http://127.0.0.1:9"), 4),
        (("call", "list", "--api", "nonsense"), 4),
        (("call", "list", "--lab", "/nowhere"), 2),
        (("call", "list", "--key", "pb_wrong"), 1),
        (("key", "create", "x", "--config", "a.yaml"), 2),
    ],
)
async def test_how_a_command_ends_says_why(run: Run, words: tuple[str, ...], code: int) -> None:
    ended = await run(*words)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err
    assert "Traceback" not in ended.err


async def test_with_json_a_refusal_is_one_document_too(run: Run) -> None:
    ended = await run("callback", "show", "call_nothing", "--json")
    assert (ended.code, ended.json["code"]) == (3, "not_found")


async def test_a_labs_folder_says_where_and_with_which_key(shared: Standing, tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(json.dumps({"api": shared.base, "api_key": shared.key}))
    assert (await run_command("number", "list", "--lab", tmp_path)).code == 0
    assert (await run_command("number", "list", PATCHBAY_LAB=str(tmp_path))).code == 0


async def test_the_audit_log_says_who_did_what(shared: Standing, run: Run) -> None:
    call = (await shared.callback(callee=SILENT))["id"]
    assert (await run("callback", "cancel", call)).code == 0
    listed = await run("audit", "list", "--target", call, "--json")
    assert [entry["action"].split(" ")[0] for entry in listed.json["items"]] == ["DELETE", "POST"]
    actor = listed.json["items"][0]["actor"]
    shown = await run("audit", "list", "--target", call, "--actor", actor, "--from", listed.json["items"][1]["at"])
    assert (shown.code, shown.out.count("done"), actor in shown.out) == (0, 2, True)
    assert "none" in (await run("audit", "list", "--installation", "--target", call)).out


async def test_a_node_is_added_drained_and_refused_removal_while_it_may_have_calls(
    shared: Standing, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("name: extra\nkind: asterisk\nami: {secret: hidden-word, port: 5999}\nhook: {token: hidden-word}\n")
    added = await run("node", "add", file)
    assert (added.code, "extra" in added.out, "hidden-word" in added.out + added.err) == (0, True, False)
    again = await run("node", "add", file, "--json")
    assert (again.code, again.json["code"]) == (1, "conflict")
    drained = await run("node", "drain", "extra", "--json")
    assert (drained.code, drained.json["draining"]) == (0, True)
    kept = await run("node", "remove", "extra")
    assert (kept.code, "not_possible_now" in kept.err) == (1, True)
    assert "hidden-word" not in (await run("node", "list", "--json")).out
    assert (await run("node", "remove", "unknown")).code == 3
    file.write_text("just words")
    assert (await run("node", "add", file)).code == 2
