"""What the API takes can be said at the command line too: every field of a callback, a binding and an action."""

import click
import pytest

from controller.api.binding_shapes import BindingChange, NewBinding
from controller.api.routes.callbacks import NewCallback
from controller.cli import binding_fields, callback_fields
from controller.cli.given import pairs
from tests.api.masking import pool
from tests.cli.conftest import Run
from tests.house import BUSY, CALLEE, CALLER, SHOWN, SHOWN_TOO, SILENT, Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")
X = [f"+141555509{number}" for number in (60, 61, 62)]


def given(options: object) -> dict[str, object]:
    """What a command with these options gets when each says something."""
    command = click.Command("any", callback=lambda **given: given)
    for option in reversed(options):  # type: ignore[call-overload]
        command = option(command)
    said = {"json": '{"k": 1}', "integer": "7"}
    words: list[str] = []
    for one in command.params:
        assert isinstance(one, click.Option)
        if one.is_flag:
            words.append(one.opts[0])
        elif isinstance(one.type, click.Choice):
            words += [one.opts[0], str(one.type.choices[0])]
        else:
            words += [one.opts[0], "record=true" if one.metavar == "KEY=VALUE" else said.get(one.type.name, "9")]
    found: dict[str, object] = command.main(words, standalone_mode=False)
    return found


async def test_every_field_of_the_api_has_its_option() -> None:
    callback = callback_fields.fields(given(callback_fields.OPTIONS))
    assert set(NewCallback.model_fields) - set(callback) == {"caller", "callee"}, "these are arguments"
    assert set(callback["confirm"]) == {"prompt", "key", "repeats", "timeout_s", "replay_key", "hang_up_key"}
    assert set(callback["retry"]) == {"attempts", "backoff_s", "on"}
    assert (set(callback["announce"]), set(callback["machine_detection"])) == (
        {"caller", "callee"},
        {"on_machine", "on_unknown"},
    )
    new = binding_fields.new_fields(given(binding_fields.NEW))
    assert set(NewBinding.model_fields) - set(new) == {"a", "b"}, "these are arguments"
    assert set(binding_fields.changed_fields(given(binding_fields.CHANGE))) == set(BindingChange.model_fields)


async def test_pairs_are_json_where_they_can_be() -> None:
    said = ["allowed=false", "ring_timeout_s=20", "announce=please-hold", 'otherwise={"action": "menu", "flow": "f"}']
    otherwise = {"action": "menu", "flow": "f"}
    assert pairs(said, "-") == {"allowed": False, "ring_timeout_s": 20, "announce": "please-hold", "otherwise": otherwise}
    assert pairs((), "-") is None
    with pytest.raises(click.UsageError):
        pairs(["announce"], "--a-to-b")


