"""How far behind the PBX we are is said of now, not of whatever was the last busy hour."""

from pathlib import Path

from controller.core import events as ev
from controller.core import ids
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.timers import LoopTimers
from controller.services.calls import Calls
from controller.services.conductor import Conductor
from controller.services.flows import FlowBook
from controller.services.lags import KEPT, WINDOW_S, Lags
from controller.store.database import Database
from tests.store.calls import NODE, call_id

LEG = ids.leg_id(call_id(1), 1)


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> int:
        return 1_750_000_000_000 + round(self.passed_s * 1000)

    def monotonic(self) -> float:
        return 50.0 + self.passed_s


def behind(clock: Clock, *lags_ms: int) -> Lags:
    """That much behind with each event."""
    lags = Lags(clock)
    for lag in lags_ms:
        lags.note(clock.now() - lag)
    return lags


def test_without_an_event_nothing_is_behind() -> None:
    assert Lags(Clock()).p99_s() == 0.0


def test_one_of_a_hundred_may_be_later() -> None:
    assert behind(Clock(), *range(1, 101)).p99_s() == 0.1
    assert behind(Clock(), *[5] * 199, 9000).p99_s() == 0.005
    assert behind(Clock(), *[5] * 98, 9000).p99_s() == 9.0


def test_what_is_older_than_a_minute_is_no_news() -> None:
    clock = Clock()
    lags = behind(clock, 11_800)
    clock.passed_s += WINDOW_S - 1
    lags.note(clock.now() - 3)
    assert lags.p99_s() == 11.8
    clock.passed_s += 2
    assert lags.p99_s() == 0.003
    clock.passed_s += WINDOW_S
    assert lags.p99_s() == 0.0


def test_no_flood_makes_it_grow() -> None:
    lags = behind(Clock(), *[9000] * KEPT, *[7] * KEPT)
    assert lags.p99_s() == 0.007
    assert len(lags._noted) == KEPT


async def test_a_lost_link_and_an_answer_that_nobody_heard_are_no_lag(tmp_path: Path) -> None:
    clock = Clock()
    database = await Database.open(f"sqlite:///{tmp_path}/calls.db")
    calls = Calls(database.calls, FlowBook({}))
    conductor = Conductor(Simulator(Exchange(LoopTimers(clock.now()), {}), NODE), calls, clock)
    conductor._hear(ev.LegsParted(clock.now() - 40, LEG, LEG))
    assert conductor.lag_p99_s() == 0.04
    conductor._hear(ev.LegAnswered(clock.now() - 11_800, LEG))
    assert conductor.lag_p99_s() == 0.04
    conductor._hear(ev.LinkDown(clock.now(), "lost"))
    assert conductor.lag_p99_s() == 0.0
    conductor._tasks.cancel()
    await calls.drain()
    await database.close()
