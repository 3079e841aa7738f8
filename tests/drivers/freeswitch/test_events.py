"""What real FreeSWITCH events mean, from tapes; that Asterisk's of a scene mean the same; and what forged ones must not."""

import json
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import events as ev
from controller.core import ids
from controller.drivers.freeswitch import events
from controller.drivers.freeswitch.events import Heard, outcome
from tests.drivers.asterisk.test_events import said as asterisk_said
from tests.drivers.freeswitch import tape

LEG = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE01"


def story(name: str) -> list[str]:
    """The events of a tape as words: kind and the number of the leg."""
    return [f"{type(event).__name__} {event.leg[-2:]}" for event in tape.said(name) if isinstance(event, ev.LegEvent)]


def test_a_callback_from_ring_to_end() -> None:
    assert story("callback") == [
        "LegRinging 01",
        "LegAnswered 01",
        "LegRinging 02",
        "LegAnswered 02",
        "LegsJoined 01",
        "LegsParted 01",
        "LegEnded 02",
        "LegEnded 01",
    ]


def per_leg(said: list[ev.Event]) -> list[list[object]]:
    """What happened to each leg, in order, without ids and times: calls in the order in which they were made."""
    legs: dict[str, list[object]] = defaultdict(list)
    for event in said:
        if isinstance(event, ev.LegEnded):
            facts = (event.why, event.sip, event.q850, event.answered_at is not None, event.bridged_at is not None)
            legs[event.leg].append(("LegEnded", *facts))
        elif isinstance(event, ev.LegsJoined | ev.LegsParted):
            legs[event.leg].append((type(event).__name__, event.other[-2:]))
        elif isinstance(event, ev.LegEvent):
            legs[event.leg].append(type(event).__name__)
    return [told for _, told in sorted(legs.items())]


@pytest.mark.parametrize("scene", ["callback", "bridged", "refusals", "far_refusals"])
def test_asterisk_says_the_same_of_the_same_scene(scene: str) -> None:
    assert per_leg(tape.said(scene)) == per_leg(asterisk_said(scene))


def test_the_ends_of_a_callback() -> None:
    ended = {event.leg[-2:]: event for event in tape.said("callback") if isinstance(event, ev.LegEnded)}
    joined = next(event for event in tape.said("callback") if isinstance(event, ev.LegsJoined))
    answered = next(event for event in tape.said("callback") if isinstance(event, ev.LegAnswered) and event.leg.endswith("02"))
    assert (ended["02"].why, ended["02"].sip, ended["02"].q850) == ("remote", 200, 16)
    assert abs((ended["02"].bridged_at or 0) - joined.at) < 50
    assert abs((ended["02"].answered_at or 0) - answered.at) < 50
    assert (ended["02"].ringing_at or 0) <= answered.at


def answers(said: list[ev.Event]) -> dict[str, int]:
    """When each leg was answered; nobody is told twice."""
    told = [(event.leg, event.at) for event in said if isinstance(event, ev.LegAnswered)]
    assert len(dict(told)) == len(told)
    return dict(told)


@pytest.mark.parametrize("scene", ["callback", "bridged", "keys", "joined", "transfer", "resync"])
@pytest.mark.parametrize("first", ["CUSTOM", "CHANNEL_BRIDGE"])
def test_who_missed_an_answer_is_told_its_true_time_by_the_next_event(scene: str, first: str) -> None:
    """``first``: the kind of event with which the new listener begins."""
    true = answers(tape.said(scene))
    heard = tape.heard(scene)
    since = next((at for at, one in enumerate(heard) if one.name == first and ids.is_leg_id(one.leg)), len(heard))
    rest = [one for one in heard[since:] if one.name != "CHANNEL_ANSWER"]
    legs = events.Legs()
    late = answers([event for one in rest for event in events.read(one, legs)])
    assert late.items() <= true.items()
    shown = {one.leg for one in rest if one.name == "CUSTOM"} | {leg for one in rest for leg in (one.one, one.other)}
    assert late.keys() == shown & true.keys()


