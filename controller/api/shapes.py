"""What goes out, as the interface's description shows it.  ``views`` makes it; a test holds the two together."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from controller.core.call import AnsweredBy, Disposition, Party, RecordingState, Why
from controller.core.policy import Code

Status = Literal["queued", "dialing", "ringing", "answered", "bridged", "ended"]
Kind = Literal["callback", "masked", "inbound", "robot"]


class Out(BaseModel):
    """The root of what goes out."""

    model_config = ConfigDict(extra="forbid")


class LegOut(Out):
    """One phone of a call.  `sip_status` and `q850` are as the far end or the PBX gave them."""

    name: str
    number: str
    display: str
    node: str
    dialed_at: str | None
    ringing_at: str | None
    answered_at: str | None
    ended_at: str | None
    sip_status: int | None
    q850: int | None
    cause: Why | Code | None = Field(description="Who or what ended the leg, or the rule that kept it from being dialled.")
    answered_by: AnsweredBy | None = Field(description="Who answered, where that was listened for (`machine_detection`).")


class RecordingRef(Out):
    """A recording of a call."""

    id: str
    status: RecordingState
    duration_s: float | None


class CdrOut(Out):
    """The record of a call."""

    id: str
    tenant: str
    kind: Kind
    binding_id: str | None
    flow: str
    reference: str | None
    metadata: dict[str, Any] | None
    requested_at: str
    queued_ms: int | None
    legs: list[LegOut]
    bridged_at: str | None
    ended_at: str | None
    ring_s: float | None
    bill_s: float
    disposition: Disposition | None
    hangup_by: Party | None
    recordings: list[RecordingRef]
    keys_pressed: str
    transcript_id: str | None
    quality: dict[str, Any] | None


class CallLinks(Out):
    """Where to go from here."""

    self: str
    events: str
    actions: str


class CallOut(CdrOut):
    """A call at any time of its life: the CDR's fields from the start, and where it stands."""

    status: Status
    attempt: int
    retry_of: str | None
    schedule_at: str | None = Field(description="It starts no sooner than this.")
    not_after: str | None = Field(description="It is given up, as `canceled`, when it has not started by then.")
    retries_left: int = Field(description="How many attempts may still follow this one.")
    queue_position: int | None = Field(
        description="Place in the queue from 1; null when it does not wait, or waits for its time."
    )
    estimated_start: str | None
    links: CallLinks


class EventOut(Out):
    """One thing that happened.  `sequence` is gapless per call from 1."""

    id: str
    type: str
    occurred_at: str
    sequence: int
    call_id: str
    reference: str | None
    metadata: dict[str, Any] | None
    data: dict[str, Any]


class CancelOut(Out):
    """What a cancellation did: the legs that were dropped, or why the call was kept."""

    canceled: bool
    dropped: list[str]
    kept_because: Literal["ringing", "answered", "ending", "ended"] | None
