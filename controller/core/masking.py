"""Masked numbers: whom a call to an X number reaches, and what the other phone shows.

A binding ties real numbers to an X that stands between them.  Who may dial X is written down as *claims*, one per way of
reaching somebody; a claim is unique, so that on one X nobody can be meant twice.

| mode | claims on X | dialling X |
|------|-------------|------------|
| axb  | a, b | each reaches the other, and sees X |
| axyb | a on X, b on Y | a dials X and reaches b, who sees Y; b dials Y and reaches a, who sees X |
| ax, axn | a, anyone | anyone reaches a; a reaches the temporary callee, else b (the callee by default) |
| axe  | a, anyone with the extension | who keys in the extension reaches a; a reaches the temporary callee, else b |

Beside these each side may have a PIN, which makes a phone that is not known here that side's.  Times are ms.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.core.numbers import is_dialable

Mode = Literal["axb", "ax", "axn", "axe", "axyb"]
Use = Literal["pairs", "open", "extensions"]
Side = Literal["a", "b", "n"]
"""Whose call it is: a's, b's, or that of anyone (n)."""
Way = Literal["a_to_b", "b_to_a"]
State = Literal["active", "released", "expired"]
NumberState = Literal["active", "locked", "frozen"]
Unknown = Literal["reject", "prompt", "pin"]

USES: Mapping[Mode, Use] = {"axb": "pairs", "axyb": "pairs", "ax": "open", "axn": "open", "axe": "extensions"}
"""An X serves one use at a time: one that anyone may dial serves nobody else, and one with extensions has no pairs."""
ANYONE = ""
"""The party of a claim that whoever calls may use."""
BY_PIN = "#"
"""The party of a claim by PIN; no telephone number is written so."""
NEVER = 9_007_199_254_740_991
"""A time (ms) that does not come."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What holds for calls in one direction.  None: as the flow has it.  ``otherwise``: a menu (``services.answers``, as JSON)
    that has the call instead of the flow for masked calls, and knows what to do when the callee is not to be had."""

    allowed: bool = True
    announce: str | None = None
    ring_timeout_s: int | None = None
    record: bool | None = None
    max_duration_s: int | None = None
    otherwise: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """Who reaches whom through X.  ``expires_at`` may be NEVER; ``cool_ms``: how long its claims stay taken after its end;
    ``sequence``: of its last fact."""

    id: str
    tenant: str
    mode: Mode
    a: str = field(repr=False)
    created_at: int
    b: str = field(default="", repr=False)
    x: str = field(default="", repr=False)
    y: str = field(default="", repr=False)
    extension: str = field(default="", repr=False)
    a_pin: str = field(default="", repr=False)
    b_pin: str = field(default="", repr=False)
    temporary: str = field(default="", repr=False)
    temporary_until: int = 0
    pool: str = ""
    area: str = ""
    a_to_b: Direction = Direction()
    b_to_a: Direction = Direction()
    block: tuple[str, ...] = field(default=(), repr=False)
    allow: tuple[str, ...] = field(default=(), repr=False)
    ttl_ms: int | None = None
    ttl_from: Literal["created", "last_call"] = "created"
    cool_ms: int = 0
    reference: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    expires_at: int = NEVER
    last_call_at: int | None = None
    ended_at: int | None = None
    state: State = "active"
    sequence: int = 1

    @property
    def use(self) -> Use:
        """What its X is used for."""
        return USES[self.mode]

    def lives(self, now: int) -> bool:
        """True while calls go through it."""
        return self.state == "active" and now < self.expires_at


Keep = Callable[[Binding], tuple[str, str, str, bytes]]
"""Gives the idempotency record of what was made: tenant, key, fingerprint, answer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a new binding's numbers are chosen.  ``strict``: only of the wanted area; ``start``: the spot of the pool's round
    where to begin."""

    now: int
    start: int = 0
    strict: bool = False


SPOTS = 1 << 31
"""Numbers of a pool lie in a round of so many spots, by chance."""


@dataclass(frozen=True, slots=True)
class Claim:
    """On ``x`` a call of ``party`` (with ``extension``, or a PIN) is a call of this side."""

    x: str = field(repr=False)
    party: str = field(repr=False)
    extension: str = field(repr=False)
    side: Side


def claims(binding: Binding) -> tuple[Claim, ...]:
    """What a binding takes, in the order in which it is to be taken: the same for all, so that no two wait for each other."""
    return tuple(sorted(_claims(binding), key=lambda claim: (claim.x, claim.party, claim.extension)))


def _claims(binding: Binding) -> Iterator[Claim]:
    x, far = binding.x, binding.y or binding.x
    yield Claim(x, binding.a, "", "a")
    if binding.use == "pairs":
        yield Claim(far, binding.b, "", "b")
    else:
        yield Claim(x, ANYONE, binding.extension, "n")
    if binding.a_pin:
        yield Claim(x, BY_PIN, binding.a_pin, "a")
    if binding.b_pin:
        yield Claim(far, BY_PIN, binding.b_pin, "b")


def told(binding: Binding) -> dict[str, Any]:
    """The ``data`` of a binding's facts: no real number in it."""
    return {
        "binding_id": "bind_" + binding.id,
        "mode": binding.mode,
        "x": binding.x,
        "y": binding.y or None,
        "extension": binding.extension or None,
    }