def test_the_answer_is_told_before_what_its_event_means() -> None:
    """A knock is no answer: it may come long after, when it is the first thing that a new controller hears."""
    knock = Heard("CUSTOM", events.HELD, "1700000020000000", leg=LEG, answered="1700000008200000")
    legs = events.Legs()
    assert events.read(knock, legs) == [ev.LegAnswered(1_700_000_008_200, LEG)]
    assert events.read(knock, legs) == []
    far = LEG[:-1] + "2"
    bridge = Heard("CHANNEL_BRIDGE", when="1700000021000000", leg=LEG, one=LEG, other=far)
    bridge = msgspec.structs.replace(bridge, beside=far, beside_answered="1700000020500000")
    assert events.read(bridge, legs) == [ev.LegAnswered(1_700_000_020_500, far), ev.LegsJoined(1_700_000_021_000, LEG, far)]


def test_another_leg_than_the_bridged_one_is_not_taken_for_it() -> None:
    """FreeSWITCH shows of a leg also whom it talked with before."""
    bridge = Heard("CHANNEL_BRIDGE", leg=LEG, one=LEG, other=LEG[:-1] + "3", beside=LEG[:-1] + "2", beside_answered="5000")
    assert answers(events.read(bridge, events.Legs())) == {}


def test_a_key_in_a_talk_is_told_and_the_keys_of_an_ask_are_not() -> None:
    assert [event.digit for event in tape.said("bridged") if isinstance(event, ev.Digit)] == ["5"]
    legs = events.Legs()
    legs.asking.add(next(heard.leg for heard in tape.heard("keys") if ids.is_leg_id(heard.leg)))
    assert not [event for event in tape.said("keys", legs) if isinstance(event, ev.Digit)]


def test_nothing_is_remembered_of_legs_that_have_ended() -> None:
    for name in ("callback", "bridged", "refusals", "far_refusals", "keys", "pause", "transfer", "joined"):
        legs = events.Legs()
        tape.said(name, legs)
        assert not legs.known | set(legs.peer) | legs.asking | legs.answered, name


def outcomes(name: str) -> list[tuple[str, str]]:
    """How the macros of a tape ended."""
    done = [heard for heard in tape.heard(name) if heard.subclass == events.DONE]
    last = [outcome(heard.step, heard.result, heard.data) for heard in done]
    return [(one.result, one.data) for one in last]


def test_each_macro_says_how_it_ended() -> None:
    assert outcomes("callback") == [("done", ""), ("parted", "")]
    assert outcomes("far_refusals") == [("unanswered", ""), ("unanswered", ""), ("parted", "")]
    assert outcomes("keys") == [("digits", "42")]
    assert outcomes("transfer")[0] == ("parted", "")
    assert outcomes("detected") == [("person", ""), ("machine", ""), ("unknown", "")]


@pytest.mark.parametrize(
    ("result", "data", "means", "keys"),
    [
        ("", "", "", ""),
        ("FILE PLAYED", "", "done", ""),
        ("FILE NOT FOUND", "", "failed", ""),
        ("PLAYBACK ERROR", "", "failed", ""),
        ("_none_", "", "failed", ""),
        ("heard false 31 20", "", "person", ""),
        ("heard false 74 20", "", "person", ""),
        ("heard false 75 20", "", "machine", ""),
        ("heard true 200 20", "", "machine", ""),
        ("heard false 50 30", "", "machine", ""),
        ("heard true 30 20", "", "unknown", ""),
        ("heard true 0 ", "", "unknown", ""),
        ("heard true 0", "", "unknown", ""),
        ("heard  31 20", "", "failed", ""),
        ("heard false  20", "", "failed", ""),
        ("parted", "", "parted", ""),
        ("unanswered", "", "unanswered", ""),
        ("failed", "", "failed", ""),
        ("keys 1", "5", "digits", "5"),
        ("keys 3", "12", "timeout", "12"),
        ("keys 1", "", "timeout", ""),
        ("keys 0", "", "digits", ""),
        ("keys x", "1", "timeout", "1"),
    ],
)
def test_what_a_macro_says_is_one_result(result: str, data: str, means: str, keys: str) -> None:
    last = outcome("step", result, data)
    assert (last.result, last.data) == (means, keys)


def test_an_event_of_a_channel_that_is_not_ours_means_nothing() -> None:
    for uuid in ("", "8a2d4f9e-0000-4000-8000-000000000001", LEG.lower(), LEG + "0", LEG[:-1]):
        assert events.read(Heard("CHANNEL_ANSWER", leg=uuid), events.Legs()) == []
    assert events.read(Heard("CHANNEL_BRIDGE", leg=LEG, one=LEG, other="stranger"), events.Legs()) == []


