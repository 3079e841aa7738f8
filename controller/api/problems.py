"""Errors as RFC 9457 ``application/problem+json``: every one has a stable ``code``, and ``param`` where a value is at fault."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

CODES: Mapping[str, tuple[int, str]] = {
    "invalid_request": (422, "The request is not as the interface describes it"),
    "invalid_number": (422, "This is not a telephone number in E.164 form"),
    "self_call": (422, "Caller and callee are the same number"),
    "caller_id_not_owned": (422, "This display number is not one of yours"),
    "destination_blocked": (422, "This number must not be called, or no trunk leads to it"),
    "emergency_blocked": (422, "Emergency numbers are never dialled"),
    "do_not_call": (422, "This number is on the do-not-call list"),
    "outside_calling_hours": (422, "This number must not be called at this time"),
    "flow_invalid": (422, "The flow has faults"),
    "idempotency_conflict": (422, "This Idempotency-Key was used for a different request"),
    "idempotency_in_flight": (409, "The first request with this Idempotency-Key is still being handled"),
    "not_possible_now": (409, "The call is not in a state that allows this"),
    "number_conflict": (409, "This number is taken"),
    "pool_exhausted": (409, "No number of the pool is free"),
    "binding_expired": (409, "The binding has ended"),
    "conflict": (409, "There is one already"),
    "recording_not_ready": (409, "The recording is not stored yet"),
    "unauthorized": (401, "A valid API key is needed"),
    "forbidden": (403, "The API key does not allow this"),
    "suspended": (403, "This tenant is suspended"),
    "not_found": (404, "There is no such thing"),
    "binding_not_found": (404, "There is no such binding"),
    "method_not_allowed": (405, "This path does not know that method"),
    "too_large": (413, "The request is too large"),
    "range_not_satisfiable": (416, "The file has no such range"),
    "queue_full": (429, "The queue is full"),
    "frequency_exceeded": (429, "This number was called too often in the last 24 hours"),
    "quota_exceeded": (429, "What may be used up is used up"),
    "rate_limited": (429, "Too many requests"),
    "timeout": (408, "The request did not arrive in time"),
    "internal": (500, "Something went wrong here"),
    "pbx_unavailable": (503, "No PBX can be reached"),
    "storage_unavailable": (503, "Nothing can be saved at the moment; the request was not carried out"),
}
"""Code: (status, title).  A code never changes its meaning."""

_BY_STATUS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(HTTPException):
    """An error with a stable code.  ``detail`` says what to do about it; ``param`` names the field at fault."""

    def __init__(
        self, code: str, detail: str = "", param: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        status, self.title = CODES[code]
        super().__init__(status, detail or self.title + ".", headers)
        self.code = code
        self.param = param
        self.more = more


class ProblemOut(BaseModel):
    """RFC 9457.  `code` is stable, `title` and `detail` are for people, `param` names the field at fault."""

    type: str = Field(examples=["urn:patchbay:problem:invalid_number"])
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(examples=["invalid_number"], json_schema_extra={"enum": [*sorted(CODES)]})
    param: str | None
    request_id: str


def respond(problem: Problem, path: str, request_id: str) -> Response:
    """The problem as a response."""
    body = {
        "type": "urn:patchbay:problem:" + problem.code,
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": path,
        "code": problem.code,
        "param": problem.param,
        "request_id": request_id,
        **problem.more,
    }
    return Response(msgspec.json.encode(body), problem.status_code, problem.headers, media_type=MEDIA_TYPE)


def _answer(request: Request, problem: Problem) -> Response:
    request.scope["problem"] = problem.code
    return respond(problem, request.url.path, request.scope.get("request_id", ""))


async def on_http(request: Request, error: Exception) -> Response:
    """A Problem of ours, or what the framework raises (404, 405)."""
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return _answer(request, error)
    code = _BY_STATUS.get(error.status_code, "invalid_request" if error.status_code < 500 else "internal")
    return _answer(request, Problem(code, headers=error.headers))


async def on_invalid(request: Request, error: Exception) -> Response:
    """A value that the models refuse: the first fault decides ``code`` and ``param``, all are listed in ``errors``."""
    assert isinstance(error, RequestValidationError)
    return _answer(request, from_validation(error.errors()))


def from_validation(faults: Any) -> Problem:
    """What pydantic found, without the values: they may be numbers or secrets."""
    found = [{"code": _code(fault), "param": _param(fault["loc"]), "detail": _detail(fault)} for fault in list(faults)[:20]]
    first = found[0]
    return Problem(first["code"], f"{first['param']}: {first['detail']}", first["param"], errors=found)


def _code(fault: Any) -> str:
    return fault["type"] if fault["type"] in CODES else "invalid_request"


def _detail(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
    return str(fault["msg"]).removeprefix("Value error, ")


def _param(place: Any) -> str:
    parts = [str(part) for part in place if part not in ("body", "query", "path", "header")]
    return ".".join(part[:100] for part in parts) or "body"


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """For a route's ``responses``: the problems that it may answer with."""
    statuses: dict[int | str, list[str]] = {}
    for code in (*codes, "invalid_request", "unauthorized", "forbidden", "storage_unavailable", "too_large", "timeout"):
        statuses.setdefault(CODES[code][0], []).append(code)
    return {
        status: {
            "description": "; ".join(f"`{code}`: {CODES[code][1]}" for code in names),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
        }
        for status, names in statuses.items()
    }
