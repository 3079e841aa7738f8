"""The only seams: what the services ask of a PBX, a database, a disk and a clock.

Adapters live in ``drivers`` and ``store``; ``wiring`` is the only place where they meet.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from controller.audit import Note, Row
from controller.core.call import Call, LegState, RecordingState
from controller.core.events import Event, LegEnded
from controller.core.facts import Fact
from controller.core.verbs import Verb


class Unreachable(Exception):
    """The PBX cannot be reached or did not answer in time: the verb may have had its effect or not; resync will tell."""


class VerbRefused(Exception):
    """The PBX refused the verb, which had no effect.  ``reason``: in words, without numbers; ``disposition``: for a dial."""

    def __init__(self, reason: str, disposition: str = "failed") -> None:
        super().__init__(reason)
        self.reason = reason
        self.disposition = disposition


@dataclass(frozen=True, slots=True)
class LegSeen:
    """A live leg of ours as the PBX sees it.

    ``step``/``result``: the last verb that the PBX began natively for it and how that ended (empty: still doing it);
    ``held``: it waits for us (it will say so by LegHeld); ``bridged``: the leg id it talks with; ``since``: ms of its answer,
    ``joined``: of its bridge, where the PBX knows.
    """

    leg: str
    state: LegState
    held: bool = False
    step: str = ""
    result: str = ""
    bridged: str = ""
    since: int | None = None
    joined: int | None = None


class Pbx(Protocol):
    """One PBX machine; the only door to Asterisk or FreeSWITCH."""

    node: str

    async def do(self, verb: Verb) -> None:
        """Ask for a verb.  Returns once the PBX has accepted it; its end comes as an event.

        A verb whose id was seen before has no second effect.  Raises VerbRefused or Unreachable, within bounded time.
        """

    def events(self) -> AsyncIterator[Event]:
        """What happens, in order: LinkUp first and after each reconnect, LinkDown on loss.  Never raises; ends on close."""

    async def alive(self) -> Mapping[str, LegSeen]:
        """The live legs of ours by leg id, the truth after a gap.  Raises Unreachable."""

    async def gone(self, legs: Sequence[str]) -> Mapping[str, LegEnded]:
        """What the PBX wrote down about those of ``legs`` that ended while nobody listened."""

    async def close(self) -> None:
        """Leave the PBX; calls go on."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One atomic write: a call after a decision, with the facts that came of it.  ``created``: the call is new.

    ``idempotency``: (tenant, key, fingerprint, response) to keep with it; a key that is taken fails the unit alone.
    ``notes``: of the requests that it carries out, for the audit log.  ``follower``: the unit of a new call that is written
    together with this one or not at all.
    """

    call: Call
    facts: tuple[Fact, ...] = ()
    created: bool = False
    idempotency: tuple[str, str, str, bytes] | None = None
    notes: tuple[Note, ...] = ()
    follower: "Unit | None" = None


class NotSaved(Exception):
    """The unit was not committed and nothing of it is visible: the disk is full, the database locked or away."""


class InDoubt(NotSaved):
    """Nobody could say whether the unit was committed: it has to be read back."""


class LeaseLost(NotSaved):
    """Another process owns the node now: this one must stop acting on it."""


class CallStore(Protocol):
    """Where calls live.  Every write is durable (fsynced) when it returns."""

    async def commit(self, unit: Unit) -> None:
        """Write a unit in a group commit.  Raises NotSaved or LeaseLost; a unit that fails takes no other along."""

    async def live(self, node: str) -> list[Call]:
        """The calls of a node that have started and not ended."""

    async def nodes(self) -> list[str]:
        """The nodes whose calls have started and not ended."""

    async def all_queued(self) -> list[Call]:
        """Calls that wait for their start, oldest first."""

    async def get(self, call_id: str) -> Call | None:
        """One call, live or closed."""


class Leases(Protocol):
    """Who owns a node, by the database's clock.  A lease lives ``LEASE_LIFE_S`` unless it is renewed."""

    async def take(self, node: str, owner: str) -> int | None:
        """The new epoch, or None while another owner's lease lives."""

    async def is_held(self, node: str) -> bool:
        """Whether anybody's lease on it lives."""

    async def renew(self, node: str, owner: str, epoch: int) -> bool:
        """False when the lease is no longer ours."""

    async def release(self, node: str, owner: str, epoch: int) -> None:
        """Give it up now; another may take it at once."""


class Presence(Protocol):
    """Which controllers live, by the database's clock: each says so every ``LEASE_BEAT_S``."""

    async def present(self, owner: str) -> None:
        """This one lives.  Raises NotSaved."""

    async def absent(self, owner: str) -> None:
        """This one has gone.  Raises NotSaved."""


LEASE_LIFE_S = 3.0
LEASE_BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A file in a PBX's spool.  ``name``: relative, no directories; ``size`` in bytes; ``modified``: ms."""

    name: str
    size: int
    modified: int


class Spool(Protocol):
    """How media files cross between a PBX machine and us: the same disk, or ``patchbay spool`` beside a remote PBX."""

    async def list(self, recordings: Sequence[str] | None = None) -> Iterable[SpoolFile]:
        """What lies in the spool: all recordings, or those with one of these ids."""

    def local(self, name: str) -> Path | None:
        """Where the file lies if it is on a disk of this machine: then it need not be fetched."""

    async def fetch(self, name: str, to: Path) -> None:
        """Copy a file here, durably.  Raises FileNotFoundError."""

    async def delete(self, *names: str) -> None:
        """Remove files; one that is not there is no error."""


