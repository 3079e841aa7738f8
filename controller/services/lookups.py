"""What a flow looks up: each book answers one kind of question about a call that is under way.

A question may be asked again under its verb's id, by us or by whoever has the call after us, and is the same question then:
what a book writes down of it counts once.  A book that fails, or does not answer in time, is ``failed``: the flow says what
that means, and nobody is connected by chance.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from controller.core.call import Call, changed
from controller.core.events import Found
from controller.core.flow import Flow
from controller.core.verbs import LookUp
from controller.ports import Clock, NotSaved
from controller.services.arrivals import Routes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """``outcome``: the edge to take, or where there is a ``flow`` just a word; the rest as in ``events.Found``."""

    outcome: str
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)
    binding: str | None = None
    reference: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    flow: Flow | None = None
    told: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), repr=False)


Book = Callable[[Call, LookUp], Awaitable[Answer]]


class LookUps:
    """The books by name.  ``routes``: as for a call that comes in."""

    def __init__(self, routes: Routes, clock: Clock) -> None:
        self._routes, self._clock = routes, clock
        self.books: dict[str, Book] = {}

    async def __call__(self, call: Call, verb: LookUp) -> Found:
        """The answer of the book that the verb names."""
        try:
            async with asyncio.timeout(verb.within_s):
                answer = await self.books[verb.book](call, verb)
        except (TimeoutError, NotSaved) as error:
            log.warning("looked up in vain", call=call.id, book=verb.book, reason=type(error).__name__)
            answer = Answer("failed")
        except Exception as error:  # a fault of ours, whose words may hold what was keyed in
            log.error("a look-up failed", call=call.id, book=verb.book, reason=type(error).__name__)
            answer = Answer("failed")
        routes = self._routes(_after(call, answer), call.node)
        if routes is None:
            log.warning("what was looked up cannot be reached from the call's node", call=call.id, node=call.node)
            answer, routes = Answer("failed"), {}
        return Found(
            self._clock.now(), verb.leg, verb.id, answer.outcome, answer.vars, routes,
            answer.binding, answer.reference, answer.metadata, answer.flow, answer.told,
        )  # fmt: skip


def _after(call: Call, answer: Answer) -> Call:
    """The call as this answer makes it, as far as it concerns whom it dials."""
    if answer.flow is None:
        return changed(call, vars={**call.vars, **answer.vars})
    return changed(call, vars=answer.vars, flow=answer.flow.name, flow_version=answer.flow.version)
