"""Tenants, keys, numbers, endpoints, flows, answers that are kept."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from controller.ports import NotSaved
from controller.store.database import Database
from controller.store.errors import KeyTaken, Taken
from controller.store.keys import hash_of, new_key
from controller.store.rows import ApiKey, DisplayNumber, Endpoint, Tenant
from tests.databases import Cluster
from tests.store.calls import OTHER, TENANT

ENDPOINT = Endpoint("e1", TENANT, "https://example.com/x?y=%20", "whsec_s3cret", ("call.ended",), 7)
FLOW = {"flow": "x", "start": "a", "nodes": {"a": {"dial": "caller", "ring": "30s"}}}


async def test_a_database_is_empty_until_its_first_tenant(cluster: Cluster) -> None:
    db = await Database.open(await cluster.new())
    assert await db.tenants.is_empty()
    await db.tenants.add(TENANT, "Tenant", 1)
    assert not await db.tenants.is_empty()
    await db.close()


async def test_a_tenant_is_added_once_and_changed(db: Database) -> None:
    with pytest.raises(Taken):
        await db.tenants.add(TENANT, "Again", 2)
    assert await db.tenants.change(TENANT, suspended_at=5) == Tenant(TENANT, "Tenant", 1, 5)
    assert await db.tenants.change(TENANT, name="New", suspended_at=None) == Tenant(TENANT, "New", 1, None)
    assert await db.tenants.get(TENANT) == Tenant(TENANT, "New", 1, None)
    assert await db.tenants.change("unknown", name="x") is None
    with pytest.raises(TypeError):
        await db.tenants.change(TENANT, id="stolen")


async def test_tenants_are_listed_in_pages(db: Database) -> None:
    for name in ("b", "c", "d"):
        await db.tenants.add(name, name, 1)
    first = await db.tenants.list(3)
    assert [tenant.id for tenant in first.items] == ["d", "c", "b"]
    assert [tenant.id for tenant in (await db.tenants.list(3, first.next)).items] == [TENANT]


async def test_of_a_key_only_its_hash_is_kept(db: Database) -> None:
    made = new_key()
    await db.keys.add(TENANT, "k1", "mine", made.prefix, made.hash, ("calls", "cdrs"), 3)
    found = await db.keys.by_hash(hash_of(made.text))
    assert found == ApiKey("k1", TENANT, "mine", made.prefix, ("calls", "cdrs"), 3, None)
    assert await db.keys.by_hash(made.text) is None
    assert made.text not in repr((made, found))
    assert made.hash not in repr((made, found))


def test_keys_are_of_32_random_bytes_and_bear_our_mark() -> None:
    made = {new_key().text for _ in range(100)}
    assert len(made) == 100
    assert all(text.startswith("pb_") and len(text) == 3 + 43 for text in made)


async def test_a_key_is_revoked_once_and_still_known(db: Database) -> None:
    await db.keys.add(TENANT, "k1", "mine", "pb_", "hash", (), 3)
    assert await db.keys.revoke(TENANT, "k1", 9)
    assert not await db.keys.revoke(TENANT, "k1", 10)
    found = await db.keys.by_hash("hash")
    assert found is not None
    assert found.revoked_at == 9
    assert (await db.keys.list(TENANT)).items == [found]


async def test_a_number_has_one_owner(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    await db.numbers.add("n1", TENANT, "+14155550100", 2)
    with pytest.raises(Taken):
        await db.numbers.add("n2", OTHER, "+14155550100", 2)
    assert await db.numbers.owned(OTHER) == set()
    assert await db.numbers.remove(TENANT, "n1")
    assert not await db.numbers.remove(TENANT, "n1")
    await db.numbers.add("n2", OTHER, "+14155550100", 2)
    assert (await db.numbers.list(OTHER)).items == [DisplayNumber("n2", OTHER, "+14155550100", 2)]


async def test_an_unknown_tenant_owns_nothing(db: Database) -> None:
    with pytest.raises(NotSaved):
        await db.numbers.add("n1", "unknown", "+14155550100", 2)


def test_no_number_or_secret_is_in_the_repr_of_a_row() -> None:
    assert "415555" not in repr(DisplayNumber("n1", TENANT, "+14155550100", 1))
    assert "s3cret" not in repr(ENDPOINT)


async def test_an_endpoint_is_added_changed_and_removed(db: Database) -> None:
    await db.endpoints.add(ENDPOINT)
    assert await db.endpoints.get(TENANT, "e1") == ENDPOINT
    changed = await db.endpoints.change(TENANT, "e1", state="disabled", reason="410", events=("*",))
    assert changed == await db.endpoints.get(TENANT, "e1")
    assert changed is not None
    assert (changed.state, changed.reason, changed.events, changed.secret) == ("disabled", "410", ("*",), ENDPOINT.secret)
    assert await db.endpoints.change(TENANT, "unknown", url="https://example.org") is None
    with pytest.raises(TypeError):
        await db.endpoints.change(TENANT, "e1", created_at=9)
    assert await db.endpoints.delete(TENANT, "e1")
    assert not await db.endpoints.delete(TENANT, "e1")


async def test_a_version_of_a_flow_is_kept_as_it_first_was(db: Database) -> None:
    await db.flows.put("x", "v1", FLOW, 1)
    await db.flows.put("x", "v1", {"other": 1}, 2)
    await db.flows.put("x", "v2", {"other": 1}, 3)
    assert await db.flows.get("x", "v1") == FLOW
    assert await db.flows.get("x", "v3") is None
    assert [(flow.version, flow.body, flow.created_at) for flow in await db.flows.all()] == [
        ("v1", FLOW, 1),
        ("v2", {"other": 1}, 3),
    ]


async def test_what_is_added_with_a_taken_key_is_refused_with_the_first_answer(db: Database) -> None:
    key = (TENANT, "key", "print", b"first")
    adding: list[Callable[[int], Awaitable[None]]] = [
        lambda n: db.numbers.add(f"n{n}", TENANT, f"+1415555010{n}", 1, key),
        lambda n: db.endpoints.add(Endpoint(f"e{n}", TENANT, "https://example.com", "s", (), 1), key),
        lambda n: db.keys.add(TENANT, f"k{n}", "name", "pb_", f"hash {n}", (), 1, key),
    ]
    await adding[0](1)
    for number, add in enumerate(adding, 2):
        with pytest.raises(KeyTaken) as caught:
            await add(number)
        assert (caught.value.fingerprint, caught.value.status, caught.value.response) == ("print", 201, b"first")
    assert await db.numbers.owned(TENANT) == {"+14155550101"}
    assert (await db.endpoints.list(TENANT)).items == []
    assert (await db.keys.list(TENANT)).items == []


async def test_of_many_requests_with_one_key_one_begins(db: Database) -> None:
    asked = [db.idempotency.begin(TENANT, "key", f"print {number}", 1) for number in range(20)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert outcomes.count(None) == 1
    first = outcomes.index(None)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, KeyTaken) for outcome in refused)
    assert {(outcome.fingerprint, outcome.status) for outcome in refused if isinstance(outcome, KeyTaken)} == {
        (f"print {first}", 0)
    }


async def test_a_request_in_flight_is_finished_or_dropped(db: Database) -> None:
    await db.idempotency.begin(TENANT, "key", "print", 1)
    await db.idempotency.finish(TENANT, "key", "print", 200, b"\x00\xff", 2)
    kept = await db.idempotency.get(TENANT, "key")
    assert kept is not None
    assert (kept.status, kept.response, kept.at) == (200, b"\x00\xff", 2)
    await db.idempotency.drop(TENANT, "key")
    assert await db.idempotency.get(TENANT, "key") is None
    await db.idempotency.begin(TENANT, "key", "print", 3)


async def test_old_keys_are_swept(db: Database) -> None:
    for number in (1, 2, 3):
        await db.idempotency.begin(TENANT, f"key {number}", "print", number)
    assert await db.idempotency.sweep(3) == 2
    assert await db.idempotency.get(TENANT, "key 3") is not None


async def test_ping_writes_and_changes_nothing(db: Database) -> None:
    epoch = await db.leases.take("pbx1", "somebody")
    await db.ping()
    holder = await db.leases.holder("pbx1")
    assert holder is not None
    assert (holder.owner, holder.epoch) == ("somebody", epoch)


async def test_ping_reaches_the_file(tmp_path: Path) -> None:
    """SQLite tells other connections when something was committed (PRAGMA data_version)."""
    db = await Database.open(f"sqlite:///{tmp_path}/patchbay.db")
    await db.leases.take("pbx1", "somebody")
    with closing(sqlite3.connect(tmp_path / "patchbay.db")) as other:
        before = other.execute("PRAGMA data_version").fetchone()
        await db.ping()
        assert other.execute("PRAGMA data_version").fetchone() != before
    await db.close()
