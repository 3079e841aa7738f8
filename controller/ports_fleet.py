"""The seams (``ports``) of what is added while calls go on: nodes and trunks, as they are stored."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """What is stored of a PBX node.  ``settings``: as JSON with its secrets, of one that was added at run time; None for one of
    the configuration file.  ``draining_since``: it gets no new calls (ms)."""

    name: str
    settings: str | None = field(repr=False)
    created_at: int
    draining_since: int | None = None


class NodeStore(Protocol):
    """Where nodes that were added at run time, and the drains of all, are kept."""

    async def all(self) -> list[NodeEntry]:
        """Every entry."""


@dataclass(frozen=True, slots=True)
class TrunkEntry:
    """What is stored of a trunk that was added at run time.  ``settings``, ``draining_since``: as those of a node."""

    name: str
    settings: str = field(repr=False)
    created_at: int
    draining_since: int | None = None


class TrunkStore(Protocol):
    """Where trunks that were added at run time are kept."""

    async def all(self) -> list[TrunkEntry]:
        """Every entry."""
