"""What becomes of a call that no binding takes, against real routes on both databases and a real business."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller import assets
from controller.config import Webhooks as Settings
from controller.core import ids
from controller.core.agent import Agent
from controller.core.masking import Try
from controller.core.route import Route
from controller.ports import Unit
from controller.services.arrivals import Arrival, Door, Refusal, Taken
from controller.services.asking import Asker
from controller.services.calls import Calls
from controller.services.claims import Claims
from controller.services.flows import FlowBook
from controller.services.prompts import Prompts
from controller.services.routed import RoutedCalls
from controller.store.database import Database
from controller.store.rows import OwnedNumber
from tests.core.story import A as LEG
from tests.databases import cluster, database_url  # noqa: F401
from tests.services.receiver import Receiver, Reply
from tests.services.test_asking import says
from tests.services.test_masked import GUARDS, Still, masked
from tests.store.calls import OTHER, TENANT, story
from tests.store.masking import NOW, X1, X2, A, B, C, add, bind, binding, pool

NEXT = "01JD3Y8Q4ZK5T0M6W9RB2XHCVF01"
SAYS_BUSY = {"action": "reject", "with": "busy"}
FLOW = {
    "flow": "desk",
    "needs": ["agent"],
    "defaults": {"call_number": 0, "hello": None},
    "arrives": "caller",
    "start": "agent",
    "nodes": {"agent": {"connect": "agent", "from": "caller", "show": "$hello", "else": "end"}},
}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:  # noqa: F811
    """An open database with two tenants; X1 is an X of the first."""
    database = await Database.open(database_url, migrate=False)
    for tenant in (TENANT, OTHER):
        await database.tenants.add(tenant, tenant, 1)
    await pool(database, X1)
    yield database
    await database.close()


class Here:
    """The resolver, and what became of a call."""

    def __init__(self, db: Database, *blocked: str) -> None:
        self.db = db
        self.asker = Asker(Settings(allow_private=("127.0.0.0/8",)), Still())
        self.flows = FlowBook()
        self.flows.add(FLOW)
        self.flows.add(_outbound())
        self.calls = Calls(db.calls, self.flows)
        self.claims = Claims(db.agents, db.calls, self.calls, Still(), lambda: None)
        prompts = Prompts(lambda: [assets.prompts()])
        self.resolver = RoutedCalls(
            masked(db, *blocked), db.routes, self.claims.claim, self.asker, self.flows, prompts, Still()
        )
        self.rang = 0

    async def route(self, x: str = X1, secret: str = "whsec_c2VjcmV0c2VjcmV0", **route: Any) -> None:
        """Give an X a route."""
        patient = Route(**{"timeout_ms": 30_000, **route})
        assert await self.db.x_numbers.change(TENANT, x.strip("+"), 0, secret, route=patient) is not None

    async def call(self, called: str = X1, caller: str = A, leg: str = LEG) -> Taken | Refusal | None:
        """What becomes of a call."""

        async def ring() -> None:
            self.rang += 1

        return await self.resolver(Arrival("pbx1", "carrier", caller, called, leg, NOW, Door(ring)))

    async def taken(self, called: str = X1, caller: str = A, leg: str = LEG) -> Taken:
        """The same, of a call that is taken."""
        found = await self.call(called, caller, leg)
        assert isinstance(found, Taken), found
        assert (found.tenant, found.kind) == (TENANT, "masked")
        return found


def _outbound() -> dict[str, Any]:
    nodes = {"callee": {"dial": "callee", "show": "$hello", "else": "end"}}
    return {"flow": "out", "needs": ["callee", "hello"], "start": "callee", "nodes": nodes}


def reason(taken: Taken) -> Any:
    """Why the business had no say."""
    (kind, data), *_ = taken.told
    assert kind == "call.routed"
    return data["reason"]


async def test_without_a_route_a_stranger_is_refused_as_ever(db: Database) -> None:
    here = Here(db)
    assert isinstance(await here.call(), Refusal)
    assert await here.call(X2) is None
    assert here.rang == 0


async def test_what_is_said_beforehand_holds_without_a_question(db: Database) -> None:
    here = Here(db)
    await here.route(answer=SAYS_BUSY)
    taken = await here.taken()
    assert (taken.flow, taken.vars, reason(taken), here.rang) == ("refused", {"with": "busy"}, None, 0)
    await here.route(answer={"action": "announce", "prompt": "sorry"})
    assert ((await here.taken()).flow, (await here.taken()).vars) == ("masked-told", {"prompt": "sorry"})


async def test_the_business_is_asked_while_the_caller_hears_ringing(db: Database) -> None:
    here = Here(db)
    answer = {"action": "connect", "to": B, "announce": "beep", "ring_timeout_s": 20, "reference": "r"}
    async with Receiver(lambda _request: says(answer)) as business:
        await here.route(url=business.url)
        taken = await here.taken()
        assert (taken.flow, taken.reference, reason(taken), here.rang) == ("masked", "r", None, 1)
        assert taken.vars == {"callee": B, "callee_display": X1, "announce": "beep", "ring_timeout_s": 20}
        question = business.requests[0].event
        assert question["id"] == "ask_" + ids.call_of(LEG)
        assert question["data"] == {"caller": A, "called": X1, "extension": None, "call_number": 1, "history": []}
        await here.taken(caller="")
        assert business.requests[1].event["data"]["caller"] is None
        assert not any(number in repr(taken) for number in (A, B, X1))


async def test_the_question_tells_of_the_callers_earlier_calls_to_this_x_only(db: Database) -> None:
    here = Here(db)
    await _called(db, 1, A, X1, NOW - 5000)
    await _called(db, 2, A, X1, NOW - 3000)
    await _called(db, 3, A, X2, NOW - 2000)
    await _called(db, 4, C, X1, NOW - 1000)
    async with Receiver(lambda _request: says({"action": "menu", "flow": "desk", "variables": {"agent": C}})) as business:
        await here.route(url=business.url, window_s=4)
        assert (await here.taken()).vars == {"caller": A, "called": X1, "agent": C, "call_number": 2}
        await here.route(url=business.url, window_s=60)
        assert (await here.taken()).vars["call_number"] == 3
        history = business.requests[1].event["data"]["history"]
        assert [one["at"] for one in history] == sorted((one["at"] for one in history), reverse=True)
        assert len(history) == 2


async def _called(db: Database, number: int, caller: str, x: str, at: int) -> None:
    """A call that was made."""
    first = next(iter(story(number, at=at)))
    call = first.call.__class__(**{**first.call.__dict__, "vars": {"caller": caller, "called": x}, "requested_at": at})
    await db.calls.commit(Unit(call, first.facts, created=True))


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (says({}, 500), "status"),
        (says({"action": "connect"}), "invalid"),
        (says({"action": "menu", "flow": "nothing"}), "invalid"),
        (says({"action": "connect", "to": B, "announce": "no-such-prompt"}), "invalid"),
        (says({"action": "announce", "prompt": "no-such-prompt"}), "invalid"),
        (says({"action": "menu", "flow": "out", "variables": {"callee": B, "hello": X1}}), "invalid"),
        (says({"action": "menu", "flow": "desk"}), "invalid"),
        (says({"action": "menu", "flow": "desk", "variables": {"agent": "123"}}), "invalid"),
        (says({"action": "menu", "flow": "desk", "variables": {"agent": B, "memory_ttl_s": 5}}), "invalid"),
        (says({"action": "menu", "flow": "desk", "variables": {"agent": B, "caller": C}}), "invalid"),
        (Reply(raw=b"", close=True), "failed"),
    ],
)
async def test_without_a_good_answer_what_is_said_beforehand_holds(db: Database, reply: Reply, why: str) -> None:
    here = Here(db)
    async with Receiver(lambda _request: reply) as business:
        await here.route(url=business.url, answer=SAYS_BUSY)
        taken = await here.taken()
        assert (taken.flow, taken.vars, reason(taken)) == ("refused", {"with": "busy"}, why)
        assert here.asker.results[why] == 1


async def test_a_route_that_cannot_be_carried_out_reaches_nobody(db: Database) -> None:
    here = Here(db)
    for answer in ({"action": "menu", "flow": "gone"}, {"action": "as it was written in another version"}):
        await here.route(answer=answer)
        taken = await here.taken()
        assert (taken.flow, taken.vars, reason(taken)) == ("refused", {"with": "unreachable"}, "invalid")


async def test_an_agent_is_claimed_while_on_duty_and_free_and_by_one_call(db: Database) -> None:
    here = Here(db)
    await db.agents.add(Agent("AG1", TENANT, "Ann", C, "on_duty", None, 1), 1)
    await here.route(answer={"action": "connect", "agent": "agt_AG1"})
    for _ in range(2):  # asked again it is the same call
        taken = await here.taken()
        assert (taken.vars["callee"], taken.vars["agent_id"], taken.vars["agent_leg"]) == (C, "AG1", "callee")
        assert [kind for kind, _ in taken.told] == ["call.routed", "agent.state"]
    refused = await here.taken(leg=NEXT)
    assert (refused.flow, refused.vars, reason(refused)) == ("refused", {"with": "unreachable"}, "no_agent")
    assert await db.agents.release(ids.call_of(LEG), NOW)
    assert (await here.taken(leg=NEXT)).vars["callee"] == C
    await db.agents.release(ids.call_of(NEXT), NOW)
    await db.agents.change(TENANT, "AG1", 2, {"state": "away"})
    assert (await here.taken()).flow == "refused"
    await db.agents.add(Agent("AG2", OTHER, "Eve", B, "on_duty", None, 1), 1)
    await here.route(answer={"action": "connect", "agent": "agt_AG2"})
    assert (await here.taken()).flow == "refused"


async def test_when_the_agent_of_the_business_is_not_to_be_had_what_is_said_beforehand_holds(db: Database) -> None:
    here = Here(db)
    async with Receiver(lambda _request: says({"action": "connect", "agent": "agt_AG1"})) as business:
        await here.route(url=business.url, answer=SAYS_BUSY)
        taken = await here.taken()
        assert (taken.flow, taken.vars, reason(taken)) == ("refused", {"with": "busy"}, "no_agent")
        assert (here.asker.results["answered"], here.asker.results["invalid"]) == (1, 0)


async def test_of_many_calls_at_once_one_has_the_agent(db: Database) -> None:
    here = Here(db)
    await db.agents.add(Agent("AG1", TENANT, "Ann", C, "on_duty", None, 1), 1)
    await here.route(answer={"action": "connect", "agent": "agt_AG1"})
    legs = [ids.leg_id(f"{number:026d}", 1) for number in range(8)]
    found = await asyncio.gather(*(here.taken(leg=leg) for leg in legs))
    assert sorted(taken.flow for taken in found) == ["masked", *["refused"] * 7]
    (holder,) = [ids.call_of(leg) for leg, taken in zip(legs, found, strict=True) if taken.flow == "masked"]
    assert (await db.agents.assigned()) == [holder]


async def test_asked_again_after_a_crash_the_business_may_say_another_agent(db: Database) -> None:
    here = Here(db)
    for name, number in (("AG1", C), ("AG2", B)):
        await db.agents.add(Agent(name, TENANT, name, number, "on_duty", None, 1), 1)
        await here.route(answer={"action": "connect", "agent": "agt_" + name})
        assert (await here.taken()).vars["callee"] == number
    states = {agent.id: agent.call for agent in (await db.agents.list(TENANT)).items}
    assert states == {"AG1": None, "AG2": ids.call_of(LEG)}


async def test_bindings_and_lists_go_first(db: Database) -> None:
    here, strict = Here(db), Here(db, C)
    await here.route(answer=SAYS_BUSY)
    made = await bind(db, binding(block=(B,)))
    assert (await here.taken()).binding == "bind_" + made.id
    for resolver, caller in ((here, B), (strict, C)):
        assert isinstance(await resolver.call(caller=caller), Refusal)
    assert (await here.taken(caller=C)).flow == "refused"
    await db.x_numbers.change(TENANT, X1.strip("+"), 0, state="frozen")
    assert isinstance(await here.call(caller=C), Refusal)


async def test_who_must_key_in_a_pin_is_asked_for_it_and_who_is_locked_out_is_told_whatever_the_route_says(
    db: Database,
) -> None:
    here = Here(db)
    await db.pools.change(TENANT, "p1", unknown="pin")
    await here.route(answer=SAYS_BUSY)
    await bind(db, binding(a_pin="80261"))
    assert (await here.taken(caller=C)).flow == "masked-keys"
    for number in range(3):
        guess = Try(f"{number}", TENANT, X1, C, "pin", "1111", NOW)
        assert (await db.wrong_keys.tried(guess, GUARDS)).outcome == "wrong"
    locked = await here.taken(caller=C)
    assert (locked.flow, locked.vars) == ("masked-told", {"prompt": "locked"})


async def test_nothing_of_a_suspended_tenant_and_of_no_other_number(db: Database) -> None:
    here = Here(db)
    await add(db, X2, pool="p1", route=Route(answer=SAYS_BUSY))
    assert (await here.taken(X2)).flow == "refused"
    assert isinstance(await here.call(X1), Refusal)
    await db.tenants.change(TENANT, suspended_at=5)
    assert isinstance(await here.call(X2), Refusal)


async def test_an_x_and_one_that_is_written_without_its_plus_may_be_two_tenants(db: Database) -> None:
    here = Here(db)
    await db.x_numbers.add(OwnedNumber("theirs", OTHER, X1.strip("+"), 1, "x", route=Route(answer=SAYS_BUSY)), 0)
    assert isinstance(await here.call(), Refusal)
    assert await db.routes.routed(X1, NOW) is None
    await here.route(answer={"action": "reject", "with": "no_answer"})
    assert (await here.taken()).vars == {"with": "no_answer"}
    await db.tenants.change(TENANT, suspended_at=5)
    assert await db.routes.routed(X1, NOW) is None
    theirs = await db.routes.routed(X1.strip("+"), NOW)
    assert theirs is not None
    assert theirs.tenant == OTHER


async def test_calls_to_a_national_x_count_however_it_is_written(db: Database) -> None:
    """A trunk delivers its digits, which look like a number with its country; a menu's call knows the X as it is written."""
    here, national = Here(db), "700123456789012"
    await add(db, national, pool="p1", route=Route(answer={"action": "menu", "flow": "desk", "variables": {"agent": C}}))
    for number, called in enumerate((national, "+" + national, X1), 1):
        await _called(db, number, A, called, NOW - 1000 * number)
    for called in (national, "+" + national):
        assert (await here.taken(called)).vars["call_number"] == 3


async def test_the_first_route_makes_what_signs_and_none_changes_it(db: Database) -> None:
    here = Here(db)
    assert await db.tenants.signing(TENANT) is None
    await here.route(url="http://127.0.0.1:1/", secret="whsec_Zmlyc3RmaXJzdA==")
    await here.route(url="http://127.0.0.1:1/", secret="whsec_c2Vjb25kc2Vjb25k")
    routed = await db.routes.routed(X1, NOW)
    assert routed is not None
    assert routed.secrets == ("whsec_Zmlyc3RmaXJzdA==",)
    assert json.dumps(routed.route.answer) == '{"action": "reject", "with": "unreachable"}'
