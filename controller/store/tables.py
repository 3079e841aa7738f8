"""What is kept.  Times are ms since the epoch, ids are bare (the API adds its prefixes), JSON is text.

A call's row holds the whole call in ``state``; the other columns repeat what is searched for.  ``fact`` is timeline and outbox
in one: a webhook does not get rows of its own per fact but one cursor per call, because facts leave in order and so only the
next one can be under way.
"""

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, LargeBinary, MetaData, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(SQLModel):
    """The root of all tables: one MetaData with stable names for constraints, which migrations need."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)


def _text(primary_key: bool = False, nullable: bool = False) -> Any:
    return Field(sa_column=Column(Text, primary_key=primary_key, nullable=nullable))


def _ms(nullable: bool = False) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=nullable))


def _of(target: str, primary_key: bool = False) -> Any:
    """A reference whose rows go with what they belong to."""
    return Field(sa_column=Column(Text, ForeignKey(target, ondelete="CASCADE"), primary_key=primary_key, nullable=False))


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class TenantRow(Base, table=True):
    """Who calls are made for.  ``suspended_at``: may start nothing since then.  ``requests_per_second``, ``calls_per_second``,
    ``concurrent_calls``: its own bounds, else the installation's.  ``secret``: signs what goes to the ``status_url`` of its
    calls, beside the old one until that is over."""

    __tablename__ = "tenant"
    id: str = _text(primary_key=True)
    name: str = _text()
    created_at: int = _ms()
    suspended_at: int | None = _ms(nullable=True)
    requests_per_second: int | None = _ms(nullable=True)
    calls_per_second: float | None = Field(sa_column=Column(Float, nullable=True))
    concurrent_calls: int | None = _ms(nullable=True)
    secret: str | None = _text(nullable=True)
    old_secret: str | None = _text(nullable=True)
    old_secret_until: int | None = _ms(nullable=True)


class ApiKeyRow(Base, table=True):
    """A key of the API: only the SHA-256 of its 32 random bytes is kept, and the first characters to tell keys apart."""

    __tablename__ = "api_key"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    name: str = _text()
    prefix: str = _text()
    hash: str = _text()
    scopes: str = _text()
    created_at: int = _ms()
    revoked_at: int | None = _ms(nullable=True)
    expires_at: int | None = _ms(nullable=True)
    last_used_at: int | None = _ms(nullable=True)
    __table_args__ = (UniqueConstraint("hash"), Index(None, "tenant"))


class DisplayNumberRow(Base, table=True):
    """A number that a tenant owns and may show."""

    __tablename__ = "display_number"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    number: str = _text()
    created_at: int = _ms()
    __table_args__ = (UniqueConstraint("number"), Index(None, "tenant"))


class CallRow(Base, table=True):
    """A call.  ``sequence``: of its last fact; a unit that was decided from an older state does not fit on it."""

    __tablename__ = "call"
    id: str = _text(primary_key=True)
    tenant: str = Field(sa_column=Column(Text, ForeignKey("tenant.id"), nullable=False))
    node: str = _text()
    status: str = _text()
    kind: str = _text()
    flow: str = _text()
    flow_version: str = _text()
    requested_at: int = _ms()
    started_at: int | None = _ms(nullable=True)
    ended_at: int | None = _ms(nullable=True)
    due_at: int | None = _ms(nullable=True)
    disposition: str | None = _text(nullable=True)
    caller: str | None = _text(nullable=True)
    callee: str | None = _text(nullable=True)
    reference: str | None = _text(nullable=True)
    binding: str | None = _text(nullable=True)
    attempt: int = _ms()
    retry_of: str | None = _text(nullable=True)
    sequence: int = _ms()
    epoch: int = _ms()
    status_endpoint: str | None = _text(nullable=True)
    state: str = _text()
    __table_args__ = (
        Index("ix_call_tenant", "tenant", "requested_at", "id"),
        Index("ix_call_caller", "tenant", "caller", "requested_at", **_where("caller IS NOT NULL")),
        Index("ix_call_callee", "tenant", "callee", "requested_at", **_where("callee IS NOT NULL")),
        Index("ix_call_reference", "tenant", "reference", **_where("reference IS NOT NULL")),
        Index("ix_call_binding", "tenant", "binding", **_where("binding IS NOT NULL")),
        Index("ix_call_queued", "tenant", "requested_at", "id", **_where("started_at IS NULL AND ended_at IS NULL")),
        Index("ix_call_open", "node", **_where("ended_at IS NULL")),
    )


class FactRow(Base, table=True):
    """A fact of a call, or of another stream (``tables_streams``): its timeline, and what webhooks deliver."""

    __tablename__ = "fact"
    call: str = _text(primary_key=True)
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    type: str = _text()
    at: int = _ms()
    data: str = _text()
    __table_args__ = ({"sqlite_with_rowid": False},)


class RecordingRow(Base, table=True):
    """A recording.  Status, times and call come with the call's units; size, sum and file from who stores the audio."""

    __tablename__ = "recording"
    id: str = _text(primary_key=True)
    call: str = _of("call.id")
    tenant: str = _text()
    node: str = _text()
    status: str = _text()
    started_at: int | None = _ms(nullable=True)
    stopped_at: int | None = _ms(nullable=True)
    stored_at: int | None = _ms(nullable=True)
    duration_ms: int | None = _ms(nullable=True)
    size: int | None = _ms(nullable=True)
    sha256: str | None = _text(nullable=True)
    file: str | None = _text(nullable=True)
    __table_args__ = (
        Index("ix_recording_tenant", "tenant", "id"),
        Index("ix_recording_call", "call"),
        Index("ix_recording_stopped", "id", **_where("status = 'stopped'")),
    )


