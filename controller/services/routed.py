"""Calls to an X that no binding takes, where the X has a route: the business is asked, call by call (X mode), or has said it.

A resolver of ``arrivals`` around that of the bindings.  Nothing is stored before the answer: should we die while we ask, the
leg knocks again, under the same id, and the same question is asked again with the same id; only then is a call begun, and a
phone rung.  The caller hears ringing meanwhile, unanswered.  Without a good answer in time, what the route says beforehand
holds.

Where the route wants an extension the call begins at once, with a flow that answers and asks for it, and the question is asked
by that flow's look-up (the book ``route``): its answer leads the call on to the flow with which it would have begun.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from controller.core import ids
from controller.core.agent import Agent, busy
from controller.core.call import Call
from controller.core.claimed import claimed
from controller.core.flow import Flow
from controller.core.notation import ROUTE
from controller.core.route import Earlier, Extension, Routed
from controller.core.verbs import LookUp
from controller.ports import Clock
from controller.services.answers import ANSWER, NOBODY, Announce, Connect, Menu, Reject, Unfit, prompts_of, read
from controller.services.arrivals import Arrival, Refusal, Resolver, Taken
from controller.services.asking import Asker, NotAnswered
from controller.services.flows import FlowBook
from controller.services.lookups import Answer
from controller.services.masked import THROUGH, TOLD
from controller.services.numbering import is_emergency, is_possible
from controller.services.prompts import Prompts
from controller.services.question import EVERY_CALL, Question
from controller.services.routing import legs_of

log = structlog.get_logger(__name__)

REFUSED = "refused"
"""The flow of a call that is refused with a word."""
KEYS = "routed-keys"
"""The flow of a call that is answered and asked for an extension."""
OPEN = frozenset({"unknown", "no_callee"})
"""Why a call reached nobody by a binding, where a route may take it: no rule forbids it."""
NO_AGENT, NO_EXTENSION = "no_agent", "no_extension"
"""Why the business had no say although it would have had a good answer: the agent is not to be had, nothing was keyed in."""


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
        prompts: Prompts,
        clock: Clock,
    ) -> None:
        self._masked, self._store, self._claim, self._asker = masked, store, claim, asker
        self._flows, self._prompts, self._clock = flows, prompts, clock

    async def __call__(self, arrival: Arrival) -> Taken | Refusal | None:
        """What is to be done with a call."""
        found = await self._masked(arrival)
        if not _is_open(found):
            return found
        now = self._clock.now()
        routed = await self._store.routed(arrival.called, now)
        if routed is None:
            return found
        if routed.route.url is not None and routed.route.extension is not None:
            return Taken(routed.tenant, KEYS, _keys(routed.route.extension), "masked")
        earlier = await self._earlier(routed, arrival.caller, arrival.called, now)
        call = Question(ids.call_of(arrival.leg), arrival.caller, arrival.at, routed, earlier)
        return await self._decided(call, arrival.door.ring)

    async def keyed(self, call: Call, verb: LookUp) -> Answer:
        """What becomes of a call whose caller has keyed in an extension, or nothing.  Raises NotSaved."""
        caller, called = str(call.vars["caller"]), str(call.vars["called"])
        routed = await self._store.routed(called, self._clock.now())
        if routed is None or routed.tenant != call.tenant:
            return Answer("failed")  # it was taken away meanwhile
        earlier = await self._earlier(routed, caller, called, call.requested_at)
        taken = await self._decided(Question(call.id, caller, call.requested_at, routed, earlier, verb.keys))
        flow = self._flows.latest(taken.flow)
        return Answer("found", taken.vars, reference=taken.reference, flow=flow, told=taken.told)

    async def _decided(self, call: Question, ring: Callable[[], Awaitable[None]] | None = None) -> Taken:
        reason = ""
        if call.extension == "":
            reason = NO_EXTENSION
        elif call.routed.route.url is not None:
            if ring is not None:
                await ring()
            asked = await self._asked(call, call.routed.route.url)
            if isinstance(asked, Taken):
                return asked
            reason = asked
        return await self._beforehand(call, reason)

    async def _asked(self, call: Question, url: str) -> Taken | str:
        """What the business wants, or why nobody knows."""
        try:
            return await self._taken(call, await self._ask(call, url), "business")
        except NotAnswered as failure:
            return failure.why
        except NoAgent:
            return NO_AGENT
        except Unfit as fault:
            self._asker.results["invalid"] += 1
            log.warning("an answer cannot be carried out", call=call.call, tenant=call.routed.tenant, reason=str(fault))
            return "invalid"

    async def _beforehand(self, call: Question, reason: str) -> Taken:
        """What the number's route says itself."""
        try:
            answer = ANSWER.validate_python(dict(call.routed.route.answer))
            return await self._taken(call, answer, "number", reason)
        except NoAgent:
            return await self._taken(call, NOBODY, "number", reason or NO_AGENT)
        except (Unfit, ValidationError) as fault:
            word = str(fault) if isinstance(fault, Unfit) else "it is written otherwise today"
            log.warning("a route cannot be carried out", call=call.call, tenant=call.routed.tenant, reason=word)
            return await self._taken(call, NOBODY, "number", reason or "invalid")

    async def _earlier(self, routed: Routed, caller: str, called: str, until: int) -> list[Earlier]:
        if not caller:
            return []
        since = until - routed.route.window_s * 1000
        return await self._store.earlier(routed.tenant, caller, called, since, until)

    async def _ask(self, call: Question, url: str) -> Connect | Announce | Menu | Reject:
        routed = call.routed
        within_s = routed.route.timeout_ms / 1000
        answer = read(await self._asker.ask(routed.tenant, url, routed.secrets, call.id, call.body(), within_s))
        if await self._prompts.missing(prompts_of(answer).values()):
            raise Unfit("the answer: no node has a prompt of this name")
        return answer

    async def _taken(self, call: Question, answer: Connect | Announce | Menu | Reject, by: str, reason: str = "") -> Taken:
        """The call that an answer means; its agent is claimed.  Raises Unfit, NotSaved."""
        told: tuple[tuple[str, Any], ...] = (("call.routed", {"by": by, "action": answer.action, "reason": reason or None}),)
        if isinstance(answer, Connect) and answer.agent is not None:
            agent = await self._claim(call.routed.tenant, call.call, answer.agent.removeprefix("agt_"))
            if agent is None:
                raise NoAgent("agent: not there, not on duty, or not free")
            flow, variables = THROUGH, _connected(call, answer, claimed("callee", agent.id, agent.number))
            told = (*told, busy(agent, "callee"))
        else:
            flow, variables = self._walk(call, answer)
        return Taken(call.routed.tenant, flow, variables, "masked", reference=answer.reference, told=told)

    def _walk(self, call: Question, answer: Connect | Announce | Menu | Reject) -> tuple[str, dict[str, Any]]:
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


