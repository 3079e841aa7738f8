"""Bindings as they come in and go out."""

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from controller.api.fields import E164, In, Metadata, Prompt, Reference, RingSeconds, TalkSeconds, Text, XNumber, with_plus
from controller.api.paging import PeriodQuery, Time
from controller.api.shapes import Out
from controller.core.masking import NEVER, Binding, Direction, Mode
from controller.services.answers import Menu, stored
from controller.store.rows import BindingFilter
from controller.times import or_none, rfc3339

LONGEST_S = 10 * 365 * 86_400
Seconds = Annotated[int, Field(ge=1, le=LONGEST_S)]
Extension = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}$")]
Pin = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4,15}$"),
    Field(description="Who calls from a phone that is not known here keys it in."),
]
Numbers = Annotated[list[E164], Field(max_length=1000)]
PoolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
TtlFrom = Literal["created", "last_call"]


class DirectionIn(In):
    """What holds for calls in one direction; what is left out is as the flow has it."""

    allowed: bool = True
    announce: Prompt | None = Field(None, description="A prompt that the called side hears first.")
    ring_timeout_s: RingSeconds | None = None
    record: bool | None = None
    max_duration_s: TalkSeconds | None = None
    otherwise: Menu | None = Field(
        None,
        description="A flow that has the call, and knows what to do when nobody is to be had: `nobody-available`. "
        "Not for calls of who keyed in an extension or a PIN.",
    )

    def rules(self) -> Direction:
        """As a binding keeps it."""
        plain = self.model_dump(exclude={"otherwise"})
        return Direction(**plain, otherwise=None if self.otherwise is None else stored(self.otherwise))


class NewBinding(In):
    """Who is to reach whom.  Which number stands between them is chosen from the pool, or named by you."""

    mode: Mode = Field(description="How X is used: see [Mask numbers](../how-to/mask-numbers.md).")
    a: E164
    b: E164 | None = Field(None, description="The other party; of `ax`, `axn`, `axe` whom A reaches by dialling X.")
    x: XNumber | None = Field(None, description="Left out: chosen from the pool.")
    y: XNumber | None = Field(None, description="`axyb` only: the number that B dials, and sees nothing else of A.")
    extension: Extension | None = Field(None, description="`axe` only; left out: chosen.")
    pool: PoolName | None = Field(None, description="Name or id; left out: your only one.")
    area: Text | None = Field(None, description="As numbers were given it; the pool says whether strictly.")
    ttl_s: Seconds | None = Field(None, description="When it ends by itself; left out: never.")
    ttl_from: TtlFrom = "created"
    a_to_b: DirectionIn = DirectionIn()
    b_to_a: DirectionIn = Field(DirectionIn(), description="Also from anyone to A.")
    a_pin: Pin | None = None
    b_pin: Pin | None = None
    block: Numbers = Field(default_factory=list, description="Who is refused.")
    allow: Numbers = Field(default_factory=list, description="Of anyone, only these.")
    reference: Reference | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _fits(self) -> "NewBinding":
        pairs = self.mode in ("axb", "axyb")
        if pairs and self.b is None:
            raise PydanticCustomError("invalid_request", "this mode needs b")
        if self.a == self.b or {self.x, self.y} & {self.a, self.b} - {None} or (self.x is not None and self.x == self.y):
            raise PydanticCustomError("self_call", "a, b, x and y must be different numbers")
        if (self.y is not None and self.mode != "axyb") or (self.extension is not None and self.mode != "axe"):
            raise PydanticCustomError("invalid_request", "y is for axyb, extension for axe")
        if not pairs and (self.a_pin or self.b_pin):
            raise PydanticCustomError("invalid_request", "PINs are for axb and axyb: elsewhere anyone may call")
        if self.a_pin is not None and self.a_pin == self.b_pin:
            raise PydanticCustomError("invalid_request", "the PINs must differ")
        return self


class BindingChange(In):
    """What is given is changed."""

    b: E164 | None = Field(None, description="Of `ax`, `axn`, `axe`: whom A reaches by dialling X; null: nobody.")
    temporary_callee: E164 | None = Field(None, description="Whom A reaches instead for `temporary_s`; null: nobody.")
    temporary_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    ttl_s: Seconds | None = Field(None, description="Starts the clock again; null: it does not end by itself.")
    ttl_from: TtlFrom = "created"
    a_to_b: DirectionIn = DirectionIn()
    b_to_a: DirectionIn = DirectionIn()
    block: Numbers = Field(default_factory=list)
    allow: Numbers = Field(default_factory=list)
    reference: Reference | None = None
    metadata: Metadata | None = None


