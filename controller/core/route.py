"""What becomes of calls to an X that no binding takes: the business is asked, or has said it beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WINDOW_S = 86_400


@dataclass(frozen=True, slots=True)
class Extension:
    """What a caller keys in before the business is asked: ``least`` to ``most`` digits after ``prompt``, which is said again
    ``repeats`` times to who keys in fewer."""

    prompt: str = "extension"
    least: int = 1
    most: int = 15
    repeats: int = 2


@dataclass(frozen=True, slots=True)
class Route:
    """``url``: who is asked (None: nobody), for ``timeout_ms`` at most; ``answer``: what holds where there is no answer, as
    JSON; ``window_s``: how far back the caller's calls count; ``extension``: asked for first."""

    url: str | None = field(default=None, repr=False)
    timeout_ms: int = 700
    answer: Mapping[str, Any] = field(default_factory=lambda: {"action": "reject", "with": "unreachable"}, repr=False)
    window_s: int = WINDOW_S
    extension: Extension | None = None


@dataclass(frozen=True, slots=True)
class Routed:
    """An X with its route.  ``secrets``: those of its tenant that are good now."""

    number: str = field(repr=False)
    tenant: str
    route: Route
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A call that this caller has made to this X.  ``talked_ms``: how long it was bridged."""

    call: str
    at: int
    disposition: str | None
    talked_ms: int
