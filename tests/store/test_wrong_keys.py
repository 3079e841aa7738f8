"""Wrong keys on both databases: counted together with the look-up, so no crowd of guesses slips through."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from controller.core.masking import Guards, Tried, Try
from controller.store.database import Database
from controller.store.tables_masking import WRONG_KEY
from tests.store.calls import OTHER, TENANT
from tests.store.masking import NOW, X1, X2, A, D, bind, binding, pool

GUARDS = Guards(per_caller=4, per_x=6, per_tenant=8, within_ms=1000)
GUESS = Try("call-1", TENANT, X1, D, "pin", "1111", NOW)


async def rows(db: Database) -> int:
    query = select(func.count()).select_from(WRONG_KEY)
    return await db.backend.read(lambda connection: int(connection.execute(query).scalar_one()))


async def prepared(db: Database) -> None:
    await pool(db, X1, unknown="pin")
    await bind(db, binding(a_pin="80261"))


async def test_a_crowd_of_guesses_is_borne_no_longer_than_one_after_the_other(db: Database) -> None:
    await prepared(db)
    guesses = [replace(GUESS, id=f"call-{number}", keys=f"{number:04d}") for number in range(20)]
    found = await asyncio.gather(*(db.wrong_keys.tried(guess, GUARDS) for guess in guesses))
    outcomes = [one.outcome for one in found]
    assert (outcomes.count("wrong"), outcomes.count("locked")) == (GUARDS.per_caller, 20 - GUARDS.per_caller)
    assert await rows(db) == GUARDS.per_caller
    assert await db.wrong_keys.tried(replace(GUESS, id="call-x", keys="80261"), GUARDS) == Tried("locked", guard="caller")


async def test_what_is_right_is_found_with_its_claims_and_leaves_nothing(db: Database) -> None:
    await prepared(db)
    tried = await db.wrong_keys.tried(replace(GUESS, keys="80261"), GUARDS)
    assert tried.dialled is not None
    assert (tried.outcome, tried.dialled.number, [hit.side for hit in tried.hits]) == ("found", X1, ["a"])
    assert (await db.wrong_keys.tried(replace(GUESS, id="call-2", keys="80261", at=NOW + 10**6), GUARDS)).outcome == "found"
    assert await rows(db) == 0


@pytest.mark.parametrize("change", [{"x": X2}, {"tenant": OTHER}, {"what": "extension"}, {"keys": A}])
async def test_a_pin_opens_its_own_number_of_its_own_tenant_alone(db: Database, change: dict[str, str]) -> None:
    await prepared(db)
    await db.tenants.add(OTHER, OTHER, 1)
    assert await db.wrong_keys.tried(replace(GUESS, **{"keys": "80261", **change}), GUARDS) == Tried("wrong")  # type: ignore[arg-type]


async def test_what_is_long_ago_is_forgotten_and_a_tenant_never_has_more_rows_than_its_guard_bears(db: Database) -> None:
    await prepared(db)
    for number in range(50):
        guess = replace(GUESS, id=f"call-{number}", caller=f"+1628555{number:04d}", x=f"+1510555{number:04d}", at=NOW + number)
        await db.wrong_keys.tried(guess, GUARDS)
    assert await rows(db) == GUARDS.per_tenant
    assert await db.wrong_keys.locked(TENANT, X1, D, NOW + 50, GUARDS) == "tenant"
    assert await db.wrong_keys.locked(OTHER, X1, D, NOW + 50, GUARDS) is None
    later = NOW + 1000 + GUARDS.per_tenant
    assert await db.wrong_keys.locked(TENANT, X1, D, later, GUARDS) is None
    await db.wrong_keys.tried(replace(GUESS, id="late", at=later), GUARDS)
    assert await rows(db) == 1


async def test_a_withheld_number_is_a_caller_like_others(db: Database) -> None:
    await prepared(db)
    for number in range(GUARDS.per_caller):
        await db.wrong_keys.tried(replace(GUESS, id=f"call-{number}", caller=""), GUARDS)
    assert await db.wrong_keys.locked(TENANT, X1, "", NOW, GUARDS) == "caller"
    assert await db.wrong_keys.locked(TENANT, X1, D, NOW, GUARDS) is None


async def test_numbers_of_those_who_guessed_go_with_time_also_where_nobody_guesses_any_more(db: Database) -> None:
    await prepared(db)
    for number in (0, 1, 2):
        await db.wrong_keys.tried(replace(GUESS, id=f"call-{number}", at=NOW + number), GUARDS)
    assert await db.wrong_keys.sweep(NOW + 2) == 2
    assert await rows(db) == 1
