"""Bindings on both databases: who gets which X, and when it is free again."""

import asyncio
from dataclasses import replace

import pytest

from controller.core.masking import ANYONE, Binding, Choice, Connect, Direction, Hit, route
from controller.store.database import Database
from controller.store.errors import KeyTaken, NumberConflict, NumberUnknown, PoolExhausted
from controller.store.pools import InUse
from controller.store.rows import BindingFilter
from tests.store.calls import OTHER, TENANT
from tests.store.masking import NOW, X1, X2, A, B, C, D, add, bind, binding, pool

MINUTE = 60_000


async def reached(db: Database, x: str, caller: str, now: int = NOW) -> tuple[str, str] | None:
    """Whom a call reaches and what is shown there."""
    found = await db.bindings.dialled(x, caller)
    assert found is not None
    decision = route(*found, caller, now)
    return (decision.to, decision.display) if isinstance(decision, Connect) else None


async def test_both_reach_each_other_through_the_x_that_was_chosen(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding(reference="r", metadata={"k": [1]}, a_to_b=Direction(record=True), block=(C,)))
    assert (made.x, made.state, made.pool) == (X1, "active", "p1")
    assert await db.bindings.get(TENANT, made.id) == made
    assert await reached(db, X1, A) == (B, X1)
    assert await reached(db, X1, B) == (A, X1)
    assert await reached(db, X1, C) is None
    assert await reached(db, X1, "anonymous") is None
    assert await db.bindings.dialled(X2, A) is None


async def test_a_party_appears_once_per_x_and_strangers_may_share_it(db: Database) -> None:
    await pool(db, X1)
    await bind(db, binding(A, B))
    for a, b in ((A, B), (B, A), (A, C), (C, B)):
        with pytest.raises(PoolExhausted):
            await bind(db, binding(a, b))
        with pytest.raises(NumberConflict):
            await bind(db, binding(a, b, x=X1))
    assert (await bind(db, binding(C, D))).x == X1
    assert await reached(db, X1, C) == (D, X1)


async def test_the_round_begins_at_the_spot_and_goes_around(db: Database) -> None:
    await pool(db, X1, X2)
    assert (await bind(db, binding(), start=1)).x == X2
    assert (await bind(db, binding(), start=1)).x == X1
    with pytest.raises(PoolExhausted):
        await bind(db, binding())


@pytest.mark.parametrize(("mode", "fields"), [("ax", {}), ("axn", {}), ("axe", {"extension": "12"})])
async def test_an_x_serves_one_use_at_a_time(db: Database, mode: str, fields: dict[str, str]) -> None:
    await pool(db, X1)
    pair = await bind(db, binding(C, D))
    with pytest.raises(PoolExhausted):
        await bind(db, binding(mode=mode, **fields))
    with pytest.raises(NumberConflict):
        await bind(db, binding(mode=mode, x=X1, **fields))
    await db.bindings.release(TENANT, pair.id, NOW)
    made = await bind(db, binding(mode=mode, **fields))
    with pytest.raises(PoolExhausted):
        await bind(db, binding(C, D))
    await db.bindings.release(TENANT, made.id, NOW)
    assert (await bind(db, binding(C, D))).x == X1


async def test_an_x_that_anyone_may_dial_is_one_persons(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding(A, B, mode="ax", expires_at=NOW + 10, cool_ms=0))
    assert await reached(db, X1, C) == (A, X1)
    assert await reached(db, X1, "") == (A, X1)
    assert await reached(db, X1, A) == (B, X1)
    with pytest.raises(PoolExhausted):
        await bind(db, binding(C, D, mode="ax"))
    assert (await bind(db, binding(C, D, mode="ax"), NOW + 10)).x == X1
    assert await reached(db, X1, A, NOW + 11) == (C, X1)
    assert [over.id for over in await db.bindings.expire(NOW + 12)] == [made.id]
    assert await reached(db, X1, A, NOW + 13) == (C, X1)


async def test_extensions_tell_many_on_one_x_apart(db: Database) -> None:
    await pool(db, X1)
    first = await bind(db, binding(A, "", mode="axe"))
    second = await bind(db, binding(B, "", mode="axe"))
    assert (first.extension, second.extension) == ("1000", "1001")
    found = await db.bindings.keyed(X1, "extension", "1001")
    assert found is not None
    decision = route(*found, D, NOW, keyed=True)
    assert isinstance(decision, Connect)
    assert decision.to == B
    for keys in ("", "1", "9999", "%", "*"):
        assert (await db.bindings.keyed(X1, "extension", keys)) == (found[0], [])
    with pytest.raises(NumberConflict):
        await bind(db, binding(C, "", mode="axe", x=X1, extension="1000"))
    with pytest.raises(PoolExhausted):
        await bind(db, binding(C, "", mode="axe", extension="1000"))


async def test_each_side_sees_a_number_of_its_own(db: Database) -> None:
    await pool(db, X1, X2)
    made = await bind(db, binding(mode="axyb"))
    assert {made.x, made.y} == {X1, X2}
    assert await reached(db, made.x, A) == (B, made.y)
    assert await reached(db, made.y, B) == (A, made.x)
    assert await reached(db, made.x, B) is None
    assert await reached(db, made.y, A) is None


