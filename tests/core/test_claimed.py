"""An agent who was claimed for a call that is under way is the call's until their leg has ended, or the call."""

from dataclasses import replace
from typing import Any

import pytest

from controller.core import events as ev
from controller.core.agent import AGENT, WANTED, Agent, busy, keeps
from controller.core.call import Step
from controller.core.claimed import LEG, claimed
from controller.core.verbs import LookUp
from tests.core.story import CALL, A, B, C, Story, flow
from tests.core.test_arrive import Visit

NUMBER = "+14155550177"
LINES = flow(
    """
    arrives: caller
    start: ring
    defaults: {agent: null, first_line: null}
    nodes:
      ring: {ring: caller, done: known}
      known: {look_up: last_agent, for: caller, found: agent, else: first}
      agent: {connect: agent, from: caller, show: $callee_display, parted: end, no_answer: again, else: first}
      again: {connect: agent, from: caller, show: $callee_display, parted: end, else: first}
      first: {connect: first_line, from: caller, show: $callee_display, parted: end, else: end}
    """
)


def claiming() -> Visit:
    """The agent was found and claimed, and is being rung."""
    visit = Visit(LINES, first_line="+14155550178")
    look = visit.verb("LookUp").id
    told = (("agent.state", {"agent_id": "agt_AG1", "leg": "agent"}),)
    visit.hear(ev.Found, A, look, "found", claimed("agent", "AG1", NUMBER), {"agent": "c", "first_line": "c"}, told=told)
    return visit


def test_the_agent_is_rung_and_told_of_before_the_leg() -> None:
    visit = claiming()
    assert (visit.verb("Connect").number, visit.call.vars[AGENT], keeps(visit.call)) == (NUMBER, "AG1", True)
    assert visit.told.index("agent.state") < visit.told.index("call.leg.dialing", 2)


def test_they_are_the_calls_while_they_talk_and_free_when_they_let_go() -> None:
    visit = claiming().sent()
    visit.hear(ev.LegAnswered, B).hear(ev.LegsJoined, A, B)
    assert visit.call.vars[AGENT] == "AG1"
    visit.ended(B)
    assert not {AGENT, LEG, "agent"} & set(visit.call.vars)
    assert not keeps(visit.call)


@pytest.mark.parametrize("how", ["lost", "policy", "canceled"])
def test_they_are_free_however_their_leg_ends(how: str) -> None:
    visit = claiming().sent()
    if how == "lost":
        visit.hear(ev.Swept)
    elif how == "policy":
        visit.hear(ev.Refused, visit.verb("Connect").id, "denied", "blocked")
    else:
        visit.hear(ev.Cancel).ended(B)
    assert AGENT not in visit.call.vars


def test_who_does_not_pick_up_is_free_and_not_rung_again_without_being_claimed() -> None:
    visit = claiming().sent().hear(ev.LegRinging, B)
    visit.ended(B, "timer", None, None).done("unanswered")
    assert [leg.name for leg in visit.call.legs] == ["caller", "agent", "agent", "first_line"]
    assert (visit.leg(C).verdict, visit.verb("Connect").number) == ("failed", "+14155550178")
    assert not keeps(visit.call)


def test_another_leg_that_ends_leaves_the_agent_as_they_are() -> None:
    story = Story(vars={}).caller_up()
    story.call = replace(story.call, vars={**story.call.vars, **claimed("somebody", "AG1", NUMBER)})
    story.ended(A)
    assert story.call.vars[AGENT] == "AG1"


def test_a_call_keeps_an_agent_while_it_may_be_claiming_one_and_none_when_it_is_over() -> None:
    call = Story().start().call
    assert not keeps(call)
    assert keeps(replace(call, vars={WANTED: {"leg": "caller", "agent": None}}))
    assert keeps(replace(call, steps=(Step("v", "pbx1", "LookUp", A, LookUp("v", A, "last_agent")),)))
    over: Any = Story().start().sent().ended(A).call
    assert over.ended
    assert not keeps(replace(over, vars={AGENT: "AG1"}))
    assert over.id == CALL


def test_what_is_told_of_a_claim_is_as_of_an_assignment() -> None:
    agent = Agent("AG1", "acme", "Ann", NUMBER, "on_duty", CALL, 1)
    assert busy(agent, "callee") == ("agent.state", {"agent_id": "agt_AG1", "name": "Ann", "state": "busy", "leg": "callee"})
