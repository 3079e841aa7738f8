"""A call as text and back: JSON, by msgspec straight from and to the engine's own dataclasses.

What JSON has no word for is lost: tuples inside ``vars`` and ``metadata`` come back as lists, so they hold JSON values only.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from controller.core.call import Call
from controller.core.verbs import VERBS

_encoder = msgspec.json.Encoder()
_calls = msgspec.json.Decoder(Call)
_mappings = msgspec.json.Decoder(dict[str, Any])


class Unreadable(Exception):
    """A stored call is not what this version writes; the database was changed by hand or by a later version."""


def encode(call: Call) -> str:
    """The call as JSON text."""
    return _encoder.encode(call).decode()


def decode(state: str) -> Call:
    """The call that ``encode`` made this text from.  Raises Unreadable."""
    try:
        call = _calls.decode(state)
        for step in call.steps:
            # The step was made a line ago and nobody else has it: its verb becomes what it was before anyone sees it.
            object.__setattr__(step, "verb", msgspec.convert(step.verb, VERBS[step.kind]))
    except (msgspec.MsgspecError, KeyError) as error:
        raise Unreadable(f"a stored call cannot be read: {type(error).__name__}") from None
    return call


def encode_data(data: Mapping[str, Any]) -> str:
    """A fact's data, or any mapping of JSON values, as JSON text."""
    return _encoder.encode(data).decode()


def decode_data(text: str) -> dict[str, Any]:
    """The mapping that ``encode_data`` made this text from."""
    return _mappings.decode(text)


def encode_list(values: tuple[str, ...]) -> str:
    """Scopes, event types: a tuple of words as JSON text."""
    return _encoder.encode(values).decode()


def decode_list(text: str) -> tuple[str, ...]:
    """The tuple that ``encode_list`` made this text from."""
    return msgspec.json.decode(text, type=tuple[str, ...])
