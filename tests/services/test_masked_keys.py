"""Who must key in an extension or a PIN: answered, asked, looked up; and what guesses are borne."""

from typing import Any

import pytest

from controller.core import ids
from controller.core.call import Call
from controller.core.causes import REFUSED
from controller.core.masking import Direction
from controller.core.verbs import LookUp
from controller.services.arrivals import Refusal, Taken
from controller.services.journal import Entry
from controller.services.lookups import Answer
from controller.services.masked import MaskedCalls
from controller.store.database import Database
from tests.databases import cluster, database_url  # noqa: F401
from tests.services.test_masked import GUARDS, Still, call, db, masked  # noqa: F401
from tests.store.calls import TENANT
from tests.store.masking import X1, X2, A, B, C, D, bind, binding, pool

CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"


def asked(taken: Any, caller: str = D, call_id: str = CALL) -> Call:
    """The call that was taken so."""
    assert isinstance(taken, Taken)
    assert taken.flow == "masked-keys"
    return Call(call_id, taken.tenant, "masked", taken.flow, "v", 1, vars={"caller": caller, **taken.vars})


async def key(by: MaskedCalls, taken: Call, keys: str, step: int = 3) -> Answer:
    """Keys are keyed in, as the call's so-manieth step."""
    return await by.keyed(taken, LookUp(ids.verb_id(taken.id, step), ids.leg_id(taken.id, 1), "bindings", keys))


async def test_who_dials_an_x_with_extensions_is_asked_for_one_and_connected(db: Database) -> None:  # noqa: F811
    await pool(db, X1)
    rules = Direction(ring_timeout_s=20)
    made = await bind(db, binding(A, C, mode="axe", reference="r", metadata={"k": 1}, b_to_a=rules))
    other = await bind(db, binding(B, "", mode="axe"))
    by = masked(db)
    taken = await by(call(X1, D))
    assert taken == Taken(TENANT, "masked-keys", {"x": X1, "key": "extension", "prompt": "extension"}, "masked")
    answer = await key(by, asked(taken), made.extension)
    shown = {"callee": A, "callee_display": X1, "ring_timeout_s": 20}
    assert answer == Answer("found", shown, "bind_" + made.id, "r", {"k": 1})
    assert (await key(by, asked(taken), other.extension)).vars["callee"] == B
    assert (await key(by, asked(taken), "")).outcome == "wrong"
    own = await by(call(X1, A))
    assert isinstance(own, Taken)
    assert (own.flow, own.vars["callee"]) == ("masked", C)


@pytest.mark.parametrize("mode", ["axb", "axyb"])
async def test_an_unknown_phone_becomes_a_party_by_its_pin(db: Database, mode: str) -> None:  # noqa: F811
    await pool(db, X1, X2, unknown="pin", prompt="say-pin")
    made = await bind(db, binding(mode=mode, a_pin="80261", b_pin="4711"))
    far = made.y or made.x
    by = masked(db)
    taken = await by(call(made.x, D))
    assert taken == Taken(TENANT, "masked-keys", {"x": made.x, "key": "pin", "prompt": "say-pin"}, "masked")
    assert (await key(by, asked(taken), "80261")).vars == {"callee": B, "callee_display": far}
    assert (await key(by, asked(await by(call(far, D))), "4711")).vars == {"callee": A, "callee_display": made.x}
    if far != made.x:
        assert (await key(by, asked(taken), "4711")).outcome == "wrong"


@pytest.mark.parametrize("keys", ["8026", "802610", "#", "*", "0", "'; --", "80261 ", "", "A"])
async def test_what_is_not_the_very_pin_is_wrong(db: Database, keys: str) -> None:  # noqa: F811
    await pool(db, X1, unknown="pin")
    await bind(db, binding(a_pin="80261"))
    by = masked(db)
    assert await key(by, asked(await by(call(X1, D))), keys) == Answer("wrong")


async def test_a_right_key_that_may_not_call_is_refused_and_no_wrong_one(db: Database) -> None:  # noqa: F811
    await pool(db, X1, X2)
    made = await bind(db, binding(A, "", mode="axe", b_to_a=Direction(allowed=False)))
    dead = await bind(db, binding(B, "", mode="axe"))
    by = masked(db)
    taken = asked(await by(call(X1, D)))
    for step in range(3, 9):
        assert await key(by, taken, made.extension, step) == Answer("refused")
    await db.bindings.release(TENANT, dead.id, 1_000_000)
    assert await key(by, taken, dead.extension) == Answer("wrong")
    assert await masked(db, D)(call(X1, D)) == Refusal(REFUSED["rejected"])  # the tenant's list comes first


async def test_guesses_are_counted_across_calls_and_lock_the_caller_out_for_a_time(db: Database) -> None:  # noqa: F811
    await pool(db, X1, unknown="pin")
    await bind(db, binding(a_pin="80261"))
    clock, noted = Still(), list[Entry]()
    by = masked(db, clock=clock, noted=noted)
    calls = [asked(await by(call(X1, D)), call_id=CALL[:-1] + last) for last in "123"]
    for taken in calls:
        assert await key(by, taken, "1111") == Answer("wrong")
        clock.ms += 100
    assert await key(by, calls[2], "80261", step=9) == Answer("locked")
    assert await masked(db, clock=clock)(call(X1, D)) == Taken(TENANT, "masked-told", {"prompt": "locked"}, "masked")
    assert (await key(by, asked(await by(call(X1, C)), C), "80261")).outcome == "found"  # others are not
    clock.ms += 701
    assert (await key(by, asked(await by(call(X1, D))), "80261")).outcome == "found"
    told = [(entry.tenant, entry.action, entry.target, entry.data) for entry in noted]
    wrong = [(TENANT, "masking.wrong_key", "call_" + taken.id, {"result": "refused"}) for taken in calls]
    assert told == [*wrong, (TENANT, "masking.locked", "call_" + calls[2].id, {"result": "refused", "guard": "caller"})]
    assert not any(secret in repr(noted) for secret in ("1111", "80261", X1, D))


async def test_the_same_question_asked_again_is_the_same_guess(db: Database) -> None:  # noqa: F811
    await pool(db, X1, unknown="pin")
    await bind(db, binding(a_pin="80261"))
    by = masked(db)
    taken = asked(await by(call(X1, D)))
    for _ in range(GUARDS.per_caller + 1):
        assert await key(by, taken, "1111") == Answer("wrong")
    assert (await key(by, taken, "80261", step=9)).outcome == "found"


async def test_who_forges_callers_is_stopped_by_the_number_and_who_tries_many_numbers_by_the_tenant(db: Database) -> None:  # noqa: F811
    await pool(db, X1, X2, unknown="pin")
    for x in (X1, X2):
        await bind(db, binding(x=x, a_pin="80261"))
    noted = list[Entry]()
    by = masked(db, noted=noted)

    async def guess(x: str, last: int) -> str:
        taken = await by(call(x, f"+1628555{last:04d}"))
        assert isinstance(taken, Taken)
        if taken.flow == "masked-told":
            return str(noted[-1].data["guard"])
        return (await key(by, asked(taken, f"+1628555{last:04d}", f"{last:026d}"), "1111")).outcome

    assert [await guess(X1, last) for last in range(6)] == ["wrong"] * 5 + ["x"]
    assert [await guess(X2, last) for last in range(10, 13)] == ["wrong"] * 2 + ["tenant"]