def party_of(caller: str) -> str:
    """The party as which a caller is looked up: a number that is none, or was withheld, is nobody in particular."""
    return caller if is_dialable(caller) else ANYONE


@dataclass(frozen=True, slots=True)
class Dialled:
    """The X that was dialled.  ``unknown``, ``prompt``: what its pool does with a phone that is not known there."""

    number: str = field(repr=False)
    tenant: str
    state: NumberState = "active"
    use: Use | None = None
    unknown: Unknown = "reject"
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A claim on the dialled X that fits the caller, or what was keyed in."""

    binding: Binding
    party: str = field(repr=False)
    side: Side = "n"


@dataclass(frozen=True, slots=True)
class Connect:
    """Ring ``to`` and show it ``display``, never the caller's own number."""

    binding: Binding
    side: Side
    way: Way
    to: str = field(repr=False)
    display: str = field(repr=False)
    rules: Direction


@dataclass(frozen=True, slots=True)
class AskFor:
    """The call must be answered and asked for this first."""

    what: Literal["extension", "pin"]
    prompt: str | None = None


Why = Literal["frozen", "unknown", "not_allowed", "blocked", "no_callee", "wrong_key"]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody is rung.  ``prompt``: what the caller is told, which answers the call; None: it is refused unanswered."""

    why: Why
    prompt: str | None = None


Decision = Connect | AskFor | Refuse


@dataclass(frozen=True, slots=True)
class Guards:
    """How many wrong keys of one caller, on one X, and of one tenant are borne within ``within_ms``: from then on nobody there
    is listened to, until the oldest of them is longer ago than that."""

    per_caller: int = 6
    per_x: int = 20
    per_tenant: int = 300
    within_ms: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Try:
    """Somebody keys something in.  ``id``: of the question: asked again it is the same try.  ``caller``: empty if withheld."""

    id: str
    tenant: str
    x: str = field(repr=False)
    caller: str = field(repr=False)
    what: Literal["extension", "pin"]
    keys: str = field(repr=False)
    at: int


Guard = Literal["caller", "x", "tenant"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try: ``found`` with the X and its claims, ``wrong``, or ``locked`` by a guard."""

    outcome: Literal["found", "wrong", "locked"]
    dialled: Dialled | None = None
    hits: tuple[Hit, ...] = ()
    guard: Guard | None = None


def route(
    dialled: Dialled, hits: Sequence[Hit], caller: str, now: int, *, keyed: bool = False, blocked: bool = False
) -> Decision:
    """What becomes of a call to an X.

    ``hits``: the claims that fit the caller (or, when ``keyed``, the extension or PIN that was keyed in), dead ones among them;
    ``blocked``: the tenant's own block list has the caller."""
    if dialled.state == "frozen":
        return Refuse("frozen")
    living = [hit for hit in hits if hit.binding.lives(now)]
    own = [hit for hit in living if hit.party != ANYONE]
    if found := (own or living):
        return _through(dialled, found[0], caller, now, blocked)
    if blocked:
        return Refuse("blocked")
    return _stranger(dialled, keyed)


def _stranger(dialled: Dialled, keyed: bool) -> Decision:
    if keyed:
        return Refuse("wrong_key")
    if dialled.use == "extensions":
        return AskFor("extension")
    if dialled.unknown == "pin" and dialled.use is not None:
        return AskFor("pin", dialled.prompt)
    return Refuse("unknown", dialled.prompt if dialled.unknown == "prompt" else None)


def _through(dialled: Dialled, hit: Hit, caller: str, now: int, blocked: bool) -> Decision:
    binding, way = hit.binding, _way(hit.side)
    if hit.binding.tenant != dialled.tenant or not _reachable(hit, caller, blocked):
        return Refuse("blocked")
    rules = binding.a_to_b if way == "a_to_b" else binding.b_to_a
    if not rules.allowed:
        return Refuse("not_allowed")
    to = binding.a if way == "b_to_a" else _callee(binding, now)
    if not to:
        return Refuse("no_callee")
    display = binding.y if binding.y and way == "a_to_b" else binding.x
    return Connect(binding, hit.side, way, to, display, rules)


def _way(side: Side) -> Way:
    return "a_to_b" if side == "a" else "b_to_a"


def _reachable(hit: Hit, caller: str, blocked: bool) -> bool:
    """Lists of the binding go before those of its tenant; an allow list is for those who are not of the binding."""
    binding = hit.binding
    if caller in binding.block:
        return False
    if hit.side == "n" and binding.allow:
        return caller in binding.allow
    return not blocked or caller in binding.allow


def _callee(binding: Binding, now: int) -> str:
    return binding.temporary if binding.temporary and now < binding.temporary_until else binding.b
