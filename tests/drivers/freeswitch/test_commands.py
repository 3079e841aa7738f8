"""Nothing that a request can hold may become an ESL header, a dial string's variable, a dialplan expression or a path."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.verbs import PROMPT_NAME, Answer, Ask, Connect, Detect, Dial, Join, Play, Verb
from controller.drivers.freeswitch import commands
from controller.ports import VerbRefused

CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"
LEG, FAR, VERB = f"{CALL}01", f"{CALL}02", f"{CALL}0001"
DIAL = Dial(VERB, LEG, number="+14155550101", trunk="out", display="+14155550100", ring_s=30)
CONNECT = Connect(
    VERB, LEG, far=FAR, number="+14155550102", trunk="out", display="+14155550100", ring_s=20, limit_s=3600, record=VERB,
    announce=("connecting", "please-hold"), notice="recorded", notice_to="both", warn="last-minute", warn_s=60, warn_to="both",
)  # fmt: skip
ASK = Ask(VERB, LEG, prompts=("press-1",))
PLAY = Play(VERB, LEG, prompts=("beep",))

DANGEROUS = "\r\n\x00${}[]()<>,;&|^'\"`\\/.% \t:=!?@#*~"
hostile = st.one_of(
    st.text(st.sampled_from(DANGEROUS + "a1+"), min_size=1, max_size=30),
    st.text(min_size=1, max_size=30),
    st.sampled_from(
        [
            "1\n\napi shutdown", "1\r\nJob-UUID: x", "${system(id)}", "$${x}", "%0AEvent-Name:", "1;2", "../../etc/passwd",
            "1,2", "1 XML patchbay", "1|2", "'1'", "1}x", "1]x", "^^:a=b:c", "1@evil", "loopback/1", "+1 415", "１２３", "٣",
            "1:_:2", "\\,",
        ]
    ),
)  # fmt: skip


def test_a_dial_is_one_originate_under_our_own_id_that_is_held_once_answered() -> None:
    assert commands.originate(DIAL) == (
        f"bgapi originate {{origination_caller_id_number=+14155550100,origination_caller_id_name=+14155550100,"
        f"ignore_display_updates=true,origination_uuid={LEG},ignore_early_media=true,originate_timeout=3630}}[leg_timeout=30]"
        f"sofia/gateway/out/+14155550101 '&execute_extension(fresh XML patchbay)'\nJob-UUID: {VERB}"
    )


def test_a_macro_is_the_commands_body_whose_length_is_told() -> None:
    """FreeSWITCH reads the headers a byte at a time, and takes as many bytes for the body as they say."""
    for command in (commands.play(PLAY), commands.ask(ASK), commands.connect(CONNECT), commands.join(Join(VERB, LEG, FAR))):
        head, body = commands.wire(command).split(b"\n\n")
        assert head.endswith(b"\ncontent-type: text/plain\ncontent-length: %d" % len(body))
        assert len(head) < 170
    assert commands.wire(commands.hang_up(LEG, 16)).endswith(b" 16\n\n")


def test_a_connect_is_one_macro_with_all_that_it_needs() -> None:
    say = "${PB_SAY}"
    head, _, macro = commands.connect(CONNECT).partition("\n\n")
    assert head == (
        f"sendmsg {LEG}\ncall-command: execute\nexecute-app-name: execute_extension\nevent-lock: false\n"
        f"content-type: text/plain\ncontent-length: {len(macro)}"
    )
    assert macro == (
        f"'connect;{VERB};{FAR};early_media;{VERB};false;3600000~3599;"
        f"origination_caller_id_number=+14155550100,origination_caller_id_name=+14155550100,ignore_display_updates=true,"
        f"origination_uuid={FAR},PB_PEER={LEG},PB_STEP={VERB},api_hangup_hook=sched_del {VERB},bridge_early_media=true,"
        f"ignore_early_media=false,originate_timeout=3620,group_confirm_key=exec,group_confirm_cancel_timeout=true,"
        f"group_confirm_file=execute_extension up~{VERB}~{LEG}~{FAR}~{say}/recorded.wav~{say}/recorded.wav~"
        f"file_string://{say}/connecting.wav!{say}/please-hold.wav~3540~{say}/last-minute.wav~{say}/last-minute.wav XML "
        f"patchbay;"
        f"[leg_timeout=20]sofia/gateway/out/+14155550102' XML patchbay"
    )


def test_macros_on_a_held_leg_wait_for_each_other() -> None:
    """Without event-lock FreeSWITCH nests them: two prompts at once.  A Connect has none, so that its notice can be heard."""
    for command in (commands.play(Play(VERB, LEG, ("beep",))), commands.ask(ASK), commands.join(Join(VERB, LEG, FAR))):
        assert "\nevent-lock: true\n" in command


def test_to_listen_is_one_macro_with_its_longest_time() -> None:
    assert f"\n\ndetect;{VERB};5000 XML patchbay" in commands.detect(Detect(VERB, LEG))
    for within_s in (0, -1, 3601):
        with pytest.raises(VerbRefused):
            commands.detect(Detect(VERB, LEG, within_s))


@pytest.mark.parametrize(
    "verb", [CONNECT, PLAY, ASK, Answer(VERB, LEG), Detect(VERB, LEG)], ids=lambda verb: type(verb).__name__
)
def test_a_leg_without_sound_is_sent_to_the_same_macro(verb: Verb) -> None:
    """FreeSWITCH takes such a command apart at its blanks."""
    make: Callable[..., str] = getattr(commands, type(verb).__name__.lower())
    macro = make(verb).partition(commands.END)[2].removesuffix(" XML patchbay")
    sent = f"'silent~{macro[1:]}" if macro.startswith("'") else f"silent~{macro}"
    assert make(verb, silent=True) == f"api uuid_transfer {LEG} {sent} XML patchbay"
    assert shlex.split(make(verb, silent=True))[3:] == [sent.strip("'"), "XML", "patchbay"]


@pytest.mark.parametrize("verb", [DIAL, CONNECT])
def test_every_far_end_is_shown_the_display_number_as_number_and_as_name(verb: Dial | Connect) -> None:
    """Without a number FreeSWITCH shows the other party's, without a name "Outbound Call" (leak 1)."""
    command = commands.originate(verb) if isinstance(verb, Dial) else commands.connect(verb)
    assert f"origination_caller_id_number={verb.display}," in command
    assert f"origination_caller_id_name={verb.display}," in command
    assert "ignore_display_updates=true" in command, "leak 2"
    assert "origination_privacy" not in command, "it would leave From as it is (leak 4)"


