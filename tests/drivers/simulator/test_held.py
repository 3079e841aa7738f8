"""The exchange: what a held leg is told to do, and what it does when nobody listens."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from controller.api.fields import Prompt
from controller.core import events as ev
from controller.core import verbs as v
from controller.drivers.asterisk import commands as asterisk
from controller.drivers.freeswitch import commands as freeswitch
from controller.drivers.simulator.exchange import KNOCK_MS, PROMPT_MS, NoAnswerYet, Refused
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import Agenda
from tests.drivers.simulator.room import A, B, Room, connect, dial

# --- what a held leg is told to do


def test_a_prompt_is_played_once_per_id() -> None:
    room = Room().held()
    room.tells()
    play = v.Play("p", A, ("hello", "there"))
    room.do(play, play).wait(2 * PROMPT_MS)
    assert room.tells() == [("VerbDone", A)]
    assert room.do(play).wait(10_000).tells() == [("VerbDone", A)]


def test_a_prompt_that_is_not_there_fails_and_what_is_no_name_is_refused() -> None:
    room = Room().held()
    room.exchange.prompts = {"hello"}
    room.do(v.Play("p", A, ("nothing",)))
    assert room.last(ev.VerbDone).result == "failed"
    with pytest.raises(Refused):
        room.do(v.Play("q", A, ("../etc",)))


@pytest.mark.parametrize("name", ["beep", "our_own-prompt", "2nd"])
def test_a_prompt_that_the_api_takes_is_one_to_every_pbx(name: str) -> None:
    assert TypeAdapter(Prompt).validate_python(name) == name
    Room().held().do(v.Play("p", A, (name,)))
    play = v.Play("01JD3Y8Q4ZK5T0M6W9RB2XHCVE0001", "01JD3Y8Q4ZK5T0M6W9RB2XHCVE01", (name,))
    assert f"/say/{name}" in asterisk.play(play, Path("/say"))
    assert f"/{name}.wav" in freeswitch.play(play)


def test_what_is_no_number_or_no_trunk_is_refused() -> None:
    room = Room()
    room.exchange.trunks = {"trunk"}
    for verb in (dial("1;2"), v.Dial("d", A, "1", "other", "+1", 9), v.Dial("d", A, "1", "trunk", "", 9)):
        with pytest.raises(Refused):
            room.do(verb)
    assert room.do(dial("1")).exchange.rang_at == {A: room.started}


def test_a_leg_that_plays_takes_nothing_else() -> None:
    room = Room().held().do(v.Play("p", A, ("hello",)))
    with pytest.raises(NoAnswerYet):
        room.do(v.Play("q", A, ("hello",)))
    with pytest.raises(Refused):
        Room().do(dial("1")).do(v.Play("p", A, ("hello",)))


@pytest.mark.parametrize(
    ("number", "most", "least", "result"), [("9", 2, 1, "42"), ("9", 1, 1, "4"), ("9", 4, 3, None), ("1", 1, 0, None)]
)
def test_keys_are_pressed_when_asked(number: str, most: int, least: int, result: str | None) -> None:
    room = Room().held(number).do(v.Ask("q", A, ("menu",), least, most)).wait(20_000)
    done = room.last(ev.VerbDone)
    assert (done.result, done.data) == (("timeout", "") if result is None else ("digits", result))


@pytest.mark.parametrize(
    ("says", "who", "after_ms"),
    [(600, "person", 1400), (1499, "person", 2299), (1500, "machine", 2300), (None, "machine", 5000), (0, "unknown", 5000)],
)
def test_who_answers_is_known_when_a_real_pbx_would_know_it(says: int | None, who: str, after_ms: int) -> None:
    room = Room()
    room.exchange.phones = {"11": Phone(says=says)}
    listens_at = room.held("11").exchange.now
    done = room.do(v.Detect("d", A)).wait(20_000).last(ev.VerbDone)
    assert (done.result, done.at - listens_at) == (who, after_ms)


def test_a_leg_of_a_join_may_be_parted_too() -> None:
    room = Room().held("1", A).held("1", B).do(v.Join("j", A, B), v.Part("p", A))
    assert room.exchange.channels.keys() == {A}


def test_what_needs_a_talk_is_refused_without_one() -> None:
    room = Room().held()
    for verb in (v.Mute("m", A, True), v.Whisper("w", A, ("x",)), v.Record("r", A, "r"), v.Part("p", A)):
        with pytest.raises(Refused):
            room.do(verb)
    for refused in (v.PauseRecord("r", A, "none", True), v.StopRecord("r", A, "none"), v.Ring("r", A), v.Answer("a", A)):
        with pytest.raises(Refused):
            room.do(refused)


def test_recording_in_a_talk() -> None:
    room = Room().talking().do(v.Mute("m", A, True), v.Whisper("w", A, ("x",)), v.Record("r", A, "r"), v.Record("r", A, "r"))
    tape = room.exchange.tapes["r"]
    room.do(v.PauseRecord("p", A, "r", True))
    assert tape.paused
    room.do(v.PauseRecord("p", A, "r", False)).wait(700).do(v.StopRecord("s", A, "r")).wait(700).do(v.StopRecord("s", A, "r"))
    assert (tape.paused, (tape.stopped_at or 0) - tape.started_at) == (False, 700)


# --- nobody listens


def test_what_is_said_while_nobody_listens_is_not_said_again_but_written_down() -> None:
    room = Room().talking("2")
    room.tells()
    room.exchange.detach()
    room.wait(20_000)
    room.exchange.attach(room.heard.append)
    assert room.tells() == []
    line = room.exchange.lines[B]
    assert (line.why, line.ringing_at, line.answered_at) == ("remote", room.started + 1_060, room.started + 1_250)
    assert room.wait(KNOCK_MS).tells() == [("LegHeld", A)]


def test_a_held_leg_knocks_with_its_step_and_result_for_whoever_comes() -> None:
    room = Room().talking("2").wait(20_000)
    room.exchange.detach()
    room.exchange.attach(room.heard.append)
    with pytest.raises(NoAnswerYet):
        room.do(v.Play("p", A, ("x",)))
    room.wait(KNOCK_MS)
    held = room.last(ev.LegHeld)
    assert (held.step, held.result) == ("connect", "parted")
    room.do(v.Play("p", A, ("x",)))


def test_what_was_begun_for_a_controller_that_died_ends_by_a_knock() -> None:
    room = Room().held().do(v.Play("p", A, ("a", "b")))
    room.exchange.detach()
    room.exchange.attach(room.heard.append)
    room.tells()
    assert room.wait(2 * PROMPT_MS).tells() == [("LegHeld", A)]
    other = Room().held().do(connect("3"))
    other.exchange.detach()
    other.exchange.attach(other.heard.append)
    other.tells()
    assert other.wait().tells() == [("LegEnded", B), ("LegHeld", A)]
    third = Room().do(dial("1"))
    third.exchange.detach()
    third.wait().exchange.attach(third.heard.append)
    assert third.wait(KNOCK_MS).tells() == [("LegHeld", A)]


def test_a_held_leg_that_nobody_wants_gives_up() -> None:
    room = Room().held()
    room.exchange.detach()
    room.wait(29_000)
    assert A in room.exchange.channels
    room.wait(1_001)
    assert room.exchange.lines[A].why == "platform"


def test_a_held_leg_that_is_wanted_in_time_does_not_give_up() -> None:
    room = Room().held()
    room.exchange.detach()
    room.wait(28_500)
    room.exchange.attach(room.heard.append)
    room.wait(60_000)
    assert A in room.exchange.channels
    room.exchange.detach()
    room.wait(29_000)
    assert A in room.exchange.channels


def test_a_leg_that_waits_and_is_hung_up_gives_up_nothing_more() -> None:
    room = Room().talking()
    room.exchange.detach()
    room.wait(120_000)
    assert room.exchange.channels.keys() == {A, B}


def test_keys_that_were_pressed_while_nobody_listened_are_not_lost() -> None:
    room = Room().held("9").do(v.Ask("q", A, ("menu",), 1, 2))
    room.exchange.detach()
    room.wait(10_000)
    room.exchange.attach(room.heard.append)
    room.tells()
    room.wait(KNOCK_MS)
    assert room.last(ev.VerbDone).data == "42"
    assert room.last(ev.LegHeld).step == "q"


def test_a_broken_session_makes_its_leg_knock() -> None:
    room = Room().held()
    room.tells()
    room.exchange.lose_session(room.exchange.channels[A])
    room.exchange.lose_session(room.exchange.channels[A])
    assert room.wait(KNOCK_MS).tells() == [("LegHeld", A)]
    room.do(v.Play("p", A, ("x",)))
    room.exchange.lose_session(room.exchange.channels[A])
    assert room.wait(PROMPT_MS).tells() == [("LegHeld", A)]


def test_after_a_restart_everything_is_gone_and_nothing_was_written_down() -> None:
    room = Room().talking(record="rec")
    boot = room.exchange.boot
    room.exchange.restart()
    assert room.exchange.boot != boot
    assert room.exchange.channels == {}
    assert room.exchange.lines == {}
    assert room.exchange.tapes["rec"].stopped_at is not None
    room.tells()
    assert room.wait(60_000).tells() == []


def test_the_agenda_goes_from_thing_to_thing() -> None:
    agenda, done = Agenda(), []
    agenda.after(20, lambda: done.append("b"))
    agenda.after(10, lambda: done.append("a"))
    agenda.after(15, lambda: done.append("never")).cancel()
    assert agenda.step()
    assert done == ["a"]
    assert agenda.step()
    assert not agenda.step()
    assert done == ["a", "b"]
