"""The exchange: one leg by itself, and two together."""

import pytest

from controller.core import events as ev
from controller.core import verbs as v
from controller.core.call import LegState
from controller.drivers.simulator.exchange import PROMPT_MS, Refused
from tests.drivers.simulator.room import A, B, C, Room, connect, dial

# --- a leg by itself


def test_a_phone_that_answers_is_held() -> None:
    room = Room().held()
    assert room.tells() == [("LegRinging", A), ("LegAnswered", A), ("LegHeld", A)]
    seen = room.exchange.channels[A].seen()
    assert (seen.state, seen.held, seen.step, seen.since) == (LegState.answered, True, "", room.started + 250)


@pytest.mark.parametrize(
    ("number", "ring_s", "why", "sip", "q850"),
    [
        ("3", 30, "remote", 486, 17),
        ("4", 30, "remote", 603, 21),
        ("10", 30, "remote", 503, 34),
        ("77", 30, "remote", 404, 1),
        ("5", 5, "timer", None, 19),
        ("6", 5, "timer", None, 19),
        ("6", 40, "remote", 408, 18),
    ],
)
def test_a_phone_that_does_not_answer(number: str, ring_s: int, why: str, sip: int | None, q850: int) -> None:
    room = Room().do(dial(number, ring_s=ring_s)).wait(60_000)
    end = room.last(ev.LegEnded)
    assert (end.why, end.sip, end.q850) == (why, sip, q850)
    assert room.exchange.channels == {}
    assert room.exchange.lines[A].why == why


def test_early_media_comes_in_the_place_of_ringing() -> None:
    assert Room().held("7").tells() == [("EarlyMedia", A), ("LegAnswered", A), ("LegHeld", A)]


def test_a_phone_that_hangs_up_early() -> None:
    room = Room().held("8").wait()
    assert room.last(ev.LegEnded).at == room.started + 250 + 1_000
    assert room.exchange.lines[A].answered_at == room.started + 250


def test_a_leg_id_lives_once_and_rings_again_after_its_end() -> None:
    room = Room().held()
    with pytest.raises(Refused):
        room.do(dial("1"))
    room.do(v.Hangup("h", A), dial("1"))
    assert room.exchange.rang["dial-" + A] == 2


def test_hanging_up_is_no_error_whatever_the_leg_does() -> None:
    room = Room().do(v.Hangup("h", A), dial("1")).wait(100).do(v.Hangup("h", A), v.Hangup("h", A))
    end = room.last(ev.LegEnded)
    assert (end.why, end.sip, end.q850) == ("platform", 487, 16)
    assert room.tells() == [("LegRinging", A), ("LegEnded", A)]
    assert room.wait(60_000).tells() == []


# --- two legs


def test_a_connect_goes_on_by_itself() -> None:
    room = Room().held()
    room.tells()
    room.do(connect("2", announce=("a", "b", "c", "d"))).wait(10_000)
    assert room.tells() == [("LegRinging", B), ("LegAnswered", B), ("LegEnded", B), ("VerbDone", A)]
    room.do(connect("2", id="again", record="rec", notice_to="both")).wait(10_000)
    talk = [("LegsJoined", A), ("LegEnded", B), ("LegsParted", A), ("VerbDone", A)]
    assert room.tells() == [("LegRinging", B), ("LegAnswered", B), *talk]
    tape = room.exchange.tapes["rec"]
    assert (tape.leg, (tape.stopped_at or 0) - tape.started_at) == (A, 5_000 - PROMPT_MS)


def test_the_result_says_whether_they_talked() -> None:
    talked, busy = Room().talking("2").wait(10_000), Room().talking("3")
    assert (talked.last(ev.VerbDone).result, busy.last(ev.VerbDone).result) == ("parted", "unanswered")
    assert [room.exchange.channels[A].idle for room in (talked, busy)] == [True, True]
    assert talked.exchange.lines[B].bridged_at is not None


def test_a_connect_that_began_is_not_begun_again() -> None:
    room = Room().talking().do(connect("1")).wait()
    room.do(v.Hangup("h", B)).wait().do(connect("1")).wait()
    assert room.exchange.rang["connect"] == 1


def test_the_near_leg_takes_the_far_one_along_and_its_end_is_told_last() -> None:
    for after, sip in ((100, 487), (5_000, 200)):
        room = Room().held("1").do(connect("1")).wait(after)
        room.tells()
        room.exchange.end(room.exchange.channels[A], "remote", None, 16)
        far = room.exchange.lines[B]
        assert room.tells()[-2:] == [("LegEnded", B), ("LegEnded", A)]
        assert (far.why, far.sip) == ("platform", sip)
        assert room.exchange.channels == {}


def test_the_limit_ends_the_far_leg() -> None:
    room = Room().talking(limit_s=3).wait(5_000)
    assert room.last(ev.LegEnded).why == "limit"
    assert room.last(ev.VerbDone).result == "parted"


def test_a_connect_needs_a_held_leg() -> None:
    room = Room().do(dial("1"))
    with pytest.raises(Refused):
        room.do(connect("1"))
    with pytest.raises(Refused):
        room.do(connect("1", leg="nobody"))
    room.wait().do(connect("1"))
    with pytest.raises(Refused):
        room.do(connect("1", id="other", far=C))


def test_two_held_legs_are_joined_and_both_held_again_or_over() -> None:
    room = Room().held("1", A).held("1", B)
    room.tells()
    room.do(v.Join("j", A, B), v.Join("j", A, B))
    assert room.tells() == [("LegsJoined", A)]
    room.do(v.Hangup("h", A))
    assert room.tells() == [("LegEnded", A), ("LegsParted", B), ("LegHeld", B)]
    room.held("1", A).do(v.Join("k", A, B), v.Hangup("i", B), v.Join("k", A, B))
    assert [(done.verb, done.result) for done in room.heard if isinstance(done, ev.VerbDone)] == [("k", "parted")] * 2


def test_parting_holds_one_and_hangs_up_the_other() -> None:
    room = Room().talking(record="rec", notice_to="none").do(v.Record("r", A, "mid"))
    room.tells()
    room.do(v.Part("p", A))
    channel = room.exchange.channels[A]
    assert (channel.step, channel.result) == ("connect", "")
    assert room.tells() == [("LegEnded", B), ("LegHeld", A)]
    assert room.exchange.tapes["rec"].stopped_at is not None
    assert room.exchange.tapes["mid"].stopped_at is None
    with pytest.raises(Refused):
        room.do(v.Part("p", A))