def test_early_media_is_no_answer() -> None:
    """Without it originate says +OK at a 183, and the near leg's variable would be inherited by the far one."""
    assert "ignore_early_media=true" in commands.originate(DIAL)
    for wait in ("ringback", "music"):
        command = commands.connect(replace(CONNECT, wait=wait))  # type: ignore[arg-type]
        assert "bridge_early_media=false,ignore_early_media=true" in command


def test_the_ring_timer_counts_for_the_leg_alone_and_stops_at_its_answer() -> None:
    """originate_timeout goes on while the far leg hears its announcement, and call_timeout in a dial string does nothing."""
    for command in (commands.originate(DIAL), commands.connect(CONNECT)):
        assert re.search(r"\[leg_timeout=(20|30)\]sofia", command)
        assert "call_timeout" not in command


@pytest.mark.parametrize(
    ("to", "near", "far"),
    [("both", True, True), ("caller", True, False), ("callee", False, True), ("none", False, False)],
)
def test_notice_and_warning_are_for_whom_they_are_meant(to: str, near: bool, far: bool) -> None:
    up = up_of(commands.connect(replace(CONNECT, notice_to=to, warn_to=to))).split("~")  # type: ignore[arg-type]
    assert [bool(part) for part in (up[4], up[5], up[8], up[9])] == [near, far, near, far]


def test_a_far_leg_that_has_nothing_to_hear_is_bridged_at_once() -> None:
    """Each application that it runs costs FreeSWITCH two events with all variables of the leg."""
    bare = replace(CONNECT, announce=(), notice_to="none", warn_to="none")
    assert "group_confirm" not in commands.connect(bare)
    assert up_of(commands.connect(bare)) == ""


@pytest.mark.parametrize(("limit_s", "limit", "warn_s"), [(3600, "3600000~3599", 3540), (30, "30000~29", 15), (1, "1000~0", 1)])
def test_the_warning_comes_before_the_limit_however_short_that_is(limit_s: int, limit: str, warn_s: int) -> None:
    command = commands.connect(replace(CONNECT, limit_s=limit_s))
    assert f";{limit};" in command
    assert up_of(command).split("~")[7] == str(warn_s)


