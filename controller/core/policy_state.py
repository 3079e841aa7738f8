"""What is kept of policies: how the store and the services hand it to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.core.agent import WANTED
from controller.core.call import Call

ListName = Literal["block", "allow", "dnc"]
EVERYONE = ""
"""Stands for all tenants, where a tenant's name is asked for."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A kill switch that is on.  ``since`` in ms; ``end_calls``: live calls are ended too; ``reason`` in words."""

    since: int
    end_calls: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A tenant's policy as it is stored.  ``settings``: those that it has set itself; the lists hold beginnings of numbers."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    stop: Stop | None = None
    block: frozenset[str] = field(default=frozenset(), repr=False)
    allow: frozenset[str] = field(default=frozenset(), repr=False)
    dnc: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A number, or the beginning of numbers, on a list.  ``note``: why, in the tenant's words; ``created_at`` in ms."""

    id: str
    number: str = field(repr=False)
    note: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Marks:
    """By what a change is noticed.  ``versions``: of each tenant's policy; ``numbers``: of all display numbers together;
    ``limits``: calls per second and at once of the tenants that have bounds of their own (None: as everybody)."""

    versions: Mapping[str, int]
    suspended: frozenset[str]
    numbers: tuple[int, str]
    limits: Mapping[str, tuple[float | None, int | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LegUsed:
    """A leg that was dialled, for counting.  Times in ms; ``ended_at`` None while it lives; ``callee``: it counts as a call to
    its number."""

    id: str
    call: str
    tenant: str
    number: str = field(repr=False)
    callee: bool
    dialed_at: int
    answered_at: int | None = None
    ended_at: int | None = None


def is_callee(kind: str, leg: str, arrived: bool = False, agents: str | None = None) -> bool:
    """Whether a leg of this name, in a call of this kind, rings somebody whom a machine calls, and who did not ask for it: how
    often and when such a one may be called is limited.

    Not so who asked for the callback, the leg ``agents`` of one that an agent takes, and whoever is rung because a person
    dialled (``arrived``: the call came in)."""
    return not arrived and leg != agents and (kind == "robot" or (kind == "callback" and leg != "caller"))


def is_called(call: Call, leg: str) -> bool:
    """The same of a call's leg."""
    return is_callee(call.kind, leg, bool(call.legs) and call.legs[0].arrived, (call.vars.get(WANTED) or {}).get("leg"))
