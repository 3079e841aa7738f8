"""The dialplan and what the driver asks of it fit together: each command finds its macro, and each part its place.

FreeSWITCH's way of reading a dialplan (mod_dialplan_xml.c) is followed here as far as ours uses it; how the macros behave is
proved by the contract against a real one.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from controller import assets
from controller.core.verbs import Answer, Join, Play
from controller.drivers.freeswitch import commands
from controller.drivers.freeswitch.events import outcome
from tests.drivers.freeswitch.test_commands import ASK, CONNECT, FAR, LEG, VERB, up_of

TREE = ElementTree.fromstring((assets.dialplans() / "freeswitch" / "patchbay.xml").read_text())
UUID = "8d97d93b-01d6-49a8-9503-594684c9b44c"
NO_WARNING = ";".join(f"api_on_post_originate_{what}=" for what in ("near", "far"))
PLAY = Play(VERB, LEG, prompts=("beep",))
CONTEXT = next(context for context in TREE if context.get("name") == "patchbay")


def run(destination: str, variables: Mapping[str, str] | None = None) -> list[str]:
    """What a leg does that is sent there: ``application data`` each."""
    values = {"destination_number": destination, "PB_STEP": "", "PB_MISSED": "0", **(variables or {})}
    actions: list[str] = []
    for extension in CONTEXT:
        found = _conditions(extension, values)
        actions += found or []
        if found is not None and extension.get("continue") != "true":
            break
    return actions


def _conditions(extension: ElementTree.Element, values: Mapping[str, str]) -> list[str] | None:
    actions: list[str] = []
    for condition in extension:
        field = condition.get("field", "")
        text = values.get(field) or re.sub(r"\$\{(\w+)\}", lambda name: values.get(name[1], ""), field)
        match = re.search(re.sub(r"@\w+@", "2", condition.get("expression", "")), text)
        wanted = "action" if match else "anti-action"
        for action in condition.findall(wanted):
            data = action.get("data", "")
            if match:
                data = re.sub(r"\$(\d)", lambda number: match[int(number[1])] or "", data)  # noqa: B023
            actions.append(f"{action.get('application')} {data}".strip())
        if match is None:
            return actions if condition.findall("anti-action") else None
    return actions


def asked(command: str) -> str:
    """Where a command sends its leg."""
    destination, dialplan, context = shlex.split(command.partition(commands.END)[2])
    assert (dialplan, context) == ("XML", "patchbay")
    return destination


def test_a_connect_records_dials_and_says_how_it_was() -> None:
    destination = asked(commands.connect(CONNECT))
    variables, endpoint = destination.split(";")[7:]
    bridge, done = run(destination)
    began = f"${{uuid_record(${{uuid}} start ${{PB_SPOOL}}/{VERB}.raw)}}"
    begins = f"PB_STEP={VERB};PB_DOES={VERB};PB_FAR={FAR};PB_RESULT=;PB_DATA=;PB_MISSED=0"
    marked = f"${{uuid_setvar_multi(${{uuid}} {begins};hangup_after_bridge=false;{NO_WARNING})}}"
    assert bridge.startswith(f"bridge {{PB_X={began}{marked}${{uuid_setvar(${{uuid}} api_on_post_originate_limit ")
    assert bridge.endswith(f",{variables}}}{endpoint}")
    assert done.startswith("event Event-Name=CUSTOM,Event-Subclass=patchbay::done,")
    stopped = f"${{sched_del({VERB})}}${{uuid_record(${{uuid}} stop ${{PB_SPOOL}}/{VERB}.raw)}}${{uuid_setvar_multi("
    assert stopped in done, "the recording is whole before the leg's word of the end"
    assert f"PB_RESULT=${{cond('${{last_bridge_to}}' == '{FAR}' ? parted : unanswered)}};PB_DOES=;" in done


def test_the_step_stands_before_anybody_is_dialled() -> None:
    """FreeSWITCH puts an application's data together before it begins (`switch_core_session_exec`)."""
    for verb in (CONNECT, replace(CONNECT, record="")):
        bridge, _ = run(asked(commands.connect(verb)))
        assert f"${{uuid_setvar_multi(${{uuid}} PB_STEP={VERB};" in bridge


