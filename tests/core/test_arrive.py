"""A call that comes in: begun for its leg, which can be commanded before it is answered."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import events as ev
from controller.core.call import Call, CallStatus, Disposition, LegState
from controller.core.causes import REFUSED
from controller.core.decide import arrive
from controller.core.flow import Flow
from controller.core.verbs import Hangup
from controller.store import codec
from tests.core.story import CALL, T0, A, B, Story, flow

FROM, TO = "+14155550177", "+14155550100"
THROUGH = flow(
    """
    arrives: caller
    start: ring
    nodes:
      ring: {ring: caller, done: callee}
      callee: {connect: callee, from: caller, show: $callee_display, parted: end, busy: busy, else: sorry}
      busy: {refuse: caller, with: busy}
      sorry: {play: caller, say: sorry, done: over}
      over: {refuse: caller, with: no_answer}
    """
)
MENU = flow(
    """
    arrives: caller
    start: answer
    nodes:
      answer: {answer: caller, done: ask}
      ask: {ask: caller, say: menu, 1: end, else: end}
    """
)


class Visit(Story):
    """A call that came in."""

    def __init__(self, walks: Flow = THROUGH, **variables: Any) -> None:
        super().__init__(walks, "inbound", **variables)
        self.facts.clear()
        call = Call(CALL, "acme", "inbound", walks.name, walks.version, T0, vars=self.call.vars)
        self._take(arrive(walks, call, ev.LegArrived(T0, A, FROM, TO, "carrier"), "pbx1", {"callee": "carrier"}))


def test_it_rings_and_connects_at_once() -> None:
    visit = Visit()
    assert visit.asked == ["Ring", "Connect"]
    assert visit.told == ["call.started", "call.leg.dialing", "call.leg.ringing", "call.leg.dialing"]
    leg = visit.leg(A)
    assert (leg.name, leg.number, leg.display, leg.trunk, leg.arrived) == ("caller", FROM, TO, "carrier", True)
    assert (visit.call.status, visit.call.node, visit.leg(B).trunk) == (CallStatus.ringing, "pbx1", "carrier")


def test_the_answer_of_the_other_side_answers_it() -> None:
    visit = Visit().sent().hear(ev.LegRinging, B).hear(ev.LegAnswered, B).hear(ev.LegsJoined, A, B)
    assert visit.leg(A).state is LegState.answered
    assert visit.call.status is CallStatus.bridged
    visit.ended(B).done("parted").over()
    assert visit.outcome == ("completed", "callee")


def test_without_a_ring_of_its_own_it_rings_when_the_other_side_does() -> None:
    quiet = flow(
        """
        arrives: caller
        start: callee
        nodes: {callee: {connect: callee, from: caller, show: $callee_display, else: end}}
        """
    )
    visit = Visit(quiet).sent()
    assert visit.leg(A).state is LegState.dialing
    assert visit.hear(ev.LegRinging, B).leg(A).state is LegState.ringing


def test_a_busy_other_side_is_passed_on_unanswered() -> None:
    visit = Visit().sent().ended(B, "remote", 486, 17).done("unanswered")
    assert visit.verb("Hangup").cause == 17
    assert visit.over().outcome == ("busy", "platform")
    assert visit.leg(A).answered_at is None


def test_an_announcement_before_the_answer_and_then_a_refusal() -> None:
    visit = Visit().sent().ended(B, "timer", None, 19).done("unanswered").sent()
    assert visit.asked[-1] == "Play"
    assert visit.leg(A).answered_at is None
    assert visit.done().verb("Hangup").cause == 19
    assert visit.over().outcome == ("no_answer", "platform")


def test_a_menu_answers_first() -> None:
    visit = Visit(MENU)
    assert visit.asked == ["Answer"]
    visit.sent().hear(ev.LegAnswered, A).done()
    assert visit.asked[-1] == "Ask"
    assert visit.verb("Ask").leg == A


def test_an_answer_that_is_done_counts_also_before_the_leg_says_so_itself() -> None:
    visit = Visit(MENU).sent().done()
    assert visit.asked[-1] == "Ask"
    assert (visit.leg(A).state, visit.told.count("call.leg.answered")) == (LegState.answered, 1)
    visit.hear(ev.LegAnswered, A)
    assert visit.told.count("call.leg.answered") == 1
    assert visit.ended(A).outcome == ("completed", "caller")


def test_an_answer_that_failed_is_none() -> None:
    visit = Visit(MENU).sent().done("failed")
    assert visit.asked[-1] == "Hangup"
    assert visit.leg(A).answered_at is None


def test_a_caller_who_lets_go_has_canceled() -> None:
    visit = Visit().sent().hear(ev.LegRinging, B).ended(B, "platform").ended(A)
    assert visit.outcome == ("canceled", "caller")


def test_a_leg_that_says_again_that_it_came_in_was_never_commanded() -> None:
    visit = Visit()
    connect = visit.verb("Connect")
    visit.sent().hear(ev.LegArrived, A, FROM, TO, "carrier")
    assert visit.asked == ["Ring", "Connect"]  # it was sent: what the leg says is older
    again = Visit()
    again.hear(ev.Sending, connect.id).hear(ev.LegArrived, A, FROM, TO, "carrier")
    assert again.asked == ["Ring", "Connect", "Connect"]
    assert again.leg(A).state is LegState.ringing


def test_it_can_be_read_again_from_the_store() -> None:
    visit = Visit().sent()
    assert codec.decode(codec.encode(visit.call)) == visit.call


def test_a_cancel_refuses_it() -> None:
    visit = Visit().sent().hear(ev.Cancel)
    assert [(verb.leg, verb.cause) for verb in visit.verbs if isinstance(verb, Hangup)] == [(A, 34), (B, 16)]
    assert visit.over().outcome == ("canceled", "platform")


@pytest.mark.parametrize("node", ["ring: callee", "answer: callee", "refuse: callee"])
def test_what_did_not_come_in_cannot_be_answered(node: str) -> None:
    with pytest.raises(ValueError, match="the leg `callee` does not come in"):
        flow(f"start: a\nnodes:\n  a: {{dial: callee, show: $x, answered: b, else: end}}\n  b: {{{node}, else: end}}")


@given(st.sampled_from([*REFUSED, "congestion", "failed"]), st.booleans())
def test_whatever_becomes_of_the_other_side_an_unanswered_caller_is_refused_with_a_cause(word: Disposition, rang: bool) -> None:
    sip = {"busy": 486, "no_answer": 480, "unreachable": 408, "rejected": 603, "invalid_number": 404, "congestion": 503}
    ends = flow(
        """
        arrives: caller
        start: callee
        nodes: {callee: {connect: callee, from: caller, show: $callee_display, else: end}}
        """
    )
    visit = Visit(ends).sent()
    if rang:
        visit.hear(ev.LegRinging, B)
    visit.ended(B, "remote", sip.get(word, 500), None).done("unanswered")
    cause = visit.verb("Hangup").cause
    assert cause in (*REFUSED.values(), 34)
    assert cause != 16
    assert cause == (REFUSED.get(word, 34) if word in sip else 34)
