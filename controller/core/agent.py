"""A call that is for an agent: whom it wants, and what it is once somebody is assigned.

``vars["agent_wanted"]`` says which leg is the agent's and which agent that must be (none: whoever of the queue is idle
longest); from the assignment on ``vars`` holds the leg's number and ``agent_id``.  It happens before the call starts, so no
phone rings for a call without an agent.
"""

from dataclasses import dataclass, field
from typing import Literal

from controller.core import events as ev
from controller.core import ids
from controller.core.call import Call, CallStatus
from controller.core.claimed import AGENT as AGENT
from controller.core.draft import Draft

WANTED = "agent_wanted"

AgentState = Literal["on_duty", "busy", "away"]


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who takes calls on the phone ``number``.  ``state``: what they said; ``call``: the one they are assigned to."""

    id: str
    tenant: str
    name: str = field(repr=False)
    number: str = field(repr=False)
    state: AgentState
    call: str | None
    created_at: int

    @property
    def seen(self) -> AgentState:
        """The state that others see: busy while they are assigned to a call, whatever they said."""
        return "busy" if self.call else self.state

    @property
    def stream(self) -> str:
        """Where what happens to them is told."""
        return ids.stream_id("agt_", self.id)


def told(agent: Agent, removed: bool = False) -> dict[str, object]:
    """The ``data`` of ``agent.state`` in an agent's own stream: no number in it."""
    call = None if agent.call is None else "call_" + agent.call
    state = "removed" if removed else agent.seen
    return {"agent_id": agent.stream, "name": agent.name, "state": state, "leg": None, "call_id": call}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The leg that an agent is to be, and the agent's id; None: any of the queue."""

    leg: str
    agent: str | None


def wanted(call: Call) -> Wanted | None:
    """Whom a call still waits for."""
    found = call.vars.get(WANTED)
    if found is None or AGENT in call.vars:
        return None
    return Wanted(str(found["leg"]), found.get("agent"))


def keeps(call: Call) -> bool:
    """Whether an agent who is assigned to this call stays so: it has one, waits for one, or may be claiming one now."""
    return not call.ended and (AGENT in call.vars or wanted(call) is not None or _looks_up(call))


def _looks_up(call: Call) -> bool:
    return any(step.kind == "LookUp" for step in call.steps)


def busy(agent: Agent, leg: str) -> tuple[str, dict[str, object]]:
    """The fact that an agent was claimed to be this leg: type and data."""
    return "agent.state", {"agent_id": "agt_" + agent.id, "name": agent.name, "state": "busy", "leg": leg}


def on_assigned(draft: Draft, event: ev.Assigned) -> None:
    """An agent is there: the call may begin.  One that has an agent already keeps it."""
    call = draft.call
    want = wanted(call)
    if want is None or call.status is not CallStatus.queued:
        return
    draft.change(vars={**call.vars, want.leg: event.number, AGENT: event.agent})
    draft.tell("agent.state", {"agent_id": "agt_" + event.agent, "name": event.name, "state": "busy", "leg": want.leg})


def unassigned(call: Call) -> dict[str, object]:
    """The variables of another attempt of this call: it waits for an agent anew."""
    if WANTED not in call.vars:
        return dict(call.vars)
    gone = (AGENT, call.vars[WANTED]["leg"])
    return {name: value for name, value in call.vars.items() if name not in gone}
