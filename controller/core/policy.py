"""What may be dialled: every rule, in the order in which they are asked; the first that refuses decides.

Data in, verdict out: ``judge(terms, case)`` is asked before every dial, ``explain`` tells what each rule says and why.  Each
rule can only refuse, so no rule, and no entry of a block list, can ever allow what another refuses; and what counts emergency
numbers out asks no list at all.  What is said here (``why``) bears no number: it may be logged and sent.

| rule           | code                    | refuses                                                                    |
|----------------|-------------------------|----------------------------------------------------------------------------|
| suspended      | suspended               | everything, while the tenant is suspended or a kill switch is on           |
| emergency      | emergency_blocked       | emergency numbers, always                                                  |
| display        | caller_id_not_owned     | to show a number that the tenant does not own                              |
| self_call      | self_call               | a number that is in the call already                                       |
| own_number     | destination_blocked     | numbers that this installation itself answers: the call would come back    |
| do_not_call    | do_not_call             | the numbers of the do-not-call list                                        |
| block_list     | destination_blocked     | the numbers and prefixes of the block list                                 |
| kind           | destination_blocked     | premium, shared-cost, satellite and personal numbers                       |
| allow_list     | destination_blocked     | whatever begins with no prefix of the allow list                           |
| calling_hours  | outside_calling_hours   | a callee where it is not within the calling hours, in each of its zones    |
| callee_24h     | frequency_exceeded      | a callee who was rung so often in the last 24 hours                        |
| minutes        | quota_exceeded          | everything, once so many minutes were talked on this day (UTC)             |
| spend          | quota_exceeded          | everything, once so much was spent on this day, and what has no price then |
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["premium", "shared_cost", "satellite", "personal", "own"]
"""Kinds of number that are refused unless they are allowed by name.  ``own``: of this installation itself."""
Code = Literal[
    "suspended",
    "emergency_blocked",
    "caller_id_not_owned",
    "self_call",
    "destination_blocked",
    "do_not_call",
    "outside_calling_hours",
    "frequency_exceeded",
    "quota_exceeded",
]
CODES = frozenset(get_args(Code))
Role = Literal["caller", "callee"]
"""``caller``: who asked for the call is rung first; ``callee``: anybody else."""
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 1440


class Prefixes:
    """Beginnings of numbers; a whole number is one too."""

    __slots__ = ("_all", "_lengths")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._all = frozenset(texts)
        self._lengths = tuple(sorted({len(text) for text in self._all}, reverse=True))

    def __len__(self) -> int:
        return len(self._all)

    def longest(self, number: str) -> str | None:
        """The longest that ``number`` begins with."""
        for length in self._lengths:
            if number[:length] in self._all:
                return number[:length]
        return None


@dataclass(frozen=True, slots=True)
class Hours:
    """When callees may be called, by their own clock: from minute ``first`` of a day up to, not including, ``last``."""

    first: int = 8 * 60
    last: int = 21 * 60
    days: frozenset[int] = frozenset(range(7))

    @property
    def always(self) -> bool:
        """Nobody's clock need be known."""
        return self.first <= 0 and self.last >= DAY_MINUTES and len(self.days) == len(WEEK)

    def open(self, weekday: int, minute: int) -> bool:
        """``weekday``: 0 is Monday; ``minute`` of the day."""
        return weekday in self.days and self.first <= minute < self.last


@dataclass(frozen=True, slots=True)
class Terms:
    """A tenant's policy.  None: no such limit.  ``spend``: in millionths of the rate table's currency."""

    allow: Prefixes = field(default_factory=Prefixes)
    block: Prefixes = field(default_factory=Prefixes)
    do_not_call: Collection[str] = frozenset()
    allow_kinds: frozenset[Kind] = frozenset()
    hours: Hours | None = field(default_factory=Hours)
    callee_24h: int | None = 3
    minutes: int | None = None
    spend: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One dial, and what is known at that moment.

    ``kinds``: of the number; ``zones``: weekday and minute in each time zone that it may be in, None where that is not known;
    ``others``: numbers that are in the call already; ``stopped``: who stopped everything, in words; ``display``: the number to
    be shown is the tenant's; ``rung``: how often the callee was in the last 24 hours; ``talked_ms``, ``spent``: on this day;
    ``priced``: the rate table knows the number."""

    number: str = field(repr=False)
    role: Role = "callee"
    emergency: bool = False
    kinds: frozenset[Kind] = frozenset()
    zones: tuple[tuple[int, int], ...] | None = None
    others: tuple[str, ...] = field(default=(), repr=False)
    stopped: str = ""
    display: bool = True
    rung: int = 0
    talked_ms: int = 0
    spent: int = 0
    priced: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rule that refuses.  ``param``: what is at fault: ``number``, ``display``, the limit's name, or empty."""

    rule: str
    code: Code
    param: str
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """``says``: why it refuses, None if it does not; ``asks``: what it looks at, for people."""

    name: str
    code: Code
    param: str
    says: Callable[[Terms, Case], str | None]
    asks: str


