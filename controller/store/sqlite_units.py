# ruff: noqa: S608 -- the names in the text are our own, values are always bound
"""The statements of units on SQLite, and how one that fails is kept from taking others along."""

import sqlite3
from collections.abc import Sequence
from operator import itemgetter

from controller.ports import LeaseLost, NotSaved
from controller.store.errors import KeyTaken, Overtaken
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
    WHOSE,
    UnitRows,
    with_followers,
)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT_CALL = _insert("call", CREATED)
UPDATE_CALL = f"UPDATE call SET {', '.join(f'{c} = ?' for c in CHANGED[:-2])} WHERE id = ? AND sequence = ?"
UPDATE_FOUND = f"UPDATE call SET {', '.join(f'{c} = COALESCE(?, {c})' for c in FOUND)} WHERE id = ?"
INSERT_FACT = _insert("fact", FACT)
INSERT_KEY = _insert("idempotency", KEY)
INSERT_NOTE = _insert("audit", AUDIT_ROW) + " ON CONFLICT (id) DO NOTHING"
UPSERT_RECORDING = f"""
    INSERT INTO recording ({", ".join(RECORDING)})
    SELECT * FROM (SELECT {", ".join(f"? AS {name}" for name in RECORDING)}) new
    WHERE new.status NOT IN ('stored', 'failed') OR EXISTS (SELECT 1 FROM recording old WHERE old.id = new.id)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, started_at = excluded.started_at, stopped_at = excluded.stopped_at,
    stored_at = COALESCE(excluded.stored_at, stored_at), duration_ms = COALESCE(excluded.duration_ms, duration_ms)"""
"""One that was deleted does not come back with the next unit of its call."""
INSERT_CURSORS = """
    INSERT INTO webhook_cursor (endpoint, call, next_sequence, attempt, state, due_at)
    SELECT id, ?, 1, 0, 'open', 0 FROM webhook_endpoint
    WHERE tenant = ? AND state <> 'disabled' AND (kind = 'subscribed' OR id = ?)"""
UPSERT_MEMORY = f"""
    {_insert("memory", MEMORY)} ON CONFLICT ({", ".join(MEMORY_KEY)})
    DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in MEMORY if name not in MEMORY_KEY)}"""
WAKE_CURSORS = "UPDATE webhook_cursor SET state = 'open', due_at = 0 WHERE call = ? AND state = 'done'"
_whose = itemgetter(*WHOSE)
OUR_LEASE = "SELECT 1 FROM node_lease WHERE node = ? AND epoch = ?"


def write_units(db: sqlite3.Connection, units: Sequence[UnitRows]) -> list[NotSaved | None]:
    """Write units in the transaction that is open; what became of each.  Raises sqlite3.OperationalError: none is written."""
    try:
        db.execute("SAVEPOINT units")
        _write(db, units)
        db.execute("RELEASE units")
    except sqlite3.OperationalError:
        raise
    except Exception:  # one does not fit: which one shows when they are written one by one
        db.execute("ROLLBACK TO units")
        db.execute("RELEASE units")
        return [_write_alone(db, unit) for unit in units]
    return [None] * len(units)


def _write_alone(db: sqlite3.Connection, unit: UnitRows) -> NotSaved | None:
    db.execute("SAVEPOINT unit")
    try:
        _write(db, (unit,))
    except sqlite3.OperationalError:
        raise
    except Exception as error:
        db.execute("ROLLBACK TO unit")
        db.execute("RELEASE unit")
        return _fault(error)
    db.execute("RELEASE unit")
    return None


def _write(db: sqlite3.Connection, units: Sequence[UnitRows]) -> None:
    if any(unit.follower for unit in units):
        units = with_followers(units)
    for lease in {(unit.node, unit.epoch) for unit in units if unit.epoch}:
        if db.execute(OUR_LEASE, lease).fetchone() is None:
            raise LeaseLost("another process owns the node")
    created = [unit.created for unit in units if unit.created is not None]
    if created:
        db.executemany(INSERT_CALL, created)
        db.executemany(INSERT_CURSORS, [_whose(row) for row in created])
        keys = [unit.key for unit in units if unit.key is not None]
        if keys:
            db.executemany(INSERT_KEY, keys)
    changed = [unit.changed for unit in units if unit.changed is not None]
    if changed and db.executemany(UPDATE_CALL, changed).rowcount != len(changed):
        raise Overtaken("the stored call is another than the one this was decided from")
    found = [(*unit.found, unit.call) for unit in units if any(unit.found)]
    if found:
        db.executemany(UPDATE_FOUND, found)
    facts = [fact for unit in units for fact in unit.facts]
    if facts:
        db.executemany(INSERT_FACT, facts)
    recordings = [recording for unit in units for recording in unit.recordings]
    if recordings:
        db.executemany(UPSERT_RECORDING, recordings)
    notes = [note for unit in units for note in unit.notes]
    if notes:
        db.executemany(INSERT_NOTE, notes)
    memories = [unit.memory for unit in units if unit.memory is not None]
    if memories:
        db.executemany(UPSERT_MEMORY, memories)
    late = [(unit.call,) for unit in units if unit.late]
    if late:
        db.executemany(WAKE_CURSORS, late)


def _fault(error: Exception) -> NotSaved:
    if isinstance(error, NotSaved):
        return error
    if isinstance(error, sqlite3.IntegrityError) and "idempotency" in str(error):
        return KeyTaken()
    return NotSaved(f"the unit does not fit: {type(error).__name__}")
