"""Looking up in books: the answer, or ``failed``, always and in time, and once however often it is asked."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.core import events as ev
from controller.core.call import Call
from controller.core.verbs import LookUp
from controller.ports import NotSaved
from controller.services.calls import Calls
from controller.services.clock import SystemClock
from controller.services.conductor import Conductor
from controller.services.flows import FlowBook
from controller.services.inbox import LiveCall
from controller.services.lookups import Answer, LookUps
from tests.core.story import CALL, A
from tests.core.test_keyed import KEYED, Story, asked, keyed

PIN = "80261"
VERB = LookUp(CALL + "0003", A, "bindings", PIN, 0.05)
FOUND = Answer("found", {"callee": "+14155550177"}, "bind_1", "ride-7", {"ride": 7})


def call() -> Call:
    return keyed(asked()).call


def books(answer: Any, routes: Any = None) -> LookUps:
    """Books of which one answers so, or raises that, or takes for ever (None)."""

    def way(call: Call, _node: str) -> Any:
        return {"callee": "to 0177"} if routes is None and "callee" in call.vars else {} if routes is None else routes[0]

    made = LookUps(way, SystemClock())

    async def book(_call: Call, _verb: LookUp) -> Answer:
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        found: Answer = answer
        return found

    made.books["bindings"] = book
    return made


async def test_an_answer_comes_with_the_way_to_whom_it_names() -> None:
    found = await books(FOUND)(call(), VERB)
    assert (found.leg, found.verb, found.outcome) == (A, VERB.id, "found")
    assert found.routes == {"callee": "to 0177"}
    assert (found.binding, found.reference, found.metadata) == ("bind_1", "ride-7", {"ride": 7})
    assert "+1415" not in repr(found)


@pytest.mark.parametrize("fault", [None, NotSaved("away"), ValueError(f"no {PIN}"), KeyError(PIN)])
async def test_a_book_that_cannot_answer_has_failed_and_nobody_reads_why(fault: Any) -> None:
    with capture_logs() as logged:
        found = await books(fault)(call(), VERB)
    assert (found.outcome, dict(found.vars)) == ("failed", {})
    assert len(logged) == 1
    assert PIN not in str(logged)


async def test_a_book_that_is_not_there_has_failed() -> None:
    assert (await LookUps(lambda _call, _node: {}, SystemClock())(call(), VERB)).outcome == "failed"


async def test_whom_no_trunk_reaches_from_here_is_not_found() -> None:
    found = await books(FOUND, [None])(call(), VERB)
    assert (found.outcome, dict(found.vars), found.binding) == ("failed", {}, None)


class Asked:
    """A conductor that is asked to look something up; its PBX is not."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.heard: list[ev.Event] = []
        book = FlowBook()
        calls = Calls(None, book)  # type: ignore[arg-type]
        calls.tell = lambda _call, event: bool(self.heard.append(event)) or True  # type: ignore[method-assign]
        pbx = type("Nothing", (), {"node": "pbx1"})()
        self.conductor = Conductor(pbx, calls, SystemClock(), look_up=self._look_up)
        self.conductor._ready.set()
        self.live = LiveCall(call(), KEYED)

    async def _look_up(self, _call: Call, verb: LookUp) -> ev.Found:
        self.questions.append(verb.id)
        self.began.set()
        await self.go.wait()
        return ev.Found(1, verb.leg, verb.id, "wrong")


async def test_a_question_is_asked_once_while_it_is_open_and_other_verbs_do_not_wait_for_it() -> None:
    asked = Asked()
    step = asked.live.call.steps[-1]
    asked.live.verbs.extend([step.verb, step.verb, step.verb])
    asked.conductor.act(asked.live)
    async with asyncio.timeout(30):
        await asked.began.wait()
        assert not asked.live.acting
        asked.go.set()
        await asked.conductor._tasks.drain()
    assert asked.questions == [step.verb.id]
    assert asked.heard == [ev.Found(1, A, step.verb.id, "wrong")]


async def test_a_question_that_nobody_waits_for_any_more_is_not_asked() -> None:
    asked = Asked()
    asked.live.call = Story(KEYED).call
    asked.live.verbs.append(VERB)
    asked.conductor.act(asked.live)
    async with asyncio.timeout(30):
        await asked.conductor._tasks.drain()
    assert asked.questions == []
