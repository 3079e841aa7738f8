"""Books for robots that pick up where nobody is to be had: what can be offered, and a callback for when the driver is on duty.

The driver is the agent whose number the callee's is.  A callback that is wished for has an id that follows from the wish: asked
for again, after a crash, it is the same one.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from controller.core.agent import WANTED, Agent, busy
from controller.core.call import Call
from controller.core.claimed import claimed
from controller.core.flow import resolve, seconds
from controller.core.ids import CALL_WIDTH, call_of
from controller.core.verbs import LookUp
from controller.ports import Clock, NotSaved
from controller.services.desk import Desk
from controller.services.flows import FlowBook
from controller.services.last_agents import STICKY, Spoke, sticky
from controller.services.lookups import Answer, Book
from controller.services.policy import Forbidden
from controller.services.room import QueueFull
from controller.services.scheduler import NoRoute

AGAIN, CENTRE, CALLBACK = "press-1-again", "press-2-centre", "press-3-callback"
"""The prompts of what may be offered."""
ANYBODY = "anybody"
"""The variable ``callback_by`` where any agent of the queue may call back."""
WITHIN_S, LONGEST_S = 86_400, 7 * 86_400
LAST = "last_agent"
"""The book, and the leg whose number it finds."""
TIME_WIDTH = 10
"""Characters of a call's id that say when it was made."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class AgentStore(Protocol):
    """Where agents are found."""

    async def of_number(self, tenant: str, number: str) -> Agent | None:
        """The agent with this phone."""


class CallStore(Protocol):
    """Where calls are found."""

    async def get(self, call_id: str) -> Call | None:
        """One call."""


class LastAgents(Protocol):
    """To whom customers spoke."""

    async def of(self, tenant: str, customer: str, x: str, sticky_s: int) -> Spoke | None:
        """To whom this customer spoke last by this X."""


Claim = Callable[[str, str, str], Awaitable[Agent | None]]
"""Claims an agent (tenant, call, agent) who is on duty and free; None: that one is not.  Raises NotSaved."""


class Robots:
    """The books ``offers``, ``callback`` and ``last_agent``.  ``check``: whether the policy lets a call be taken in; raises
    Forbidden."""

    def __init__(
        self,
        agents: AgentStore,
        calls: CallStore,
        last: LastAgents,
        claim: Claim,
        flows: FlowBook,
        desk: Desk,
        check: Callable[[Call], None],
        clock: Clock,
    ) -> None:
        self._agents, self._calls, self._last, self._claim, self._flows = agents, calls, last, claim, flows
        self._desk, self._check, self._clock = desk, check, clock

    @property
    def books(self) -> Mapping[str, Book]:
        """By name, as flows look them up."""
        return {"offers": self.offers, "callback": self.callback, LAST: self.last_agent}

    async def offers(self, call: Call, _verb: LookUp) -> Answer:
        """What this caller can be offered: the prompts to say, and whether the callee is off duty.  Raises NotSaved."""
        driver = await self._driver(call)
        found: dict[str, Any] = {}
        if call.vars.get("callee"):
            found["offer_again"] = AGAIN
        if self._said(call, "centre"):
            found["offer_centre"] = CENTRE
        if call.vars.get("caller") and (driver is not None or self._said(call, "callback_by") == ANYBODY):
            found["offer_callback"] = CALLBACK
        return Answer("found", {**found, "callee_away": driver is not None and driver.state == "away"})

    async def callback(self, call: Call, verb: LookUp) -> Answer:
        """A callback that begins when the driver is on duty, and calls the driver first.  Raises NotSaved."""
        wish = wished(verb.id)
        if await self._calls.get(wish) is not None:
            return Answer("found")
        driver = await self._driver(call)
        if not call.vars.get("caller") or (driver is None and call.vars.get("callback_by") != ANYBODY):
            return Answer("refused")
        try:
            within_s = min(LONGEST_S, max(1, _seconds(self._said(call, "callback_within_s"), WITHIN_S)))
            asked = _callback(call, wish, driver, self._clock.now(), within_s)
            self._check(asked)
            await self._desk.open(asked)
        except (Forbidden, QueueFull, NoRoute):
            return Answer("refused")
        except NotSaved:
            if await self._calls.get(wish) is None:  # else another controller was asked the same
                raise
        return Answer("found")

    async def last_agent(self, call: Call, _verb: LookUp) -> Answer:
        """The agent to whom the caller spoke last by this X, within ``sticky_s``, claimed if they are on duty and free.
        Raises NotSaved."""
        caller = call.vars.get("caller")
        if not caller:
            return Answer("nobody")
        spoke = await self._last.of(call.tenant, caller, str(call.vars["called"]), sticky(self._said(call, STICKY)))
        agent = None if spoke is None else await self._claim(call.tenant, call.id, spoke.agent.id)
        if agent is None:
            return Answer("nobody")
        return Answer("found", claimed(LAST, agent.id, agent.number), told=(busy(agent, LAST),))

    def _said(self, call: Call, name: str) -> Any:
        """A variable: the call's own, else its flow's default."""
        try:
            defaults = self._flows.version(call.flow, call.flow_version).defaults
        except KeyError:
            defaults = {}
        return resolve("$" + name, call.vars, defaults)

    async def _driver(self, call: Call) -> Agent | None:
        number = call.vars.get("callee")
        return await self._agents.of_number(call.tenant, number) if isinstance(number, str) and number else None


def wished(verb_id: str) -> str:
    """The id of the callback that this look-up is for.

    >>> wished("01JD3Y8Q4ZK5T0M6W9RB2XHCVE0007")[:10]
    '01JD3Y8Q4Z'
    """
    number = int.from_bytes(hashlib.sha256(f"callback\n{verb_id}".encode()).digest()[:10])
    rest = "".join(_ALPHABET[number >> shift & 31] for shift in range(0, 5 * (CALL_WIDTH - TIME_WIDTH), 5))
    return call_of(verb_id)[:TIME_WIDTH] + rest


def _seconds(value: Any, otherwise: int) -> int:
    found = seconds(int(value) if isinstance(value, str) and value.isdecimal() else value)
    return otherwise if found is None else round(found)


def _callback(call: Call, wish: str, driver: Agent | None, now: int, within_s: int) -> Call:
    shown = call.vars["called"]
    variables = {
        "callee": call.vars["caller"],
        "caller_display": shown,
        "callee_display": shown,
        WANTED: {"leg": "caller", "agent": None if driver is None else driver.id},
    }
    return Call(
        id=wish,
        tenant=call.tenant,
        kind="callback",
        flow="callback",
        flow_version="",
        requested_at=now,
        vars=variables,
        reference=call.reference,
        metadata=call.metadata,
        binding=call.binding,
        not_after=now + within_s * 1000,
        status_url=call.status_url,
    )