def test_without_a_recording_none_is_begun() -> None:
    did = run(asked(commands.connect(replace(CONNECT, record=""))))
    assert len(did) == 2
    assert "record" not in "".join(did).replace("recorded.wav", "")


def test_music_is_heard_by_who_waits_for_it() -> None:
    did = run(asked(commands.connect(replace(CONNECT, wait="music"))))
    assert did[0] == "set transfer_ringback=${PB_SAY}/music.wav"
    assert did[-1].endswith(";transfer_ringback=)}"), "the next Connect begins with ringback again"


@pytest.mark.parametrize(
    "command",
    [
        commands.connect(CONNECT),
        commands.play(Play(VERB, LEG, ("beep",))),
        commands.ask(ASK),
        commands.join(Join(VERB, LEG, FAR)),
    ],
)
def test_a_verb_that_was_begun_before_only_says_again_how_it_ended(command: str) -> None:
    assert run(asked(command), {"PB_STEP": VERB}) == ["event Event-Name=CUSTOM,Event-Subclass=patchbay::done"]
    assert len(run(asked(command), {"PB_STEP": VERB[:-1] + "9"})) > 1


def test_what_the_far_leg_does_once_it_has_answered() -> None:
    up = up_of(commands.connect(CONNECT))
    say = "${PB_SAY}"
    did = run(up)
    assert did[0] == f"set PB_X=${{uuid_broadcast({LEG} {say}/recorded.wav aleg)}}"
    assert did[1] == f"playback {say}/recorded.wav"
    assert did[2] == f"playback file_string://{say}/connecting.wav!{say}/please-hold.wav"
    warning = f"start {say}/last-minute.wav 0 mux)}}"
    later = f"set PB_X=${{uuid_setvar({LEG} api_on_post_originate"
    assert did[3] == f"{later}_near sched_api +3540 {VERB} uuid_displace {LEG} {warning}"
    assert did[4] == f"{later}_far sched_api +3540 {VERB} uuid_displace {FAR} {warning}"
    assert len(did) == 5


@pytest.mark.parametrize(
    ("to", "near", "far"),
    [("both", True, True), ("caller", True, False), ("callee", False, True), ("none", False, False)],
)
def test_only_who_is_meant_hears_notice_and_warning(to: str, near: bool, far: bool) -> None:
    verb = replace(CONNECT, announce=(), notice_to=to, warn_to=to)  # type: ignore[arg-type]
    did = "\n".join(run(up_of(commands.connect(verb))))
    assert (f"uuid_broadcast({LEG}" in did, "playback" in did) == (near, far)
    assert (f"uuid_displace {LEG}" in did, f"uuid_displace {FAR}" in did) == (near, far)


@pytest.mark.parametrize("record", [VERB, ""])
def test_a_limit_is_set_for_every_bridge(record: str) -> None:
    """And counts from it: what is named so runs directly before the two are bridged (`switch_ivr_originate`)."""
    bare = replace(CONNECT, announce=(), notice="", notice_to="none", warn="", warn_to="none", record=record)
    for verb in (replace(CONNECT, record=record), bare):
        bridge, _ = run(asked(commands.connect(verb)))
        limit = f"api_on_post_originate_limit sched_api +3599 {VERB} expand uuid_kill {FAR} 802 "
        assert limit in bridge
        assert "/1000+3600000)" in bridge


def test_the_near_leg_goes_after_a_talk_where_the_connect_says_so() -> None:
    for record in (VERB, ""):
        bridge, _ = run(asked(commands.connect(replace(CONNECT, closes=True, record=record))))
        assert ";hangup_after_bridge=true;" in bridge


