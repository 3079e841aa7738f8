"""The question to a business about a call (X mode), and what a flow may know of the call beside what it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from controller.core.route import Earlier, Routed
from controller.times import rfc3339

EVERY_CALL = ("caller", "called")
CONTEXT = (*EVERY_CALL, "call_number")
"""What a call knows of itself."""
SHOWN = 10
"""How many earlier calls a question tells of."""


@dataclass(frozen=True, slots=True)
class Question:
    """A call about which is decided.  ``caller``: empty if withheld; ``extension``: what was keyed in, empty where nothing was
    although it was asked for, None where it is not asked for."""

    call: str
    caller: str = field(repr=False)
    at: int
    routed: Routed
    earlier: Sequence[Earlier]
    extension: str | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """Its own, the same when it is asked again."""
        return "ask_" + self.call

    def context(self) -> Mapping[str, Any]:
        """What a flow may know of the call."""
        return {"caller": self.caller, "called": self.routed.number, "call_number": len(self.earlier) + 1}

    def body(self) -> bytes:
        """As it is sent."""
        return msgspec.json.encode(
            {
                "id": self.id,
                "type": "call.route",
                "occurred_at": rfc3339(self.at),
                "call_id": "call_" + self.call,
                "data": {
                    "caller": self.caller or None,
                    "called": self.routed.number,
                    "extension": self.extension,
                    "call_number": len(self.earlier) + 1,
                    "history": [_history(one) for one in self.earlier[:SHOWN]],
                },
            }
        )


def _history(earlier: Earlier) -> dict[str, Any]:
    return {
        "call_id": "call_" + earlier.call,
        "at": rfc3339(earlier.at),
        "disposition": earlier.disposition,
        "talked_s": earlier.talked_ms / 1000,
    }
