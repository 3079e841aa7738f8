"""Calls to an X that no binding takes, where the X has a route: the business is asked, call by call (X mode), or has said it.

A resolver of ``arrivals`` around that of the bindings.  Nothing is stored before the answer: should we die while we ask, the
leg knocks again, under the same id, and the same question is asked again with the same id; only then is a call begun, and a
phone rung.  The caller hears ringing meanwhile, unanswered.  Without a good answer in time, what the route says beforehand
holds.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import structlog
from pydantic import ValidationError

from controller.core import ids
from controller.core.agent import Agent, busy
from controller.core.claimed import claimed
from controller.core.flow import Flow
from controller.core.route import Earlier, Routed
from controller.ports import Clock
from controller.services.answers import ANSWER, NOBODY, Announce, Connect, Menu, Reject, Unfit, read
from controller.services.arrivals import Arrival, Refusal, Resolver, Taken
from controller.services.asking import Asker, NotAnswered
from controller.services.flows import FlowBook
from controller.services.masked import THROUGH, TOLD
from controller.services.numbering import is_emergency, is_possible
from controller.services.routing import legs_of
from controller.times import rfc3339

log = structlog.get_logger(__name__)

REFUSED = "refused"
"""The flow of a call that is refused with a word."""
OPEN = frozenset({"unknown", "no_callee"})
"""Why a call reached nobody by a binding, where a route may take it: no rule forbids it."""
NO_AGENT = "no_agent"
"""Why the business had no say although its answer was a good one: the agent is not to be had."""
SHOWN = 10
"""How many earlier calls a question tells of."""


class Store(Protocol):
    """What is asked of the database for a call."""

    async def routed(self, x: str, now: int) -> Routed | None:
        """An X that has a route."""

    async def earlier(self, tenant: str, caller: str, x: str, since: int, until: int) -> list[Earlier]:
        """The caller's last calls to it, the newest first."""


Claim = Callable[[str, str, str], Awaitable[Agent | None]]
"""Claims an agent (tenant, call, agent) who is on duty and free; None: that one is not.  Raises NotSaved."""


class NoAgent(Unfit):
    """The agent who is to be rung is not to be had now."""


class RoutedCalls:
    """``masked``: the resolver of the bindings, which are looked at first."""

    def __init__(
        self,
        masked: Resolver,
        store: Store,
        claim: Claim,
        asker: Asker,
        flows: FlowBook,
        clock: Clock,
    ) -> None:
        self._masked, self._store, self._claim, self._asker = masked, store, claim, asker
        self._flows, self._clock = flows, clock

    async def __call__(self, arrival: Arrival) -> Taken | Refusal | None:
        """What is to be done with a call."""
        found = await self._masked(arrival)
        if not _is_open(found):
            return found
        now = self._clock.now()
        routed = await self._store.routed(arrival.called, now)
        if routed is None:
            return found
        call = _Call(arrival, routed, await self._earlier(arrival, routed, now))
        reason = ""
        if routed.route.url is not None:
            await arrival.door.ring()
            asked = await self._asked(call, routed.route.url)
            if isinstance(asked, Taken):
                return asked
            reason = asked
        return await self._beforehand(call, reason)

    async def _asked(self, call: "_Call", url: str) -> Taken | str:
        """What the business wants, or why nobody knows."""
        try:
            return await self._taken(call, await self._ask(call, url), "business")
        except NotAnswered as failure:
            return failure.why
        except NoAgent:
            return NO_AGENT
        except Unfit as fault:
            self._asker.results["invalid"] += 1
            log.warning("an answer cannot be carried out", leg=call.arrival.leg, tenant=call.routed.tenant, reason=str(fault))
            return "invalid"

    async def _beforehand(self, call: "_Call", reason: str) -> Taken:
        """What the number's route says itself."""
        try:
            answer = ANSWER.validate_python(dict(call.routed.route.answer))
            return await self._taken(call, answer, "number", reason)
        except NoAgent:
            return await self._taken(call, NOBODY, "number", reason or NO_AGENT)
        except (Unfit, ValidationError) as fault:
            word = str(fault) if isinstance(fault, Unfit) else "it is written otherwise today"
            log.warning("a route cannot be carried out", leg=call.arrival.leg, tenant=call.routed.tenant, reason=word)
            return await self._taken(call, NOBODY, "number", reason or "invalid")

    async def _earlier(self, arrival: Arrival, routed: Routed, now: int) -> list[Earlier]:
        if not arrival.caller:
            return []
        since = now - routed.route.window_s * 1000
        return await self._store.earlier(routed.tenant, arrival.caller, arrival.called, since, now)

    async def _ask(self, call: "_Call", url: str) -> Connect | Announce | Menu | Reject:
        routed = call.routed
        within_s = routed.route.timeout_ms / 1000
        return read(await self._asker.ask(routed.tenant, url, routed.secrets, call.question, call.body(), within_s))

    async def _taken(self, call: "_Call", answer: Connect | Announce | Menu | Reject, by: str, reason: str = "") -> Taken:
        """The call that an answer means; its agent is claimed.  Raises Unfit, NotSaved."""
        told: tuple[tuple[str, Any], ...] = (("call.routed", {"by": by, "action": answer.action, "reason": reason or None}),)
        if isinstance(answer, Connect) and answer.agent is not None:
            agent = await self._claim(call.routed.tenant, call.id, answer.agent.removeprefix("agt_"))
            if agent is None:
                raise NoAgent("agent: not there, not on duty, or not free")
            flow, variables = THROUGH, _connected(call, answer, claimed("callee", agent.id, agent.number))
            told = (*told, busy(agent, "callee"))
        else:
            flow, variables = self._walk(call, answer)
        return Taken(call.routed.tenant, flow, variables, "masked", reference=answer.reference, told=told)

    def _walk(self, call: "_Call", answer: Connect | Announce | Menu | Reject) -> tuple[str, dict[str, Any]]:
        if isinstance(answer, Connect):
            return THROUGH, _connected(call, answer, {"callee": answer.to})
        if isinstance(answer, Announce):
            return TOLD, {"prompt": answer.prompt}
        if isinstance(answer, Reject):
            return REFUSED, {"with": answer.with_}
        return answer.flow, _variables(call, answer, self._flow(answer.flow))

    def _flow(self, name: str) -> Flow:
        try:
            flow = self._flows.latest(name)
        except KeyError:
            raise Unfit("flow: there is none of this name") from None
        return flow


