"""A call that comes in: the first resolver that knows it decides; whatever goes wrong, the caller is refused, not stranded."""

import asyncio
from typing import Any

import pytest

from controller.core import events as ev
from controller.core import ids
from controller.core.flow import parse
from controller.ports import NotSaved
from controller.services import arrivals as module
from controller.services.arrivals import Arrival, Arrivals, Refusal, Taken, as_e164
from controller.services.calls import Calls
from controller.services.flows import FlowBook
from controller.store.database import Database
from tests.core.story import CALL, T0, A
from tests.services.test_scheduler import db  # noqa: F401

DOCUMENT = {
    "flow": "through",
    "needs": ["callee", "callee_display"],
    "arrives": "caller",
    "start": "callee",
    "nodes": {"callee": {"connect": "callee", "from": "caller", "show": "$callee_display", "else": "end"}},
}
NUMBERS = {"callee": "+14155550102", "callee_display": "+14155550100"}
CAME = ev.LegArrived(T0, A, "14155550101", "+14155550100", "carrier")


class Door:
    """Arrivals over a real database."""

    def __init__(self, db: Database) -> None:  # noqa: F811
        book = FlowBook()
        book.add(DOCUMENT)
        self.calls = Calls(db.calls, book)
        self.held: list[str] = []
        self.routes: Any = {"callee": "carrier"}
        self.asked: list[Arrival] = []
        self.arrivals = Arrivals(self.calls, book, lambda _call, _node: self.routes, lambda call: self.held.append(call.id))

    def says(self, answer: Taken | Refusal | None) -> None:
        """The next resolver."""

        async def resolver(arrival: Arrival) -> Taken | Refusal | None:
            self.asked.append(arrival)
            return answer

        self.arrivals.ask(resolver)


async def test_the_first_who_knows_it_decides_and_the_call_has_begun(db: Database) -> None:  # noqa: F811
    door = Door(db)
    for answer in (None, Taken("x", "through", NUMBERS, told=(("memory.used", {"a": 1}),)), Refusal(17)):
        door.says(answer)
    assert await door.arrivals.take("pbx1", CAME) is None
    assert [(item.caller, item.called) for item in door.asked] == [("+14155550101", "+14155550100")] * 2
    call = door.calls.get(CALL)
    assert call is not None
    assert (call.kind, call.node, call.vars["caller"], call.steps[0].kind) == ("inbound", "pbx1", "+14155550101", "Connect")
    assert (await db.calls.get(CALL)) == call
    assert [fact.type for fact in await db.calls.facts("x", CALL)][:3] == ["call.started", "memory.used", "call.leg.dialing"]
    assert door.held == [CALL]


async def test_what_nobody_knows_is_refused_and_leaves_nothing(db: Database) -> None:  # noqa: F811
    door = Door(db)
    door.says(None)
    assert await door.arrivals.take("pbx1", CAME) == 1
    assert await db.calls.get(CALL) is None


async def test_a_resolver_may_refuse(db: Database) -> None:  # noqa: F811
    door = Door(db)
    door.says(Refusal(17))
    assert await door.arrivals.take("pbx1", CAME) == 17


async def test_a_number_that_cannot_be_reached_from_here_is_congestion(db: Database) -> None:  # noqa: F811
    door = Door(db)
    door.routes = None
    door.says(Taken("x", "through", NUMBERS))
    assert await door.arrivals.take("pbx1", CAME) == 34
    assert await db.calls.get(CALL) is None


async def test_the_same_leg_twice_begins_one_call(db: Database) -> None:  # noqa: F811
    door, again = Door(db), Door(db)
    for one in (door, again):
        one.says(Taken("x", "through", NUMBERS))
    assert await door.arrivals.take("pbx1", CAME) is None
    assert await again.arrivals.take("pbx1", CAME) == 34
    assert again.held == []


@pytest.mark.parametrize("fault", [RuntimeError("ours"), NotSaved("full")])
async def test_a_fault_refuses_the_caller(db: Database, fault: Exception) -> None:  # noqa: F811
    door = Door(db)

    async def broken(_arrival: Arrival) -> None:
        raise fault

    door.arrivals.ask(broken)
    assert await door.arrivals.take("pbx1", CAME) == 34


async def test_nobody_waits_for_a_resolver_for_ever(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(module, "WITHIN_S", 0.05)
    door = Door(db)

    async def slow(_arrival: Arrival) -> None:
        await asyncio.Event().wait()

    door.arrivals.ask(slow)
    assert await door.arrivals.take("pbx1", CAME) == 34


@pytest.mark.parametrize(
    ("given", "means"),
    [("0014155550101", "+14155550101"), ("14155550101", "+14155550101"), ("+14155550101", "+14155550101"), ("123", "123"),
     ("", ""), ("04155550101", "04155550101")],
)  # fmt: skip
def test_numbers_as_trunks_write_them(given: str, means: str) -> None:
    assert as_e164(given) == means


def test_a_flow_for_arrivals_is_a_flow() -> None:
    assert parse(DOCUMENT).arrives == "caller"
    assert ids.call_of(A) == CALL


async def test_for_a_caller_who_has_left_no_call_is_begun(db: Database) -> None:  # noqa: F811
    door = Door(db)
    door.says(Taken("x", "through", NUMBERS))
    left = module.Door(gone=lambda: True)
    assert await door.arrivals.take("pbx1", CAME, left) == 16
    assert await db.calls.get(CALL) is None
