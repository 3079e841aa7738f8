"""A route that wants an extension: the call begins with the flow that asks for it, and the book decides with what was keyed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from controller.core import events as ev
from controller.core import ids
from controller.core.agent import Agent
from controller.core.call import Call
from controller.core.decide import arrive
from controller.core.route import Extension
from controller.core.verbs import LookUp
from controller.ports import Unit
from controller.services.arrivals import Taken
from controller.services.calls import Calls
from controller.services.lookups import Answer, LookUps
from controller.store.database import Database
from controller.store.tables import CALL as CALL_ROW
from tests.core.story import A as LEG
from tests.core.story import shipped
from tests.databases import cluster, database_url  # noqa: F401
from tests.services.receiver import Receiver
from tests.services.test_asking import says
from tests.services.test_masked import Still
from tests.services.test_routed import SAYS_BUSY, Here, _called, db  # noqa: F401
from tests.store.calls import OTHER, TENANT
from tests.store.masking import NOW, X1, A, B, C, bind, binding

CALL = ids.call_of(LEG)
EXTENSION = Extension(least=2, most=4)
KEYS = "4711"


class Keyed(Here):
    """A call that was asked for an extension, and the book."""

    def __init__(self, db: Database, *blocked: str) -> None:  # noqa: F811
        super().__init__(db, *blocked)
        for name in ("masked", "masked-told", "refused", "routed-keys"):
            flow = shipped(name)
            self.flows._latest[name] = self.flows._versions[name, flow.version] = flow

    def at_door(self, **changes: Any) -> Call:
        """As it is when its keys are looked up."""
        version = self.flows.latest("routed-keys").version
        call = Call(CALL, TENANT, "masked", "routed-keys", version, NOW, vars={"caller": A, "called": X1}, node="pbx1")
        return replace(call, **changes)

    async def looked_up(self, keys: str = KEYS, **changes: Any) -> Answer:
        """The book's answer."""
        return await self.resolver.keyed(self.at_door(**changes), LookUp(ids.verb_id(CALL, 3), LEG, "route", keys))

    async def went_on(self, keys: str = KEYS, **changes: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The flow that the call goes on with, its variables, and why."""
        answer = await self.looked_up(keys, **changes)
        assert answer.flow is not None
        kind, data = answer.told[0]
        assert (answer.outcome, kind) == ("found", "call.routed")
        return answer.flow.name, dict(answer.vars), dict(data)


@pytest.fixture
async def keyed(db: Database) -> AsyncIterator[tuple[Keyed, Receiver]]:  # noqa: F811
    """X1 has a route that wants an extension, and a business that connects with B."""
    here = Keyed(db)
    async with Receiver(lambda _request: says({"action": "connect", "to": B, "reference": "desk"})) as business:
        await here.route(url=business.url, answer=SAYS_BUSY, extension=EXTENSION)
        yield here, business


async def test_nobody_is_asked_before_the_keys_and_the_flow_is_told_what_to_ask_for(keyed: tuple[Keyed, Receiver]) -> None:
    here, business = keyed
    taken = await here.taken()
    asked = {"prompt": "extension", "least": 2, "most": 4, "repeats": 2}
    assert (taken.flow, taken.vars, taken.told, here.rang) == ("routed-keys", asked, (), 0)
    assert business.requests == []
    assert set(shipped("routed-keys").needs) == {*asked, "caller", "called"}


async def test_the_question_carries_exactly_what_was_keyed_in(keyed: tuple[Keyed, Receiver]) -> None:
    here, business = keyed
    await _called(here.db, 1, A, X1, NOW - 5000)
    await here.db.calls.commit(Unit(here.at_door(started_at=NOW), created=True))  # this call itself is no earlier one
    with capture_logs() as logged:
        answer = await here.looked_up()
    assert (answer.flow and answer.flow.name, answer.reference) == ("masked", "desk")
    assert answer.vars == {"callee": B, "callee_display": X1}
    question = business.requests[0].event
    assert (question["id"], question["call_id"]) == ("ask_" + CALL, "call_" + CALL)
    assert (question["data"]["extension"], question["data"]["call_number"]) == (KEYS, 2)
    assert KEYS not in str(logged) + repr(answer)


async def test_who_keyed_in_nothing_has_what_is_said_beforehand(keyed: tuple[Keyed, Receiver]) -> None:
    here, business = keyed
    told = {"by": "number", "action": "reject", "reason": "no_extension"}
    assert await here.went_on("") == ("refused", {"with": "busy"}, told)
    assert business.requests == []


async def test_a_bad_answer_is_as_bad_after_the_keys(keyed: tuple[Keyed, Receiver]) -> None:
    here, _ = keyed
    for menu in ({"flow": "routed-keys"}, {"flow": "out"}, {"flow": "nothing"}):
        async with Receiver(lambda _request, menu=menu: says({"action": "menu", **menu})) as business:  # type: ignore[misc]
            await here.route(url=business.url, answer=SAYS_BUSY, extension=EXTENSION)
            told = {"by": "number", "action": "reject", "reason": "invalid"}
            assert await here.went_on() == ("refused", {"with": "busy"}, told)


async def test_an_agent_of_the_answer_is_claimed_for_the_call(keyed: tuple[Keyed, Receiver]) -> None:
    here, _ = keyed
    await here.db.agents.add(Agent("AG1", TENANT, "Ann", C, "on_duty", None, 1), 1)
    async with Receiver(lambda _request: says({"action": "connect", "agent": "agt_AG1"})) as business:
        await here.route(url=business.url, answer=SAYS_BUSY, extension=EXTENSION)
        flow, variables, _ = await here.went_on()
        assert (flow, variables["callee"], variables["agent_id"]) == ("masked", C, "AG1")
        other = ids.call_of("01JD3Y8Q4ZK5T0M6W9RB2XHCVF01")
        assert (await here.went_on(id=other))[2]["reason"] == "no_agent"


async def test_a_route_that_is_gone_or_another_tenants_by_now_has_failed(keyed: tuple[Keyed, Receiver]) -> None:
    here, _ = keyed
    assert await here.looked_up(tenant=OTHER) == Answer("failed")
    await here.db.x_numbers.change(TENANT, X1.strip("+"), 0, route=None)
    assert await here.looked_up() == Answer("failed")


async def test_a_route_that_asks_nobody_by_now_holds_without_a_question(keyed: tuple[Keyed, Receiver]) -> None:
    here, business = keyed
    await here.route(answer=SAYS_BUSY)
    assert await here.went_on() == ("refused", {"with": "busy"}, {"by": "number", "action": "reject", "reason": None})
    assert business.requests == []


async def test_the_way_to_whom_the_next_flow_dials_is_found(keyed: tuple[Keyed, Receiver]) -> None:
    here, _ = keyed

    def way(call: Call, node: str) -> dict[str, str] | None:
        assert (call.flow, call.flow_version, node) == ("masked", here.flows.latest("masked").version, "pbx1")
        return {"callee": "to " + call.vars["callee"]}

    book = LookUps(way, Still())
    book.books["route"] = here.resolver.keyed
    found = await book(here.at_door(), LookUp(ids.verb_id(CALL, 3), LEG, "route", KEYS))
    assert (found.flow and found.flow.name, found.routes) == ("masked", {"callee": "to " + B})
    assert [kind for kind, _ in found.told] == ["call.routed"]
    assert not any(number in repr(found) for number in (A, X1, KEYS))


async def test_bindings_go_first_and_need_no_extension(keyed: tuple[Keyed, Receiver]) -> None:
    here, _ = keyed
    made = await bind(here.db, binding())
    found = await here.call()
    assert isinstance(found, Taken)
    assert (found.flow, found.binding) == ("masked", "bind_" + made.id)


async def test_the_call_goes_on_with_the_other_flow_in_memory_and_in_the_database(keyed: tuple[Keyed, Receiver]) -> None:
    here, _ = keyed
    flow, through = here.flows.latest("routed-keys"), here.flows.latest("masked")
    asked = {"caller": A, "called": X1, "prompt": "extension", "least": 2, "most": 4, "repeats": 2}
    call = Call(CALL, TENANT, "masked", flow.name, flow.version, NOW, vars=asked)
    came = arrive(flow, call, ev.LegArrived(NOW, LEG, A, X1, "carrier"), "pbx1", {})
    await here.calls.open(Unit(came.call, came.facts, created=True), came.verbs)
    here.calls.tell(CALL, ev.LegAnswered(NOW, LEG))
    here.calls.tell(CALL, ev.VerbDone(NOW, LEG, CALL + "0001", "done"))
    here.calls.tell(CALL, ev.VerbDone(NOW, LEG, CALL + "0002", "digits", KEYS))
    await here.calls.drain()
    variables = {"callee": B, "callee_display": X1}
    here.calls.tell(CALL, ev.Found(NOW, LEG, CALL + "0003", "found", variables, {"callee": "c"}, flow=through))
    here.calls.tell(CALL, ev.LegRinging(NOW, CALL + "02"))
    await here.calls.drain()
    far = {"sip": 486, "q850": 17, "why": "remote"}
    here.calls.tell(CALL, ev.LegEnded(NOW + 1, CALL + "02", **far))  # type: ignore[arg-type]
    here.calls.tell(CALL, ev.VerbDone(NOW + 1, LEG, CALL + "0004", "unanswered"))
    await here.calls.drain()
    now = here.calls.get(CALL)
    assert now is not None
    assert (now.flow, now.at, now.ending, await here.db.calls.get(CALL)) == ("masked", "busy", True, now)
    after = Calls(here.db.calls, here.flows)
    after.adopt(now)
    live = after.live(CALL)
    assert live is not None
    assert live.flow == through
    columns = select(CALL_ROW.c.flow, CALL_ROW.c.flow_version, CALL_ROW.c.callee).where(CALL_ROW.c.id == CALL)
    row = await here.db.backend.read(lambda connection: connection.execute(columns).one())
    assert tuple(row) == ("masked", through.version, B)
