"""What every request passes, as plain ASGI: its id, its key, the answer to a fault, the log line and the metrics."""

import re
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.auth import Keys
from controller.api.ids import random_bits
from controller.api.metrics import Metrics
from controller.api.noting import Noter
from controller.api.problems import Problem, respond
from controller.api.rates import Headers, Rates
from controller.audit import Note
from controller.ports import NotSaved
from controller.store.errors import Unavailable

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
SLOW_S = 1.0
"""A request that took longer, or was refused, is told at level info; the others at debug."""
STORAGE_RETRY = {"Retry-After": "1"}
TOKEN_PATH = "/v1/oauth/token"  # noqa: S105 - the one path under /v1 that brings its own credentials


class Gate:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, keys: Keys, rates: Rates, metrics: Metrics, noter: Noter) -> None:
        self._app, self._keys, self._rates, self._metrics, self._noter = app, keys, rates, metrics, noter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        authorization = given_id = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"x-request-id":
                given_id = value
        request_id = scope["request_id"] = _request_id(given_id)
        ours = None if request_id.encode() == given_id else request_id
        note = self._noter.begin(scope, ours)
        answer = _Answer(send, request_id, note, self._noter)
        try:
            await self._handle(scope, receive, answer, authorization)
        finally:
            if note is not None:
                note.over = True
            if answer.status >= 400:
                self._noter.refused(scope, answer.status, ours)

    async def _handle(self, scope: Scope, receive: Receive, answer: "_Answer", authorization: bytes) -> None:
        began = perf_counter()
        try:
            if (path := scope["path"]).startswith("/v1/") and path != TOKEN_PATH:
                who = scope["who"] = await self._keys.who(authorization.decode("latin-1"), address_of(scope))
                answer.more = self._rates.take(who.tenant, who.rate)
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            answer.status = answer.status or 499
        except Exception as error:
            if answer.status:
                log.exception("a response broke off", request_id=answer.request_id)
                raise
            problem = _problem(error, answer.request_id)
            scope["problem"] = problem.code
            await respond(problem, scope["path"], answer.request_id)(scope, receive, answer)
        finally:
            if (once := scope.get("once")) is not None:
                once.close()
            self._note(scope, answer, perf_counter() - began)

    def _note(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.answered(method, route, answer.status, seconds)
        who = scope.get("who")
        tell = log.info if answer.status >= 400 or seconds > SLOW_S else log.debug
        tell(
            "request",
            method=method,
            route=route,
            status=answer.status,
            ms=round(seconds * 1000, 1),
            request_id=answer.request_id,
            tenant=who.tenant if who else None,
        )


class _Answer:
    """``send`` that adds the request's id, notes the status, and lets no success out that the audit log does not know of."""

    __slots__ = ("_header", "_note", "_noter", "_send", "more", "request_id", "status")

    def __init__(self, send: Send, request_id: str, note: Note | None, noter: Noter) -> None:
        self._send, self._note, self._noter = send, note, noter
        self._header = (b"x-request-id", request_id.encode())
        self.request_id = request_id
        self.more: Headers = ()
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header, *self.more]
            if self._note is not None and not self._note.written and self.status < 400:
                await self._noter.before_answer(self._note)
        await self._send(message)


def _request_id(given: bytes) -> str:
    if given and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"req_{random_bits(80):020x}"


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotSaved | Unavailable):
        log.warning("storage unavailable", reason=str(error), request_id=request_id)
        return Problem("storage_unavailable", headers=STORAGE_RETRY)
    log.error("a request failed", exc_info=error, request_id=request_id)
    return Problem("internal", "This is a fault of Patchbay; its log has the details under this request_id.")


def address_of(scope: Scope) -> str:
    """Where a connection comes from; behind a reverse proxy on this machine, what that says."""
    client = scope.get("client")
    return client[0] if client else ""


def request_id_of(scope: Scope) -> str:
    """The id that a connection was given, or a new one."""
    found: str = scope.setdefault("request_id", _request_id(b""))
    return found


def secure_headers() -> dict[str, str]:
    """For the few pages that a browser shows: nothing from elsewhere, no framing."""
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