class EndpointRow(Base, table=True):
    """Where a tenant wants facts sent.  ``events``: JSON list of types, ``["*"]`` = all.

    ``state``: ``active``; ``parked`` (dead: nothing is sent, all is kept for it); ``disabled`` (nothing is kept).
    ``kind``: ``subscribed`` to all calls of its tenant, or ``status``: a host that calls named in their ``status_url``, which
    gets the facts of these calls only, each at its own URL.  ``concurrent``: requests at once, else the installation's.
    ``operator_at``: since when it is told of the installation's nodes too, because an operator made it."""

    __tablename__ = "webhook_endpoint"
    id: str = _text(primary_key=True)
    tenant: str = _of("tenant.id")
    url: str = _text()
    secret: str = _text()
    old_secret: str | None = _text(nullable=True)
    old_secret_until: int | None = _ms(nullable=True)
    events: str = _text()
    state: str = _text()
    reason: str | None = _text(nullable=True)
    created_at: int = _ms()
    kind: str = Field(sa_column=Column(Text, nullable=False, server_default="subscribed"))
    concurrent: int | None = _ms(nullable=True)
    operator_at: int | None = _ms(nullable=True)
    __table_args__ = (Index(None, "tenant"),)


class CursorRow(Base, table=True):
    """How far one call's facts, or those of another stream, have got at one endpoint.

    ``state``: ``open``, ``parked`` with its endpoint, or ``done``: the call is over and all is told.  ``due_at``: not looked
    at before; ``attempt``: failed tries of the fact ``next_sequence``."""

    __tablename__ = "webhook_cursor"
    endpoint: str = _of("webhook_endpoint.id", primary_key=True)
    call: str = _text(primary_key=True)
    next_sequence: int = _ms()
    attempt: int = _ms()
    state: str = _text()
    due_at: int = _ms()
    last_status: int | None = _ms(nullable=True)
    last_error: str | None = _text(nullable=True)
    __table_args__ = (
        Index("ix_webhook_cursor_call", "call"),
        Index("ix_webhook_cursor_due", "endpoint", "due_at", **_where("state = 'open'")),
    )


class FlowRow(Base, table=True):
    """A version of a flow, as long as a call may need it.  ``body``: the document as JSON."""

    __tablename__ = "flow_version"
    name: str = _text(primary_key=True)
    version: str = _text(primary_key=True)
    body: str = _text()
    created_at: int = _ms()


class LeaseRow(Base, table=True):
    """Who owns a node until when, by the database's clock.  ``epoch`` grows with each change of owner."""

    __tablename__ = "node_lease"
    node: str = _text(primary_key=True)
    owner: str = _text()
    epoch: int = _ms()
    expires_at: int = _ms()


class IdempotencyRow(Base, table=True):
    """The first answer to a request with an Idempotency-Key; ``in_flight`` while there is none yet."""

    __tablename__ = "idempotency"
    tenant: str = _text(primary_key=True)
    key: str = _text(primary_key=True)
    fingerprint: str = _text()
    status: str = _text()
    http_status: int = _ms()
    response: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    at: int = _ms()
    __table_args__ = (Index(None, "at"),)


class AuditRow(Base, table=True):
    """Who did what, without numbers.  ``id``: a ULID."""

    __tablename__ = "audit"
    id: str = _text(primary_key=True)
    tenant: str = _text()
    at: int = _ms()
    actor: str = _text()
    action: str = _text()
    target: str = _text()
    data: str = _text()
    __table_args__ = (Index("ix_audit_tenant", "tenant", "id"),)


def _table(model: type[Base]) -> Table:
    found: Table = Base.metadata.tables[str(model.__tablename__)]
    return found


TENANT = _table(TenantRow)
API_KEY = _table(ApiKeyRow)
DISPLAY_NUMBER = _table(DisplayNumberRow)
CALL = _table(CallRow)
FACT = _table(FactRow)
RECORDING = _table(RecordingRow)
ENDPOINT = _table(EndpointRow)
CURSOR = _table(CursorRow)
FLOW = _table(FlowRow)
LEASE = _table(LeaseRow)
IDEMPOTENCY = _table(IdempotencyRow)
AUDIT = _table(AuditRow)
