"""No sequence of requests, from however many clients, lets two conversations cross."""

import random

import pytest

from controller.store.database import Database
from tests.store.masking_storm import Storm

PEOPLE = [f"+141555501{number:02d}" for number in range(14)]
NUMBERS = [f"+141555509{number:02d}" for number in range(8)]


async def storm(db: Database, operations: int, clients: int, seed: int) -> Storm:
    """A storm that is over."""
    made = Storm(db, random.Random(seed), PEOPLE, NUMBERS)
    await made.run(operations, clients)
    return made


async def test_a_storm_of_requests_crosses_no_conversations(db: Database) -> None:
    seen = (await storm(db, 3_000, 12, 1)).counts
    for what in ("bound", "exhausted", "conflict", "released", "renewed", "reached", "refused", "expired"):
        assert seen[what] > 5, seen
    assert seen["exhausted truly"] + seen["free truly"] == 25


@pytest.mark.soak
async def test_100_000_requests_cross_no_conversations(db: Database) -> None:
    seen = (await storm(db, 100_000, 24, 2)).counts
    assert seen["unsaved"] < 100, seen
