"""OP5: tokens are good once or for a while, lock-outs outlive a restart, and neither grows without bound."""

import asyncio

import pytest

from controller.store.database import Database
from controller.store.rows import Lockout, NewToken
from controller.store.tokens import FAMILIES, LOCKOUTS, REMEMBER_MS
from tests.store.calls import TENANT

NOW = 1_750_000_000_000
SCOPES = ("calls:read",)


@pytest.fixture
async def keyed(db: Database) -> Database:
    """A tenant with a key."""
    await db.keys.add(TENANT, "k1", "name", "pb_x", "hash", ("*",), 1)
    return db


def pair(name: str, at: int = NOW) -> list[NewToken]:
    return [
        NewToken("access", "a" + name, SCOPES, at + 900_000),
        NewToken("refresh", "r" + name, SCOPES, at + 86_400_000),
    ]


async def test_a_token_knows_its_key_its_scopes_and_its_end(keyed: Database) -> None:
    await keyed.tokens.grant("k1", "f1", NOW, pair("1"))
    found = await keyed.tokens.by_hash("a1")
    assert found is not None
    assert (found.kind, found.family, found.key.id, found.key.tenant) == ("access", "f1", "k1", TENANT)
    assert (found.scopes, found.began_at, found.expires_at, found.used_at) == (SCOPES, NOW, NOW + 900_000, None)
    assert await keyed.tokens.by_hash("unknown") is None


async def test_a_refresh_token_is_good_once_and_a_second_use_ends_its_family(keyed: Database) -> None:
    await keyed.tokens.grant("k1", "f1", NOW, pair("1"))
    await keyed.tokens.grant("k1", "f2", NOW, pair("2"))
    old = await keyed.tokens.by_hash("r1")
    assert old is not None
    assert await keyed.tokens.rotate("r1", old, NOW + 5, pair("3")) == "done"
    new = await keyed.tokens.by_hash("r3")
    assert new is not None
    assert (new.family, new.began_at) == ("f1", NOW)
    assert await keyed.tokens.rotate("r1", old, NOW + 6, pair("4")) == "reused"
    assert [await keyed.tokens.by_hash(name) for name in ("a1", "r1", "a3", "r3", "a4", "r4")] == [None] * 6
    assert await keyed.tokens.by_hash("a2") is not None


async def test_an_access_token_is_no_refresh_token(keyed: Database) -> None:
    await keyed.tokens.grant("k1", "f1", NOW, pair("1"))
    old = await keyed.tokens.by_hash("a1")
    assert old is not None
    assert await keyed.tokens.rotate("a1", old, NOW + 5, pair("2")) == "reused"


async def test_of_two_that_refresh_at_once_one_is_the_second(keyed: Database) -> None:
    await keyed.tokens.grant("k1", "f1", NOW, pair("0"))
    old = await keyed.tokens.by_hash("r0")
    assert old is not None
    said = await asyncio.gather(*(keyed.tokens.rotate("r0", old, NOW, pair(str(n))) for n in range(1, 4)))
    assert sorted(said) == ["done", "reused", "reused"]
    assert await keyed.tokens.by_hash("r0") is None


async def test_a_key_has_so_many_grants_and_what_is_long_over_goes(keyed: Database) -> None:
    for number in range(FAMILIES + 3):
        await keyed.tokens.grant("k1", f"f{number:03}", NOW + number, pair(f"{number}", NOW + number))
    known = [number for number in range(FAMILIES + 3) if await keyed.tokens.by_hash(f"r{number}") is not None]
    assert known == list(range(3, FAMILIES + 3))
    later = NOW + 86_400_000 + REMEMBER_MS + 1000
    await keyed.tokens.grant("k1", "fz", later, pair("z", later))
    assert await keyed.tokens.by_hash("r50") is None
    assert await keyed.tokens.by_hash("rz") is not None


async def test_lock_outs_are_kept_until_they_end(keyed: Database) -> None:
    await keyed.lockouts.put(Lockout("key:pb_x", NOW + 1000, 1), NOW)
    await keyed.lockouts.put(Lockout("key:pb_x", NOW + 5000, 2), NOW)
    await keyed.lockouts.put(Lockout("address:192.0.2.1", NOW + 2000, 1), NOW)
    assert await keyed.lockouts.all(NOW) == [Lockout("key:pb_x", NOW + 5000, 2), Lockout("address:192.0.2.1", NOW + 2000, 1)]
    assert [lock.name for lock in await keyed.lockouts.all(NOW + 3000)] == ["key:pb_x"]
    await keyed.lockouts.put(Lockout("address:192.0.2.2", NOW + 9000, 1), NOW + 6000)
    assert [lock.name for lock in await keyed.lockouts.all(NOW)] == ["address:192.0.2.2"]


async def test_lock_outs_are_no_more_than_so_many(keyed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOCKOUTS >= 1000
    monkeypatch.setattr("controller.store.tokens.LOCKOUTS", 3)
    for number in range(5):
        await keyed.lockouts.put(Lockout(f"address:{number}", NOW + number + 1, 1), NOW)
    assert [lock.name for lock in await keyed.lockouts.all(NOW)] == ["address:4", "address:3", "address:2"]


async def test_a_keys_end_and_last_use_are_kept_and_its_tokens_go_with_it(keyed: Database) -> None:
    await keyed.keys.add(TENANT, "k2", "name", "pb_y", "hash2", ("*",), 1, None, NOW)
    await keyed.keys.used({"k1": 7, "k2": 8, "gone": 9})
    found = [await keyed.keys.get(TENANT, name) for name in ("k1", "k2")]
    assert [(key.last_used_at, key.expires_at, key.over(NOW - 1), key.over(NOW)) for key in found if key] == [
        (7, None, False, False),
        (8, NOW, False, True),
    ]
    await keyed.keys.revoke(TENANT, "k1", NOW)
    revoked = await keyed.keys.get(TENANT, "k1")
    assert revoked is not None
    assert revoked.over(0)
