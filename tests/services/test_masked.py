"""What becomes of a call to an X number, against real bindings on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from controller.core.causes import REFUSED
from controller.core.masking import Binding, Direction, Guards
from controller.services.arrivals import Arrival, Refusal, Taken
from controller.services.journal import Entry
from controller.services.masked import MaskedCalls
from controller.store.database import Database
from tests.databases import cluster, database_url  # noqa: F401
from tests.store.calls import OTHER, TENANT
from tests.store.masking import NOW, X1, X2, A, B, C, D, add, bind, binding, pool

GUARDS = Guards(per_caller=3, per_x=5, per_tenant=7, within_ms=1000)


class Still:
    """A clock that stands."""

    def __init__(self) -> None:
        self.ms = NOW

    def now(self) -> int:
        """Where it stands."""
        return self.ms

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.ms / 1000


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:  # noqa: F811
    """An open database with two tenants."""
    database = await Database.open(database_url, migrate=False)
    for tenant in (TENANT, OTHER):
        await database.tenants.add(tenant, tenant, 1)
    yield database
    await database.close()


def masked(
    db: Database, *blocked: str, clock: Still | None = None, guards: Guards = GUARDS, noted: list[Entry] | None = None
) -> MaskedCalls:
    """The resolver; the tenant's list refuses these, ``noted`` takes what is for the audit log."""

    def blocks(tenant: str, number: str) -> bool:
        return tenant == TENANT and number in blocked

    note = (noted if noted is not None else []).append
    return MaskedCalls(db.bindings, db.wrong_keys, clock or Still(), blocks, guards, note)


def call(called: str, caller: str) -> Arrival:
    """A call that comes in."""
    return Arrival("pbx1", "carrier", caller, called, "leg", NOW)


async def test_it_is_connected_with_the_rules_of_its_direction_and_the_callers_number_goes_nowhere(db: Database) -> None:
    await pool(db, X1)
    rules = Direction(announce="hello", ring_timeout_s=20, record=True, max_duration_s=60)
    made = await bind(db, binding(reference="r", metadata={"k": 1}, a_to_b=rules))
    taken = await masked(db)(call(X1, A))
    assert isinstance(taken, Taken)
    shown = {"callee": B, "callee_display": X1}
    through = {"announce": "hello", "ring_timeout_s": 20, "record": True, "max_duration_s": 60}
    assert taken == Taken(TENANT, "masked", {**shown, **through}, "masked", "bind_" + made.id, "r", {"k": 1})
    assert A not in taken.vars.values()
    back = await masked(db)(call(X1, B))
    assert isinstance(back, Taken)
    assert back.vars == {"callee": A, "callee_display": X1}
    assert not any(number in repr((taken, back)) for number in (A, B, X1))


async def test_a_call_starts_the_clock_again(db: Database) -> None:
    await pool(db, X1)
    clock = Still()
    made = await bind(db, binding(ttl_ms=100, ttl_from="last_call", expires_at=NOW + 100))
    clock.ms += 90
    assert isinstance(await masked(db, clock=clock)(call(X1, A)), Taken)
    now = await db.bindings.get(TENANT, made.id)
    assert now is not None
    assert (now.last_call_at, now.expires_at) == (NOW + 90, NOW + 190)
    clock.ms += 100
    assert await masked(db, clock=clock)(call(X1, A)) == Refusal(REFUSED["rejected"])


async def test_what_is_no_x_is_left_to_others(db: Database) -> None:
    await pool(db, X1)
    assert await masked(db)(call(X2, A)) is None
    assert await masked(db)(call("", A)) is None


@pytest.mark.parametrize("caller", [D, "", "anonymous"])
async def test_a_phone_that_is_not_known_is_refused_or_told(db: Database, caller: str) -> None:
    await pool(db, X1)
    await pool(db, X2, name="p2", unknown="prompt", prompt="sorry")
    for x, name in ((X1, "p1"), (X2, "p2")):
        assert (await bind(db, binding(pool=name))).x == x
    assert await masked(db)(call(X1, caller)) == Refusal(REFUSED["rejected"])
    assert await masked(db)(call(X2, caller)) == Taken(TENANT, "masked-told", {"prompt": "sorry"}, "masked")


async def test_the_tenants_list_and_the_bindings_refuse(db: Database) -> None:
    await pool(db, X1, X2)
    await bind(db, binding(block=(A,)))
    await bind(db, binding(C, D, allow=(D,)))
    assert await masked(db)(call(X1, A)) == Refusal(REFUSED["rejected"])
    assert isinstance(await masked(db)(call(X1, B)), Taken)
    assert await masked(db, B, D)(call(X1, B)) == Refusal(REFUSED["rejected"])
    assert isinstance(await masked(db, B, D)(call(X1, D)), Taken)


async def test_a_dialling_his_own_open_x_without_a_callee_reaches_nobody(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding(A, "", mode="ax"))
    assert await masked(db)(call(X1, A)) == Refusal(REFUSED["unreachable"])
    later = NOW + 10
    await db.bindings.change(TENANT, made.id, NOW, lambda one: replace(one, temporary=C, temporary_until=later))
    taken = await masked(db)(call(X1, A))
    assert isinstance(taken, Taken)
    assert taken.vars["callee"] == C


async def test_an_x_without_e164_form_is_found_as_the_trunk_delivers_it(db: Database) -> None:
    await pool(db)
    await add(db, "700123456789012", pool="p1", state="active")
    await bind(db, binding())
    assert isinstance(await masked(db)(call("+700123456789012", A)), Taken)
    assert isinstance(await masked(db)(call("700123456789012", A)), Taken)


async def test_a_binding_that_is_released_between_the_look_and_the_call_connects_nobody(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding())

    class Late:
        """The store, on which somebody releases the binding in between."""

        dialled = staticmethod(db.bindings.dialled)

        async def called(self, binding_id: str, now: int) -> Binding | None:
            """What is found then."""
            await db.bindings.release(TENANT, made.id, now)
            return await db.bindings.called(binding_id, now)

    late = MaskedCalls(Late(), db.wrong_keys, Still(), lambda _tenant, _number: False, GUARDS, [].append)
    assert await late(call(X1, A)) == Refusal(REFUSED["rejected"])
