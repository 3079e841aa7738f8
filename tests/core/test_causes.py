"""Causes and dispositions: the tables of the field, row by row, and who hung up in every story."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.call import Call, Leg
from controller.core.causes import Q850, SIP, of_call, of_leg
from tests.core.story import A, B, C, Story

# SIP status, Q.850 cause as Asterisk reports both, disposition
ASTERISK_ROWS = [
    (486, 17, "busy"),
    (600, 17, "busy"),
    (404, 1, "invalid_number"),
    (603, 21, "rejected"),
    (403, 21, "rejected"),
    (480, 19, "no_answer"),
    (408, 18, "unreachable"),
    (503, 34, "congestion"),
    (500, 38, "congestion"),
]
FIELD_SIP = {
    "busy": (486, 600),
    "rejected": (603, 403),
    "invalid_number": (404, 410, 484, 604),
    "no_answer": (480,),
    "unreachable": (408,),
    "canceled": (487,),
    "congestion": (500, 501, 502, 503, 504),
}
FIELD_Q850 = {
    "busy": (17,),
    "no_answer": (18, 19),
    "unreachable": (20,),
    "rejected": (21,),
    "invalid_number": (1, 22, 28),
    "congestion": (3, 2, 27, 34, 38, 41, 42, 47),
    "failed": (16, 31, 50, 88, 95, 102, 111, 127, 0, None),
}


@pytest.mark.parametrize(("sip", "q850", "disposition"), ASTERISK_ROWS)
def test_each_row_of_asterisks_table_for_the_caller(sip: int, q850: int, disposition: str) -> None:
    story = Story().start().sent().ended(A, "remote", sip, q850)
    assert story.outcome == (disposition, "caller")
    assert (story.leg(A).sip, story.leg(A).q850) == (sip, q850)


@pytest.mark.parametrize(("sip", "q850", "disposition"), ASTERISK_ROWS)
def test_each_row_of_asterisks_table_for_the_callee(sip: int, q850: int, disposition: str) -> None:
    story = Story().sorry(sip, q850).done().over()
    assert story.outcome == (disposition, "callee")
    assert (story.cdr["legs"][1]["sip_status"], story.cdr["legs"][1]["q850"]) == (sip, q850)


def test_originate_time_out_is_no_answer_by_the_platform() -> None:
    assert Story().start().sent().hear(ev.LegRinging, A).ended(A, "timer", None, 19).outcome == ("no_answer", "platform")


def test_dial_time_out_is_no_answer_by_the_platform() -> None:
    story = Story().ringing().ended(B, "timer", None, 0).done("unanswered").sent().done().over()
    assert story.outcome == ("no_answer", "platform")


def test_the_caller_hanging_up_while_the_callee_rings_is_canceled_by_the_caller() -> None:
    """Asterisk tells the end of B before that of A, with cause 16."""
    for why, sip in (("platform", None), ("remote", 487), ("remote", None)):
        story = Story().ringing().ended(B, why, sip, 16).ended(A, "remote", None, 16)
        assert story.outcome == ("canceled", "caller")


def test_the_tables_hold_the_fields_rows_and_no_others() -> None:
    assert {code: d for d, codes in FIELD_SIP.items() for code in codes} == SIP
    assert {code: d for d, codes in FIELD_Q850.items() for code in codes if d != "failed"} == Q850


@pytest.mark.parametrize(("q850", "disposition"), [(q, d) for d, codes in FIELD_Q850.items() for q in codes])
def test_q850_decides_where_there_is_no_sip_status(q850: int | None, disposition: str) -> None:
    assert of_leg(Leg(A, "callee", "1", "2", q850=q850, why="remote")) == disposition
    assert of_leg(Leg(A, "callee", "1", "2", q850=q850, sip=299, why="remote")) == disposition


def test_the_order_our_act_then_the_timer_then_sip_then_q850() -> None:
    def leg(**known: object) -> Leg:
        return Leg(A, "callee", "1", "2", **known)  # type: ignore[arg-type]

    assert of_leg(leg(verdict="blocked", why="timer", sip=486, q850=1)) == "blocked"
    assert of_leg(leg(why="lost", sip=486, q850=1)) == "lost"
    assert of_leg(leg(why="platform", sip=487, q850=16)) == "failed"
    assert of_leg(leg(why="timer", sip=486, q850=1)) == "no_answer"
    assert of_leg(leg(why="remote", sip=486, q850=1)) == "busy"
    assert of_leg(leg(why="remote", sip=None, q850=1)) == "invalid_number"
    assert of_leg(leg(why="remote", q850=16, answered_at=5)) == "completed"


# --- who hung up


def test_the_callee_hangs_up() -> None:
    assert Story().bridged().ended(B).done("parted").over().outcome == ("completed", "callee")


def test_the_caller_hangs_up_while_talking() -> None:
    assert Story().bridged().ended(A).ended(B, "platform").outcome == ("completed", "caller")
    assert Story().bridged().ended(B, "platform").ended(A).outcome == ("completed", "caller")


def test_both_phones_let_go_and_the_first_is_named() -> None:
    story = Story().bridged()
    now = story.now
    story.ended(A, at=now + 5).ended(B, at=now + 4)
    assert story.outcome == ("completed", "callee")


def test_the_maximum_duration_is_ours() -> None:
    assert Story().bridged().ended(B, "limit").done("parted").over().outcome == ("completed", "platform")


@pytest.mark.parametrize("why", ["limit", "platform"])
def test_a_callee_who_answered_and_was_never_connected_has_had_no_talk(why: str) -> None:
    """A PBX that cannot bridge the two in time: nothing of that is complete."""
    story = Story().ringing().hear(ev.LegAnswered, B).ended(B, why).done("unanswered").over()
    assert story.call.bridged_at is None
    assert story.outcome == ("failed", "platform")


def test_a_callee_who_answered_and_let_go_before_the_bridge_has_completed_the_call() -> None:
    story = Story().ringing().hear(ev.LegAnswered, B).ended(B).done("unanswered").over()
    assert story.call.bridged_at is None
    assert story.outcome == ("completed", "callee")


def test_a_talk_whose_end_nobody_heard_is_lost() -> None:
    assert Story().bridged().hear(ev.Swept).outcome == ("lost", "platform")
    assert Story().bridged().ended(B, "lost").ended(A, "platform").outcome == ("lost", "platform")


def test_a_talk_of_which_one_end_was_heard_is_not_lost() -> None:
    assert Story().bridged().ended(A).ended(B, "lost").outcome == ("completed", "caller")


def test_we_hang_up_both() -> None:
    assert Story().bridged().hear(ev.Act, "hangup").over().outcome == ("completed", "platform")


def test_the_caller_hangs_up_in_every_phase_before_the_bridge() -> None:
    assert Story().start().sent().hear(ev.LegAnswered, A).ended(A).outcome == ("canceled", "caller")
    assert Story().caller_up().ended(A).outcome == ("canceled", "caller")
    assert Story().calling().ended(A).ended(B, "platform", 487).outcome == ("canceled", "caller")
    assert Story().ringing().ended(A).ended(B, "platform", 487).outcome == ("canceled", "caller")
    announced = Story().ringing().hear(ev.LegAnswered, B)
    assert announced.ended(B, "platform").ended(A).outcome == ("canceled", "caller")


@pytest.mark.parametrize(("sip", "q850", "disposition"), ASTERISK_ROWS)
def test_the_caller_hangs_up_while_hearing_sorry_and_the_callee_stays_the_reason(sip: int, q850: int, disposition: str) -> None:
    assert Story().sorry(sip, q850).ended(A).outcome == (disposition, "callee")


def test_the_caller_hangs_up_while_hearing_sorry_after_the_ring_time_out() -> None:
    story = Story().ringing().ended(B, "timer", None, 0).done("unanswered").sent().ended(A)
    assert story.outcome == ("no_answer", "platform")


def test_a_callee_that_left_during_its_announcement_was_reached() -> None:
    story = Story().ringing().hear(ev.LegAnswered, B).ended(B).done("unanswered").sent().ended(A)
    assert story.outcome == ("completed", "callee")


def test_lost_before_the_bridge() -> None:
    assert Story().start().sent().hear(ev.Swept).outcome == ("lost", "platform")
    assert Story().ringing().hear(ev.Swept).outcome == ("lost", "platform")
    assert Story().ringing().ended(B, "lost").done("unanswered").sent().ended(A).outcome == ("lost", "platform")


def test_the_pbx_dies_while_the_caller_hears_sorry() -> None:
    assert Story().sorry(486, 17).hear(ev.Swept).outcome == ("busy", "callee")


def test_a_refused_dial_says_why() -> None:
    story = Story().start()
    story.hear(ev.Refused, story.verb("Dial").id, "no trunk", "congestion")
    assert story.outcome == ("congestion", "platform")
    assert story.told[-3:] == ["call.leg.ended", "call.ended", "cdr.created"]


def test_a_far_leg_that_policy_forbids_keeps_its_reason_also_when_the_caller_leaves() -> None:
    story = Story().caller_up().done()
    story.hear(ev.Refused, story.verb("Connect").id, "forbidden", "blocked").sent().ended(A)
    assert story.outcome == ("blocked", "platform")


def test_a_connect_that_failed_because_the_caller_had_left_is_the_callers_doing() -> None:
    story = Story().caller_up().done()
    story.hear(ev.Refused, story.verb("Connect").id, "there is no such leg", "failed").ended(A)
    assert story.outcome == ("canceled", "caller")


def test_a_refusal_of_no_known_kind_is_failed() -> None:
    story = Story().start()
    assert story.hear(ev.Refused, story.verb("Dial").id, "?", "whatever").outcome == ("failed", "platform")


def test_a_call_without_legs_that_nobody_canceled_has_failed() -> None:
    assert of_call(Call("x", "t", "callback", "f", "v", 0)) == ("failed", "platform")


def test_a_menu_that_comes_to_its_end_is_completed_and_a_callback_is_not() -> None:
    near = Leg(A, "caller", "1", "2", answered_at=1, ended_at=2, why="platform")
    assert of_call(Call("x", "t", "robot", "f", "v", 0, legs=(near,))) == ("completed", "platform")
    assert of_call(Call("x", "t", "callback", "f", "v", 0, legs=(near,))) == ("failed", "platform")


@pytest.mark.parametrize(("kind", "by"), [("robot", "callee"), ("inbound", "caller")])
def test_who_hangs_up_in_a_menu_has_completed_it(kind: Any, by: str) -> None:
    near = Leg(A, "caller", "1", "2", answered_at=1, ended_at=2, why="remote")
    assert of_call(Call("x", "t", kind, "f", "v", 0, legs=(near,))) == ("completed", by)
    busy = Leg(A, "caller", "1", "2", ended_at=2, why="remote", sip=486, q850=17)
    assert of_call(Call("x", "t", kind, "f", "v", 0, legs=(busy,))) == ("busy", by)


def test_a_transfer_in_vain_does_not_undo_the_talk_before() -> None:
    legs = (
        Leg(A, "caller", "1", "2", answered_at=1, ended_at=90, why="remote"),
        Leg(B, "callee", "1", "2", peer=A, answered_at=2, joined_at=3, ended_at=50, why="platform"),
        Leg(C, "transfer", "1", "2", peer=A, ended_at=80, why="remote", sip=486, q850=17),
    )
    assert of_call(Call("x", "t", "callback", "f", "v", 0, legs=legs, bridged_at=3)) == ("completed", "caller")
