"""OP3, crash-fuzzed through the real store: every accepted call ends exactly once, whatever dies.

`make test` runs WORLDS worlds of CALLS calls (some 1,000 calls, 700 deaths of a controller, 140 restarts of the PBX) and every
mutant; `make soak` runs 30,000 calls.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash import mutants
from tests.crash.invariants import violations
from tests.crash.points import POINTS
from tests.crash.warp import run
from tests.crash.world import CALM, ROUGH, Weather, World

pytestmark = pytest.mark.timeout(900)  # some mistakes need many worlds before they show, and a busy machine takes its time

WORLDS, CALLS = 21, 60
SOAK_WORLDS = 560
MUTANT_WORLDS = 40
HEARD = Weather(noise=replace(ROUGH, never=0.0))
"""No event is left out while the link lives: then nothing may be lost that the PBX knew."""
SILENT = Weather(death=0.0, trouble_s=1e9)
"""Nobody dies and no link breaks, so no resync mends what was not heard: only deadlines and the sweeper do."""

BROKEN = replace(HEARD, trouble_s=2.0, restarts=0.5)
"""The PBX is killed again and again."""
SLOW = replace(HEARD, restarts=0.0, noise=replace(HEARD.noise, slow_ms=1_500))
"""What is asked for takes its time, so that it may arrive when nobody wants it any more."""
ECHO = replace(HEARD, noise=replace(HEARD.noise, twice=0.5))
"""Half of all that is said is said twice."""
GONE = replace(HEARD, death=0.002, losses=0.7)
"""The PBX stays away for so long that its calls are given up, and comes back with their legs."""
LINGER = replace(ECHO, noise=replace(ECHO.noise, twice=0.9, slow_ms=1_500))
"""Nearly all is said twice, and legs take their time to go, so that the second word comes while the call still lives."""
WEATHER_OF = {
    mutants.resend_of_an_unconfirmed_dial: BROKEN,
    mutants.dial_without_being_marked_as_sending: BROKEN,
    mutants.leg_state_backward: ECHO,
    mutants.end_told_twice: LINGER,
    mutants.orphans_are_left: GONE,
    mutants.deadlines_in_memory: SILENT,
}
"""In which weather a mistake shows soonest; the others show in any."""


def lived(folder: Path, template: Path, seed: int, weather: Weather, calls: int = CALLS) -> World:
    """A world that is over."""
    folder.mkdir()
    world = World(folder, template, seed, calls, weather)
    run(world.run)
    return world


def weather_of(seed: int) -> Weather:
    return (HEARD, Weather(), BROKEN, SILENT, ECHO, SLOW, GONE)[seed % 7]


def test_in_calm_weather_every_call_ends_as_it_should(tmp_path: Path, template: Path, complaints: list[str]) -> None:
    world = lived(tmp_path / "calm", template, 1, CALM)
    assert violations(world) == []
    assert len(world.accepted) == CALLS
    assert complaints == []


def test_every_accepted_call_ends_once_whatever_dies(tmp_path: Path, template: Path, complaints: list[str]) -> None:
    died: Counter[str] = Counter()
    for seed in range(WORLDS):
        world = lived(tmp_path / str(seed), template, seed, weather_of(seed))
        assert violations(world) == []
        assert complaints == []
        died += world.died_at
    assert died.keys() >= set(POINTS)
    assert died.total() > WORLDS * 10


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_thirty_thousand_calls(tmp_path: Path, template: Path, complaints: list[str]) -> None:
    for seed in range(1000, 1000 + SOAK_WORLDS):
        world = lived(tmp_path / str(seed), template, seed, weather_of(seed))
        assert violations(world) == []
        assert complaints == []
        world.path.unlink()


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_fuzzer_catches(mutant: Any, tmp_path: Path, template: Path, complaints: list[str]) -> None:
    with mutant():
        for seed in range(MUTANT_WORLDS):
            if violations(lived(tmp_path / str(seed), template, seed, WEATHER_OF.get(mutant, HEARD))):
                return
    pytest.fail(f"nobody noticed: {mutant.__doc__}")
