"""What the world is told: entries of a call's timeline, in order, each with a stable id.

A fact's ``sequence`` is gapless per call from 1; it becomes a webhook, a line of ``/v1/calls/{id}/events`` and a live message.
What happens to a binding, an agent or a node is told in the same way: each is a stream of its own, as a call is.
Its ``data`` may hold numbers and keys (a CDR does), so no ``repr`` shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.core import ids
from controller.core.call import Leg
from controller.core.numbers import masked

CALL_FACTS = (
    "call.queued",
    "call.started",
    "call.leg.dialing",
    "call.leg.ringing",
    "call.leg.answered",
    "call.leg.detected",
    "call.leg.ended",
    "call.bridged",
    "call.ended",
    "cdr.created",
    "recording.started",
    "recording.stored",
    "recording.failed",
    "flow.node",
    "call.routed",
    "memory.used",
    "agent.state",
    "policy.short_calls",
)
NODE_FACTS = ("node.up", "node.down")
"""They belong to the installation, so only an operator hears them."""
EVENTS = (*CALL_FACTS, "binding.created", "binding.changed", "binding.released", "binding.expired", *NODE_FACTS)
"""All there are."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is true of a call, or of what another stream is of (``ids.stream_id``), from ``at`` (ms) on."""

    call: str
    sequence: int
    type: str
    at: int
    data: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Stable: the same fact delivered twice has the same id."""
        return ids.fact_id(self.call, self.sequence)


def leg_data(leg: Leg) -> dict[str, Any]:
    """The ``data`` of a ``call.leg.*`` fact.  The number is masked: a webhook's receiver knows it, a log must not."""
    return {
        "leg": leg.name,
        "leg_id": "leg_" + leg.id,
        "number_masked": masked(leg.number),
        "sip_status": leg.sip,
        "q850": leg.q850,
        "by": BY[leg.why] if leg.why else None,
    }


BY = {"remote": "remote", "timer": "platform", "limit": "platform", "platform": "platform", "lost": "unknown"}
