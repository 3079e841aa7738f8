"""Far end: who calls X again reaches the agent of last time, and with the Nth call within a window the second line."""

from tests.lab.far_end import A, B, C
from tests.lab.stage import Stage
from tests.lab.test_agents import agents, say
from tests.lab.test_routed import Routed


def test_the_last_agent_is_reached_by_calling_x_while_on_duty(stage: Stage) -> None:
    with agents(stage, C) as (ann,):
        say(stage, ann, "on_duty")
        routed = Routed(stage, answer={"action": "connect", "to": C})
        routed.talk(A, C)
        menu = {"action": "menu", "flow": "last-agent", "variables": {"first_line": B}}
        number = next(one for one in stage.get("/v1/numbers?limit=200")["items"] if one["number"] == routed.x)
        assert stage.ask("PATCH", f"/v1/numbers/{number['id']}", {"route": {"answer": menu}})[0] == 200
        assert [leg["name"] for leg in routed.talk(A, C)["legs"]] == ["caller", "last_agent"]
        say(stage, ann, "away")
        here = routed.dial(A)
        routed.there(B, here["at"])
        routed.phones.hang_up(here["call_id"])
        assert [leg["name"] for leg in routed.record(3)["legs"]] == ["caller", "first_line"]


def test_the_second_call_goes_to_the_second_line(stage: Stage) -> None:
    lines = {"first_line": B, "second_line": C, "escalate_from": 2}
    routed = Routed(stage, answer={"action": "menu", "flow": "escalation", "variables": lines})
    assert routed.talk(A, B)["legs"][1]["name"] == "first_line"
    here = routed.dial(A)
    routed.there(C, here["at"])
    routed.phones.hang_up(here["call_id"])
    assert routed.record(2)["legs"][1]["name"] == "second_line"
