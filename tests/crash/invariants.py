"""What must be true of a world when it is over, seen from outside: the database file, the exchange, and what was told."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.crash.world import TRIES, World

LEG_ORDER = {"call.leg.dialing": 1, "call.leg.ringing": 2, "call.leg.answered": 3, "call.leg.ended": 4}


def violations(world: World) -> list[str]:
    """Every law that was broken; empty when all is well."""
    database = sqlite3.connect(world.path)
    try:
        calls = dict(database.execute("SELECT id, state FROM call"))
        facts: dict[str, list[tuple[int, str, Any]]] = {call: [] for call in calls}
        for call, sequence, kind, data in database.execute(
            "SELECT call, sequence, type, data FROM fact ORDER BY call, sequence"
        ):
            facts.setdefault(call, []).append((sequence, kind, json.loads(data)))
    finally:
        database.close()
    found = [f"{call}: accepted and not there" for call in sorted(world.accepted - calls.keys())]
    for call, state in calls.items():
        found += [f"{call}: {what}" for what in _of_call(json.loads(state), facts[call])]
    found += [f"{call}: not over in time" for call in world.overdue]
    found += [f"{leg}: an orphan on the PBX" for leg in {*world.exchange.channels, *world.left}]
    found += [f"{what}: rang {times} times" for what, times in world.exchange.rang.items() if times > 1]
    found += [f"{call}: {len(tries)} wrong keys" for call, tries in world.wrong.items() if len(tries) > TRIES]
    found += [f"{call}: a secret was kept" for call, state in calls.items() if _has_secret(json.loads(state))]
    found += _of_told(world, facts)
    found += _of_rings(world, calls)
    if world.weather.noise.never == 0 and world.weather.losses == 0:
        found += _of_lines(world, calls)
    return found


def _of_call(call: dict[str, Any], facts: list[tuple[int, str, Any]]) -> Iterator[str]:
    kinds = Counter(kind for _, kind, _ in facts)
    if call["status"] != 6 or call["disposition"] is None or call["hangup_by"] is None:
        yield f"has not ended (status {call['status']}, at {call['at']})"
    if kinds["call.ended"] != 1 or kinds["cdr.created"] != 1:
        yield f"ended {kinds['call.ended']} times"
    if [sequence for sequence, _, _ in facts] != list(range(1, call["sequence"] + 1)):
        yield "its facts have a gap"
    if call["steps"]:
        yield "steps are left"
    if any(leg["state"] != 4 for leg in call["legs"]):
        yield "a leg still counts as live"
    told = [(data["leg_id"], LEG_ORDER[kind]) for _, kind, data in facts if kind in LEG_ORDER]
    for leg in call["legs"]:
        path = [state for leg_id, state in told if leg_id == "leg_" + leg["id"]]
        if path != sorted(set(path)) or path[-1:] != [4]:
            yield f"a leg went {path}"


def _has_secret(call: dict[str, Any]) -> bool:
    """A call of the flow ``keyed`` asks for nothing but secrets."""
    return call["flow"] == "keyed" and bool("pin" in call["vars"] or call["keys"])


def _of_rings(world: World, calls: dict[str, str]) -> Iterator[str]:
    """No phone rings for a leg that was given up before; what was on its way then may still arrive."""
    for state in calls.values():
        for leg in json.loads(state)["legs"]:
            late = world.exchange.rang_at.get(leg["id"], 0) - (leg["ended_at"] or 0)
            if late > world.weather.noise.slow_ms:
                yield f"{leg['id']}: rang {late} ms after it was given up"


def _of_told(world: World, facts: dict[str, list[tuple[int, str, Any]]]) -> Iterator[str]:
    """What listeners were told is what the database says: no fact without its transaction."""
    known = {(call, sequence): kind for call, rows in facts.items() for sequence, kind, _ in rows}
    for fact in world.told:
        if known.get((fact.call, fact.sequence)) != fact.type:
            yield f"{fact.call}: {fact.type} was told and is not stored"


def _of_lines(world: World, calls: dict[str, str]) -> Iterator[str]:
    """Where no event is left out on a living link, no leg is lost of which the PBX had written down the end by then."""
    lines = world.exchange.lines
    for state in calls.values():
        for leg in json.loads(state)["legs"]:
            if leg["why"] == "lost" and leg["id"] in lines and lines[leg["id"]].at < leg["ended_at"]:
                yield f"{leg['id']}: lost, and the PBX knew its end"