def test_an_ask_reads_keys_with_all_its_times() -> None:
    did = run(asked(commands.ask(replace(ASK, least=2, most=4, stop="*"))))
    assert "read 1 4 ${PB_SAY}/press-1.wav PB_KEYS 5000 * 3000" in did
    assert any("PB_RESULT=keys 2;" in action for action in did)
    did = run(asked(commands.ask(replace(ASK, barge=False))))
    assert did[0] == "playback ${PB_SAY}/press-1.wav"
    assert "read 1 1 silence PB_KEYS 5000 # 3000" in did


def test_two_joined_legs_are_held_again() -> None:
    did = run(asked(commands.join(Join(VERB, LEG, FAR))))
    assert "transfer_after_bridge=joined:XML:patchbay" in did[0]
    assert did[1] == f"set PB_X=${{uuid_setvar({FAR} transfer_after_bridge hold:XML:patchbay)}}"
    assert did[2] == f"intercept {FAR}"
    assert run("joined")[-1] == "execute_extension hold XML patchbay"


def test_a_held_leg_knocks_waits_and_in_the_end_gives_up() -> None:
    alive, tired = "${cond(${strepoch()} < 0${PB_UNTIL} ? yes : no)}", "${cond(0${PB_MISSED} > @GIVE_UP@ ? yes : no)}"
    knock = ["event Event-Name=CUSTOM,Event-Subclass=patchbay::held", "sleep @KNOCK_EVERY_MS@"]
    assert run("hold")[:2] == knock
    assert run("fresh") == ["sleep @KNOCK_EVERY_MS@", "execute_extension hold XML patchbay"]
    assert run("hold")[2] == "execute_extension hold-minute XML patchbay"
    assert run("hold-minute") == ["execute_extension knock XML patchbay"]
    assert run("knock", {alive: "yes", tired: "no"}) == knock
    assert run("knock", {alive: "yes", tired: "no", "PB_MISSED": "2"})[0] == "set PB_MISSED=0"
    missed = run("knock", {alive: "no", tired: "no"})
    assert missed == ["set PB_MISSED=${expr(0${PB_MISSED}+1)}", *knock]
    up = {DISPOSITION: "ANSWER"}
    assert "playback ${PB_SAY}/one-moment.wav" in run("knock", {alive: "no", tired: "no", "PB_MISSED": "2", **up})
    given_up = run("knock", {alive: "no", tired: "yes", "PB_MISSED": "31", **up})
    assert given_up[-2:] == ["playback ${PB_SAY}/sorry.wav", "hangup NORMAL_TEMPORARY_FAILURE"]


def test_a_held_leg_never_transfers_which_freeswitch_allows_seventy_times() -> None:
    for name in ("hold", "hold-minute", "hold-hour", "knock"):
        assert not [action for action in run(name) if action.startswith("transfer ")]


def test_a_leg_may_be_held_for_a_day() -> None:
    loops = {e.get("name"): [int(a.get("loop", "1")) for a in e.iter("action")] for e in CONTEXT}
    assert loops["hold"][3] * loops["hold-hour"][0] * loops["hold-minute"][0] > 24 * 3600


DISPOSITION = "${endpoint_disposition}"
FROM_TRUNK = """<extension name="from carrier" continue="true">
  <condition field="network_addr" expression="^192.0.2.1$">
    <action application="set" data="PB_TRUNK=carrier" inline="true"/>
  </condition>
</extension>"""


def enter(**values: str) -> list[str]:
    """What a call from outside does; the extensions of the trunks are rendered (`test_render`)."""
    inbound = next(context for context in TREE if context.get("name") == "patchbay-in")
    actions: list[str] = []
    for extension in [*inbound[:2], ElementTree.fromstring(FROM_TRUNK), *inbound[2:]]:
        found = _conditions(extension, values)
        actions += found or []
        for name, value in (done.removeprefix("set ").split("=", 1) for done in found or [] if done.startswith("set PB_")):
            values["${" + name + "}"] = value
        if found is not None and extension.get("continue") != "true":
            break
    return actions


