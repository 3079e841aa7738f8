"""Telephone numbers as text: E.164, extensions, long national numbers.  Parsing and regions are done outside."""

import re

E164 = re.compile(r"\+[1-9][0-9]{1,14}", re.ASCII)
PREFIX = re.compile(r"\+[0-9]{0,15}", re.ASCII)
DIALABLE = re.compile(r"\+?[0-9]{1,20}", re.ASCII)


def is_dialable(text: str) -> bool:
    """True for what may stand in a dial string or caller id: an optional ``+`` and 1 to 20 digits, nothing else."""
    return DIALABLE.fullmatch(text) is not None


def masked(number: str) -> str:
    """The number with its middle hidden: ``+14155550101`` becomes ``+1415*****01``; short ones are hidden whole.

    >>> masked("+14155550101")
    '+1415*****01'
    """
    if len(number) < 9:
        return "*" * len(number)
    return number[:5] + "*" * (len(number) - 7) + number[-2:]
