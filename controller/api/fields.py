"""The types of single values as they come in: numbers, texts, names, ids.  What they refuse never gets further."""

import re
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from controller.core.numbers import E164 as E164_FORM
from controller.services.answers import Prompt as Prompt
from controller.services.answers import RingSeconds as RingSeconds
from controller.services.answers import TalkSeconds as TalkSeconds
from controller.services.numbering import is_emergency
from controller.services.numbering import is_possible as is_possible
from controller.times import parse

METADATA_BYTES = 8192
METADATA_DEPTH = 5
EMERGENCY = ("112", "911", "999", "000", "110", "119")
"""Said to be what they are also without their country; other short texts are no E.164."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|[\ud800-\udfff]")


class In(BaseModel):
    """The root of what comes in: unknown fields are refused, and text is never taken for a number or a truth value."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def as_e164(text: Any) -> Any:
    """The number as it is, if it is one in E.164 form.  Raises PydanticCustomError."""
    if isinstance(text, str) and (text in EMERGENCY or (E164_FORM.fullmatch(text) and is_emergency(text))):
        raise PydanticCustomError("emergency_blocked", "emergency numbers are never dialled by a machine")
    if not isinstance(text, str) or len(text) > 16 or not is_possible(text):
        raise PydanticCustomError("invalid_number", "write the number in E.164 form, such as +14155550101")
    return text


def _time(text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        raise PydanticCustomError("invalid_request", str(error)) from None
    return text


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("invalid_request", "control characters are not allowed here")
    return text


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if _depth(value) > METADATA_DEPTH:
        raise PydanticCustomError("invalid_request", "metadata may be nested five deep")
    try:
        size = len(msgspec.json.encode(value))
    except (ValueError, TypeError, RecursionError):
        raise PydanticCustomError("invalid_request", "metadata must be plain JSON") from None
    if size > METADATA_BYTES:
        raise PydanticCustomError("invalid_request", "metadata may take 8192 bytes as JSON")
    if not _clean(value):
        raise PydanticCustomError("invalid_request", "metadata may not hold NUL characters or lone surrogates")
    return value


def _depth(value: Any, so_far: int = 0) -> int:
    if so_far > METADATA_DEPTH or not isinstance(value, dict | list) or not value:
        return so_far
    return max(_depth(item, so_far + 1) for item in (value.values() if isinstance(value, dict) else value))


def _clean(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, dict):
        return all(_clean(key) and _clean(item) for key, item in value.items())
    return all(_clean(item) for item in value) if isinstance(value, list) else True


E164 = Annotated[
    str,
    BeforeValidator(as_e164),
    Field(examples=["+14155550101"], json_schema_extra={"pattern": r"^\+[1-9][0-9]{6,14}$"}),
]
"""A number in E.164 form."""

_NATIONAL = re.compile(r"[0-9]{3,20}", re.ASCII)


def _x_number(text: Any) -> Any:
    return text if isinstance(text, str) and _NATIONAL.fullmatch(text) else as_e164(text)


XNumber = Annotated[
    str,
    BeforeValidator(_x_number),
    Field(examples=["+14155550901"], json_schema_extra={"pattern": r"^(\+[1-9][0-9]{6,14}|[0-9]{3,20})$"}),
]
"""A number as your trunk delivers it: E.164, or where there is no such form its digits."""

Time = Annotated[
    str, AfterValidator(_time), Field(examples=["2030-01-31T13:45:00Z"], json_schema_extra={"format": "date-time"})
]
"""A moment in RFC 3339 form, with any offset."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_plain)]
"""One line of text."""

Reference = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_plain)]
"""The business's own name for a call, echoed everywhere."""

Metadata = Annotated[dict[str, Any], AfterValidator(_metadata), Field(description="Echoed as it is; up to 8192 bytes of JSON.")]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""A name of ours: a flow, a node, a trunk."""

EventType = Annotated[str, StringConstraints(pattern=r"^([a-z]+\.)+[a-z]+$|^\*$", max_length=40)]


def with_plus(text: Any) -> Any:
    """In a query `+` means a space; who forgot to write `%2B` means a plus."""
    return "+" + text[1:] if isinstance(text, str) and text.startswith(" ") else text


def bare(prefix: str, text: str) -> str | None:
    """An id without its prefix, None if it is none of that kind: such a thing does not exist.

    >>> bare("call_", "call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE")
    '01JD3Y8Q4ZK5T0M6W9RB2XHCVE'
    """
    rest = text.removeprefix(prefix)
    if rest == text or not 1 <= len(rest) <= 40 or not (rest.isascii() and rest.isalnum()):
        return None
    return rest
