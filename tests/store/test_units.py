"""Units: all of one or nothing of it, in order, whatever else is in its transaction (`ports.CallStore.commit`)."""

import asyncio
from dataclasses import replace

import pytest

from controller.core.facts import Fact
from controller.ports import NotSaved, Unit
from controller.store.database import Database
from controller.store.errors import KeyTaken, Overtaken
from controller.store.rows import CallFilter, Endpoint, EndpointState
from tests.core.story import T0
from tests.store.calls import NODE, OTHER, TENANT, call_id, canceled, queued, started, story, without_facts


async def test_each_unit_of_a_call_is_read_back_as_it_was_written(db: Database) -> None:
    for unit in story():
        await db.calls.commit(unit)
        assert await db.calls.get(unit.call.id) == unit.call


async def test_the_facts_are_the_timeline_in_order_and_gapless(db: Database) -> None:
    told: list[Fact] = []
    for unit in story():
        await db.calls.commit(unit)
        told += unit.facts
    assert await db.calls.facts(TENANT, call_id(1)) == told
    assert [fact.sequence for fact in told] == list(range(1, len(told) + 1))
    assert await db.calls.facts(TENANT, call_id(1), after_sequence=3, limit=2) == told[3:5]


async def test_a_call_is_queued_then_live_on_its_node_then_neither(db: Database) -> None:
    units = list(story())
    await db.calls.commit(units[0])
    assert await db.calls.queued(10) == [units[0].call]
    for unit in units[1:]:
        await db.calls.commit(unit)
        live = [] if unit.call.ended else [unit.call]
        assert await db.calls.live(NODE) == live
        assert await db.calls.live("another") == []
        assert await db.calls.queued(10) == []


async def test_the_queue_is_read_oldest_first(db: Database) -> None:
    asked = [queued(number, at=1_750_000_000_000 + (7 * number) % 5) for number in range(5)]
    await asyncio.gather(*(db.calls.commit(unit) for unit in asked))
    in_order = sorted((unit.call for unit in asked), key=lambda call: call.requested_at)
    assert await db.calls.queued(10) == in_order
    assert await db.calls.queued(2) == in_order[:2]


async def test_units_of_one_call_that_are_not_waited_for_are_written_in_order(db: Database) -> None:
    units = list(story())
    await asyncio.gather(*(db.calls.commit(unit) for unit in units))
    assert await db.calls.get(call_id(1)) == units[-1].call
    assert len(await db.calls.facts(TENANT, call_id(1))) == units[-1].call.sequence


async def test_a_unit_decided_from_an_older_call_is_refused_whole(db: Database) -> None:
    first = queued()
    await db.calls.commit(first)
    start, cancel = started(first), canceled(first)
    await db.calls.commit(start)
    with pytest.raises(Overtaken):
        await db.calls.commit(cancel)
    assert await db.calls.get(call_id(1)) == start.call
    assert [fact.type for fact in await db.calls.facts(TENANT, call_id(1))] == [
        "call.queued",
        "call.started",
        "call.leg.dialing",
    ]


async def test_a_unit_of_an_unknown_call_is_refused(db: Database) -> None:
    with pytest.raises(Overtaken):
        await db.calls.commit(started(queued()))
    assert await db.calls.facts(TENANT, call_id(1)) == []


async def test_a_unit_without_facts_changes_the_call_alone(db: Database) -> None:
    first = queued()
    await db.calls.commit(first)
    await db.calls.commit(without_facts(first, at="caller"))
    stored = await db.calls.get(call_id(1))
    assert stored == replace(first.call, at="caller")