EVERY_CALL = ("caller", "called")
CONTEXT = (*EVERY_CALL, "call_number")
"""What a call knows of itself."""


def check_menu(menu: Menu, flow: Flow, given: Collection[str]) -> None:
    """Whether calls that come in can walk this flow with these variables, beside those that are ``given``.  Raises Unfit."""
    if not flow.arrives:
        raise Unfit("flow: it is not for calls that come in")
    named, legs = {*flow.needs, *flow.defaults}, legs_of(flow)
    for name, value in menu.variables.items():
        if name not in named or name in EVERY_CALL:
            raise Unfit("variables: one that the flow does not name")
        if name in legs and (not isinstance(value, str) or is_emergency(value) or not is_possible(value)):
            raise Unfit("variables: the number of a leg is none")
    if not {*flow.needs} <= {*given, *(name for name, value in menu.variables.items() if value is not None)}:
        raise Unfit("variables: one that the flow needs is missing")


class _Call:
    """A call about which is decided."""

    def __init__(self, arrival: Arrival, routed: Routed, earlier: Sequence[Earlier]) -> None:
        self.arrival, self.routed, self.earlier = arrival, routed, earlier
        self.id = ids.call_of(arrival.leg)
        self.question = "ask_" + self.id

    def context(self) -> Mapping[str, Any]:
        """What a flow may know of the call beside what it is given."""
        return {"caller": self.arrival.caller, "called": self.routed.number, "call_number": len(self.earlier) + 1}

    def body(self) -> bytes:
        """The question."""
        return msgspec.json.encode(
            {
                "id": self.question,
                "type": "call.route",
                "occurred_at": rfc3339(self.arrival.at),
                "call_id": "call_" + self.id,
                "data": {
                    "caller": self.arrival.caller or None,
                    "called": self.routed.number,
                    "extension": None,
                    "call_number": len(self.earlier) + 1,
                    "history": [_history(one) for one in self.earlier[:SHOWN]],
                },
            }
        )


def _history(earlier: Earlier) -> dict[str, Any]:
    return {
        "call_id": "call_" + earlier.call,
        "at": rfc3339(earlier.at),
        "disposition": earlier.disposition,
        "talked_s": earlier.talked_ms / 1000,
    }


def _connected(call: _Call, answer: Connect, whom: dict[str, Any]) -> dict[str, Any]:
    optional = answer.model_dump(include={"announce", "ring_timeout_s", "record", "max_duration_s"}, exclude_none=True)
    return {**whom, "callee_display": answer.display or call.routed.number, **optional}


def _is_open(found: Taken | Refusal | None) -> bool:
    """Whether no binding takes the call, and none forbids it."""
    return found is not None and found.why in OPEN


def _variables(call: _Call, menu: Menu, flow: Flow) -> dict[str, Any]:
    """The variables of a call that walks this flow: what it is given, and of the rest what it names.  Raises Unfit."""
    named = {*flow.needs, *flow.defaults, *EVERY_CALL}
    context = {name: value for name, value in call.context().items() if name in named}
    check_menu(menu, flow, context)
    return {**context, **{name: value for name, value in menu.variables.items() if value is not None}}
