"""What the queries hand out: plain data, no session behind it.  Times in ms, ids bare."""

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from controller.core.masking import NumberState
from controller.core.route import Route

T = TypeVar("T")
Idempotency = tuple[str, str, str, bytes]
"""Tenant, key, fingerprint of the request, the answer: as in ``ports.Unit``."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list, newest first.  ``next``: what to pass as ``after`` for the rest, None at the end."""

    items: list[T]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """``suspended_at``: may start nothing since then.  ``requests_per_second``, ``calls_per_second``, ``concurrent_calls``: its
    own bounds, None for the installation's."""

    id: str
    name: str
    created_at: int
    suspended_at: int | None = None
    requests_per_second: int | None = None
    calls_per_second: float | None = None
    concurrent_calls: int | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; not the key."""

    id: str
    tenant: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: int
    revoked_at: int | None = None
    expires_at: int | None = None
    last_used_at: int | None = None

    def over(self, now: int) -> bool:
        """Revoked, or expired at ``now`` (ms)."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, with the key that it was made for.  ``family`` and ``began_at``: of the grant that it came of."""

    kind: Literal["access", "refresh"]
    family: str
    key: ApiKey
    scopes: tuple[str, ...]
    began_at: int
    expires_at: int
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to keep: its SHA-256, and until when (ms) it is good."""

    kind: Literal["access", "refresh"]
    hash: str = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: int


@dataclass(frozen=True, slots=True)
class Lockout:
    """Who failed too often.  ``locks``: how many times by now."""

    name: str = field(repr=False)
    until: int
    locks: int


@dataclass(frozen=True, slots=True)
class DisplayNumber:
    """A number that a tenant owns."""

    id: str
    tenant: str
    number: str = field(repr=False)
    created_at: int


EndpointState = Literal["active", "parked", "disabled"]
EndpointKind = Literal["subscribed", "status"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant wants facts sent; ``tables.EndpointRow`` says what states, kinds and ``operator_at`` mean."""

    id: str
    tenant: str
    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...]
    created_at: int
    state: EndpointState = "active"
    reason: str | None = None
    old_secret: str | None = field(default=None, repr=False)
    old_secret_until: int | None = None
    kind: EndpointKind = "subscribed"
    concurrent: int | None = None
    operator_at: int | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret, made at ``now`` (ms); the ones before it, separated by blanks where they are kept, sign until ``until``."""

    secret: str = field(repr=False)
    now: int
    until: int


@dataclass(frozen=True, slots=True)
class Signing:
    """What signs for the ``status_url`` of a tenant's calls: the secret, and those before it until then (ms)."""

    secret: str = field(repr=False)
    old_secret: str | None = field(default=None, repr=False)
    old_secret_until: int | None = None


@dataclass(frozen=True, slots=True)
class DeliveryInfo:
    """One fact on its way to one endpoint.  ``attempts``, ``next_at`` and ``last_*`` are set for the one that is next.
    ``call``: or another stream."""

    id: str
    call: str
    sequence: int
    type: str
    at: int
    state: Literal["pending", "delivered", "parked"]
    attempts: int = 0
    next_at: int | None = None
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """A recording.  ``file``: relative to where recordings lie."""

    id: str
    call: str
    tenant: str
    node: str
    status: str
    started_at: int | None
    stopped_at: int | None
    stored_at: int | None
    duration_ms: int | None
    size: int | None
    sha256: str | None
    file: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """Who owns a node; ``lives``: its time was not over when it was read, by the database's clock."""

    node: str
    owner: str
    epoch: int
    expires_at: int
    lives: bool


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """A version of a flow; ``body``: its document."""

    name: str
    version: str
    body: dict[str, Any]
    created_at: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of a request with an Idempotency-Key; ``status`` 0: still in flight."""

    fingerprint: str
    status: int
    response: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Audit:
    """Who did what; ``data``: JSON text without numbers."""

    id: str
    tenant: str
    at: int
    actor: str
    action: str
    target: str
    data: str = "{}"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a list of audit entries is narrowed to; None: not at all.  ``since``, ``until``: ms, the latter exclusive."""

    actor: str | None = None
    target: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What a list of calls is narrowed to; None: not at all.

    ``status``: one of the API, or ``live`` for all between queued and ended.  ``number``: of the caller or the callee.
    ``since`` and ``until``: when it was asked for (ms), the latter exclusive."""

    kind: str | None = None
    status: str | None = None
    disposition: str | None = None
    reference: str | None = None
    binding: str | None = None
    number: str | None = None
    node: str | None = None
    retry_of: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """X numbers to choose from.  ``cool_ms``: how long a number stays taken after a binding's end; ``numbers``: how many."""

    id: str
    tenant: str
    name: str
    area_match: str
    cool_ms: int
    unknown: str
    prompt: str | None
    created_at: int
    numbers: int = 0


@dataclass(frozen=True, slots=True)
class OwnedNumber:
    """A number that a tenant owns; what follows ``kind`` is of an X only, see ``tables_masking.XNumberRow``."""

    id: str
    tenant: str
    number: str = field(repr=False)
    created_at: int
    kind: Literal["display", "x"] = "display"
    state: NumberState | None = None
    area: str | None = None
    pool: str | None = None
    use: str | None = None
    idle_from: int = 0
    taken_until: int = 0
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class BindingFilter:
    """What a list of bindings is narrowed to; None: not at all.  ``number``: a or b; ``x``: x or y.

    ``since`` and ``until``: when it was made (ms), the latter exclusive."""

    state: str | None = None
    number: str | None = field(default=None, repr=False)
    x: str | None = field(default=None, repr=False)
    reference: str | None = None
    since: int | None = None
    until: int | None = None
