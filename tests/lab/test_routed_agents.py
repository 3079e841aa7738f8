"""Far end: an agent whom X mode or the last-agent flow rings is theirs alone, until their leg or the call is over."""

import time
from typing import Any

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B, C, heard
from tests.lab.stage import Stage
from tests.lab.test_agents import agents, bridged, say
from tests.lab.test_callback_later import WITHIN_S, Asked
from tests.lab.test_memory import statuses
from tests.lab.test_routed import Routed

OTHER = "+14155550104"  # a phone that answers


def until_state(stage: Stage, agent: str, state: str) -> dict[str, Any]:
    """The agent, once they are so."""
    deadline = time.monotonic() + WITHIN_S
    while (found := stage.get(f"/v1/agents/{agent}"))["state"] != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)  # the pause of a client that asks again
    answer: dict[str, Any] = found
    return answer


def talking(routed: Routed, caller: str, callee: str) -> Call:
    """A call that is through."""
    here = routed.dial(caller)
    routed.there(callee, here["at"])
    return routed.until(caller, here, lambda one: heard(one, routed.stage.lab.tone(callee)) > 0.2)


def test_who_calls_for_an_agent_who_is_busy_is_refused_and_told_why_in_the_timeline(stage: Stage) -> None:
    with agents(stage, C) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "agent": ann})
        here = talking(routed, A, C)
        busy = until_state(stage, ann, "busy")
        routed.refused(B, "480")
        assert len(routed.phones.calls(C, shown=routed.x)) == 1
        routed.phones.hang_up(here["call_id"])
        until_state(stage, ann, "on_duty")
        assert routed.why(routed.record(2))["reason"] == "no_agent"
        told = [event["data"] for event in stage.events(busy["call_id"]) if event["type"] == "agent.state"]
        assert [(one["agent_id"], one["state"], one["leg"]) for one in told] == [(ann, "busy", "callee")]
        routed.phones.hang_up(talking(routed, B, C)["call_id"])


def test_two_calls_at_once_ring_an_agent_once(stage: Stage) -> None:
    with agents(stage, C) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "agent": ann})
        since = time.time()
        callers = (A, B, OTHER)
        for phone in callers:
            routed.phones.place(phone, routed.x)
        routed.there(C, since)
        refused = [
            phone for phone in callers
            if "480" in statuses(_answered(routed, phone, since))
        ]  # fmt: skip
        assert len(refused) == 2
        assert len(routed.phones.calls(C, shown=routed.x)) == 1
        (caller,) = set(callers) - set(refused)
        routed.phones.hang_up(_answered(routed, caller, since)["call_id"])
        until_state(stage, ann, "on_duty")


def _answered(routed: Routed, phone: str, since: float) -> Call:
    """The call that a phone placed, once it has a final answer."""

    def final(call: Call) -> bool:
        mine = call["direction"] == "out" and call["at"] >= since - 0.5
        return mine and any(status in statuses(call) for status in ("200", "480"))

    return next(
        one for one in routed.phones.wait_for(lambda calls: any(map(final, calls)), phone, since, WITHIN_S) if final(one)
    )


def test_the_queue_waits_for_an_agent_whom_an_x_has_and_the_x_does_without_one_whom_the_queue_has(stage: Stage) -> None:
    with agents(stage, C) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "agent": ann})
        here = talking(routed, A, C)
        waiting = Asked(stage, {"queue": "default"}, B)  # type: ignore[arg-type]
        assert waiting.answer["queue_position"] == 1
        assert stage.get("/v1/queues")["items"] == [{"id": "default", "waiting": 1, "on_duty": 0}]
        routed.phones.hang_up(here["call_id"])
        bridged(waiting, "caller", ann)
        routed.refused(OTHER, "480")
        stage.ask("DELETE", f"/v1/callbacks/{waiting.id}")
        waiting.ended()
        until_state(stage, ann, "on_duty")


def test_an_agent_is_let_go_of_also_when_the_controller_died_while_they_talked(stage: Stage) -> None:
    with agents(stage, C) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "agent": ann})
        for ends_while_nobody_looks in (False, True):
            here = talking(routed, A, C)
            until_state(stage, ann, "busy")
            stage.lab.kill("controller")
            if ends_while_nobody_looks:
                routed.phones.hang_up(here["call_id"])
            stage.lab.restart("controller")
            if not ends_while_nobody_looks:
                assert until_state(stage, ann, "busy")["call_id"]
                routed.phones.hang_up(here["call_id"])
            until_state(stage, ann, "on_duty")


def to_the_last_agent(stage: Stage, routed: Routed) -> None:
    """From now on who calls X reaches the agent of last time, else B."""
    menu = {"action": "menu", "flow": "last-agent", "variables": {"first_line": B, "ring_timeout_s": 5}}
    number = next(one for one in stage.get("/v1/numbers?limit=200")["items"] if one["number"] == routed.x)
    assert stage.ask("PATCH", f"/v1/numbers/{number['id']}", {"route": {"answer": menu}})[0] == 200


def test_the_last_agent_of_two_customers_is_rung_by_one_of_them(stage: Stage) -> None:
    with agents(stage, C) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "to": C})
        for caller in (A, OTHER):
            routed.talk(caller, C)
        to_the_last_agent(stage, routed)
        first = talking(routed, A, C)
        until_state(stage, ann, "busy")
        second = talking(routed, OTHER, B)
        assert len(routed.phones.calls(C, shown=routed.x)) == 3
        for here in (first, second):
            routed.phones.hang_up(here["call_id"])
        until_state(stage, ann, "on_duty")


def test_a_last_agent_who_does_not_pick_up_is_free_while_the_first_line_has_the_call(stage: Stage) -> None:
    mute = stage.lab.number("no_answer")
    with agents(stage, mute) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "to": mute})
        here = routed.dial(A)
        rung = routed.phones.wait_for(lambda calls: bool(calls), mute, 0.0, WITHIN_S, routed.x)[0]
        routed.phones.answer(rung["call_id"])
        routed.until(A, here, lambda one: heard(one, stage.lab.tone(mute)) > 0.2)
        routed.phones.hang_up(here["call_id"])
        routed.record()
        to_the_last_agent(stage, routed)
        here = routed.dial(A)
        until_state(stage, ann, "busy")
        routed.there(B, here["at"])
        until_state(stage, ann, "on_duty")
        assert routed.seen(A, here)["ended_at"] is None
        routed.phones.hang_up(here["call_id"])
        assert [leg["name"] for leg in routed.record(2)["legs"]] == ["caller", "last_agent", "first_line"]
