"""What a business may answer when it is asked what becomes of a call, and what it may have configured beforehand.

Both are the same: ``connect``, ``announce``, ``menu`` or ``reject``.  Field by field, nothing unknown, nothing of another type;
and whatever it says, the policy is asked before a phone rings.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from controller.core.verbs import PROMPT_NAME
from controller.services.numbering import is_emergency, is_possible

BYTES = 8192
"""Of an answer that is configured, and of a menu's variables."""
_NATIONAL = re.compile(r"[0-9]{3,20}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|[\ud800-\udfff]")


def _number(text: str) -> str:
    if is_emergency(text):
        raise PydanticCustomError("emergency_blocked", "emergency numbers are never dialled by a machine")
    if not is_possible(text):
        raise PydanticCustomError("invalid_number", "write the number in E.164 form, such as +14155550101")
    return text


def _shown(text: str) -> str:
    return text if _NATIONAL.fullmatch(text) else _number(text)


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("invalid_request", "control characters are not allowed here")
    return text


Number = Annotated[str, StringConstraints(max_length=16), AfterValidator(_number)]
Shown = Annotated[str, StringConstraints(max_length=20), AfterValidator(_shown)]
Prompt = Annotated[str, StringConstraints(pattern=f"^{PROMPT_NAME}$")]
"""A prompt's file name without ending."""
RingSeconds = Annotated[int, Field(ge=1, le=600)]
"""How long a phone may ring."""
TalkSeconds = Annotated[int, Field(ge=1, le=86_400)]
"""How long a talk may last."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_plain)]
Line = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_plain)]
Value = bool | int | float | Line | list[Line] | None
With = Literal["rejected", "busy", "no_answer", "invalid_number", "unreachable", "congestion"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Connect(_Part):
    """Ring this number, or this agent's.  The caller hears ringing until it is answered."""

    action: Literal["connect"]
    to: Number | None = Field(None, description="E.164.")
    agent: Annotated[str, StringConstraints(pattern=r"^agt_[A-Za-z0-9]{1,40}$")] | None = Field(
        None, description="Instead of `to`: an agent of yours, who must be on duty and free."
    )
    display: Shown | None = Field(None, description="A number of yours that it shows; left out: the X that was dialled.")
    announce: Prompt | None = Field(None, description="A prompt that the called side hears first.")
    ring_timeout_s: RingSeconds | None = None
    record: bool | None = None
    max_duration_s: TalkSeconds | None = None
    reference: Reference | None = Field(None, description="Your own name for the call, echoed everywhere.")

    @model_validator(mode="after")
    def _one(self) -> "Connect":
        if (self.to is None) == (self.agent is None):
            raise PydanticCustomError("invalid_request", "say `to` or `agent`, one of the two")
        return self


class Announce(_Part):
    """The caller hears this prompt before any answer, and is then refused."""

    action: Literal["announce"]
    prompt: Prompt
    reference: Reference | None = None


class Menu(_Part):
    """The call walks this flow, one for calls that come in."""

    action: Literal["menu"]
    flow: Name
    variables: dict[Variable, Value] = Field(
        default_factory=dict, max_length=50, description="Those that the flow names in `needs` or `defaults`."
    )
    reference: Reference | None = None

    @model_validator(mode="after")
    def _small(self) -> "Menu":
        if len(msgspec.json.encode(self.variables)) > BYTES:
            raise PydanticCustomError("invalid_request", "variables may take 8192 bytes as JSON")
        return self


class Reject(_Part):
    """The caller is refused, unanswered."""

    model_config = ConfigDict(populate_by_name=True)

    action: Literal["reject"]
    with_: With = Field("rejected", alias="with")
    reference: Reference | None = None


Answer = Annotated[Connect | Announce | Menu | Reject, Field(discriminator="action")]
ANSWER: TypeAdapter[Connect | Announce | Menu | Reject] = TypeAdapter(Answer)
NOBODY = Reject(action="reject", with_="unreachable")
"""What holds where nothing is configured."""


class Unfit(ValueError):
    """This answer cannot be carried out.  The message names the field and holds no value."""


def read(body: bytes) -> Connect | Announce | Menu | Reject:
    """The answer in an HTTP body.  Raises Unfit."""
    try:
        return ANSWER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(str(part) for part in first["loc"][1:2]) if first["type"] != "extra_forbidden" else ""
        raise Unfit(f"{place or 'the answer'}: {first['type']}") from None
    except RecursionError:
        raise Unfit("the answer: too deep") from None


def prompts_of(answer: Connect | Announce | Menu | Reject) -> dict[str, str | None]:
    """What an answer lets somebody hear, by its field."""
    return {name: getattr(answer, name, None) for name in ("announce", "prompt")}


def stored(answer: Connect | Announce | Menu | Reject) -> dict[str, Any]:
    """An answer as JSON, without what it leaves out."""
    return answer.model_dump(mode="json", by_alias=True, exclude_none=True)