@pytest.mark.parametrize("closes", [True, False])
def test_a_connect_says_whether_the_near_leg_goes_after_a_talk(closes: bool) -> None:
    assert f";{VERB};{str(closes).lower()};3600000" in commands.connect(replace(CONNECT, closes=closes))


def test_what_is_scheduled_for_a_talk_goes_with_its_far_leg() -> None:
    """Or the scheduler would keep it until the limit would have struck."""
    assert f"api_hangup_hook=sched_del {VERB}," in commands.connect(CONNECT)


def up_of(command: str) -> str:
    """What a Connect lets its far leg do once it has answered, as a macro."""
    found = re.search(r"group_confirm_file=execute_extension (\S+) XML patchbay;", command)
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({}, "ask;{};;${{PB_SAY}}/press-1.wav;1;1;5000;3000;#"),
        ({"barge": False}, "ask;{};${{PB_SAY}}/press-1.wav;silence;1;1;5000;3000;#"),
        ({"prompts": (), "stop": ""}, "ask;{};;silence;1;1;5000;3000;none"),
        (
            {"least": 0, "most": 15, "first_s": 1.5, "next_s": 0.25, "stop": "*"},
            "ask;{};;${{PB_SAY}}/press-1.wav;0;15;1500;250;*",
        ),
    ],
)
def test_an_ask_says_what_is_heard_and_what_is_taken(how: dict[str, object], line: str) -> None:
    assert f"\n\n{line.format(VERB)} XML patchbay" in commands.ask(replace(ASK, **how))  # type: ignore[arg-type]


def test_small_commands() -> None:
    assert commands.hang_up(LEG, 16) == f"api uuid_kill {LEG} 16"
    assert commands.mute(LEG, on=True) == f"api uuid_audio {LEG} start read mute 1"
    assert commands.mute(LEG, on=False) == f"api uuid_audio {LEG} stop"
    assert commands.record(LEG, VERB) == f"api expand uuid_record {LEG} start ${{PB_SPOOL}}/{VERB}.raw"
    assert commands.pause_record(LEG, VERB, on=True) == f"api expand uuid_record {LEG} mask ${{PB_SPOOL}}/{VERB}.raw"
    assert commands.pause_record(LEG, VERB, on=False) == f"api expand uuid_record {LEG} unmask ${{PB_SPOOL}}/{VERB}.raw"
    notice = commands.notice(LEG, "recorded", "ab12")
    assert notice == f"api expand uuid_displace {LEG} start {{pb=ab12}}${{PB_SAY}}/recorded.wav 0 mux"
    assert [commands.mark_of(file) for file in ("{pb=ab12}/say/recorded.wav", "/say/recorded.wav", "")] == ["ab12", "", ""]
    assert commands.stop_record(LEG, VERB) == f"api expand uuid_record {LEG} stop ${{PB_SPOOL}}/{VERB}.raw"
    assert commands.whisper(LEG, ("beep",)) == f"api expand uuid_displace {LEG} start ${{PB_SAY}}/beep.wav 0 mux"


DIAL_FIELDS = ["number", "display", "trunk", "leg", "id"]
CONNECT_FIELDS = ["far", "number", "trunk", "display", "record", "notice", "warn", "leg", "id"]
_FILE = r"\$\{PB_SAY\}/[a-z0-9_-]+\.wav"
_FILES = rf"({_FILE}|file_string://{_FILE}(!{_FILE})+)"
_VARIABLES = (
    r"origination_caller_id_number=\+?[0-9]{1,20},origination_caller_id_name=\+?[0-9]{1,20},ignore_display_updates=true,"
    r"origination_uuid=[0-9A-Z]{26}[0-9]{2},[a-zA-Z0-9_=,]+"
)
_ENDPOINT = r"\[leg_timeout=[0-9]+\]sofia/gateway/[a-z][a-z0-9_-]*/\+?[0-9]{1,20}"


@given(hostile, st.sampled_from(DIAL_FIELDS))
def test_no_field_of_a_dial_carries_more_than_it_should(value: str, field: str) -> None:
    try:
        command = commands.originate(replace(DIAL, **{field: value}))
    except VerbRefused:
        return
    assert re.fullmatch(
        rf"bgapi originate \{{{_VARIABLES}\}}{_ENDPOINT} '&execute_extension\(fresh XML patchbay\)'\nJob-UUID: [0-9A-Z]{{30}}",
        command,
        re.ASCII,
    )


