# ruff: noqa: S608 -- the names in the text are our own, values are always bound
"""The statement of units on PostgreSQL: one, whatever their number, so a commit is one round trip.

Each kind of row comes as one array per column.  A call's row is written only where it fits (the right sequence, a lease that is
ours, locked until the commit), and everything else only for calls whose row was: so a unit that does not fit writes nothing
and takes no other along.  Parts that a batch does not need are left out of the text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger

from controller.store import tables, tables_memory
from controller.store.units import (
    AUDIT_ROW,
    CHANGED,
    CREATED,
    FACT,
    FOUND,
    KEY,
    MEMORY,
    MEMORY_KEY,
    RECORDING,
    UnitRows,
    latest_memories,
    with_followers,
)

WRITTEN_TABLES = (tables.CALL, tables.FACT, tables.RECORDING, tables_memory.MEMORY, tables.IDEMPOTENCY, tables.AUDIT)
NUMBERS = {"expected"} | {c.name for table in WRITTEN_TABLES for c in table.columns if isinstance(c.type, BigInteger)}
OURS = "(epoch = 0 OR node IN (SELECT node FROM ours))"


@dataclass(frozen=True, slots=True)
class _Part:
    """One kind of row: the columns that come as arrays, and what is done with them (``{rows}`` is their unnest)."""

    name: str
    columns: tuple[str, ...]
    text: str


LEASES = _Part(
    "leases",
    ("node", "epoch"),
    "ours AS (SELECT l.node FROM node_lease l JOIN {rows} ON l.node = leases.node AND l.epoch = leases.epoch FOR SHARE OF l)",
)
NO_LEASES = "ours AS (SELECT ''::text AS node WHERE false)"
CHANGES = _Part(
    "changes",
    (*CHANGED[:-2], *FOUND, *CHANGED[-2:]),
    "changed AS (UPDATE call SET "
    + ", ".join(f"{name} = new.{name}" for name in CHANGED[:-2])
    + "".join(f", {name} = COALESCE(new.{name}, call.{name})" for name in FOUND)
    + f" FROM (SELECT * FROM {{rows}} WHERE {OURS}) new"
    " WHERE call.id = new.id AND call.sequence = new.expected RETURNING call.id)",
)


def _new_calls(name: str, made: str, where: str) -> _Part:
    """Calls that are new, and the cursors of the endpoints that are told of them."""
    return _Part(
        name,
        CREATED,
        f"{made} AS (INSERT INTO call ({', '.join(CREATED)}) SELECT {', '.join(CREATED)} FROM {{rows}} WHERE {where}"
        " RETURNING id, tenant, status_endpoint),"
        f" {made}_cursors AS (INSERT INTO webhook_cursor (endpoint, call, next_sequence, attempt, state, due_at)"
        f" SELECT e.id, {made}.id, 1, 0, 'open', 0 FROM {made} JOIN webhook_endpoint e ON e.tenant = {made}.tenant"
        f" WHERE e.state <> 'disabled' AND (e.kind = 'subscribed' OR e.id = {made}.status_endpoint))",
    )


CREATIONS = _new_calls("creations", "created", OURS)
FOLLOWERS = _new_calls("followers", "followed", "retry_of IN (SELECT id FROM changed)")
FACTS = _Part(
    "facts",
    FACT,
    f"told AS (INSERT INTO fact ({', '.join(FACT)}) SELECT {', '.join(FACT)} FROM {{rows}}"
    " WHERE call IN (SELECT id FROM written))",
)
RECORDINGS = _Part(
    "recordings",
    RECORDING,
    f"recorded AS (INSERT INTO recording ({', '.join(RECORDING)}) SELECT {', '.join(RECORDING)} FROM {{rows}}"
    " WHERE call IN (SELECT id FROM written)"
    " AND (status NOT IN ('stored', 'failed') OR EXISTS (SELECT 1 FROM recording old WHERE old.id = recordings.id))"
    " ON CONFLICT (id) DO UPDATE SET status = excluded.status, started_at = excluded.started_at,"
    " stopped_at = excluded.stopped_at, stored_at = COALESCE(excluded.stored_at, recording.stored_at),"
    " duration_ms = COALESCE(excluded.duration_ms, recording.duration_ms))",
)
KEYS = _Part(
    "keys",
    ("call", *KEY),
    f"keyed AS (INSERT INTO idempotency ({', '.join(KEY)}) SELECT {', '.join(KEY)} FROM {{rows}}"
    " WHERE call IN (SELECT id FROM written))",
)
NOTES = _Part(
    "notes",
    ("call", *AUDIT_ROW),
    f"noted AS (INSERT INTO audit ({', '.join(AUDIT_ROW)}) SELECT {', '.join(AUDIT_ROW)} FROM {{rows}}"
    " WHERE call IN (SELECT id FROM written) ON CONFLICT (id) DO NOTHING)",
)
MEMORIES = _Part(
    "memories",
    MEMORY,
    f"remembered AS (INSERT INTO memory ({', '.join(MEMORY)}) SELECT {', '.join(MEMORY)} FROM {{rows}}"
    f" WHERE substr(id, 1, 26) IN (SELECT id FROM written) ON CONFLICT ({', '.join(MEMORY_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in MEMORY if name not in MEMORY_KEY)
    + ")",
)
WRITTEN = {"changes": "changed", "creations": "created", "followers": "followed"}
WAKE = """
    UPDATE webhook_cursor SET state = 'open', due_at = CASE WHEN state = 'done' THEN 0 ELSE due_at END
    WHERE call = ANY($1::text[]) AND state <> 'parked'"""
"""Open ones too: so it waits for whoever is just making one of them ``done``."""
AFTERWARDS = (FACTS, RECORDINGS, KEYS, NOTES, MEMORIES)
"""What is written only for calls that were."""
OUR_LEASE = "SELECT 1 FROM node_lease WHERE node = $1 AND epoch = $2"
STATES = "SELECT id, state FROM call WHERE id = ANY($1::text[])"


def statement(units: Sequence[UnitRows]) -> tuple[str, list[Any]]:
    """The statement that writes these units, of different calls each, and its arguments; it returns the ids written."""
    parts: list[tuple[_Part, list[tuple[Any, ...]]]] = []
    followers = [unit.follower.created for unit in units if unit.follower is not None]
    if followers:
        units = with_followers(units)
    for part, rows in (
        (LEASES, list({(unit.node, unit.epoch) for unit in units if unit.epoch})),
        (CHANGES, [(*unit.changed[:-2], *unit.found, *unit.changed[-2:]) for unit in units if unit.changed is not None]),
        (CREATIONS, [unit.created for unit in units if unit.created is not None and unit.created not in followers]),
        (FOLLOWERS, [created for created in followers if created is not None]),
        (FACTS, [fact for unit in units for fact in unit.facts]),
        (RECORDINGS, [recording for unit in units for recording in unit.recordings]),
        (KEYS, [(unit.call, *unit.key) for unit in units if unit.key is not None]),
        (NOTES, [(unit.call, *note) for unit in units for note in unit.notes]),
        (MEMORIES, latest_memories(units)),
    ):
        if rows:
            parts.append((part, rows))
    arguments = [list(column) for _, rows in parts for column in zip(*rows, strict=True)]
    return _text(tuple(part for part, _ in parts)), arguments


@lru_cache(maxsize=128)
def _text(parts: tuple[_Part, ...]) -> str:
    clauses = [] if LEASES in parts else [NO_LEASES]
    number = 0
    for part in parts:
        if part in AFTERWARDS:
            _add_written(clauses, parts)
        arrays = ", ".join(f"${number + i + 1}::{_type(name)}[]" for i, name in enumerate(part.columns))
        clauses.append(part.text.format(rows=f"unnest({arrays}) AS {part.name}({', '.join(part.columns)})"))
        number += len(part.columns)
    _add_written(clauses, parts)
    return "WITH " + ",\n".join(clauses) + "\nSELECT id FROM written"


def _add_written(clauses: list[str], parts: Iterable[_Part]) -> None:
    clause = f"written AS ({' UNION ALL '.join(f'SELECT id FROM {WRITTEN[p.name]}' for p in parts if p.name in WRITTEN)})"
    if clause not in clauses:
        clauses.append(clause)


def _type(column: str) -> str:
    return "bytea" if column == "response" else "bigint" if column in NUMBERS else "text"
