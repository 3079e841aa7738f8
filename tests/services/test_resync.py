"""After a gap: each leg is adopted, ended truthfully, or lost; nothing is declared lost that may still come."""

from dataclasses import replace

from controller.core import events as ev
from controller.core.call import Call, CallStatus, Leg, LegState, Step
from controller.core.verbs import Connect, Dial
from controller.ports import LegSeen
from controller.services.resync import missing, plan

CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"
CALLER, CALLEE = CALL + "01", CALL + "02"
DIAL = Dial(CALL + "0001", CALLER, "+14155550101", "carrier", "+14155550100", 30)
CONNECT = Connect(CALL + "0002", CALLER, CALLEE, "+14155550102", "carrier", "+14155550100", 30, 60)
NOW = 50_000


def call(*legs: Leg, steps: tuple[Step, ...] = ()) -> Call:
    return Call(CALL, "t", "callback", "callback", "v", 1, node="pbx1", status=CallStatus.dialing, legs=legs, steps=steps)


def leg(leg_id: str = CALLER, state: LegState = LegState.dialing) -> Leg:
    return Leg(leg_id, "caller" if leg_id == CALLER else "callee", "+14155550101", "+14155550100", state=state)


def dial_step(state: str = "sending") -> Step:
    return Step(DIAL.id, "caller", "Dial", CALLER, DIAL, state=state)  # type: ignore[arg-type]


def connect_step(state: str = "sending") -> Step:
    return Step(CONNECT.id, "callee", "Connect", CALLER, CONNECT, state=state)  # type: ignore[arg-type]


def events(call_: Call, alive: dict[str, LegSeen], gone: dict[str, ev.LegEnded] | None = None) -> list[ev.Event]:
    return plan([call_], alive, gone or {}, NOW).events.get(CALL, [])


def test_an_unconfirmed_dial_that_the_pbx_has_is_adopted() -> None:
    one = call(leg(), steps=(dial_step(),))
    seen = {CALLER: LegSeen(CALLER, LegState.ringing)}
    assert events(one, seen) == [ev.LegRinging(NOW, CALLER)]


def test_an_unconfirmed_dial_that_the_pbx_does_not_have_is_lost_and_not_dialled_again() -> None:
    assert events(call(leg(), steps=(dial_step(),)), {}) == [ev.LegEnded(NOW, CALLER, None, None, "lost")]


def test_a_dial_that_was_never_sent_is_not_lost() -> None:
    assert events(call(leg(), steps=(dial_step("todo"),)), {}) == []


def test_a_leg_that_ended_meanwhile_ends_as_the_pbx_wrote_it_down() -> None:
    line = ev.LegEnded(40_000, CALLER, 16, None, "remote", answered_at=20_000)
    assert events(call(leg(state=LegState.answered)), {}, {CALLER: line}) == [line]


def test_the_far_leg_of_a_connect_is_not_lost_while_its_near_leg_lives_and_will_tell() -> None:
    one = call(leg(state=LegState.answered), leg(CALLEE), steps=(connect_step(),))
    seen = {CALLER: LegSeen(CALLER, LegState.answered, held=True, since=10)}
    assert events(one, seen) == [ev.LegAnswered(10, CALLER)]


def test_the_far_leg_of_a_connect_is_lost_with_its_near_leg() -> None:
    one = call(leg(state=LegState.answered), leg(CALLEE), steps=(connect_step(),))
    assert [(type(event), event.leg) for event in events(one, {}) if isinstance(event, ev.LegEnded)] == [
        (ev.LegEnded, CALLER),
        (ev.LegEnded, CALLEE),
    ]


def test_a_bridge_that_began_in_the_gap_is_told() -> None:
    one = call(leg(state=LegState.answered), leg(CALLEE, LegState.ringing), steps=(connect_step(),))
    seen = {
        CALLER: LegSeen(CALLER, LegState.answered, bridged=CALLEE, since=10),
        CALLEE: LegSeen(CALLEE, LegState.answered, bridged=CALLER, since=30),
    }
    assert ev.LegsJoined(NOW, CALLER, CALLEE) in events(one, seen)
    assert ev.LegAnswered(30, CALLEE) in events(one, seen)


def test_a_bridge_that_began_in_the_gap_has_the_time_that_one_of_its_legs_knows() -> None:
    one = call(leg(state=LegState.answered), leg(CALLEE, LegState.ringing), steps=(connect_step(),))
    seen = {
        CALLER: LegSeen(CALLER, LegState.answered, bridged=CALLEE, since=10),
        CALLEE: LegSeen(CALLEE, LegState.answered, bridged=CALLER, since=30, joined=40),
    }
    joined = [event for event in events(one, seen) if isinstance(event, ev.LegsJoined)]
    assert {event.at for event in joined} == {40}


def test_signs_of_life_come_before_ends_and_ends_in_their_order() -> None:
    one = call(leg(state=LegState.answered), leg(CALLEE, LegState.answered))
    gone = {
        CALLER: ev.LegEnded(45_000, CALLER, 16, None, "platform"),
        CALLEE: ev.LegEnded(44_000, CALLEE, 16, None, "remote"),
    }
    assert [event.at for event in events(one, {}, gone)] == [44_000, 45_000]


def test_a_live_leg_whose_call_is_over_is_an_orphan_but_only_when_all_calls_were_looked_at() -> None:
    other = CALL[:-1] + "F01"
    seen = {other: LegSeen(other, LegState.answered)}
    assert plan([], seen, {}, NOW).orphans == (other,)
    assert plan([], seen, {}, NOW, every=False).orphans == ()


def test_only_legs_that_the_pbx_does_not_have_are_asked_of_its_book() -> None:
    one = call(leg(), leg(CALLEE), replace(leg(CALL + "03"), state=LegState.ended))
    assert missing([one], {CALLER: LegSeen(CALLER, LegState.dialing)}) == [CALLEE]
