"""Nothing that a request can hold may become an AMI header, a dialplan expression, an option or a path."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.verbs import Ask, Connect, Detect, Dial, Join, Notice, Play, Record, Whisper
from controller.drivers.asterisk import commands
from controller.ports import VerbRefused

CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"
LEG, FAR, VERB = f"{CALL}01", f"{CALL}02", f"{CALL}0001"
SAY = Path("/srv/prompts")
DIAL = Dial(VERB, LEG, number="+14155550101", trunk="out", display="+14155550100", ring_s=30)
CONNECT = Connect(
    VERB, LEG, far=FAR, number="+14155550102", trunk="out", display="+14155550100", ring_s=20, limit_s=3600, record=VERB,
    announce=("connecting",), notice="recorded", notice_to="both", warn="last-minute", warn_s=60, warn_to="both",
)  # fmt: skip
ASK = Ask(VERB, LEG, prompts=("press-1",))

DANGEROUS = "\r\n\x00${}[]()<>,;&|^'\"`\\/.% \t:=!?@#*~"
hostile = st.one_of(
    st.text(st.sampled_from(DANGEROUS + "a1+"), min_size=1, max_size=30),
    st.text(min_size=1, max_size=30),
    st.sampled_from(
        [
            "1\r\nAction: Hangup", "${SHELL(id)}", "$[1+1]", "%0AAction:", "1;2", "../../etc/passwd", "1,2", "1^2",
            "1&Local/x@y",
            "1|2", "'1'", '"1"', "1@evil", "PJSIP/1", "+1 415", "１２３", "٣", "1)U(evil",
        ]
    ),
)  # fmt: skip


def test_a_dial_is_one_originate_under_our_own_id() -> None:
    assert commands.originate(DIAL) == {
        "Action": "Originate",
        "Channel": "PJSIP/+14155550101@out",
        "Context": "patchbay-hold",
        "Exten": "s",
        "Priority": "1",
        "CallerID": "+14155550100 <+14155550100>",
        "Timeout": "30000",
        "Async": "true",
        "ChannelId": LEG,
        "Variable": [r"CHANNEL(hangup_handler_push)=patchbay-ended\,s\,1", f"PB_LEG={LEG}"],
    }


def test_a_connect_is_one_subroutine_with_all_that_it_needs() -> None:
    assert commands.connect(CONNECT, SAY) == (
        f'GOSUB patchbay-connect warn 1 "{VERB}|+14155550102@out|+14155550100|20|'
        f"giIb(patchbay-far^{FAR}000100020000003600000^1)U(patchbay-say^recorded^/srv/prompts/connecting)"
        f"A(/srv/prompts/recorded:/srv/prompts/recorded)L(3600000:60000)|"
        f'{VERB}|||yes|yes|/srv/prompts/last-minute"'
    )


@pytest.mark.parametrize(
    ("change", "option", "joined"),
    [
        ({}, "U(patchbay-say^recorded^/srv/prompts/connecting)", ""),
        ({"announce": ()}, "U(patchbay-say^recorded^)", ""),
        ({"notice": "", "announce": ()}, "U(patchbay-up)", ""),
        ({"notice": "", "announce": (), "warn_to": "none"}, "", "joined"),
    ],
)
def test_the_far_leg_does_something_before_the_bridge_only_if_it_must(change: dict[str, Any], option: str, joined: str) -> None:
    args = commands.connect(replace(CONNECT, **change), SAY).rstrip('"').split("|")
    assert (re.findall(r"U\([^)]*\)", args[4]) or [""]) == [option]
    assert args[6] == joined


def test_to_listen_is_one_subroutine_with_its_longest_time() -> None:
    assert commands.detect(Detect(VERB, LEG, 4.5)) == f'GOSUB patchbay-detect s 1 "{VERB},4500"'
    for within_s in (0, -1, 3601):
        with pytest.raises(VerbRefused):
            commands.detect(Detect(VERB, LEG, within_s))


@pytest.mark.parametrize(("wait", "option"), [("early_media", ")"), ("ringback", ")r"), ("music", ")m")])
def test_what_the_near_leg_hears_meanwhile_is_an_option_of_dial(wait: str, option: str) -> None:
    line = commands.connect(replace(CONNECT, wait=wait, record="", warn_to="none"), SAY)  # type: ignore[arg-type]
    assert line.endswith(f'{option}|||"')


@pytest.mark.parametrize(
    ("to", "option"),
    [
        ("both", "A(/srv/prompts/recorded:/srv/prompts/recorded)"),
        ("caller", "A(:/srv/prompts/recorded)"),
        ("callee", "A(/srv/prompts/recorded:)"),
        ("none", None),
    ],
)
def test_the_notice_is_for_whom_it_is_meant(to: str, option: str | None) -> None:
    line = commands.connect(replace(CONNECT, notice_to=to), SAY)  # type: ignore[arg-type]
    assert (option in line) if option else ("A(" not in line and "patchbay-say^^" in line)


@pytest.mark.parametrize(
    ("limit_s", "warn_to", "option", "near", "far"),
    [
        (3600, "both", "L(3600000:60000)", "yes", "yes"),
        (3600, "caller", "L(3600000:60000)", "yes", "no"),
        (3600, "callee", "L(3600000:60000)", "no", "yes"),
        (3600, "none", "L(3600000)", "no", "no"),
        (30, "both", "L(30000:15000)", "yes", "yes"),
    ],
)
def test_the_warning_comes_before_the_limit_however_short_that_is(
    limit_s: int, warn_to: str, option: str, near: str, far: str
) -> None:
    line = commands.connect(replace(CONNECT, limit_s=limit_s, warn_to=warn_to), SAY)  # type: ignore[arg-type]
    args = line.rstrip('"').split("|")
    assert option in args[4]
    assert args[8:10] == ([near, far] if warn_to != "none" else [])


@pytest.mark.parametrize("warn_to", ["both", "none"])
def test_a_connect_says_whether_the_near_leg_goes_after_a_talk(warn_to: Notice) -> None:
    for closes, word in ((True, "end"), (False, "")):
        line = commands.connect(replace(CONNECT, closes=closes, warn_to=warn_to), SAY)
        assert line.rstrip('"').split("|")[7] == word


@given(hostile, st.sampled_from(["number", "display", "trunk", "leg"]))
def test_no_field_of_a_dial_carries_more_than_it_should(value: str, field: str) -> None:
    verb = replace(DIAL, **{field: value})
    try:
        fields = commands.originate(verb)
    except VerbRefused:
        return
    _only_what_was_meant(fields)
    assert fields["Channel"] == f"PJSIP/{verb.number}@{verb.trunk}"
    assert re.fullmatch(r"PJSIP/\+?[0-9]{1,20}@[a-z][a-z0-9_-]*", str(fields["Channel"]))
    assert re.fullmatch(r"\+?[0-9]{1,20} <\+?[0-9]{1,20}>", str(fields["CallerID"]))


def _only_what_was_meant(fields: commands.Fields) -> None:
    for value in fields.values():
        for text in (value,) if isinstance(value, str) else value:
            assert not set(text) & set("\r\n\x00$`;|&")


CONNECT_FIELDS = ["far", "number", "trunk", "display", "record", "notice", "warn", "leg", "id"]


@given(hostile, st.sampled_from(CONNECT_FIELDS))
def test_no_field_of_a_connect_changes_the_shape_of_the_command(value: str, field: str) -> None:
    _same_shape(replace(CONNECT, **{field: value}))


@given(st.lists(hostile, min_size=1, max_size=3))
def test_no_announcement_changes_the_shape_of_the_command(names: list[str]) -> None:
    _same_shape(replace(CONNECT, announce=tuple(names)))


def _same_shape(verb: Connect) -> None:
    try:
        line = commands.connect(verb, SAY)
    except VerbRefused:
        return
    assert re.fullmatch(
        r'GOSUB patchbay-connect (s|warn) 1 "[0-9A-Z]{30}\|\+?[0-9]{1,20}@[a-z][a-z0-9_-]*\|\+?[0-9]{1,20}\|[0-9]+\|'
        r"giIb\(patchbay-far\^[0-9A-Z]{28}[0-9]{21}\^1\)"
        r"(U\((patchbay-say\^[a-z0-9_-]*\^[a-z0-9_/&-]*|patchbay-up)\))?(A\([a-z0-9_/-]*:[a-z0-9_/-]*\))?L\([0-9:]+\)[rm]?\|"
        r'([0-9A-Z]{30})?\|(joined)?\|(end)?(\|(yes|no)\|(yes|no)\|[a-z0-9_/-]*)?"',
        line,
        re.ASCII,
    )


@given(hostile)
def test_no_prompt_leaves_the_folder_of_prompts(name: str) -> None:
    for make in (
        lambda: commands.play(Play(VERB, LEG, (name,)), SAY),
        lambda: commands.ask(replace(ASK, prompts=(name,)), SAY),
        lambda: str(commands.whisper(Whisper(VERB, LEG, (name,)), LEG, SAY)),
    ):
        try:
            line = make()
        except VerbRefused:
            continue
        assert re.search(r"/srv/prompts/[a-z0-9_-]+[\",']", line)
        assert ".." not in line


@given(hostile)
def test_no_key_or_channel_carries_more_than_it_should(value: str) -> None:
    for make in (lambda: commands.ask(replace(ASK, stop=value), SAY), lambda: commands.join(Join(VERB, LEG, LEG), value)):
        try:
            line = make()
        except VerbRefused:
            continue
        assert re.fullmatch(r'GOSUB [a-z-]+ s 1 "[A-Za-z0-9,./_*#-]*"', line)


@given(hostile)
def test_no_ami_value_begins_a_new_header(value: str) -> None:
    for make in (
        lambda: commands.set_global("PB_HOOK", value),
        lambda: commands.get_global(value),
        lambda: commands.login(value, value),
        lambda: commands.hang_up(value, 16)[0],
        lambda: commands.redirect_to_hold(value),
        lambda: commands.mute(value, True),
        lambda: commands.record(value, VERB, Path("/srv/spool"))[1],
        lambda: commands.kept(value),
        lambda: commands.notice(Record(VERB, LEG, VERB, value, "both"), LEG, "notice-1", SAY),
        lambda: commands.notice(Record(VERB, LEG, VERB, "recorded", "both"), value, value, SAY),
    ):
        try:
            fields = make()
        except VerbRefused:
            continue
        assert not any(set(str(text)) & set("\r\n\x00") for text in fields.values())


def test_what_is_recorded_is_noted_on_the_leg_and_the_notice_is_a_channel_of_its_own() -> None:
    note, record = commands.record(LEG, VERB, Path("/srv/spool"))
    assert (note["Variable"], note["Value"]) == ("PB_KEPT", VERB)
    assert (record["File"], record["Options"]) == (f"/srv/spool/{VERB}.raw", "bDi(PB_MIX)")
    verb = Record(VERB, LEG, VERB, "recorded", "both")
    notice = commands.notice(verb, "1700000000.7", commands.speaker(verb, LEG, "ab12"), SAY)
    assert notice["ChannelId"] == f"notice-{VERB}-{LEG}-ab12"
    assert notice["Variable"] == ["__PB_TARGET=1700000000.7", "PB_FILES=/srv/prompts/recorded"]


def test_the_half_that_speaks_is_told_that_it_is_passed_on() -> None:
    told = commands.passed_on("Local/spy@patchbay-whisper-0000002a;2")
    assert (told["Channel"], told["Variable"], told["Value"]) == ("Local/spy@patchbay-whisper-0000002a;1", "PB_PASSED", "1")


@pytest.mark.parametrize(
    "spy", ["", "PJSIP/lab-00000001", "Local/spy@patchbay-whisper-0000002a;1", "Local/spy@other-0000002a;2", "Local/a\r\nb;2"]
)
def test_no_other_channel_is_told_that(spy: str) -> None:
    with pytest.raises(VerbRefused):
        commands.passed_on(spy)


@pytest.mark.parametrize("folder", ["relative", "/a b", "/a,b", "/a&b", "/a\nb", "/a$b", "/a;b"])
def test_a_folder_that_asterisk_could_misread_is_refused(folder: str) -> None:
    with pytest.raises(VerbRefused):
        commands.record(LEG, VERB, Path(folder))
    with pytest.raises(VerbRefused):
        commands.play(Play(VERB, LEG, ("beep",)), Path(folder))


@pytest.mark.parametrize(
    "change", [{"ring_s": 0}, {"ring_s": -1}, {"limit_s": 0}, {"limit_s": 10**9}, {"far": "01JD3Y8Q4ZK5T0M6W9RB2XHCVZ02"}]
)
def test_times_out_of_range_and_legs_of_other_calls_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(VerbRefused):
        commands.connect(replace(CONNECT, **change), SAY)


@pytest.mark.parametrize("change", [{"least": 2, "most": 1}, {"most": 0, "least": 0}, {"first_s": 0.0}, {"next_s": 99999.0}])
def test_an_ask_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(VerbRefused):
        commands.ask(replace(ASK, **change), SAY)  # type: ignore[arg-type]


def test_an_ask_without_barge_in_plays_its_prompts_first() -> None:
    assert commands.ask(ASK, SAY) == f'GOSUB patchbay-ask s 1 "{VERB},/srv/prompts/press-1,,1,1,5.000,3.000,#"'
    quiet = commands.ask(replace(ASK, barge=False, stop=""), SAY)
    assert quiet == f'GOSUB patchbay-ask s 1 "{VERB},,/srv/prompts/press-1,1,1,5.000,3.000,"'


def test_a_play_of_nothing_and_a_command_too_long_for_asterisk_are_refused() -> None:
    with pytest.raises(VerbRefused):
        commands.play(Play(VERB, LEG, ()), SAY)
    with pytest.raises(VerbRefused):
        commands.play(Play(VERB, LEG, ("a" * 60,) * 40), SAY)


def test_a_number_that_cannot_be_dialled_is_an_invalid_number() -> None:
    with pytest.raises(VerbRefused) as refused:
        commands.originate(replace(DIAL, number="abc"))
    assert refused.value.disposition == "invalid_number"