def check_menu(menu: Menu, flow: Flow, given: Collection[str]) -> None:
    """Whether calls that come in can walk this flow with these variables, beside those that are ``given``.  Raises Unfit."""
    if not flow.arrives:
        raise Unfit("flow: it is not for calls that come in")
    if any(node.kind == "look_up" and node.subject == ROUTE for node in flow.nodes.values()):
        raise Unfit("flow: it asks for the route itself")
    named, legs = {*flow.needs, *flow.defaults}, legs_of(flow)
    for name, value in menu.variables.items():
        if name not in named or name in EVERY_CALL:
            raise Unfit("variables: one that the flow does not name")
        if name in legs and (not isinstance(value, str) or is_emergency(value) or not is_possible(value)):
            raise Unfit("variables: the number of a leg is none")
    if not {*flow.needs} <= {*given, *(name for name, value in menu.variables.items() if value is not None)}:
        raise Unfit("variables: one that the flow needs is missing")


def _keys(extension: Extension) -> dict[str, Any]:
    """The variables of the flow that asks for it."""
    return {"prompt": extension.prompt, "least": extension.least, "most": extension.most, "repeats": extension.repeats}


def _connected(call: Question, answer: Connect, whom: dict[str, Any]) -> dict[str, Any]:
    optional = answer.model_dump(include={"announce", "ring_timeout_s", "record", "max_duration_s"}, exclude_none=True)
    return {**whom, "callee_display": answer.display or call.routed.number, **optional}


def _is_open(found: Taken | Refusal | None) -> bool:
    """Whether no binding takes the call, and none forbids it."""
    return found is not None and found.why in OPEN


def _variables(call: Question, menu: Menu, flow: Flow) -> dict[str, Any]:
    """The variables of a call that walks this flow: what it is given, and of the rest what it names.  Raises Unfit."""
    named = {*flow.needs, *flow.defaults, *EVERY_CALL}
    context = {name: value for name, value in call.context().items() if name in named}
    check_menu(menu, flow, context)
    return {**context, **{name: value for name, value in menu.variables.items() if value is not None}}
