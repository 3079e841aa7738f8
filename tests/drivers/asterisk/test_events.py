"""What real AMI messages mean, from tapes; and what forged ones must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import events as ev
from controller.drivers.asterisk import ami, events
from tests.drivers.asterisk import tape

LEG = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE01"


def said(name: str, legs: events.Legs | None = None) -> list[ev.Event]:
    legs = legs or events.Legs()
    return [event for message in tape.messages(name) if "Event" in message for event in events.read(message, legs)]


def story(name: str) -> list[str]:
    """The events of a tape as words: kind and the number of the leg."""
    return [f"{type(event).__name__} {event.leg[-2:]}" for event in said(name) if isinstance(event, ev.LegEvent)]


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


def test_the_ends_of_a_callback() -> None:
    ended = {event.leg[-2:]: event for event in said("callback") if isinstance(event, ev.LegEnded)}
    assert (ended["02"].why, ended["02"].sip, ended["02"].q850) == ("remote", 200, 16)
    assert (ended["01"].why, ended["01"].sip) == ("platform", 200)
    joined = next(event for event in said("callback") if isinstance(event, ev.LegsJoined))
    answered = next(event for event in said("callback") if isinstance(event, ev.LegAnswered) and event.leg.endswith("02"))
    assert abs((ended["02"].bridged_at or 0) - joined.at) < 50
    assert abs((ended["02"].answered_at or 0) - answered.at) < 100


def test_each_refusal_of_a_near_leg() -> None:
    ended = [event for event in said("refusals") if isinstance(event, ev.LegEnded)]
    assert [(event.why, event.sip, event.q850) for event in ended] == [
        ("remote", 486, 17),
        ("remote", 603, 21),
        ("remote", 404, 1),
        ("remote", 408, 18),
        ("timer", None, 19),
    ]


def test_each_end_of_a_far_leg() -> None:
    ended = [event for event in said("far_refusals") if isinstance(event, ev.LegEnded)]
    assert [(event.leg[-2:], event.why, event.sip, event.q850) for event in ended] == [
        ("02", "remote", 486, 17),
        ("03", "timer", None, 19),
        ("04", "limit", 200, 16),
        ("01", "platform", 200, 16),
    ]
    assert "EarlyMedia 04" in story("far_refusals")


def test_a_key_in_a_talk_is_told_and_the_keys_of_an_ask_are_not() -> None:
    assert [event.digit for event in said("bridged") if isinstance(event, ev.Digit)] == ["5"]
    legs = events.Legs()
    near = next(events.leg_of(m) for m in tape.messages("keys") if "Event" in m and events.leg_of(m))
    legs.asking[near] = 1 << 62
    assert not [event for event in said("keys", legs) if isinstance(event, ev.Digit)]


def test_nothing_is_remembered_of_legs_that_have_ended() -> None:
    for name in tape.SCENES:
        legs = events.Legs()
        said(name, legs)
        assert (legs.channel, legs.peer, legs.bridge) == ({}, {}, {})


def test_a_callback_is_ten_events() -> None:
    """The server's filters let through only what is needed: all events of a callback would be 82."""
    asked_for = {"FullyBooted", "Status", "StatusComplete"}
    names = [message["Event"] for message in tape.messages("callback") if message.get("Event", "FullyBooted") not in asked_for]
    assert len(names) == 10
    assert set(names) <= set(events.READERS)


def test_a_far_leg_is_known_by_its_variable_and_an_originated_one_by_its_channels_id() -> None:
    assert events.leg_of({"Uniqueid": LEG}) == LEG
    assert events.leg_of({"Uniqueid": "lab-1.2", "$PB_LEG": LEG}) == LEG
    assert events.leg_of({"DestUniqueid": "lab-1.2", "dest$PB_LEG": LEG}, "dest") == LEG
    assert events.leg_of({"Uniqueid": "lab-1.2", "$PB_LEG": ""}) == ""


@given(
    st.dictionaries(st.sampled_from(["Uniqueid", "$PB_LEG", "$PB_LINE", "Digit", "BridgeUniqueid", "ChannelState"]), st.text())
)
def test_messages_about_channels_that_are_not_ours_mean_nothing(fields: dict[str, str]) -> None:
    for name in events.READERS:
        message = {"Event": name, "Timestamp": "1795180501.284000", **fields}
        if not events.leg_of(message):
            assert events.read(message, events.Legs()) == []


@pytest.mark.parametrize("name", ["UserEvent", "Newchannel", "VarSet", "Cdr", "", "userevent"])
def test_events_that_we_did_not_ask_for_mean_nothing(name: str) -> None:
    assert events.read({"Event": name, "Uniqueid": LEG, "Timestamp": "1.0"}, events.Legs()) == []


@given(st.text(alphabet=st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"])))
def test_no_value_forges_another_header(value: str) -> None:
    """A caller name or whatever else comes from afar is one value of one header."""
    frame = f"Event: Newstate\r\nCallerIDName: {value}\r\nUniqueid: lab-1.2\r\nChanVariable: PB_LEG=".encode()
    message = ami.parse(frame)
    assert message["Event"] == "Newstate"
    assert message["Uniqueid"] == "lab-1.2"
    assert message["CallerIDName"] == value
    assert events.leg_of(message) == ""


def test_the_second_into_a_bridge_joins_the_first() -> None:
    legs = events.Legs()
    other = LEG[:-2] + "02"
    enter = {"Event": "BridgeEnter", "BridgeUniqueid": "b1", "Timestamp": "1795180501.284000"}
    assert events.read({**enter, "Uniqueid": "x.1", "$PB_LEG": other}, legs) == []
    assert events.read({**enter, "Uniqueid": LEG}, legs) == [ev.LegsJoined(1795180501284, LEG, other)]
    assert legs.peer == {LEG: other, other: LEG}
    assert events.parted(other, 5, legs) == [ev.LegsParted(5, LEG, other)]
    assert events.parted(LEG, 6, legs) == []


def test_a_leg_that_hung_up_while_it_heard_its_announcement_has_talked_with_nobody() -> None:
    legs = events.Legs()
    enter = {"Event": "BridgeEnter", "BridgeUniqueid": "b1", "Timestamp": "1795180501.284000"}
    far = {**enter, "Uniqueid": "x.1", "$PB_LEG": LEG[:-2] + "02", "$PB_LINE": "hears"}
    near = {**enter, "Uniqueid": LEG, "$PB_LINE": ""}
    assert [events.read(message, legs) for message in (far, near)] == [[], []]
    assert (legs.peer, legs.talked) == ({}, {})
