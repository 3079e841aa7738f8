"""Calls and facts for tests of services that do not care what happened in them."""

import base64
from dataclasses import replace
from typing import Any

from controller.core.call import Call, CallStatus
from controller.core.facts import Fact

T0 = 1_750_000_000_000
CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHC"
"""All but the last two characters of a call's id."""


def secret(number: int) -> str:
    """A signing secret."""
    return "whsec_" + base64.b64encode(bytes([number]) * 32).decode()


def call_id(number: int) -> str:
    """The id of call ``number`` (0..99)."""
    return f"{CALL}{number:02d}"


def call(number: int, tenant: str = "acme", **fields: Any) -> Call:
    """A call in the queue that has told nothing yet."""
    return Call(call_id(number), tenant, "callback", "callback", "1", T0, reference=f"order-{number}", **fields)


def told(before: Call, count: int = 1, kind: str = "flow.node", ends: bool = False) -> tuple[Call, tuple[Fact, ...]]:
    """The call after ``count`` more facts; with ``ends`` the last is its ``call.ended``."""
    numbers = range(before.sequence + 1, before.sequence + count + 1)
    facts = [Fact(before.id, number, kind, T0 + number, {"node": f"n{number}"}) for number in numbers]
    after = replace(before, sequence=before.sequence + count)
    if ends:
        facts[-1] = Fact(before.id, after.sequence, "call.ended", T0 + after.sequence, {"disposition": "completed"})
        after = replace(after, status=CallStatus.ended, ended_at=T0 + after.sequence, disposition="completed")
    return after, tuple(facts)
