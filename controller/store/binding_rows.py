"""A binding and its claims as rows, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, or_, select, update

from controller.core import ids
from controller.core.masking import ANYONE, NEVER, Binding, Claim, Direction, Use, claims, told
from controller.store import codec
from controller.store.queries import AnyRow
from controller.store.streams import News, tell
from controller.store.tables_masking import BINDING, CLAIM, X_NUMBER


@dataclass(frozen=True, slots=True)
class Rules:
    """What a binding's column ``rules`` holds."""

    a_to_b: Direction
    b_to_a: Direction
    block: tuple[str, ...]
    allow: tuple[str, ...]


_RULES = tuple(one.name for one in fields(Rules))
_PLAIN = tuple(one.name for one in fields(Binding) if one.name not in (*_RULES, "metadata"))
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Rules).decode


def binding_values(binding: Binding) -> dict[str, Any]:
    """A binding's row."""
    values: dict[str, Any] = {name: getattr(binding, name) for name in _PLAIN}
    values["rules"] = _encode(Rules(*(getattr(binding, name) for name in _RULES))).decode()
    values["metadata"] = None if binding.metadata is None else codec.encode_data(binding.metadata)
    return values


def binding_of(row: AnyRow) -> Binding:
    """The binding of a row of ``BINDING``, or of a join with its columns."""
    found: Mapping[Any, Any] = row._mapping
    plain = {name: found[BINDING.c[name]] for name in _PLAIN}
    rules, metadata = _decode(found[BINDING.c.rules]), found[BINDING.c.metadata]
    kept = None if metadata is None else codec.decode_data(metadata)
    return Binding(**plain, metadata=kept, **{name: getattr(rules, name) for name in _RULES})


def claim_values(binding: Binding) -> list[dict[str, Any]]:
    """The rows of a binding's claims, in the order in which they are taken."""
    return [
        {
            "x": claim.x,
            "party": claim.party,
            "extension": claim.extension,
            "use": binding.use,
            "side": claim.side,
            "binding": binding.id,
            "taken_until": taken_until(binding),
        }
        for claim in claims(binding)
    ]


def taken_until(binding: Binding) -> int:
    """When the claims of a binding are free again (ms)."""
    ends = binding.ended_at if binding.ended_at is not None else binding.expires_at
    return min(NEVER, ends + binding.cool_ms)


def one_of(keys: list[Claim]) -> ColumnElement[bool]:
    """The condition that a claim's row is one of these, whatever its X."""
    return or_(*((CLAIM.c.party == key.party) & (CLAIM.c.extension == key.extension) for key in keys))


def hold(db: Connection, binding: Binding) -> None:
    """An X that anyone may dial serves one binding: it says itself until when it is taken."""
    if binding.use == "open":
        idle_from = binding.ended_at if binding.ended_at is not None else binding.expires_at
        values = {"idle_from": idle_from, "taken_until": taken_until(binding)}
        db.execute(update(X_NUMBER).where(X_NUMBER.c.number == binding.x).values(values))


def stream_of(binding_id: str) -> str:
    """Where a binding's facts are."""
    return ids.stream_id("bind_", binding_id)


def tell_of(db: Connection, kind: str, bindings: Sequence[Binding], now: int) -> None:
    """Tell what happened to bindings, as ``binding.sequence`` of each: now, or, where that was it, at its end."""
    tell(db, kind, [_news(binding, now) for binding in bindings], now)


def _news(binding: Binding, now: int) -> News:
    at, over = (now, False) if binding.ended_at is None else (binding.ended_at, True)
    of, sequence = (binding.reference, binding.metadata), binding.sequence
    return News(stream_of(binding.id), binding.tenant, at, told(binding), *of, sequence, over, whole=True)


def is_open(use: Use, claim: Claim) -> bool:
    """True for the claim of an X that anyone may dial: whether it is free its number's row says."""
    return use == "open" and claim.party == ANYONE


def own(tenant: str, binding_id: str) -> Select[Any]:
    """One binding of this tenant."""
    return select(BINDING).where(BINDING.c.id == binding_id, BINDING.c.tenant == tenant)