@given(hostile, st.sampled_from(CONNECT_FIELDS))
def test_no_field_of_a_connect_changes_the_shape_of_the_command(value: str, field: str) -> None:
    _same_shape(replace(CONNECT, **{field: value}))


@given(st.lists(hostile, min_size=1, max_size=3))
def test_no_announcement_changes_the_shape_of_the_command(names: list[str]) -> None:
    _same_shape(replace(CONNECT, announce=tuple(names)))


def _same_shape(verb: Connect) -> None:
    try:
        command = commands.connect(verb)
    except VerbRefused:
        return
    some = rf"({_FILE})?~({_FILE})?"
    up = rf"up~[0-9A-Z]{{30}}~[0-9A-Z]{{28}}~[0-9A-Z]{{28}}~{some}~{_FILES}?~[0-9]+~{some}"
    variables = (
        rf"{_VARIABLES},api_hangup_hook=sched_del [0-9A-Z]{{30}},[a-zA-Z0-9_=,]+,group_confirm_key=exec,"
        rf"group_confirm_cancel_timeout=true,group_confirm_file=execute_extension {up} XML patchbay"
    )
    assert re.fullmatch(
        r"sendmsg [0-9A-Z]{28}\ncall-command: execute\nexecute-app-name: execute_extension\nevent-lock: false\n"
        r"content-type: text/plain\ncontent-length: [0-9]+\n\n"
        rf"'connect;[0-9A-Z]{{30}};[0-9A-Z]{{28}};[a-z_]+;([0-9A-Z]{{30}})?;false;[0-9]+~[0-9]+;{variables};{_ENDPOINT}'"
        r" XML patchbay",
        command,
        re.ASCII,
    )


@given(hostile)
def test_no_prompt_leaves_the_folder_of_prompts(name: str) -> None:
    for make in (
        lambda: commands.play(Play(VERB, LEG, (name,))),
        lambda: commands.whisper(LEG, (name, name)),
        lambda: commands.ask(replace(ASK, prompts=(name,))),
    ):
        try:
            command = make()
        except VerbRefused:
            continue
        assert re.fullmatch(PROMPT_NAME, name, re.ASCII)
        assert f"${{PB_SAY}}/{name}.wav" in command


@given(hostile)
def test_no_stop_key_is_more_than_a_key(stop: str) -> None:
    try:
        command = commands.ask(replace(ASK, stop=stop))
    except VerbRefused:
        return
    assert command.endswith(f";{stop} XML patchbay")
    assert re.fullmatch(r"[0-9*#]", stop, re.ASCII)


@given(hostile.filter(lambda text: not re.fullmatch(r"[0-9A-Z]{28}|[0-9A-Z]{30}", text)))
def test_no_id_is_anything_else(text: str) -> None:
    for make in (
        lambda: commands.hang_up(text, 16),
        lambda: commands.dump(text),
        lambda: commands.exists(text),
        lambda: commands.variable(text, "PB_PEER"),
        lambda: commands.mute(text, True),
        lambda: commands.record(LEG, text),
        lambda: commands.record(text, VERB),
        lambda: commands.notice(text, "recorded", "ab12"),
        lambda: commands.notice(LEG, "recorded", text + "!"),
        lambda: commands.join(Join(VERB, LEG, text)),
        lambda: commands.mark(text + "!"),
    ):
        with pytest.raises(VerbRefused):
            make()


@pytest.mark.parametrize(
    "how", [{"least": 2, "most": 1}, {"most": 0}, {"least": -1}, {"most": 101}, {"first_s": 0.0}, {"next_s": 9999.0}]
)
def test_an_ask_that_makes_no_sense_is_refused(how: dict[str, object]) -> None:
    with pytest.raises(VerbRefused):
        commands.ask(replace(ASK, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [{"ring_s": 0}, {"ring_s": 10**9}, {"limit_s": 0}])
def test_a_time_that_makes_no_sense_is_refused(how: dict[str, int]) -> None:
    with pytest.raises(VerbRefused):
        commands.connect(replace(CONNECT, **how))  # type: ignore[arg-type]