async def test_an_area_is_kept_to_or_preferred(db: Database) -> None:
    await pool(db, X1, X2, areas={X2: "415"})
    assert (await bind(db, binding(area="415"))).x == X2
    with pytest.raises(PoolExhausted):
        await bind(db, binding(area="415"), strict=True)
    assert (await bind(db, binding(area="415"))).x == X1


async def test_locked_numbers_are_not_chosen_and_frozen_ones_do_nothing(db: Database) -> None:
    await pool(db, X1)
    number = (await db.x_numbers.list(TENANT)).items[0]
    await db.x_numbers.change(TENANT, number.id, 0, state="locked")
    with pytest.raises(PoolExhausted):
        await bind(db, binding())
    await bind(db, binding(x=X1))
    await db.x_numbers.change(TENANT, number.id, 0, state="frozen")
    with pytest.raises(NumberConflict):
        await bind(db, binding(C, D, x=X1))
    assert await reached(db, X1, A) is None
    await db.x_numbers.change(TENANT, number.id, 0, state="active")
    assert await reached(db, X1, A) == (B, X1)


@pytest.mark.parametrize("ends", ["released", "expired"])
async def test_what_has_ended_cools_off_before_it_is_taken_again(db: Database, ends: str) -> None:
    await pool(db, X1, cool_ms=MINUTE)
    made = await bind(db, binding(expires_at=NOW + MINUTE))
    if ends == "released":
        assert await db.bindings.release(TENANT, made.id, NOW + MINUTE) == (made, False)
        await db.bindings.release(TENANT, made.id, NOW + MINUTE - 1)
    elif ends == "expired":
        assert await db.bindings.expire(NOW + MINUTE - 1) == []
        over = await db.bindings.expire(NOW + MINUTE)
        assert [(one.id, one.state, one.ended_at) for one in over] == [(made.id, "expired", NOW + MINUTE)]
    assert await reached(db, X1, A, NOW + MINUTE) is None
    with pytest.raises(PoolExhausted):
        await bind(db, binding(A, C), NOW + 2 * MINUTE - 2)
    assert await db.bindings.sweep(NOW + 2 * MINUTE - 2) == 0
    again = await bind(db, binding(A, C), NOW + 2 * MINUTE)
    assert again.x == X1
    assert await reached(db, X1, A, NOW + 2 * MINUTE) == (C, X1)


async def test_time_alone_ends_a_binding(db: Database) -> None:
    await pool(db, X1)
    old = await bind(db, binding(expires_at=NOW + 5))
    assert await reached(db, X1, A, NOW + 4) == (B, X1)
    assert await reached(db, X1, A, NOW + 5) is None
    new = await bind(db, binding(A, C), NOW + 5)
    assert await reached(db, X1, A, NOW + 6) == (C, X1)
    assert await reached(db, X1, B, NOW + 6) is None
    assert await db.bindings.change(TENANT, old.id, NOW + 6, lambda one: replace(one, expires_at=NOW + 99)) is None
    assert [over.id for over in await db.bindings.expire(NOW + 7)] == [old.id]
    assert await reached(db, X1, A, NOW + 8) == (C, X1)
    assert (await db.bindings.get(TENANT, new.id)) == new


async def test_a_new_clock_moves_the_end(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding(ttl_ms=100, ttl_from="last_call", expires_at=NOW + 100))
    called = await db.bindings.called(made.id, NOW + 50)
    assert called is not None
    assert (called.last_call_at, called.expires_at) == (NOW + 50, NOW + 150)
    changed = await db.bindings.change(TENANT, made.id, NOW + 60, lambda one: replace(one, ttl_ms=500, expires_at=NOW + 560))
    assert changed is not None
    assert await reached(db, X1, A, NOW + 559) == (B, X1)
    with pytest.raises(PoolExhausted):
        await bind(db, binding(A, C), NOW + 559)
    assert (await bind(db, binding(A, C), NOW + 560)).x == X1
    assert await db.bindings.called(made.id, NOW + 560) is None


async def test_what_happened_to_a_binding_is_kept(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding())
    await db.bindings.change(TENANT, made.id, NOW + 1, lambda one: replace(one, block=(C,)))
    ended = await db.bindings.release(TENANT, made.id, NOW + 2)
    assert ended is not None
    assert (ended[0].state, ended[0].block, ended[1]) == ("released", (C,), True)
    facts = await db.bindings.facts(TENANT, made.id)
    told = [(fact.sequence, fact.type, fact.at) for fact in facts]
    assert told == [(1, "binding.created", NOW), (2, "binding.changed", NOW + 1), (3, "binding.released", NOW + 2)]
    assert facts[0].data["binding_id"] == "bind_" + made.id
    assert not any(number in str(fact.data) for fact in facts for number in (A, B))
    assert await db.bindings.facts(OTHER, made.id) == []
    assert await db.bindings.release(TENANT, made.id, NOW + 3) == (ended[0], False)


