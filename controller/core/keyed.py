"""What a caller keyed in, and what is looked up with it.

``ask`` with ``into: name`` keeps the keys in that variable; with ``secret: true`` they go nowhere else: not into the call's
record, and the variable is taken out again by the ``look_up`` that uses it, or by the end of the call.  From a secret ask on
keys pressed between two asks are not noted either: they may be the rest of a PIN.  Nor is any key while a recording of the call
is paused: it may be of a card.
"""

from typing import Any

from controller.core import events as ev
from controller.core.draft import Draft
from controller.core.flow import Node

SECRET = "_secret"  # noqa: S105 - where the call keeps the names of its secret variables, in ``vars``: no flow can use it
MOST_KEYS = 100


def keep(draft: Draft, node: Node | None, digits: str) -> None:
    """Keys were collected by an ``ask``."""
    secret = node is not None and is_secret(draft, node)
    if not secret:
        note(draft, digits)
    name = node.args.get("into") if node is not None else None
    found: dict[str, Any] = dict(draft.call.vars)
    if secret:
        found[SECRET] = sorted({*found.get(SECRET, ()), *([name] if name else [])})
    if name:
        found[name] = digits
    if secret or name:
        draft.change(vars=found)


def is_secret(draft: Draft, node: Node) -> bool:
    """Whether what this ``ask`` collects is a secret."""
    return bool(draft.value(node.args.get("secret"), False))


def note(draft: Draft, digits: str) -> None:
    """For the call's record."""
    draft.change(keys=(*draft.call.keys, *digits)[-MOST_KEYS:])


def pressed(draft: Draft, event: ev.Digit) -> None:
    """A key outside of an ask.  While a recording is paused it is noted nowhere: that is what a pause is for."""
    if any(recording.state == "paused" for recording in draft.call.recordings):
        return
    if draft.call.leg(event.leg) and (SECRET not in draft.call.vars or draft.call.bridged_at is not None):
        note(draft, event.digit)


def begin_secret(draft: Draft) -> None:
    """A secret ask begins: a key that is pressed too early is no news either."""
    if SECRET not in draft.call.vars:
        draft.change(vars={**draft.call.vars, SECRET: []})


def forget(draft: Draft) -> None:
    """Take secret keys out of the call."""
    names = draft.call.vars.get(SECRET)
    if names:
        draft.change(vars={**{name: value for name, value in draft.call.vars.items() if name not in names}, SECRET: []})