def _suspended(_terms: Terms, case: Case) -> str | None:
    return case.stopped or None


def _emergency(_terms: Terms, case: Case) -> str | None:
    return "emergency numbers are never dialled by a machine" if case.emergency else None


def _display(_terms: Terms, case: Case) -> str | None:
    return None if case.display else "the number to show is not one of yours: POST /v1/numbers adds it"


def _self_call(_terms: Terms, case: Case) -> str | None:
    return "this number is in the call already" if case.number in case.others else None


def _own_number(terms: Terms, case: Case) -> str | None:
    if "own" in case.kinds and "own" not in terms.allow_kinds:
        return "this installation itself answers this number: the call would come back"
    return None


def _do_not_call(terms: Terms, case: Case) -> str | None:
    return "the number is on the do-not-call list" if case.number in terms.do_not_call else None


def _block_list(terms: Terms, case: Case) -> str | None:
    return "the number is on the block list" if terms.block.longest(case.number) is not None else None


def _kind(terms: Terms, case: Case) -> str | None:
    found = sorted(case.kinds - terms.allow_kinds - {"own"})
    return f"{found[0]} numbers are not allowed (allow_kinds)" if found else None


def _allow_list(terms: Terms, case: Case) -> str | None:
    if terms.allow.longest(case.number) is not None:
        return None
    if not len(terms.allow):
        return "no prefix is allowed yet: POST /v1/lists/allow adds one"
    return "the number begins with no prefix of the allow list"


def _calling_hours(terms: Terms, case: Case) -> str | None:
    if case.role == "caller" or terms.hours is None or terms.hours.always:
        return None
    if case.zones is None:
        return "the time zone of the number is not known"
    if all(terms.hours.open(weekday, minute) for weekday, minute in case.zones):
        return None
    if len(case.zones) > 1:
        return f"it is not within the calling hours in each of the number's {len(case.zones)} time zones"
    weekday, minute = case.zones[0]
    return f"it is {WEEK[weekday]} {minute // 60:02d}:{minute % 60:02d} at the number, not within the calling hours"


def _callee_24h(terms: Terms, case: Case) -> str | None:
    if case.role == "caller" or terms.callee_24h is None or case.rung < terms.callee_24h:
        return None
    return f"the number was called {case.rung} times in the last 24 hours"


def _minutes(terms: Terms, case: Case) -> str | None:
    if terms.minutes is None or case.talked_ms < terms.minutes * 60_000:
        return None
    return f"{case.talked_ms // 60_000} of {terms.minutes} minutes of this day are used up"


def _spend(terms: Terms, case: Case) -> str | None:
    if terms.spend is None:
        return None
    if not case.priced:
        return "the rate table has no price for this number, so what it costs cannot be counted"
    return "what may be spent on this day is spent" if case.spent >= terms.spend else None


RULES = (
    Rule("suspended", "suspended", "", _suspended, "no kill switch is on, the tenant is not suspended"),
    Rule("emergency", "emergency_blocked", "number", _emergency, "the number is no emergency number"),
    Rule("display", "caller_id_not_owned", "display", _display, "the number to show is the tenant's own"),
    Rule("self_call", "self_call", "number", _self_call, "the number is not in the call already"),
    Rule("own_number", "destination_blocked", "number", _own_number, "the number is none of this installation's own"),
    Rule("do_not_call", "do_not_call", "number", _do_not_call, "the number is not on the do-not-call list"),
    Rule("block_list", "destination_blocked", "number", _block_list, "the number is not on the block list"),
    Rule("kind", "destination_blocked", "number", _kind, "the number is not premium, shared-cost, satellite or personal"),
    Rule("allow_list", "destination_blocked", "number", _allow_list, "the number begins with an allowed prefix"),
    Rule("calling_hours", "outside_calling_hours", "number", _calling_hours, "the callee's clock is within the calling hours"),
    Rule("callee_24h", "frequency_exceeded", "number", _callee_24h, "the callee was not called too often in 24 hours"),
    Rule("minutes", "quota_exceeded", "minutes_per_day", _minutes, "minutes are left on this day"),
    Rule("spend", "quota_exceeded", "spend_per_day", _spend, "money is left on this day"),
)


def judge(terms: Terms, case: Case) -> Refusal | None:
    """The first rule that refuses this dial; None: it may be made."""
    for rule in RULES:
        why = rule.says(terms, case)
        if why is not None:
            return Refusal(rule.name, rule.code, rule.param, why)
    return None


def explain(terms: Terms, case: Case) -> list[tuple[Rule, str | None]]:
    """What each rule says: None, or why it refuses."""
    return [(rule, rule.says(terms, case)) for rule in RULES]
