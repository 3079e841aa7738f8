"""Ids are chosen before acting, so that a repeat is always recognisable.

All are of fixed width, because Asterisk refuses a ``ChannelId`` that is a prefix of a live one.

    call       01JD3Y8Q4ZK5T0M6W9RB2XHCVE            26 characters, a ULID
    leg        01JD3Y8Q4ZK5T0M6W9RB2XHCVE01          the call's id and two digits
    verb       01JD3Y8Q4ZK5T0M6W9RB2XHCVE0001        the call's id and four digits, the step
    recording  the id of the verb that asked for it
    fact       01JD3Y8Q4ZK5T0M6W9RB2XHCVE00001       the call's id and five digits, the sequence

    fact       bind_01JD3Y8Q4ZK5T0M6W9RB2XHCVE_00001 what is told of something that is no call: its stream's id and the sequence

Outside they carry the prefixes of the API (``call_``, ``leg_``, ``rec_``, ``evt_``), inside they do not; only the streams of
bindings, agents and nodes bear one everywhere, which tells them from calls and sorts them behind all of these.
"""

from typing import Literal

StreamKind = Literal["bind_", "agt_", "node_"]

CALL_WIDTH = 26
LEG_WIDTH = CALL_WIDTH + 2
VERB_WIDTH = CALL_WIDTH + 4
_ALPHABET = frozenset("0123456789ABCDEFGHJKMNPQRSTVWXYZ")  # Crockford's base 32, as ULID uses it


def leg_id(call: str, number: int) -> str:
    """The id of a call's leg ``number`` (1..99)."""
    if not 1 <= number <= 99:
        raise ValueError(f"a call has legs 1 to 99, not {number}")
    return f"{call}{number:02d}"


def verb_id(call: str, step: int) -> str:
    """The id of a call's verb at ``step`` (1..9999)."""
    if not 1 <= step <= 9999:
        raise ValueError(f"a call has steps 1 to 9999, not {step}")
    return f"{call}{step:04d}"


def stream_id(kind: StreamKind, name: str) -> str:
    """The stream of a binding, an agent (by id) or a node (by name): what is told of it, in order.

    >>> stream_id("node_", "pbx1")
    'node_pbx1'
    """
    return kind + name


def is_stream(call: str) -> bool:
    """True for the stream of something that is no call."""
    return "_" in call


def fact_id(call: str, sequence: int) -> str:
    """The id of fact ``sequence`` (from 1) of a call or of another stream."""
    return f"{call}_{sequence:05d}" if is_stream(call) else f"{call}{sequence:05d}"


def told_in(fact: str) -> tuple[str, int]:
    """The call or stream, and the sequence, that a fact's id says; 0 where that is no number.

    >>> told_in("node_pbx1_00003")
    ('node_pbx1', 3)
    """
    if is_stream(fact):
        call, _, sequence = fact.rpartition("_")
    else:
        call, sequence = fact[:CALL_WIDTH], fact[CALL_WIDTH:]
    return call, int(sequence) if sequence.isascii() and sequence.isdecimal() and len(sequence) <= 18 else 0


def call_of(some_id: str) -> str:
    """The call that a leg, verb, recording or fact id belongs to."""
    return some_id[:CALL_WIDTH]


def is_call_id(text: str) -> bool:
    """True if ``text`` has the form of a call id."""
    return len(text) == CALL_WIDTH and _ALPHABET.issuperset(text)


def is_leg_id(text: str) -> bool:
    """True if ``text`` has the form of a leg id: only these are ours, whatever a PBX reports."""
    return len(text) == LEG_WIDTH and is_call_id(text[:CALL_WIDTH]) and text[CALL_WIDTH:].isdigit()