class Clock(Protocol):
    """Time: ``now`` in ms since the epoch, ``monotonic`` in seconds."""

    def now(self) -> int:
        """Milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that only move forward."""


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """What is known of a recording that is safely stored."""

    duration_ms: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Live:
    """A fact with what a listener needs to filter and show it, in the envelope that webhooks have."""

    tenant: str
    fact: Fact
    reference: str | None = None
    metadata: Mapping[str, Any] | None = None


# --- webhooks: one cursor per endpoint and call, or other stream, moves along its facts

EndpointState = Literal["on", "parked", "disabled"]
CursorState = Literal["open", "parked", "done"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant wants its facts.  ``secrets``: those valid now, the newest first; each signs.  ``types``: empty for all.

    ``parked``: its whole retry schedule failed; ``disabled``: by its tenant or by its own 410.  Neither is delivered to, but
    a parked one still gets cursors for new calls, so that nothing is missing when it is back.

    ``kind``: a ``status`` endpoint is a host; it is told of the calls only that named it in their ``status_url``, each at that
    URL, and signs with its tenant's secret.  ``concurrent``: requests under way at once, None for the settings' number.
    ``operator``: it is told of the installation's nodes too."""

    id: str
    tenant: str
    url: str
    secrets: tuple[str, ...]
    types: tuple[str, ...] = ()
    state: EndpointState = "on"
    kind: Literal["subscribed", "status"] = "subscribed"
    concurrent: int | None = None
    operator: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an endpoint has got with a call.  ``next_sequence``: of the fact to send next; ``attempt``: failed tries of that
    one, the last of which was answered ``last_status`` or failed by ``last_error``; ``due_at``: not before (ms).
    ``done``: the call is over and all is told; a later fact opens it again.  ``call``: or another stream, which is ``done``
    whenever all is told."""

    endpoint: str
    call: str
    next_sequence: int = 1
    attempt: int = 0
    due_at: int = 0
    last_status: int | None = None
    last_error: str = ""
    state: CursorState = "open"


@dataclass(frozen=True, slots=True)
class Stream:
    """What is told of a binding, an agent or a node, up to ``sequence``."""

    reference: str | None
    metadata: Mapping[str, Any] | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """A cursor that is due, with what it is of and the first of the facts that wait (at least one, from ``next_sequence``
    on)."""

    cursor: Cursor
    of: Call | Stream
    facts: tuple[Fact, ...]


class WebhookStore(Protocol):
    """Where endpoints and cursors live.

    ``CallStore.commit`` makes the open cursors of a new call (one per endpoint of its tenant that is on or parked), and opens
    the ``done`` ones of an ended call that gets another fact, in the unit's own transaction; so does whatever writes a fact of
    another stream, for the endpoints that want facts of its type."""

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints of all tenants."""

    async def backlog(self, endpoint: str, now: int, limit: int) -> list[Backlog]:
        """Open cursors with ``due_at`` <= ``now`` whose call has facts from ``next_sequence`` on, the longest due first."""

    async def save_cursors(self, cursors: Sequence[Cursor]) -> None:
        """Write cursors, all in one transaction.  A row that is gone is passed over.  Raises NotSaved.

        ``done`` is kept only if the call has no fact from ``next_sequence`` on, else the cursor stays open: a fact may have
        been committed since it was said."""

    async def set_endpoint(self, endpoint: str, state: EndpointState, reason: str, now: int) -> None:
        """Change an endpoint's state.  ``on`` also opens its parked cursors, due ``now``.  Raises NotSaved."""

    async def replay(
        self, endpoint: str, now: int, call: str | None, since: int | None, until: int | None, oldest: int = 0
    ) -> int:
        """Set cursors back to their call's first fact with ``since`` <= at < ``until`` (None: open ended), never forward: open,
        no attempts, due ``now``.  Of one call or of all; of other streams nothing before ``oldest``.  Raises NotSaved."""

    async def forget_cursors(self, before: int, limit: int) -> int:
        """Delete up to ``limit`` cursors of calls that ended before that time (ms), and those of as many other streams that
        were told nothing since; answers how many at most of either."""


# --- the audit log


class AuditStore(Protocol):
    """Where the audit log's rows live that no other write took along."""

    async def append(self, rows: Sequence[Row]) -> None:
        """Add rows, durably; one that is there already stays as it is.  Raises NotSaved."""


# --- recordings


@dataclass(frozen=True, slots=True)
class StoppedRecording:
    """A recording that is over and not yet stored.  ``node``: in whose spool it lies; ``stopped_at`` in ms."""

    id: str
    call: str
    node: str
    stopped_at: int


class RecordingStore(Protocol):
    """Where the rows of recordings live.  They follow the call's own (state, times, and the data of ``recording.stored``)."""

    async def stopped_recordings(self, after: str, limit: int) -> list[StoppedRecording]:
        """Recordings in state ``stopped`` with an id greater than ``after``, in the order of ids."""

    async def recording_states(self, recordings: Sequence[str]) -> Mapping[str, RecordingState]:
        """The state of each of these that is known."""

    async def keep(self, recording: str, file: str, stored: StoredRecording) -> None:
        """Note where a recording lies (relative to the folder), before its ``RecordingStored``.  Raises NotSaved."""