async def test_a_callback_is_made_with_all_that_there_is(shared: Standing, run: Run) -> None:
    made = await run(
        "callback", "create", SILENT, CALLEE, "--display", SHOWN, "--wait", "music", "--announce-caller", "none",
        "--announce-callee", "please-hold", "--warn", "both", "--confirm", "--confirm-repeats", 3, "--confirm-timeout", 9,
        "--confirm-replay-key", "*", "--confirm-hang-up-key", "#", "--metadata", '{"order": {"id": 42}}',
        "--status-url", "http://127.0.0.1:9/told", "--max-duration", 600, "--reference", "mirror", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    live = shared.patchbay.house.desk.live_call(made.json["id"][5:])
    assert live is not None
    assert live.vars["confirm"] == {
        "prompt": "press-1", "key": "1", "repeats": 3, "timeout_s": 9, "replay_key": "*", "hang_up_key": "#",
    }  # fmt: skip
    assert (live.vars["wait"], live.vars["warn_to"], live.vars["announce"]) == (
        "music",
        "both",
        {"caller": "", "callee": "please-hold"},
    )
    assert (live.metadata, live.status_url) == ({"order": {"id": 42}}, "http://127.0.0.1:9/told")
    for where in (("--disposition", "busy"), ("--from", "2090-01-01T00:00:00Z"), ("--to", "2020-01-01T00:00:00Z")):
        assert (await run("callback", "list", "--reference", "mirror", *where, "--json")).json["items"] == []
        assert (await run("call", "list", "--reference", "mirror", *where, "--json")).json["items"] == []
    assert made.json["id"] in (await run("call", "list", "--number", SILENT, "--from", "2020-01-01T00:00:00Z")).out
    assert (await run("callback", "cancel", made.json["id"])).code == 0
    await shared.until(made.json["id"], status="ended")
    for wrong in (("--metadata", "[1]"), ("--metadata", "{"), ("--backoff", 5), ("--wait", "silence")):
        assert (await run("callback", "create", SILENT, CALLEE, "--display", SHOWN, *wrong)).code == 2, wrong


async def test_every_action_is_done_and_what_it_does_not_take_is_said(shared: Standing, run: Run) -> None:
    call = (await shared.callback())["id"]
    await shared.until(call, status="bridged")
    for words in (
        ("mute",), ("unmute", "--leg", "callee"), ("play", "please-hold", "please-hold", "--leg", "callee"),
        ("record", "--recording-notice", "none"),
        ("pause_recording",), ("resume_recording",), ("stop_recording",),
    ):  # fmt: skip
        done = await run("call", "act", call, *words, "--json")
        assert (done.code, done.err) == (0, ""), words
        assert done.json["id"] == call
    for words, code in (
        (("dance",), 2), (("play",), 2), (("mute", "hello"), 2), (("transfer", "--to", BUSY), 2), (("record", "--leg", "x"), 2),
        (("mute", "--leg", "judge"), 1), (("pause_recording",), 1), (("transfer", "--to", CALLER, "--display", SHOWN), 1),
    ):  # fmt: skip
        assert (await run("call", "act", call, *words)).code == code, words
    assert (await run("call", "act", "call_nothing", "hangup")).code == 3
    assert (await run("call", "act", call, "transfer", "--to", SILENT, "--display", SHOWN_TOO)).code == 0
    await shared.until_fact(call, "call.leg.ringing", leg="transfer")
    assert (await run("call", "act", call, "hangup")).code == 0
    await shared.until(call, status="ended")


async def test_a_binding_is_made_changed_and_its_events_are_listed(shared: Standing, run: Run) -> None:
    name = await pool(shared, *X, name="mirror")
    made = await run(
        "binding", "create", CALLER, CALLEE, "--pool", name, "--a-to-b", "record=true", "--a-to-b", "announce=please-hold",
        "--b-to-a", "allowed=false", "--a-pin", "471147", "--block", BUSY, "--block", SILENT, "--metadata", '{"k": 1}',
        "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    binding = made.json["id"]
    assert (made.json["a_to_b"]["record"], made.json["a_to_b"]["announce"]) == (True, "please-hold")
    assert (made.json["b_to_a"]["allowed"], made.json["pins"], made.json["block"]) == (False, ["a"], [BUSY, SILENT])
    assert "471147" not in made.out
    changed = await run(
        "binding", "change", binding, "--ttl", 600, "--ttl-from", "last_call", "--b-to-a", "ring_timeout_s=20",
        "--block-nobody", "--allow", BUSY, "--metadata", '{"k": 2}', "--reference", "ride-7", "--json",
    )  # fmt: skip
    assert changed.code == 0, changed.err
    assert {name: changed.json[name] for name in ("ttl_s", "ttl_from", "block", "allow", "metadata", "reference")} == {
        "ttl_s": 600, "ttl_from": "last_call", "block": [], "allow": [BUSY], "metadata": {"k": 2}, "reference": "ride-7",
    }  # fmt: skip
    assert (changed.json["b_to_a"]["ring_timeout_s"], changed.json["b_to_a"]["allowed"]) == (20, True)
    undone = await run("binding", "change", binding, "--ttl", "never", "--allow-anybody", "--reference", "none", "--json")
    assert (undone.json["expires_at"], undone.json["allow"], undone.json["reference"]) == (None, [], None)
    kinds = [event["type"] for event in (await run("binding", "events", binding, "--json")).json["items"]]
    assert kinds == ["binding.created", "binding.changed", "binding.changed"]
    assert "binding.created" in (await run("binding", "events", binding)).out
    assert (await run("binding", "list", "--number", CALLER, "--to", "2020-01-01T00:00:00Z", "--json")).json["items"] == []
    assert binding in (await run("binding", "list", "--number", CALLER, "--from", made.json["created_at"])).out
    for words, code in (
        (("change", binding), 2), (("change", binding, "--ttl", "soon"), 2), (("change", binding, "--temporary", 5), 2),
        (("change", binding, "--a-to-b", "record"), 2), (("change", binding, "--a-to-b", "dance=true"), 1),
        (("change", "bind_nothing", "--ttl", 5), 3), (("events", "bind_nothing"), 3),
    ):  # fmt: skip
        assert (await run("binding", *words)).code == code, words


async def test_a_pool_is_changed(shared: Standing, run: Run) -> None:
    name = await pool(shared, name="changing")
    changed = await run("pool", "change", name, "--cool-off", 90, "--unknown", "prompt", "--prompt", "please-hold", "--json")
    assert {key: changed.json[key] for key in ("cool_off_s", "unknown", "prompt")} == {
        "cool_off_s": 90, "unknown": "prompt", "prompt": "please-hold",
    }  # fmt: skip
    assert (await run("pool", "change", name, "--prompt", "none", "--json")).json["prompt"] is None
    assert ((await run("pool", "change", name)).code, (await run("pool", "change", "pool_no", "--cool-off", 1)).code) == (2, 3)


async def test_an_open_number_reaches_somebody_else_for_a_while(shared: Standing, run: Run) -> None:
    made = await run("binding", "create", CALLER, "--mode", "ax", "--pool", "mirror", "--json")
    binding = made.json["id"]
    changed = await run("binding", "change", binding, "--b", CALLEE, "--temporary-callee", BUSY, "--temporary", 60)
    assert (changed.code, BUSY in changed.out, CALLEE in changed.out) == (0, True, True)
    back = await run("binding", "change", binding, "--b", "none", "--temporary-callee", "none", "--json")
    assert (back.json["b"], back.json["temporary_callee"]) == (None, None)


async def test_the_queue_is_listed_and_shown(shared: Standing, run: Run) -> None:
    agent = (await run("agent", "add", "Ann", SILENT, "--json")).json["id"]
    call = (await run("callback", "create", "queue", CALLEE, "--display", SHOWN, "--reference", "waits", "--json")).json["id"]
    for_ann = (await run("callback", "create", agent, CALLEE, "--display", SHOWN, "--json")).json["id"]
    listed = (await run("queue", "list", "--json")).json["items"]
    assert listed == [{"id": "default", "waiting": 2, "on_duty": 0}]
    shown = (await run("queue", "show", "--json")).json
    assert [(one["id"], one["position"], one["agent_id"]) for one in shown["calls"]] == [(call, 1, None), (for_ann, 1, agent)]
    assert shown["agents"] == []
    for one in (call, for_ann):
        assert (await run("callback", "cancel", one)).code == 0
    assert (await run("agent", "change", agent, "--name", "Bea", "--json")).json["name"] == "Bea"
    assert (await run("agent", "change", agent)).code == 2
    assert (await run("agent", "state", agent, "on_duty")).code == 0
    text = (await run("queue", "show", "default")).out
    assert all(word in text for word in ("0 waiting, 1 on duty", "nobody waits", "Bea"))
    assert agent in (await run("agent", "list", "--state", "on_duty")).out
    assert agent not in (await run("agent", "list", "--state", "busy")).out
    assert "Bea" in (await run("agent", "show", agent)).out
    assert (await run("queue", "show", "vip")).code == 3
    assert (await run("queue", "list", "--api", "http://127.0.0.1:9")).code == 4
    assert (await run("agent", "remove", agent)).code == 0
