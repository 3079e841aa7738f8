"""Mistakes, each a small change of the real code: the fuzzer must catch every one of them.

Each makes a context manager; within it the mistake is in the code.
"""

import asyncio
import dataclasses
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from controller.core import decide as engine
from controller.core import events as ev
from controller.core import legs
from controller.core.call import CallStatus, Leg, LegState, changed
from controller.core.draft import Draft
from controller.core.facts import leg_data
from controller.drivers.simulator.link import Simulator
from controller.services import calls, conductor, resync
from controller.services.scheduler import Scheduler
from controller.store.sqlite_units import INSERT_FACT
from tests.crash import points


def resend_of_an_unconfirmed_dial() -> Any:
    """After a gap a dial that was on its way is sent again."""

    def send(self: conductor.Conductor, call: Any) -> None:
        live = self._calls.live(call.id)
        if live is not None and not live.acting and not live.verbs:
            live.verbs.extend(step.verb for step in call.steps if step.state in ("todo", "sending"))
            self.act(live)

    def may_still_come(call: Any, leg: Leg, alive: Any) -> bool:
        unsure = [step for step in call.steps if step.leg == leg.id and step.kind == "Dial" and step.state == "sending"]
        return bool(unsure) or real(call, leg, alive)

    real = resync._may_still_come
    together = ExitStack()
    together.enter_context(patch.object(conductor.Conductor, "_send_what_was_not_sent", send))
    together.enter_context(patch.object(conductor, "_first_time", lambda verb: lambda call: call.step(verb.id) is not None))
    together.enter_context(patch.object(resync, "_may_still_come", may_still_come))
    return together


def dial_without_being_marked_as_sending() -> Any:
    """A dial is sent without a word in the database that it is on its way."""

    async def may_ring(self: conductor.Conductor, live: Any, verb: Any) -> bool:
        return live.call.step(verb.id) is not None

    together = ExitStack()
    together.enter_context(patch.object(conductor.Conductor, "_may_ring", may_ring))
    together.enter_context(patch.object(calls, "clear_to_ring", lambda _live, call, _verbs, _ready: (call, set())))
    return together


def connect_repeated_whatever_its_leg_says() -> Any:
    """A leg that knocks with the step set is dialled for again."""

    def held_with(draft: Draft, step: Any, event: ev.LegHeld) -> None:
        if step.kind == "Connect" and event.step == step.id:
            draft.call = draft.call.without_step(step.id)
            draft.ask_pbx(step.node, lambda verb: dataclasses.replace(step.verb, id=verb), 60_000)
        else:
            real(draft, step, event)

    real = legs._held_with
    return patch.object(legs, "_held_with", held_with)


def leg_state_backward() -> Any:
    """A late word of ringing takes an answered leg back."""

    def ringing(self: Draft, leg: Leg, at: int) -> Leg:
        if leg.state is LegState.ringing:
            return leg
        leg = changed(leg, state=LegState.ringing, ringing_at=at)
        self.call = self.call.with_leg(leg)
        self.tell("call.leg.ringing", leg_data(leg), at)
        if not leg.peer:
            self.raise_status(CallStatus.ringing)
        return leg

    return patch.object(Draft, "ringing", ringing)


def ignored_end() -> Any:
    """The end of a leg that rings is not listened to."""

    def on_ended(draft: Draft, event: ev.LegEnded) -> None:
        leg = draft.call.leg(event.leg)
        if leg is None or leg.state is not LegState.ringing:
            legs.on_ended(draft, event)

    return patch.dict(engine.HANDLERS, {ev.LegEnded: on_ended})


def end_told_twice() -> Any:
    """A call that has ended listens on, and its legs' ends are ends again."""

    def on_ended(draft: Draft, event: ev.LegEnded) -> None:
        leg = draft.call.leg(event.leg)
        if leg is not None:
            draft.leg_over(leg, event.why, event.at, event.sip, event.q850)
            legs.finish(draft)

    return patch.dict(engine.HANDLERS, {ev.LegEnded: on_ended})


def fact_without_its_transaction() -> Any:
    """A call is written first, and its facts in a transaction of their own."""

    def write(connection: Any, items: Any, fate: points.Fate) -> None:
        facts = {id(item): list(item.rows.facts) for item in items if item.rows is not None}
        for item in items:
            if item.rows is not None:
                item.rows.facts.clear()
        real(connection, items, fate)
        later = [fact for item in items if item.fault is None for fact in facts.get(id(item), ())]
        if not fate.strikes("between two transactions"):
            connection.connection.driver_connection.executemany(INSERT_FACT, later)

    real = points.write
    return patch.object(points, "write", write)


def acknowledged_before_it_is_durable() -> Any:
    """The writer says yes at once, and writes when it finds the time."""
    real = points.MortalStore.commit
    kept: set[asyncio.Task[None]] = set()

    async def commit(self: points.MortalStore, unit: Any) -> None:
        self._fate.point("before commit")
        kept.add(asyncio.create_task(real(self, unit)))

    return patch.object(points.MortalStore, "commit", commit)


def orphans_are_left() -> Any:
    """A live leg of a call that is over is not hung up."""

    async def release(self: conductor.Conductor, which: Any, after_s: float = 0.0) -> None:
        return None

    return patch.object(conductor.Conductor, "_release", release)


def lines_are_not_read() -> Any:
    """After a gap, what the PBX wrote down of ended legs is not asked for."""

    async def gone(self: Simulator, which: Any) -> Any:
        return {}

    return patch.object(Simulator, "gone", gone)


def queued_calls_are_forgotten() -> Any:
    """After a start nobody looks for the calls that waited."""
    return patch.object(Scheduler, "restore", lambda *_: None)


def no_resync_after_a_gap() -> Any:
    """A link that is up again is believed to have missed nothing."""

    async def resync_nothing(self: conductor.Conductor, only: Any = None) -> None:
        return None

    return patch.object(conductor.Conductor, "resync", resync_nothing)


def deadlines_in_memory() -> Any:
    """What is overdue when a controller starts is not noticed, nor is anything later."""

    def on_deadline(draft: Draft, event: ev.Deadline) -> None:
        return None

    together = ExitStack()
    together.enter_context(patch.dict(engine.HANDLERS, {ev.Deadline: on_deadline}))
    together.enter_context(patch.object(conductor.Conductor, "_sweep", lambda *_: asyncio.sleep(0)))
    return together


MUTANTS = (
    resend_of_an_unconfirmed_dial,
    dial_without_being_marked_as_sending,
    connect_repeated_whatever_its_leg_says,
    leg_state_backward,
    ignored_end,
    end_told_twice,
    fact_without_its_transaction,
    acknowledged_before_it_is_durable,
    orphans_are_left,
    lines_are_not_read,
    queued_calls_are_forgotten,
    no_resync_after_a_gap,
    deadlines_in_memory,
)
