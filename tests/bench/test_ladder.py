"""The climb to the highest clean rate: what it tries, what it takes for clean, and when FreeSWITCH is started anew."""

from types import SimpleNamespace
from typing import Any

import pytest

from controller.bench import ladder
from controller.bench.figures import figures_table, percentile
from controller.bench.ladder import COARSE, FINE, HIGHEST, Climb, NotClean, Rung


class Machine:
    """One that carries so many callbacks a second."""

    def __init__(self, most: int) -> None:
        self.most, self.tried, self.restarts = most, list[int](), 0
        self.room: Any = SimpleNamespace(pbx=SimpleNamespace(restart=self._restart))

    def _restart(self) -> None:
        self.restarts += 1

    async def at(self, rate: int) -> Rung:
        self.tried.append(rate)
        return Rung(rate, 0 if rate <= self.most else 3, 10.0, 20.0, 1.0)

    async def best(self) -> Rung:
        return await ladder._best(self.at, self.room, lambda _text: None, "it")


@pytest.mark.parametrize("most", [FINE, COARSE - 1, COARSE, COARSE + FINE, 47, 60, HIGHEST, HIGHEST + 50])
async def test_the_best_rung_is_the_highest_that_was_carried(most: int) -> None:
    machine = Machine(most)
    best = await machine.best()
    assert best.per_second == min(most, HIGHEST) // FINE * FINE
    assert machine.restarts == sum(rate > most for rate in machine.tried)
    assert machine.restarts == (2 if most < HIGHEST else 0)


async def test_a_machine_that_carries_nothing_is_told() -> None:
    with pytest.raises(NotClean):
        await Machine(FINE - 1).best()


@pytest.mark.parametrize(("failed", "p99", "clean"), [(0, 1000.0, True), (1, 10.0, False), (0, 1000.1, False)])
def test_clean_is_without_failures_and_in_time(failed: int, p99: float, clean: bool) -> None:
    assert Rung(10, failed, 1.0, p99, 1.0).clean is clean


def test_a_rung_without_a_call_is_none() -> None:
    assert not ladder._rung(10, 0, [], 1.0, 0).clean


def test_percentiles_are_of_the_sorted_values_and_none_of_none() -> None:
    assert [percentile([3, 1, 2], share) for share in (0, 0.5, 0.99, 1)] == [1, 2, 3, 3]
    assert percentile([], 0.5) == 0


def test_a_table_has_medians_with_the_least_and_the_most() -> None:
    climbs = [Climb(Rung(40, 0, 1, 2, 3), Rung(rate, 0, 1, 2, 3)) for rate in (30, 40, 35)]
    shown = figures_table("x", [("ratio", "{:.3f}", lambda c: c.ratio)], climbs)
    assert [next(column.cells) for column in shown.columns] == ["ratio", "0.875", "0.750", "1.000"]
    assert climbs[0].plain()["ratio"] == 0.75
