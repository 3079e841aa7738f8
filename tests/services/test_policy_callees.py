"""Who counts as a callee (agents and whom a person dials do not), when a waiting call may start, and who hears of an alarm."""

import dataclasses
from typing import Any

import pytest

from controller.core import events as ev
from controller.core.agent import AGENT, WANTED
from controller.core.call import LegState
from controller.ports import NotSaved
from controller.store.database import Database
from tests.services.test_policy import CALLEES, SHOWN, Time, call_to, db, dials, policy_over, told  # noqa: F401
from tests.store.calls import after, queued, started


async def test_an_agent_is_no_callee_and_a_customer_is_one_whoever_is_rung_first(db: Database) -> None:  # noqa: F811
    """Hours and counts are for whom a machine calls unasked: not for who is on duty, nor for who asked."""
    clock = Time()
    policy = await policy_over(db, clock, calls_per_callee_24h=1, hours={"open": "00:00", "close": "00:01"})
    for leg in ("callee", "caller"):
        call = call_to(CALLEES[0], clock.at)
        call = dataclasses.replace(call, vars={**call.vars, WANTED: {"leg": leg, "agent": None}})
        refused = [policy.allowed(call, dials(call)) for _ in range(2)]
        assert refused == ([None, None] if leg == "callee" else ["outside_calling_hours"] * 2)
        assert policy.counts.rung("acme", CALLEES[0], clock.at) == 0
        assert (policy.may_start(call, clock.at) == clock.at) == (leg == "callee")


async def test_a_waiting_call_starts_when_all_whom_it_rings_may_be_called(db: Database) -> None:  # noqa: F811
    clock = Time()
    policy = await policy_over(db, clock, hours={"open": "09:00", "close": "10:00"})
    call = dataclasses.replace(call_to(CALLEES[0], clock.at), legs=())
    opens = policy.opens_at("acme", CALLEES[0], clock.at)
    assert opens is not None
    assert (opens > clock.at, policy.may_start(call, clock.at)) == (True, opens)
    robot = dataclasses.replace(call, kind="robot", vars={"caller": CALLEES[0], "caller_display": SHOWN})
    assert policy.may_start(robot, clock.at) == opens
    masked = dataclasses.replace(call, kind="masked")
    assert policy.may_start(masked, clock.at) == clock.at
    never = await policy_over(db, clock, hours={"open": "09:00", "close": "10:00"})
    satellite = dataclasses.replace(call, vars={**call.vars, "callee": "+870776123456"})
    assert never.may_start(satellite, clock.at) is None


@pytest.mark.parametrize(("kind", "leg", "counts"), [("callback", None, 1), ("callback", "callee", 0), ("masked", None, 0)])
async def test_after_a_restart_the_same_legs_are_counted_as_before(
    db: Database,  # noqa: F811
    kind: Any,
    leg: str | None,
    counts: int,
) -> None:
    clock = Time()
    vars_ = {"callee": CALLEES[0]} | ({WANTED: {"leg": leg, "agent": None}, AGENT: "a"} if leg else {})
    begun = queued(1, at=clock.at - 1000, vars=vars_)
    begun = dataclasses.replace(begun, call=dataclasses.replace(begun.call, kind=kind))
    await db.calls.commit(begun)
    begun = started(begun)
    await db.calls.commit(begun)
    near = begun.call.legs[0].id
    for event in (ev.LegHeld(clock.at, near), ev.VerbDone(clock.at, near, begun.call.id + "0002", "done")):
        begun = after(begun, event)
        await db.calls.commit(begun)
    policy = await policy_over(db, clock)
    assert policy.counts.rung("acme", CALLEES[0], clock.at + 1) == counts


async def test_a_burst_of_short_calls_is_told_in_the_timeline_of_its_last(
    db: Database,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often the database was away meanwhile."""
    monkeypatch.setattr("controller.services.policy.TELL_AGAIN_S", 0.0)
    clock, heard = Time(), []
    policy = await policy_over(db, clock, calls_per_callee_24h=None, short_calls={"count": 2, "within_s": 60})

    async def tell(call: str, event: Any) -> None:
        heard.append((call, event))
        if len(heard) < 3:
            raise NotSaved("the database is away")

    policy.tell = tell
    for number, length_ms in enumerate((3_999, 4_000, 3_999)):
        call = call_to(CALLEES[0], clock.at, name=f"burst{number}")
        policy.committed(dataclasses.replace(call, legs=()), call, ())
        talk = told(policy, call, state=LegState.answered, answered_at=clock.at)
        clock.at += length_ms
        told(policy, talk, state=LegState.ended, answered_at=clock.at - length_ms, ended_at=clock.at)
    await policy._tasks.drain()
    assert heard == [("burst2", ev.ShortCalls(clock.at, 2, 60))] * 3
