"""What the phones at the other end do.  The names of behaviours are those of the lab."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Behaviour = Literal[
    "answer", "no_answer", "busy", "reject", "not_found", "refuse", "hangup_early", "keys", "early_media", "silent_drop"
]

REFUSALS: Mapping[str, tuple[int, int]] = {"busy": (486, 17), "reject": (603, 21), "not_found": (404, 1)}
"""SIP status and Q.850 cause, as Asterisk maps them."""
EARLY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone.  Times in ms from the INVITE; ``talk_ms``: it hangs up so long after its answer (None: never).

    ``says``: how long (ms) it speaks to who listens before it is silent (None: for ever).  ``refuse``: SIP status and Q.850
    cause that the behaviour ``refuse`` answers with.  ``keys``: pressed when asked.
    """

    behaviour: Behaviour = "answer"
    ring_after_ms: int = 60
    answer_after_ms: int = 250
    talk_ms: int | None = None
    keys: str = ""
    says: int | None = 600
    refuse: tuple[int, int] = (503, 34)

    @property
    def refusal(self) -> tuple[int, int] | None:
        """The status and cause with which it refuses; None if it does not."""
        return self.refuse if self.behaviour == "refuse" else REFUSALS.get(self.behaviour)

    @property
    def rings(self) -> bool:
        """True if it lets hear that it rings."""
        return self.behaviour in ("answer", "no_answer", "hangup_early", "keys")

    @property
    def answers(self) -> bool:
        """True if it is picked up in the end."""
        return self.behaviour in ("answer", "hangup_early", "keys", "early_media")

    @property
    def talks_for_ms(self) -> int | None:
        """How long after its answer it hangs up by itself."""
        return EARLY_MS if self.behaviour == "hangup_early" and self.talk_ms is None else self.talk_ms


NOBODY = Phone("not_found")
"""Who has a number that no phone has."""