def test_every_name_that_is_read_is_subscribed_to_and_no_other() -> None:
    from controller.drivers.freeswitch.commands import EVENTS

    wanted = set(EVENTS.split()) - {"CUSTOM", events.HELD, events.DONE, "BACKGROUND_JOB", events.MIXED}
    assert wanted == set(events.READERS)
    assert EVENTS.endswith("CUSTOM patchbay::held patchbay::done"), "subclasses follow CUSTOM"


caller_controlled = st.text(max_size=200) | st.sampled_from(
    [
        "x%0AEvent-Name: CHANNEL_HANGUP_COMPLETE",
        "x\nHangup-Cause: USER_BUSY\n\n",
        "x%0A%0AContent-Type: auth/request%0A%0A",
        '","Event-Name":"CHANNEL_HANGUP_COMPLETE","x":"',
        "\\u000aUnique-ID: " + LEG,
        "${system(id)}",
        "\x00\r\n\x1b[31m",
    ]
)


@given(
    st.dictionaries(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20), caller_controlled)
)
def test_nothing_that_a_caller_says_changes_what_an_event_means(said: dict[str, str]) -> None:
    """FreeSWITCH passes on SIP headers and display names as variables and caller fields."""
    true = {"Event-Name": "CHANNEL_ANSWER", "Unique-ID": LEG, "Event-Date-Timestamp": "1700000000000000"}
    forged = {f"variable_sip_h_X-{name}": value for name, value in said.items()}
    forged["Caller-Caller-ID-Name"] = "".join(said.values())
    body = json.dumps({**true, **forged}).encode()
    assert events.read(events.decode(body), events.Legs()) == [ev.LegAnswered(1_700_000_000_000, LEG)]


UUID = "8d97d93b-01d6-49a8-9503-594684c9b44c"


def test_a_leg_that_came_in_is_known_by_the_id_that_we_gave_it() -> None:
    legs = events.Legs()
    legs.arrive(UUID, LEG)
    far = LEG[:-1] + "2"
    bridge = legs.ours(Heard("CHANNEL_BRIDGE", leg=UUID, one=UUID, other=far))
    assert events.read(bridge, legs) == [ev.LegsJoined(0, LEG, far)]
    ended = legs.ours(Heard("CHANNEL_HANGUP_COMPLETE", leg=UUID, when="5000", cause="USER_BUSY", q850="17", who="send_refuse"))
    parted, over = events.read(ended, legs)
    assert isinstance(parted, ev.LegsParted)
    assert isinstance(over, ev.LegEnded)
    assert (over.leg, over.why, over.q850) == (LEG, "platform", 17)
    assert (legs.arrived, legs.silent, legs.uuid(LEG)) == ({}, set(), LEG)


def test_what_a_caller_is_sent_is_not_told_as_what_its_phone_does() -> None:
    """FreeSWITCH tells of its own 180 and 183 as it does of those that it receives."""
    legs = events.Legs()
    legs.arrive(UUID, LEG)
    for name in ("CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA"):
        assert events.read(legs.ours(Heard(name, leg=UUID)), legs) == []
    assert events.read(legs.ours(Heard("CHANNEL_ANSWER", leg=UUID)), legs) == [ev.LegAnswered(0, LEG)]


@pytest.mark.parametrize(("state", "silent"), [("ringing", True), ("early", False), ("answered", False), ("", True)])
def test_a_leg_that_came_in_is_silent_until_it_has_sound(state: str, silent: bool) -> None:
    legs = events.Legs()
    legs.arrive(UUID, LEG)
    legs.ours(Heard("CUSTOM", subclass=events.HELD, leg=UUID, answer=state))
    assert (LEG in legs.silent) == silent


def test_calls_that_came_in_from_a_tape() -> None:
    """Three that are not answered (canceled, refused, refused after a prompt) and one that is connected."""
    legs, told = events.Legs(), []
    for one in tape.heard("arrived"):
        if ids.is_leg_id(one.named):
            legs.arrive(one.leg, one.named)
        told += events.read(legs.ours(one), legs)
    assert per_leg(told) == [
        [("LegEnded", "remote", None, 16, False, False)],
        [("LegEnded", "platform", None, 21, False, False)],
        [("LegEnded", "platform", None, 1, False, False)],
        ["LegAnswered", ("LegsJoined", "02"), ("LegsParted", "02"), ("LegEnded", "remote", 200, 16, True, False)],
        ["LegRinging", "LegAnswered", ("LegEnded", "platform", 200, 16, True, True)],
    ]
    assert not legs.known | set(legs.peer) | set(legs.arrived) | legs.silent | legs.answered