class BindingOut(Out):
    """A binding.  `expires_at` moves with each call where `ttl_from` is `last_call`."""

    id: str
    mode: Mode
    status: Literal["active", "released", "expired"]
    a: str
    b: str | None
    x: str
    y: str | None
    extension: str | None
    pool: str | None
    area: str | None
    ttl_s: int | None
    ttl_from: TtlFrom
    a_to_b: DirectionIn
    b_to_a: DirectionIn
    pins: list[Literal["a", "b"]] = Field(description="Which sides have a PIN; it is not shown again.")
    block: list[str]
    allow: list[str]
    temporary_callee: str | None
    temporary_until: str | None
    reference: str | None
    metadata: dict[str, Any] | None
    created_at: str
    expires_at: str | None
    last_call_at: str | None
    ended_at: str | None


class BindingEventOut(Out):
    """One thing that happened to a binding.  `sequence` is gapless per binding from 1."""

    id: str
    type: str
    occurred_at: str
    sequence: int
    call_id: None
    reference: str | None
    metadata: dict[str, Any] | None
    data: dict[str, Any]


class BindingsQuery(PeriodQuery):
    """How the list can be narrowed."""

    from_: Time | None = Field(None, alias="from", description="Made at or after.")
    to: Time | None = Field(None, description="Made before.")
    status: Literal["active", "released", "expired"] | None = None
    number: Annotated[E164, BeforeValidator(with_plus)] | None = Field(None, description="A or B.")
    x: Annotated[XNumber, BeforeValidator(with_plus)] | None = Field(None, description="X or Y.")
    reference: Reference | None = None

    def where(self) -> BindingFilter:
        """As the store wants it."""
        return BindingFilter(self.status, self.number, self.x, self.reference, self.since(), self.until())


def wanted(new: NewBinding, binding_id: str, tenant: str, now: int, pool: str) -> Binding:
    """The binding that is asked for."""
    given: dict[str, Any] = {name: getattr(new, name) or "" for name in ("b", "x", "y", "extension", "a_pin", "b_pin", "area")}
    ttl_ms = None if new.ttl_s is None else new.ttl_s * 1000
    return Binding(
        id=binding_id,
        tenant=tenant,
        mode=new.mode,
        a=new.a,
        created_at=now,
        pool=pool,
        a_to_b=new.a_to_b.rules(),
        b_to_a=new.b_to_a.rules(),
        block=tuple(new.block),
        allow=tuple(new.allow),
        ttl_ms=ttl_ms,
        ttl_from=new.ttl_from,
        expires_at=NEVER if ttl_ms is None else now + ttl_ms,
        reference=new.reference,
        metadata=new.metadata,
        **given,
    )


def edited(binding: Binding, new: BindingChange, now: int) -> Binding:
    """The binding after a change that comes at ``now`` (ms)."""
    fields = new.model_fields_set
    changes: dict[str, Any] = {name: getattr(new, name) for name in ("ttl_from", "reference", "metadata") if name in fields}
    changes |= {name: getattr(new, name).rules() for name in ("a_to_b", "b_to_a") if name in fields}
    changes |= {name: tuple(getattr(new, name)) for name in ("block", "allow") if name in fields}
    if "b" in fields:
        changes["b"] = new.b or ""
    if "temporary_callee" in fields:
        changes |= {"temporary": new.temporary_callee or "", "temporary_until": now + new.temporary_s * 1000}
    if "ttl_s" in fields:
        ttl_ms = None if new.ttl_s is None else new.ttl_s * 1000
        changes |= {"ttl_ms": ttl_ms, "expires_at": NEVER if ttl_ms is None else now + ttl_ms}
    return replace(binding, **changes)


def view(binding: Binding, now: int) -> dict[str, Any]:
    """A binding as it goes out at ``now`` (ms): one whose time is over is expired, whoever has written that down or not."""
    over = binding.state == "active" and not binding.lives(now)
    temporary = now < binding.temporary_until
    return {
        "id": "bind_" + binding.id,
        "mode": binding.mode,
        "status": "expired" if over else binding.state,
        **{name: getattr(binding, name) or None for name in ("a", "b", "x", "y", "extension")},
        "pool": "pool_" + binding.pool if binding.pool else None,
        "area": binding.area or None,
        "ttl_s": None if binding.ttl_ms is None else binding.ttl_ms // 1000,
        "ttl_from": binding.ttl_from,
        "a_to_b": asdict(binding.a_to_b),
        "b_to_a": asdict(binding.b_to_a),
        "pins": [side for side, pin in (("a", binding.a_pin), ("b", binding.b_pin)) if pin],
        "block": binding.block,
        "allow": binding.allow,
        "temporary_callee": (binding.temporary or None) if temporary else None,
        "temporary_until": rfc3339(binding.temporary_until) if temporary and binding.temporary else None,
        "reference": binding.reference,
        "metadata": binding.metadata,
        "created_at": rfc3339(binding.created_at),
        "expires_at": None if binding.expires_at == NEVER else rfc3339(binding.expires_at),
        "last_call_at": or_none(binding.last_call_at),
        "ended_at": rfc3339(binding.expires_at) if over else or_none(binding.ended_at),
    }
