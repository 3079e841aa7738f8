"""Far end, CB10: a callback that wants an agent begins when one goes on duty, and rings that one alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.far_end import A, B, C
from tests.lab.stage import Stage
from tests.lab.test_callback_later import WITHIN_S, Asked


@contextmanager
def agents(stage: Stage, *numbers: str) -> Iterator[list[str]]:
    """Agents with these phones, all away; they are gone afterwards."""
    made: list[str] = []
    for number in numbers:
        status, answer = stage.ask("POST", "/v1/agents", {"name": f"Agent {len(made)}", "number": number})
        assert status == 201, answer
        made.append(answer["id"])
    try:
        yield made
    finally:
        for agent in made:
            stage.ask("DELETE", f"/v1/agents/{agent}")


def say(stage: Stage, agent: str, state: str) -> None:
    """An agent says how they are."""
    status, answer = stage.ask("PATCH", f"/v1/agents/{agent}", {"state": state})
    assert status == 200, answer


def bridged(asked: Asked, leg: str, agent: str) -> dict[str, Any]:
    """The call once the two talk, by the agent who is assigned."""
    facts = asked.stage.receiver.wait_for(asked.id, lambda facts: any(f["type"] == "call.bridged" for f in facts), WITHIN_S)
    assigned = [fact["data"] for fact in facts if fact["type"] == "agent.state"]
    assert [(data["agent_id"], data["leg"]) for data in assigned] == [(agent, leg)]
    found: dict[str, Any] = asked.stage.get(f"/v1/callbacks/{asked.id}")
    return found


@pytest.mark.parametrize("leg", ["caller", "callee"])
def test_an_agent_who_goes_on_duty_is_called_first_or_second_as_asked(stage: Stage, leg: str) -> None:
    with agents(stage, A, C) as (ann, _):
        numbers: dict[str, Any] = {"caller": B, "callee": B} | {leg: {"queue": "default"}}
        asked = Asked(stage, **numbers)
        assert asked.answer["queue_position"] == 1
        assert stage.get("/v1/queues")["items"] == [{"id": "default", "waiting": 1, "on_duty": 0}]
        say(stage, ann, "on_duty")
        call = bridged(asked, leg, ann)
        assert {item["name"]: item["number"] for item in call["legs"]} == {"caller": B, "callee": B} | {leg: A}
        assert [item["name"] for item in call["legs"]] == ["caller", "callee"]
        assert len(stage.lab.phones.calls(A, shown=asked.displays[leg])) == 1
        assert stage.lab.phones.calls(C, shown=asked.displays[leg]) == []
        assert stage.get(f"/v1/agents/{ann}")["state"] == "busy"
        stage.ask("DELETE", f"/v1/callbacks/{asked.id}")
        asked.ended()


def test_a_busy_agent_takes_the_next_callback_when_the_talk_is_over_and_a_kill_changes_nothing(stage: Stage) -> None:
    with agents(stage, A) as (ann,):
        say(stage, ann, "on_duty")
        first = Asked(stage, {"agent": ann}, B)  # type: ignore[arg-type]
        bridged(first, "caller", ann)
        second = Asked(stage, {"queue": "default"}, C)  # type: ignore[arg-type]
        stage.lab.kill("controller")
        stage.lab.restart("controller")
        assert stage.get(f"/v1/callbacks/{second.id}")["queue_position"] == 1
        stage.patiently("DELETE", f"/v1/callbacks/{first.id}")
        first.ended()
        bridged(second, "caller", ann)
        assert len(stage.lab.phones.calls(A, shown=second.displays["caller"])) == 1
        stage.ask("DELETE", f"/v1/callbacks/{second.id}")
        second.ended()