CALL = {"caller_id_number": "+14155550101", "destination_number": "+14155550100", "network_addr": "192.0.2.1"}


def test_a_call_from_a_trunk_is_handed_over_unanswered() -> None:
    did = enter(**CALL)
    assert did[:3] == ["set PB_FROM=+14155550101", "set PB_TO=+14155550100", "set PB_TRUNK=carrier"]
    assert did[-1] == "execute_extension hold XML patchbay"
    assert not [action for action in did if action.split(" ")[0] in ("answer", "pre_answer", "ring_ready", "playback")]


@pytest.mark.parametrize(
    "other",
    [
        {"network_addr": "192.0.2.2"},
        {"network_addr": ""},
        {"destination_number": "alice"},
        {"destination_number": "hold"},
        {"destination_number": "play;01JD3Y8Q4ZK5T0M6W9RB2XHCVE0001;/etc/passwd"},
        {"destination_number": "+1415555010a"},
        {"destination_number": "+" + "1" * 21},
    ],
)
def test_any_other_call_is_refused(other: dict[str, str]) -> None:
    assert enter(**{**CALL, **other})[-1] == "respond 403"


@pytest.mark.parametrize("caller", ["anonymous", "", "${system(id)}", "+1;PB_TRUNK=x", "+1 2", "1\n2"])
def test_a_caller_that_is_no_number_is_withheld(caller: str) -> None:
    did = enter(**{**CALL, "caller_id_number": caller})
    assert not [action for action in did if "PB_FROM" in action]
    assert did[-1] == "execute_extension hold XML patchbay"


def test_an_unanswered_leg_that_nobody_takes_rings_and_is_refused_in_the_end() -> None:
    alive, tired = "${cond(${strepoch()} < 0${PB_UNTIL} ? yes : no)}", "${cond(0${PB_MISSED} > @GIVE_UP@ ? yes : no)}"
    waits = run("knock", {alive: "no", tired: "no", "PB_MISSED": "2", DISPOSITION: "RECEIVED"})
    assert "ring_ready" in waits
    assert not [action for action in waits if action.startswith("playback")]
    given_up = run("knock", {alive: "no", tired: "yes", "PB_MISSED": "31", DISPOSITION: "RECEIVED"})
    assert given_up[-1] == "respond @REFUSE_WITH@"
    assert run("knock", {alive: "yes", tired: "no", DISPOSITION: "RECEIVED"})[0].startswith("event ")


def test_a_leg_without_sound_does_its_macro_and_waits_again() -> None:
    moved = commands.play(PLAY, silent=True)
    assert moved == f"api uuid_transfer {LEG} silent~play;{VERB};${{PB_SAY}}/beep.wav XML patchbay"
    assert run(moved.split(" ")[3]) == [
        f"execute_extension 'play;{VERB};${{PB_SAY}}/beep.wav' XML patchbay",
        "execute_extension hold XML patchbay",
    ]


def test_an_answer_says_that_it_is_done() -> None:
    did = run(asked(commands.answer(Answer(VERB, LEG))))
    assert did[1] == "answer"
    assert f"PB_STEP={VERB};PB_RESULT=answered" in did[2]
    assert outcome(VERB, "answered", "").result == "done"


def test_a_leg_that_came_in_is_named_in_macros_by_freeswitchs_uuid() -> None:
    near = replace(CONNECT, leg=UUID)
    assert f"PB_PEER={UUID}" in asked(commands.connect(near))
    up = up_of(commands.connect(near))
    assert any(f"uuid_broadcast({UUID} " in action for action in run(up))
    assert run(asked(commands.join(Join(VERB, LEG, other=UUID))))[2] == f"intercept {UUID}"