async def test_another_tenants_things_are_not_there(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    await pool(db, X1)
    made = await bind(db, binding())
    assert await db.bindings.get(OTHER, made.id) is None
    assert await db.bindings.release(OTHER, made.id, NOW) is None
    assert await db.bindings.change(OTHER, made.id, NOW, lambda one: one) is None
    assert (await db.bindings.list(OTHER)).items == []
    with pytest.raises(NumberUnknown):
        await bind(db, binding(C, D, tenant=OTHER, x=X1))
    with pytest.raises(PoolExhausted):
        await bind(db, binding(C, D, tenant=OTHER))
    assert await db.pools.get(OTHER, "p1") is None
    number = (await db.x_numbers.list(TENANT)).items[0]
    assert await db.x_numbers.get(OTHER, number.id) is None
    assert not await db.x_numbers.remove(OTHER, number.id, NOW)


async def test_a_number_or_pool_that_serves_somebody_stays(db: Database) -> None:
    await pool(db, X1)
    await add(db, X2)
    made = await bind(db, binding())
    number = (await db.x_numbers.list(TENANT, pool="p1")).items[0]
    with pytest.raises(InUse):
        await db.x_numbers.remove(TENANT, number.id, NOW)
    with pytest.raises(InUse):
        await db.pools.remove(TENANT, "p1")
    await db.bindings.release(TENANT, made.id, NOW)
    assert await db.x_numbers.remove(TENANT, number.id, NOW)
    assert await db.pools.remove(TENANT, "p1")
    assert [one.number for one in (await db.x_numbers.list(TENANT, kind="x")).items] == [X2]


async def test_bindings_are_found_by_what_they_bear(db: Database) -> None:
    await pool(db, X1, X2)
    one = await bind(db, binding(A, B, reference="r"))
    two = await bind(db, binding(A, C))
    await db.bindings.release(TENANT, two.id, NOW)

    async def listed(**where: str) -> list[str]:
        return [item.id for item in (await db.bindings.list(TENANT, BindingFilter(**where))).items]

    assert await listed() == [two.id, one.id]
    assert await listed(state="active") == [one.id]
    assert await listed(number=A) == [two.id, one.id]
    assert await listed(number=C) == [two.id]
    assert await listed(x=two.x) == [two.id]
    assert await listed(reference="r") == [one.id]
    first = await db.bindings.list(TENANT, limit=1)
    assert [item.id for item in (await db.bindings.list(TENANT, limit=1, after=first.next)).items] == [one.id]


async def test_a_repeat_with_its_key_binds_nothing(db: Database) -> None:

    def keep(made: Binding) -> tuple[str, str, str, bytes]:
        return (TENANT, "key", "print", made.x.encode())

    await pool(db, X1, X2)
    made = await db.bindings.bind(binding(), Choice(NOW), keep)
    with pytest.raises(KeyTaken) as taken:
        await db.bindings.bind(binding(), Choice(NOW), keep)
    assert (taken.value.response, taken.value.status) == (made.x.encode(), 201)
    assert len((await db.bindings.list(TENANT)).items) == 1


async def test_of_many_who_want_the_last_number_one_gets_it(db: Database) -> None:
    await pool(db, X1)
    results = await asyncio.gather(*(bind(db, binding(A, B)) for _ in range(12)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Binding"] + ["PoolExhausted"] * 11
    found = await db.bindings.dialled(X1, A)
    assert found is not None
    assert [hit.party for hit in found[1]] == [A]


async def test_of_many_who_want_a_number_that_is_in_use_already_one_gets_it(db: Database) -> None:
    await pool(db, X1, X2)
    await asyncio.gather(bind(db, binding(C, D)), bind(db, binding(D, C), start=1))
    results = await asyncio.gather(*(bind(db, binding(A, B)) for _ in range(12)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Binding"] * 2 + ["PoolExhausted"] * 10


async def test_many_at_once_get_numbers_as_long_as_there_are(db: Database) -> None:
    numbers = [f"+141555509{number:02d}" for number in range(10)]
    await pool(db, *numbers)
    wanted = [binding(A, f"+141555502{number:02d}") for number in range(14)]
    results = await asyncio.gather(*(bind(db, one) for one in wanted), return_exceptions=True)
    made = [result for result in results if isinstance(result, Binding)]
    assert len({one.x for one in made}) == len(made) == 10
    assert all(isinstance(result, Binding | PoolExhausted) for result in results)


async def test_a_pin_makes_a_phone_that_is_not_known_that_sides(db: Database) -> None:
    await pool(db, X1, X2, unknown="pin")
    await bind(db, binding(a_pin="4711", b_pin="4712"))
    found = await db.bindings.keyed(X1, "pin", "4711")
    assert found is not None
    assert [(hit.side, hit.party != ANYONE) for hit in found[1]] == [("a", True)]
    decision = route(*found, D, NOW, keyed=True)
    assert isinstance(decision, Connect)
    assert decision.to == B
    assert (await bind(db, binding(C, D, a_pin="4712"))).x == X2
    assert isinstance(found[1][0], Hit)
