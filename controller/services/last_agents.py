"""To which agent a customer spoke last by an X: read from the calls themselves, and forgotten on request.

Nothing is written for it while calls go on.  To forget somebody leaves a mark, and no call that began before it counts; so a
look-up and whoever asks over the API read the same, and nothing can differ from the calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.core.agent import Agent
from controller.core.call import Call, Leg
from controller.core.flow import seconds
from controller.ports import Clock
from controller.services.arrivals import as_e164
from controller.services.flows import FlowBook

STICKY = "sticky_s"
"""The variable that says how long somebody is remembered."""
STICKY_S, LONGEST_S = 7 * 86_400, 30 * 86_400
"""Where it is not said, and at most: then the marks go, too."""
FLOW = "last-agent"


class AgentStore(Protocol):
    """Where agents are found."""

    async def of_number(self, tenant: str, number: str) -> Agent | None:
        """The agent with this phone."""


class Past(Protocol):
    """Where a party's calls are found."""

    async def of_party(self, tenant: str, number: str, since: int) -> list[Call]:
        """The last ones, the newest first."""


class Marks(Protocol):
    """Who is to be forgotten."""

    async def forgotten(self, tenant: str, x: str, customer: str) -> int:
        """When that was last said (ms); 0: never."""

    async def forget(self, tenant: str, x: str, customer: str, now: int) -> None:
        """It is said now.  Raises NotSaved."""


@dataclass(frozen=True, slots=True)
class Spoke:
    """The customer spoke to this agent in this call, which began ``at`` (ms); remembered ``until``."""

    agent: Agent
    call: str
    at: int
    until: int


class LastAgents:
    """``sticky_s``: how long somebody is remembered, within the bounds of ``sticky``."""

    def __init__(self, agents: AgentStore, past: Past, marks: Marks, clock: Clock) -> None:
        self._agents, self._past, self._marks, self._clock = agents, past, marks, clock

    async def of(self, tenant: str, customer: str, x: str, sticky_s: int) -> Spoke | None:
        """To whom this customer spoke last by this X.  Raises Unavailable."""
        x, now = as_e164(x), self._clock.now()
        since = max(now - sticky_s * 1000, await self._marks.forgotten(tenant, x, customer) + 1)
        for call in await self._past.of_party(tenant, customer, since):
            number = _spoke_to(call, customer, x)
            agent = await self._agents.of_number(tenant, number) if number else None
            if agent is not None:
                return Spoke(agent, call.id, call.requested_at, call.requested_at + sticky_s * 1000)
        return None

    async def forget(self, tenant: str, customer: str, x: str) -> None:
        """No call that has begun counts any more.  Raises NotSaved."""
        await self._marks.forget(tenant, as_e164(x), customer, self._clock.now())


def sticky(said: Any) -> int:
    """How long somebody is remembered (s), by what the call or its flow says."""
    found = seconds(int(said) if isinstance(said, str) and said.isdecimal() else said)
    return STICKY_S if found is None else min(LONGEST_S, round(found))


def sticky_of(answer: Mapping[str, Any] | None, flows: FlowBook) -> int:
    """The same of an X, by the answer of its route."""
    menu: Mapping[str, Any] = answer if answer is not None and answer.get("action") == "menu" else {"flow": FLOW}
    said = menu.get("variables", {}).get(STICKY)
    if said is None:
        try:
            said = flows.latest(menu["flow"]).defaults.get(STICKY)
        except KeyError:
            said = None
    return sticky(said)


def _spoke_to(call: Call, party: str, x: str) -> str | None:
    """Whom this party talked to in a call by this X; None: to nobody."""
    talked = next((leg for leg in reversed(call.legs) if leg.joined_at is not None), None)
    near = call.leg(talked.peer) if talked is not None else None
    if talked is None or near is None:
        return None
    sides: tuple[tuple[Leg, Leg], ...] = ((near, talked), (talked, near))
    return next((other.number for mine, other in sides if as_e164(mine.number) == party and as_e164(mine.display) == x), None)
