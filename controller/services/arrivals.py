"""A call that comes in: whose it is, and which flow takes it.

The PBX holds the leg, unanswered, while a list of resolvers is asked in turn; the first that knows the number says what is to
be done.  What they say comes from memory that the store backs, so a caller waits for milliseconds.  The call is written down,
begun, before anything is done to the leg; a leg that nobody knows is refused, unanswered, and leaves no call behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from controller.core import ids
from controller.core.agent import AGENT
from controller.core.call import Call
from controller.core.causes import CONGESTION, NORMAL_CLEARING, REFUSED
from controller.core.decide import arrive
from controller.core.events import Event, LegArrived, LegEnded
from controller.core.verbs import Ring
from controller.ports import NotSaved, Pbx, Unit, Unreachable, VerbRefused
from controller.services.calls import Calls
from controller.services.flows import FlowBook

log = structlog.get_logger(__name__)

WITHIN_S = 5.0
"""How long all resolvers together may take: a caller who hears nothing for longer lets go."""
UNKNOWN = REFUSED["invalid_number"]


async def _nothing() -> None:
    """Nobody is at the door."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a leg waits while it is resolved.  ``ring``: let it hear ringing; ``gone``: whether it has left."""

    ring: Callable[[], Awaitable[None]] = _nothing
    gone: Callable[[], bool] = bool


AJAR = Door()


def door_of(pbx: Pbx, leg: str, heard: Sequence[Event]) -> Door:
    """The door of a leg on this PBX.  ``heard``: what it has said since it came."""

    async def ring() -> None:
        with suppress(Unreachable, VerbRefused):  # it left, or we are cut off: no fault
            await pbx.do(Ring(ids.verb_id(ids.call_of(leg), 9998), leg))

    return Door(ring, lambda: any(isinstance(event, LegEnded) for event in heard))


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who calls whom.  ``caller`` (empty: withheld) and ``called``: E.164 where the trunk's form lets us say so."""

    node: str
    trunk: str
    caller: str = field(repr=False)
    called: str = field(repr=False)
    leg: str
    at: int
    door: Door = field(default=AJAR, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """A resolver knows this call: it walks ``flow`` with ``vars``, which hold the number of each leg that the flow dials.
    ``told``: facts (type, data) of its timeline that say why; ``why``: a word, where it is told something instead of being
    connected."""

    tenant: str
    flow: str
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kind: Literal["masked", "inbound", "callback"] = "inbound"
    binding: str | None = None
    reference: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    told: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), repr=False)
    why: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A resolver knows this call and does not want it: refused, unanswered, with a Q.850 cause.  ``why``: in a word."""

    cause: int
    why: str = field(default="", compare=False)


Resolver = Callable[[Arrival], Awaitable[Taken | Refusal | None]]
"""What is to be done with an arrival; None: nothing is known of it here."""
Routes = Callable[[Call, str], Mapping[str, str] | None]
"""The trunk of each leg that the call's flow dials, on that node; None when a number cannot be reached from there."""


class Arrivals:
    """Asks the resolvers in the order in which they were added."""

    def __init__(self, calls: Calls, flows: FlowBook, routes: Routes, hold: Callable[[Call], None]) -> None:
        self._calls, self._flows, self._routes, self._hold = calls, flows, routes, hold
        self._resolvers: list[Resolver] = []
        self.let_go: Callable[[str], None] = lambda _call: None
        """Told of a call for which an agent was claimed and that does not begin."""

    def ask(self, *resolvers: Resolver) -> None:
        """Ask these resolvers too, in this order, after those before them."""
        self._resolvers += resolvers

    async def take(self, node: str, event: LegArrived, door: Door = AJAR) -> int | None:
        """Begin the call that the leg is for; None when that is done, else the Q.850 cause to refuse the leg with."""
        arrival = Arrival(node, event.trunk, as_e164(event.caller), as_e164(event.called), event.leg, event.at, door)
        try:
            async with asyncio.timeout(WITHIN_S):
                found = await self._resolve(arrival)
            if found is None or isinstance(found, Refusal):
                return UNKNOWN if found is None else found.cause
            cause: int | None = NORMAL_CLEARING  # nobody's phone rings for a caller who has left
            if not door.gone() and (cause := await self._begin(found, arrival, event)) is None:
                return None
            if AGENT in found.vars:
                self.let_go(ids.call_of(event.leg))
            return cause
        except NotSaved as error:
            log.warning("arrived call not saved", leg=event.leg, reason=str(error))
        except TimeoutError:
            log.warning("nobody could say in time what to do with an arrived call", leg=event.leg)
        except Exception:  # a fault of ours in one call
            log.exception("arrived call not taken", leg=event.leg)
        return CONGESTION

    async def _resolve(self, arrival: Arrival) -> Taken | Refusal | None:
        for resolver in self._resolvers:
            found = await resolver(arrival)
            if found is not None:
                return found
        return None

    async def _begin(self, taken: Taken, arrival: Arrival, event: LegArrived) -> int | None:
        flow = self._flows.latest(taken.flow)
        call = Call(
            id=ids.call_of(event.leg),
            tenant=taken.tenant,
            kind=taken.kind,
            flow=flow.name,
            flow_version=flow.version,
            requested_at=event.at,
            vars={"caller": arrival.caller, "called": arrival.called, **taken.vars},
            reference=taken.reference,
            metadata=taken.metadata,
            binding=taken.binding,
        )
        routes = self._routes(call, arrival.node)
        if routes is None:
            log.warning("an arrived call's other number cannot be reached from its node", leg=event.leg, node=arrival.node)
            return CONGESTION
        decision = arrive(flow, call, event, arrival.node, routes, taken.told)
        await self._calls.open(Unit(decision.call, decision.facts, created=True), decision.verbs)
        self._hold(decision.call)
        return None


def as_e164(number: str) -> str:
    """A number as a trunk writes it, in E.164 form where that can be told: ``00`` is a ``+``, and eleven digits or more that
    do not begin with a zero have their country with them.

    >>> as_e164("0014155550101"), as_e164("14155550101"), as_e164("123")
    ('+14155550101', '+14155550101', '123')
    """
    if number.startswith("00") and len(number) > 9:
        return "+" + number[2:]
    if len(number) >= 11 and number[0] not in "+0":
        return "+" + number
    return number
