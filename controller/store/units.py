"""A unit as rows: what a call's new state and facts mean for each table.  Pure; the columns of a tuple are named above it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.audit import Row
from controller.core.call import Call
from controller.core.facts import Fact
from controller.core.status import status_endpoint
from controller.ports import Unit
from controller.store import codec

CREATED = (
    "id", "tenant", "kind", "flow", "flow_version", "requested_at", "caller", "callee", "reference", "binding", "attempt",
    "retry_of", "status_endpoint", "node", "status", "started_at", "ended_at", "due_at", "disposition", "sequence", "epoch",
    "state",
)  # fmt: skip
CHANGED = ("node", "status", "started_at", "ended_at", "due_at", "disposition", "sequence", "epoch", "state", "id", "expected")
FOUND = ("callee", "reference", "binding", "flow", "flow_version")
"""Columns of a call that change only when something was looked up for it."""
FACT = ("call", "sequence", "type", "at", "data")
RECORDING = ("id", "call", "tenant", "node", "status", "started_at", "stopped_at", "stored_at", "duration_ms")
AUDIT_ROW = ("id", "tenant", "at", "actor", "action", "target", "data")
MEMORY = (
    "id", "tenant", "display", "party", "caller", "forward_to", "reference", "created_at", "expires_at", "used_at", "uses",
)  # fmt: skip
MEMORY_KEY = ("display", "party")
KEY = ("tenant", "key", "fingerprint", "status", "http_status", "response", "at")

WHOSE = (CREATED.index("id"), CREATED.index("tenant"), CREATED.index("status_endpoint"))
"""What decides which endpoints are told of a new call."""

ACCEPTED = 202
"""The HTTP status of an answer that is kept with a unit: a call was accepted."""


@dataclass(slots=True)
class UnitRows:
    """The rows of one unit.  ``created``/``changed``: one of the two; ``late``: facts of a call that had ended before;
    ``notes``: of the audit log; ``follower``: a new call that is written if this is;
    ``memory``: of who is called from now on; ``found``: the columns ``FOUND``, None where they stay."""

    call: str
    node: str
    epoch: int
    created: tuple[Any, ...] | None
    changed: tuple[Any, ...] | None
    facts: list[tuple[str, int, str, int, str]]
    recordings: list[tuple[Any, ...]]
    key: tuple[Any, ...] | None
    late: bool
    state: str
    notes: list[Row] = field(default_factory=list)
    follower: "UnitRows | None" = None
    memory: tuple[Any, ...] | None = None
    found: tuple[str | None, ...] = (None,) * len(FOUND)


def unit_rows(unit: Unit, epoch: int) -> UnitRows:
    """The rows of a unit that is written under a lease's ``epoch`` (0: the node has no lease)."""
    call, facts = unit.call, unit.facts
    moving = (
        call.node,
        call.status.name,
        call.started_at,
        call.ended_at,
        call.due_at,
        call.disposition,
        call.sequence,
        epoch,
        codec.encode(call),
    )
    return UnitRows(
        call.id,
        call.node,
        epoch,
        _fixed(call) + moving if unit.created else None,
        None if unit.created else (*moving, call.id, call.sequence - len(facts)),
        [(fact.call, fact.sequence, fact.type, fact.at, codec.encode_data(fact.data)) for fact in facts],
        _recordings(call, facts) if call.recordings else [],
        None if unit.idempotency is None else _key(unit.idempotency, call.requested_at),
        bool(facts) and call.ended_at is not None and all(fact.type != "call.ended" for fact in facts),
        moving[-1],
        follower=unit_rows(unit.follower, 0) if unit.follower is not None else None,
        memory=_memory(call, facts) if "memory_ttl_s" in call.vars else None,
        found=_found(call, facts),
    )


def _found(call: Call, facts: tuple[Fact, ...]) -> tuple[str | None, ...]:
    """What a look-up may have made of the call."""
    looked_up = any(fact.type == "flow.node" for fact in facts)
    if not looked_up:
        return (None,) * len(FOUND)
    return _number(call, "callee"), call.reference, call.binding, call.flow, call.flow_version


def _memory(call: Call, facts: tuple[Fact, ...]) -> tuple[Any, ...] | None:
    """A callee who is being dialled may dial the display number from now on."""
    leg = call.named("callee")
    for fact in facts:
        if leg is not None and fact.type == "call.leg.dialing" and fact.data.get("leg_id") == "leg_" + leg.id:
            until = fact.at + 1000 * int(call.vars["memory_ttl_s"])
            caller = str(call.vars["caller"])
            return (leg.id, call.tenant, leg.display, leg.number, caller, None, call.reference, fact.at, until, None, 0)
    return None


def latest_memories(units: Sequence[UnitRows]) -> list[tuple[Any, ...]]:
    """Of two in one statement with the same key the later one counts."""
    rows = [unit.memory for unit in units if unit.memory is not None]
    at = [MEMORY.index(name) for name in MEMORY_KEY]
    return list({tuple(row[place] for place in at): row for row in rows}.values()) if len(rows) > 1 else rows


def with_followers(units: Sequence[UnitRows]) -> list[UnitRows]:
    """The units, and directly after each the one that follows it."""
    return [one for unit in units for one in (unit, unit.follower) if one is not None]


def _fixed(call: Call) -> tuple[Any, ...]:
    """The columns that never change."""
    return (
        call.id,
        call.tenant,
        call.kind,
        call.flow,
        call.flow_version,
        call.requested_at,
        _number(call, "caller"),
        _number(call, "callee"),
        call.reference,
        call.binding,
        call.attempt,
        call.retry_of,
        call.status_url and status_endpoint(call.tenant, call.status_url),
    )


def _number(call: Call, name: str) -> str | None:
    value = call.vars.get(name)
    return value if isinstance(value, str) else None


def _recordings(call: Call, facts: tuple[Fact, ...]) -> list[tuple[Any, ...]]:
    """Recordings that have begun.  One that is merely armed may never be, and then there is nothing to tell of it."""
    stored = {fact.data.get("recording_id"): fact.at for fact in facts if fact.type == "recording.stored"}
    return [
        (
            recording.id,
            call.id,
            call.tenant,
            call.node,
            recording.state,
            recording.started_at,
            recording.stopped_at,
            stored.get("rec_" + recording.id),
            recording.duration_ms,
        )
        for recording in call.recordings
        if recording.state != "armed"
    ]


def _key(idempotency: tuple[str, str, str, bytes], at: int) -> tuple[Any, ...]:
    tenant, key, fingerprint, response = idempotency
    return (tenant, key, fingerprint, "done", ACCEPTED, response, at)