UNFIT = {
    "a call that is there already": queued(500),
    "a tenant that is not": queued(501, tenant=OTHER),
    "an unknown call": started(queued(502)),
    "a fact that is no JSON": replace(queued(503), facts=(replace(queued(503).facts[0], data={"x": object()}),)),
    "a surrogate": queued(504, reference="\ud800"),
}


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
async def test_a_unit_that_does_not_fit_takes_no_other_along(db: Database, unfit: Unit) -> None:
    await db.calls.commit(queued(500))
    good = [queued(number) for number in range(50)]
    units = [*good[:25], unfit, *good[25:]]
    outcomes = await asyncio.gather(*(db.calls.commit(unit) for unit in units), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [type(outcomes[25])]
    assert isinstance(outcomes[25], NotSaved)
    assert {call.id for call in await db.calls.queued(100)} == {unit.call.id for unit in good} | {call_id(500)}
    for unit in good:
        assert await db.calls.facts(TENANT, unit.call.id) == list(unit.facts)


async def test_the_answer_to_an_idempotency_key_is_kept_with_the_unit(db: Database) -> None:
    await db.calls.commit(replace(queued(1), idempotency=(TENANT, "key", "print", b'{"id": 1}')))
    kept = await db.idempotency.get(TENANT, "key")
    assert kept is not None
    assert (kept.fingerprint, kept.status, kept.response) == ("print", 202, b'{"id": 1}')


async def test_a_taken_key_refuses_its_unit_alone_and_says_what_was_answered(db: Database) -> None:
    units = [replace(queued(n), idempotency=(TENANT, "same", f"print {n}", str(n).encode())) for n in (1, 2)]
    outcomes = await asyncio.gather(*(db.calls.commit(u) for u in (*units, queued(3))), return_exceptions=True)
    taken = outcomes[1]
    assert outcomes[0] is None
    assert outcomes[2] is None
    assert isinstance(taken, KeyTaken)
    assert (taken.fingerprint, taken.status, taken.response) == ("print 1", 202, b"1")
    assert await db.calls.get(call_id(2)) is None
    assert await db.calls.facts(TENANT, call_id(2)) == []


async def test_the_same_key_of_two_tenants_is_two_keys(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    for number, tenant in ((1, TENANT), (2, OTHER)):
        await db.calls.commit(replace(queued(number, tenant=tenant), idempotency=(tenant, "same", "print", b"")))
    assert await db.calls.find(OTHER, call_id(2)) is not None


async def test_a_new_call_gets_a_cursor_at_each_endpoint_of_its_tenant_that_is_not_disabled(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    states: dict[str, EndpointState] = {"e1": "active", "e2": "parked", "e3": "disabled"}
    for name, state in states.items():
        await db.endpoints.add(Endpoint(name, TENANT, "https://example.com", "secret", ("*",), 1, state))
    await db.endpoints.add(Endpoint("e4", OTHER, "https://example.com", "secret", ("*",), 1))
    await db.calls.commit(queued())
    found = {name: len((await db.webhooks.deliveries(TENANT, name)).items) for name in ("e1", "e2", "e3")}
    assert found == {"e1": 1, "e2": 1, "e3": 0}
    assert (await db.webhooks.deliveries(OTHER, "e4")).items == []


async def test_recordings_follow_their_call(db: Database) -> None:
    seen = []
    for unit in story():
        await db.calls.commit(unit)
        found = (await db.recordings.list(TENANT)).items
        seen.append(found[0].status if found else None)
    assert list(dict.fromkeys(seen)) == [None, "recording", "stopped", "stored"]
    [recording] = (await db.recordings.list(TENANT)).items
    call = await db.calls.get(call_id(1))
    assert call is not None
    assert (recording.call, recording.node) == (call.id, NODE)
    assert (recording.started_at, recording.stopped_at) == (call.bridged_at, call.recordings[0].stopped_at)
    assert recording.duration_ms == 5000
    assert recording.stored_at == unit.facts[0].at


async def test_a_call_of_which_it_turns_out_later_whose_it_is_is_found_by_that(db: Database) -> None:
    unit = started(queued())
    await db.calls.commit(queued())
    await db.calls.commit(unit)
    other = started(queued(2, reference="other"))
    await db.calls.commit(queued(2, reference="other"))
    await db.calls.commit(other)

    def after_look_up(of: Unit, **changes: str) -> Unit:
        call = replace(of.call, vars={**of.call.vars, "callee": "+14155550177"}, sequence=of.call.sequence + 1, **changes)
        return Unit(call, (Fact(call.id, call.sequence, "flow.node", T0, {"node": "look", "outcome": "found"}),))

    await asyncio.gather(
        db.calls.commit(after_look_up(unit, binding="bind_1", reference="ride-7")), db.calls.commit(after_look_up(other))
    )
    for where in (CallFilter(binding="bind_1"), CallFilter(reference="ride-7")):
        assert [call.id for call in (await db.calls.list(TENANT, where)).items] == [unit.call.id]
    assert [call.id for call in (await db.calls.list(TENANT, CallFilter(reference="other"))).items] == [other.call.id]
    both = await db.calls.list(TENANT, CallFilter(number="+14155550177"))
    assert {call.id for call in both.items} == {unit.call.id, other.call.id}
