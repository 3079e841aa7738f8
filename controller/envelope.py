"""How a fact leaves the house: the same envelope in webhooks, in a call's timeline and on the live socket."""

from collections.abc import Mapping
from typing import Any

import msgspec

from controller.core import ids
from controller.core.facts import Fact
from controller.times import or_none, rfc3339

_LEG_TIMES = ("dialed_at", "ringing_at", "answered_at", "ended_at")
_CDR_TIMES = ("requested_at", "bridged_at", "ended_at")


def envelope(fact: Fact, reference: str | None, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """``{"id", "type", "occurred_at", "sequence", "call_id", "reference", "metadata", "data"}``."""
    return {
        "id": "evt_" + fact.id,
        "type": fact.type,
        "occurred_at": rfc3339(fact.at),
        "sequence": fact.sequence,
        "call_id": None if ids.is_stream(fact.call) else "call_" + fact.call,
        "reference": reference,
        "metadata": metadata,
        "data": with_times(fact.data) if fact.type == "cdr.created" else fact.data,
    }


def encode(fact: Fact, reference: str | None, metadata: Mapping[str, Any] | None) -> bytes:
    """The envelope as JSON."""
    return msgspec.json.encode(envelope(fact, reference, metadata))


def with_times(cdr: Mapping[str, Any]) -> dict[str, Any]:
    """A call record as ``core.cdr`` makes it, its times as text."""
    return {
        **cdr,
        **{key: or_none(cdr[key]) for key in _CDR_TIMES},
        "legs": [{**leg, **{key: or_none(leg[key]) for key in _LEG_TIMES}} for leg in cdr["legs"]],
    }
