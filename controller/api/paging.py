"""Lists: ``{"items": [...], "next": cursor or null}``, newest first."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from controller.api.requests import Json
from controller.times import parse

T = TypeVar("T")


class PageOut(BaseModel, Generic[T]):
    """A page of a list.  `next` is the `after` of the next page, null on the last."""

    items: list[T]
    next: str | None


Cursor = Annotated[str, StringConstraints(pattern=r"^[a-z]+_[A-Za-z0-9_.-]{1,80}$")]
Limit = Annotated[int, Field(ge=1, le=200)]

NameCursor = Annotated[str | None, Query(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="`next` of the page before.")]
"""The same for lists whose ids are names."""


class NamesQuery(BaseModel):
    """Of a list whose ids are names; unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = Field(50, description="How many items at most.")
    after: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")] | None = Field(
        None, description="`next` of the page before."
    )


class PageQuery(BaseModel):
    """The root of a list's query parameters: unknown ones are refused, so a misspelt filter is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = Field(50, description="How many items at most.")
    after: Cursor | None = Field(None, description="`next` of the page before.")

    def bare_after(self) -> str | None:
        """The cursor without its prefix, as the store wants it."""
        return None if self.after is None else self.after.partition("_")[2]


def _time(text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        raise PydanticCustomError("invalid_request", "{why}", {"why": str(error)}) from None
    return text


Time = Annotated[str, AfterValidator(_time), Field(examples=["2026-01-31T13:45:00Z"])]
"""An RFC 3339 time, kept as text; ``times.parse`` reads it."""


class PeriodQuery(PageQuery):
    """A list that can be narrowed to a period."""

    from_: Time | None = Field(None, alias="from", description="Requested at or after.")
    to: Time | None = Field(None, description="Requested before.")

    def since(self) -> int | None:
        """``from`` in ms."""
        return None if self.from_ is None else parse(self.from_)

    def until(self) -> int | None:
        """``to`` in ms."""
        return None if self.to is None else parse(self.to)


def page(items: Iterable[Any], prefix: str, following: str | None, view: Callable[[Any], Any]) -> Response:
    """The answer of a list."""
    return Json({"items": [view(item) for item in items], "next": None if following is None else prefix + following})


def page_of_names(named: Mapping[str, Any], query: NamesQuery) -> Response:
    """The answer of a list that is in memory, in the order of names."""
    names = sorted(name for name in named if query.after is None or name > query.after)
    shown = names[: query.limit]
    following = shown[-1] if len(names) > len(shown) else None
    return Json({"items": [named[name] for name in shown], "next": following})


def link_to_next(request: Request, following: str | None) -> dict[str, str]:
    """For lists that are no JSON: where the next page is (RFC 8288)."""
    if following is None:
        return {}
    query = {**request.query_params, "after": following}
    return {"Link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}
