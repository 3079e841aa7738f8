"""Ids are chosen before acting, so that a repeat is always recognisable.

All are of fixed width, because Asterisk refuses a ``ChannelId`` that is a prefix of a live one.

    call       01JD3Y8Q4ZK5T0M6W9RB2XHCVE            26 characters, a ULID
    leg        01JD3Y8Q4ZK5T0M6W9RB2XHCVE01          the call's id and two digits
    verb       01JD3Y8Q4ZK5T0M6W9RB2XHCVE0001        the call's id and four digits, the step
    recording  the id of the verb that asked for it
    fact       01JD3Y8Q4ZK5T0M6W9RB2XHCVE00001       the call's id and five digits, the sequence

Outside they carry the prefixes of the API (``call_``, ``leg_``, ``rec_``, ``evt_``), inside they do not.
"""

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


def fact_id(call: str, sequence: int) -> str:
    """The id of a call's fact ``sequence`` (from 1)."""
    return f"{call}{sequence:05d}"


def call_of(some_id: str) -> str:
    """The call that a leg, verb, recording or fact id belongs to."""
    return some_id[:CALL_WIDTH]


def is_call_id(text: str) -> bool:
    """True if ``text`` has the form of a call id."""
    return len(text) == CALL_WIDTH and _ALPHABET.issuperset(text)


def is_leg_id(text: str) -> bool:
    """True if ``text`` has the form of a leg id: only these are ours, whatever a PBX reports."""
    return len(text) == LEG_WIDTH and is_call_id(text[:CALL_WIDTH]) and text[CALL_WIDTH:].isdigit()
