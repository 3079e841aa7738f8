"""The notation of flows: what each kind of node may say, and every fault named with its node and the cure."""

import difflib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from controller.core.call import DISPOSITIONS, AnsweredBy

END = "end"
ELSE = "else"
FAILURES = frozenset(DISPOSITIONS) - {"completed"}
ANSWERED_BY: tuple[AnsweredBy, ...] = get_args(AnsweredBy)
KEYS = ("flow", "about", "needs", "defaults", "arrives", "start", "longest", "nodes")
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_VARIABLE = re.compile(r"\$[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_INPUT = re.compile(r"[0-9*#]{1,4}")
_NAME_CURE = "use lower-case letters, digits, `-` and `_`, a letter first"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of node may say.  ``must``/``may``: its arguments, ``out``: its outcomes, ``keys``: a key is an outcome.

    ``all_of``: outcomes that need an edge unless there is ``else``."""

    must: frozenset[str]
    may: frozenset[str]
    out: frozenset[str]
    all_of: frozenset[str]
    keys: bool = False


def _kind(must: str, may: str, out: Iterable[str], all_of: Iterable[str], keys: bool = False) -> Kind:
    return Kind(frozenset(must.split()), frozenset(may.split()), frozenset(out), frozenset(all_of), keys)


KINDS: dict[str, Kind] = {
    "dial": _kind("show", "ring", {"answered", *FAILURES}, {"answered", *FAILURES}),
    "connect": _kind(
        "from show",
        "ring wait announce notice notice_to record limit warn warn_before warn_to",
        {"parted", *FAILURES},
        {"parted", *FAILURES},
    ),
    "play": _kind("say", "", {"done", "failed"}, ()),
    "ask": _kind(
        "say",
        "least most first next stop barge repeats accept again decline into secret",
        {"digits", "timeout", "invalid", "failed", "accepted", "declined"},
        {"timeout"},
        keys=True,
    ),
    "look_up": _kind("for", "keys within tries", {"failed"}, ()),
    "detect": _kind("", "within", ANSWERED_BY, ANSWERED_BY),
    "ring": _kind("", "", {"done"}, {"done"}),
    "answer": _kind("", "", {"done", "failed"}, {"done"}),
    "refuse": _kind("", "with", (), ()),
    "hang_up": _kind("", "as", (), ()),
    "if": _kind("", "at_least", {"then"}, {"then", "else"}),
}
"""The whole notation: one line per kind of node."""

ROUTE = "route"
"""The book of the business itself (X mode): the call goes on with another flow, whatever is answered."""
BOOKS: dict[str, frozenset[str]] = {
    "bindings": frozenset({"found", "again", "wrong", "refused", "locked"}),
    "offers": frozenset({"found"}),
    "callback": frozenset({"found", "refused"}),
    "last_agent": frozenset({"found", "nobody"}),
    ROUTE: frozenset(),
}
"""What can be looked up, and how that may end (besides ``failed``: no answer in time)."""
ARRIVED = frozenset({"ring", "answer", "refuse"})
"""Kinds that act on the leg that came in."""
DURATIONS = frozenset({"ring", "limit", "warn_before", "first", "next", "within"})
WAITS = ("early_media", "ringback", "music")
PARTIES = ("none", "caller", "callee", "both")
REFUSALS = ("rejected", "busy", "no_answer", "invalid_number", "unreachable", "congestion", "blocked")
ENDS = ("completed", "canceled", "failed", *REFUSALS)
INPUTS = frozenset({"accept", "again", "decline"})
"""Arguments of ``ask`` that name a key: it leads to ``accepted``, asks again, or leads to ``declined``."""
CHOICES = {"wait": WAITS, "notice_to": PARTIES, "warn_to": PARTIES, "with": REFUSALS, "as": ENDS}
FLAGS = frozenset({"record", "barge", "secret"})
COUNTS = frozenset({"least", "most", "repeats", "tries", "at_least"})


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a flow: at which node (empty: the file as a whole), what is wrong, and what to do about it."""

    node: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{'node ' + self.node if self.node else 'flow'}: {self.what}; {self.cure}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What the nodes of a document may speak of."""

    nodes: Mapping[Any, Any]
    variables: frozenset[str]
    legs: frozenset[str]
    arrives: Any


def check(document: Any) -> Iterator[Problem]:
    """Every fault of a flow document, in the order of the file."""
    if not isinstance(document, Mapping):
        yield Problem("", "this is not a mapping", "begin with `flow: NAME`, `start: NODE` and `nodes:`")
        return
    nodes = document.get("nodes")
    if not isinstance(nodes, Mapping) or not nodes:
        yield Problem("", "there are no nodes", "add `nodes:` with at least the start node")
        return
    yield from _check_head(document)
    if not _is_in(document.get("start"), nodes):
        yield Problem("", f"start `{document.get('start')}` is no node", _nearest(document.get("start"), nodes))
    variables = frozenset({*_items(document.get("needs")), *_items(document.get("defaults")), *_of_nodes(nodes, "into")})
    arrives = document.get("arrives")
    known = _Known(nodes, variables, _of_nodes(nodes, "dial") | frozenset(_items([arrives] if arrives else [])), arrives)
    for name, body in nodes.items():
        yield from _check_node(name, body, known)
    yield from _unreachable(document.get("start"), nodes)


def _check_head(document: Mapping[Any, Any]) -> Iterator[Problem]:
    if not _is_name(document.get("flow")):
        yield Problem("", "`flow` is not a name", _NAME_CURE)
    for key in document:
        if key not in KEYS:
            yield Problem("", f"unknown key `{key}`", _nearest(key, KEYS))
    needs, defaults = document.get("needs") or [], document.get("defaults") or {}
    if not isinstance(needs, list) or not all(isinstance(item, str) for item in needs):
        yield Problem("", "`needs` is no list of names", "write `needs: [caller, callee]`")
    if not isinstance(defaults, Mapping) or not all(isinstance(key, str) for key in defaults):
        yield Problem("", "`defaults` is no mapping of names", "write `defaults: {name: value}`")
    if "arrives" in document and not _is_name(document["arrives"]):
        yield Problem("", "`arrives` names no leg", "write `arrives: caller`")
    if "longest" in document and not seconds(document["longest"]):
        yield Problem("", f"`longest: {document['longest']}` is no duration", "write it like 30s, 5m or 1h")


def _check_node(name: Any, body: Any, known: _Known) -> Iterator[Problem]:
    if not _is_name(name) or name == END:
        yield Problem(str(name), "this cannot be a node's name", f"{_NAME_CURE}; `end` is taken")
    name = str(name)
    if not isinstance(body, Mapping) or not body:
        yield Problem(name, "this is not a node", f"write {{KIND: LEG, ...}}; kinds: {', '.join(KINDS)}")
        return
    kind = next(iter(body))
    if kind not in KINDS:
        yield Problem(name, f"unknown kind `{kind}`", _nearest(kind, KINDS) + ", as the node's first key")
        return
    spec = _spec(kind, body[kind])
    for missing in sorted(spec.must - body.keys()):
        yield Problem(name, f"`{kind}` needs `{missing}`", f"add `{missing}:`")
    yield from _check_subject(name, kind, body[kind], known)
    for key, value in list(body.items())[1:]:
        yield from _check_entry(name, kind, spec, key, value, known)
    yield from _check_outcomes(name, kind, spec, {str(key) for key in body})


def _check_subject(name: str, kind: str, subject: Any, known: _Known) -> Iterator[Problem]:
    if kind == "if":
        yield from _check_value(name, kind, subject, known)
    elif kind == "look_up":
        if not _is_in(subject, BOOKS):
            yield Problem(name, f"there is no book `{subject}` to look up in", _nearest(subject, BOOKS))
    elif not _is_name(subject):
        yield Problem(name, f"`{kind}` names no leg", "give the leg a name, such as `caller`")
    elif kind in ("dial", "connect"):
        if subject not in known.variables:
            yield Problem(name, f"nobody gives the number of the leg `{subject}`", f"add `{subject}` to `needs` or `defaults`")
    elif kind in ARRIVED and subject != known.arrives:
        yield Problem(name, f"the leg `{subject}` does not come in", f"write `arrives: {subject}` above the nodes")
    elif subject not in known.legs:
        yield Problem(name, f"no node dials the leg `{subject}`", _nearest(subject, known.legs))


def _spec(kind: str, subject: Any) -> Kind:
    """What this node may say: how a look-up may end its book says."""
    spec = KINDS[kind]
    if kind == "look_up" and _is_in(subject, BOOKS):
        out = spec.out | BOOKS[subject]
        return Kind(spec.must, spec.may, out, out)
    return spec


def _check_entry(name: str, kind: str, spec: Kind, key: Any, value: Any, known: _Known) -> Iterator[Problem]:
    if key in spec.must or key in spec.may:
        yield from _check_value(name, key, value, known)
        return
    key = str(key)
    if key not in spec.out and key != ELSE and not (spec.keys and _INPUT.fullmatch(key)):
        yield Problem(name, f"`{kind}` has no argument or outcome `{key}`", _nearest(key, spec.must | spec.may | spec.out))
    elif value != END and not _is_in(value, known.nodes):
        yield Problem(name, f"`{key}` leads to `{value}`, which is no node", _nearest(value, [*known.nodes, END]))


def _check_outcomes(name: str, kind: str, spec: Kind, keys: set[str]) -> Iterator[Problem]:
    if ELSE in keys and kind != "if":
        return
    missing = sorted(spec.all_of - keys)
    if "accept" in keys:
        missing += sorted({"accepted", "invalid"} - keys)
    elif spec.keys and "digits" not in keys:  # keys that have no edge are `invalid`
        missing += [word for word in ("invalid",) if word not in keys]
        if not any(_INPUT.fullmatch(key) for key in keys):
            missing.append("digits")
    if missing:
        yield Problem(
            name, f"`{'`, `'.join(missing)}` leads nowhere", "add it, or `else:` for all the rest" if kind != "if" else "add it"
        )


def _check_value(name: str, key: str, value: Any, known: _Known) -> Iterator[Problem]:
    if isinstance(value, list):
        for item in value:
            yield from _check_value(name, key, item, known)
    elif key == "into":
        if not _is_name(value) or "-" in value:
            yield Problem(name, f"`into: {value}` is no variable's name", "use lower-case letters, digits and `_`")
    elif isinstance(value, str) and value.startswith("$"):
        if not _VARIABLE.fullmatch(value):
            yield Problem(name, f"`{key}: {value}` is no variable", "write `$name` or `$name.part`")
        elif value[1:].split(".")[0] not in known.variables:
            yield Problem(name, f"`{key}` uses {value}, which nobody gives", "add it to `needs` or `defaults`")
    elif key in ("from", "for"):
        if not isinstance(value, str) or value not in known.legs:
            yield Problem(name, f"no node dials the leg `{value}`", f"let `{key}` name a leg that a `dial` node made")
    else:
        yield from _check_literal(name, key, value)


def _check_literal(name: str, key: str, value: Any) -> Iterator[Problem]:
    if key in DURATIONS and seconds(value) is None:
        yield Problem(name, f"`{key}: {value}` is no duration", "write it like 30s, 5m or 1h")
    elif key in INPUTS and not _INPUT.fullmatch(str(value)):
        yield Problem(name, f"`{key}: {value}` is no key", "write 1 to 4 of 0-9 * # in quotes")
    elif key in CHOICES and value not in CHOICES[key]:
        yield Problem(name, f"`{key}` cannot be `{value}`", _nearest(value, CHOICES[key]))
    elif key in FLAGS and not isinstance(value, bool):
        yield Problem(name, f"`{key}: {value}` is neither yes nor no", "write `true` or `false`, without quotes")
    elif key in COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        yield Problem(name, f"`{key}: {value}` is no count", "write a whole number")


def _unreachable(start: Any, nodes: Mapping[Any, Any]) -> Iterator[Problem]:
    seen: set[Any] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if not _is_in(name, nodes) or name in seen:
            continue
        seen.add(name)
        if isinstance(nodes[name], Mapping):
            todo += nodes[name].values()
    for name in nodes:
        if name not in seen:
            yield Problem(str(name), "no edge leads here", "lead an edge to it or remove it")


def seconds(value: Any) -> float | None:
    """A duration in seconds: a number, or text like ``30s``; None if it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < 1e9 else None
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * _UNIT_S[match[2]] if match else None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_in(value: Any, nodes: Mapping[Any, Any]) -> bool:
    return isinstance(value, Hashable) and not isinstance(value, tuple) and value in nodes


def _of_nodes(nodes: Mapping[Any, Any], key: str) -> frozenset[str]:
    """What stands under that key in any node."""
    found = (body.get(key) for body in nodes.values() if isinstance(body, Mapping))
    return frozenset(name for name in found if isinstance(name, str))


def _items(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | Mapping) else []


def _nearest(word: Any, choices: Iterable[Any]) -> str:
    names = sorted(str(choice) for choice in choices)
    near = difflib.get_close_matches(str(word), names, 1)
    return f"did you mean `{near[0]}`?" if near else f"choose from {', '.join(names)}"
