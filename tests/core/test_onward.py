"""A look-up that leads a call on to another flow: it keeps its legs and its past, and walks that one from its start."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.flow import Flow
from controller.store import codec
from tests.core.story import A, B, flow, shipped
from tests.core.test_arrive import FROM, TO, Visit

KEYS = "4711"
ASKED = {"prompt": "extension", "least": 4, "most": 4, "repeats": 1}
FOUND = {"callee": "+14155550177", "callee_display": TO}
MENU = flow(
    """
    arrives: visitor
    longest: 10s
    start: answer
    nodes:
      answer: {answer: visitor, done: menu}
      menu: {ask: visitor, say: menu, 1: end, else: end}
    """
)


def asked() -> Visit:
    """The caller was answered and hears the prompt."""
    visit = Visit(shipped("routed-keys"), **ASKED)
    visit.hear(ev.LegAnswered, A).hear(ev.VerbDone, A, visit.verb("Answer").id, "done").sent()
    assert visit.asked == ["Answer", "Ask"]
    return visit


def keyed() -> Visit:
    """They keyed it in, and it is looked up."""
    visit = asked().done("digits", KEYS)
    assert (visit.verb("LookUp").book, visit.verb("LookUp").keys) == ("route", KEYS)
    return visit


def found(visit: Visit, walks: Flow, variables: Any, **more: Any) -> Visit:
    """The answer is there; what comes after is decided with the new flow."""
    told = (("call.routed", {"by": "business"}),)
    visit.hear(ev.Found, A, visit.verb("LookUp").id, "found", variables, {"callee": "c"}, flow=walks, told=told, **more)
    visit.flow = walks
    return visit


def test_the_call_goes_on_as_if_it_had_come_in_with_that_flow() -> None:
    through = shipped("masked")
    visit = found(keyed(), through, FOUND, reference="desk")
    call = visit.call
    assert (call.flow, call.flow_version, call.at, call.reference) == ("masked", through.version, "callee", "desk")
    assert (visit.verb("Connect").number, visit.verb("Connect").display) == ("+14155550177", TO)
    assert visit.told.index("flow.node") < visit.told.index("call.routed") < visit.told.index("call.leg.dialing", 2)
    visit.sent().hear(ev.LegAnswered, B).hear(ev.LegsJoined, A, B).ended(B).done("parted").over()
    assert visit.outcome == ("completed", "callee")


def test_of_its_variables_it_keeps_who_called_whom_and_no_key() -> None:
    visit = keyed()
    visit.call = visit.call.__class__(**{**visit.call.__dict__, "vars": {**visit.call.vars, "caller": FROM, "called": TO}})
    visit.hear(ev.Digit, A, "9")  # a late one
    call = found(visit, shipped("masked"), FOUND).hear(ev.Digit, A, "8").call
    visible = {name: value for name, value in call.vars.items() if not name.startswith("_")}
    assert visible == {"caller": FROM, "called": TO, **FOUND}
    assert call.keys == ()
    assert KEYS not in codec.encode(call) + repr([fact.data for fact in visit.facts])


def test_the_leg_has_the_name_that_the_new_flow_gives_it_and_the_flows_own_longest_time() -> None:
    visit = found(keyed(), MENU, {})
    assert (visit.leg(A).name, visit.asked[-1]) == ("visitor", "Ask")
    assert visit.call.until == visit.now + 10_000
    visit.hear(ev.Deadline, at=visit.now + 10_000)
    assert visit.call.ending


def test_an_answered_call_that_is_refused_was_what_the_flow_says() -> None:
    visit = found(keyed(), shipped("refused"), {"with": "busy"}).over()
    assert visit.outcome == ("busy", "platform")


@pytest.mark.parametrize("times", [1, 2])
def test_who_keys_in_nothing_is_asked_again_and_then_looked_up_without_keys(times: int) -> None:
    visit = asked()
    for _ in range(times):
        assert visit.verb("Ask").least == 4
        visit.done("timeout").sent()
    assert (visit.asked[-1] == "LookUp") == (times == 2)
    assert times == 1 or visit.verb("LookUp").keys == ""


def test_an_answer_that_comes_too_late_leads_nowhere() -> None:
    visit = keyed()
    visit.hear(ev.Deadline, at=visit.call.due_at)
    assert visit.verb("Play").prompts == ("not-available",)
    before = visit.call
    assert found(visit, shipped("masked"), FOUND).call == before
    visit.flow = shipped("routed-keys")
    visit.sent().done().over()
    assert visit.outcome == ("unreachable", "platform")


def test_the_same_answer_twice_leads_on_once() -> None:
    visit = found(keyed(), shipped("masked"), FOUND)
    before, look = visit.call, visit.verb("LookUp").id
    visit.hear(ev.Found, A, look, "found", FOUND, {"callee": "c"}, flow=shipped("masked"))
    assert visit.call == before
