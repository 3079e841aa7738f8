"""Who did what: the note that a request leaves, carried into the transaction that does what it asked for.

A request that changes something opens a note.  Whatever it writes first with an effect takes the note's row along, in the same
transaction, so neither is there without the other and it costs no commit of its own.  What no write took along the journal
(``services.journal``) writes.  A row holds names and ids of ours, never a number, a key press or a secret.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Row = tuple[str, str, int, str, str, str, str]
"""(id, tenant, at in ms, actor, action, target, data as JSON), as the table ``audit`` has them."""


@dataclass(slots=True, eq=False)
class Note:
    """One request's entry.  ``make``: its row for a target, None while it is not known what the request is.

    ``written``: a committed transaction holds it; ``over``: the request is answered, nothing may take it along any more."""

    make: Callable[[str], Row | None]
    target: str = ""
    written: bool = False
    over: bool = False

    def row(self, target: str = "") -> Row | None:
        """The row to write; None when it is written, or too early or too late for it."""
        return None if self.written or self.over else self.make(target or self.target)


_current: ContextVar[Note | None] = ContextVar("patchbay_audit", default=None)


def open_note(make: Callable[[str], Row | None]) -> Note:
    """Begin this task's note."""
    note = Note(make)
    _current.set(note)
    return note


def current() -> Note | None:
    """The note of the request that this task works for."""
    return _current.get()


@contextmanager
def carrying(note: Note | None) -> Iterator[None]:
    """Work for this note (None: for none) inside: a write's own thread, or bookkeeping that is no effect of the request."""
    token = _current.set(note)
    try:
        yield
    finally:
        _current.reset(token)


def about(target: str) -> None:
    """Name what the request made or changed: an id with its prefix."""
    if (note := _current.get()) is not None:
        note.target = target
