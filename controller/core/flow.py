"""A flow: the small graph that a call walks.  One PBX verb per node, edges by outcome.

    flow: callback
    needs: [caller, callee, caller_display, callee_display]
    start: caller
    nodes:
      caller: {dial: caller, show: $caller_display, ring: 30s, answered: callee, else: end}
      callee: {connect: callee, from: caller, show: $callee_display, ring: 45s, parted: end, else: end}

The first key of a node is its kind, and its value names the leg that the node acts on.  ``$name`` is a variable of the call
(``$ring_timeout_s.caller`` looks inside one), ``30s``, ``5m`` and ``1h`` are durations, a plain number is seconds.  An edge is
an outcome and the name of the next node; ``end`` hangs up whatever lives.  ``else`` stands for every outcome that is not named.

``arrives: caller`` makes it a flow for a call that comes in: that leg is there at the start, held and not answered.  ``ring``
and ``answer`` act on it, ``connect`` and ``play`` can before the answer, ``refuse`` ends it unanswered.

``ask`` with ``accept: "1"`` wants that key: it leads to ``accepted``, the key of ``again`` plays the prompt once more, that of
``decline`` leads to ``declined``, and silence or any other key repeats the prompt ``repeats`` times before its outcome counts.

``into: name`` keeps the keys in a variable; with ``secret: true`` they are in no record of the call and are forgotten once a
``look_up`` has used them.  ``{look_up: bindings, for: caller, keys: $name, tries: 3, found: go, again: ask, else: end}`` asks
one of our own books (``notation.BOOKS``) what becomes of the call, which may have other variables, and so other numbers to
dial, from then on.  A wrong key leads to ``again`` until ``tries`` are used up, then to ``wrong``; ``failed``: the book did not
answer ``within`` its time.  ``look_up: route`` asks the business (X mode), with the keys as the extension, and the call goes on
with the flow that its answer means.

``{if: $name, then: one, else: other}`` looks whether there is a value, with ``at_least: 3`` whether it is a number so large.

``needs`` are the variables that a call must bring, ``defaults`` those that it may leave out, ``longest`` ends a call that goes
on for ever (26h).  ``notation`` says what each kind may hold and names every fault with its node and the cure; reading files
is done outside.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.core.notation import ELSE, END, KINDS
from controller.core.notation import Problem as Problem
from controller.core.notation import check as check
from controller.core.notation import seconds as seconds

LONGEST = "26h"


@dataclass(frozen=True, slots=True)
class Node:
    """One node: ``kind`` and ``subject`` (the leg, or for ``if`` the value looked at), arguments, edges by outcome."""

    name: str
    kind: str
    subject: Any
    args: Mapping[str, Any] = field(default_factory=dict)
    edges: Mapping[str, str] = field(default_factory=dict)

    def after(self, outcome: str) -> str:
        """The next node's name: the outcome's edge, else ``else``, else the end; a prompt that fails is passed over."""
        found = self.edges.get(outcome) or self.edges.get(ELSE)
        if found is None and self.kind == "play":
            found = self.edges.get("done")
        return found or END


@dataclass(frozen=True, slots=True)
class Flow:
    """A checked graph.  ``version``: hash of its content; a running call keeps the version that it began with."""

    name: str
    version: str
    start: str
    needs: tuple[str, ...]
    nodes: Mapping[str, Node]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    arrives: str = ""
    longest_ms: int = round((seconds(LONGEST) or 0) * 1000)


class FlowInvalid(ValueError):
    """A flow with faults: ``problems`` names each one."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{name}: {problem}" for problem in problems))
        self.problems = problems


def parse(document: Any) -> Flow:
    """The flow that a YAML document holds.  Raises FlowInvalid with every problem found."""
    problems = list(check(document))
    if problems:
        name = document.get("flow") if isinstance(document, Mapping) else None
        raise FlowInvalid(str(name or "flow"), problems)
    canonical = json.dumps(_canonical(document), default=str)
    return Flow(
        name=document["flow"],
        version=hashlib.sha256(canonical.encode()).hexdigest()[:16],
        start=document["start"],
        needs=tuple(document.get("needs") or ()),
        nodes={name: _node(name, body) for name, body in document["nodes"].items()},
        defaults=dict(document.get("defaults") or {}),
        arrives=document.get("arrives") or "",
        longest_ms=round((seconds(document.get("longest", LONGEST)) or 0) * 1000),
    )


def _node(name: str, body: Mapping[Any, Any]) -> Node:
    kind = next(iter(body))
    spec = KINDS[kind]
    args = {key: value for key, value in body.items() if key in spec.must or key in spec.may}
    edges = {str(key): value for key, value in body.items() if key != kind and key not in args}
    return Node(name, kind, body[kind], args, edges)


def _canonical(value: Any) -> Any:
    """Mappings as sorted pairs: a key of an Ask node may be text or, as YAML reads it, a number."""
    if isinstance(value, Mapping):
        return sorted([[str(key), _canonical(item)] for key, item in value.items()], key=lambda pair: pair[0])
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def resolve(value: Any, variables: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """``value``, or what the variable that it names holds: the call's, else the flow's default, else None."""
    if isinstance(value, list | tuple):
        return [resolve(item, variables, defaults) for item in value]
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    path = value[1:].split(".")
    found = _inside(variables, path)
    return _inside(defaults, path) if found is None else found


def _inside(mapping: Any, path: list[str]) -> Any:
    for part in path:
        mapping = mapping.get(part) if isinstance(mapping, Mapping) else None
    return mapping
