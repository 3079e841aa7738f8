"""``/v1/oauth/token``: short-lived tokens for an API key, so that the key itself need not travel with each request.

RFC 6749: the grants ``client_credentials`` (4.4) and ``refresh_token`` (6), errors as in 5.2.  The client is an API key: its id
is the ``client_id``, the key itself the ``client_secret``.  Unlike 4.4.3 recommends there is a refresh token, which is good
once: when one is used a second time somebody has a copy, and all tokens of its grant end.
"""

import base64
import binascii
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote_plus

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from controller.api.auth import ACCESS, REFRESH, SCOPES, Who
from controller.api.gate import TOKEN_PATH, address_of
from controller.api.here import Rooms
from controller.api.ids import new_id
from controller.api.problems import documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.store.keys import hash_of, new_secret
from controller.store.rows import NewToken, Token

router = APIRouter(tags=["oauth"], route_class=Route)
log = structlog.get_logger(__name__)

FORM = "application/x-www-form-urlencoded"
FIELDS_BOUND = 20
NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
BASIC = {"WWW-Authenticate": 'Basic realm="patchbay", charset="UTF-8"'}

Error = Literal[
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"
]


class TokenForm(BaseModel):
    """The client authenticates by HTTP Basic or by `client_id` and `client_secret`, not by both."""

    grant_type: Literal["client_credentials", "refresh_token"]
    scope: Annotated[str, Field(description="Separated by blanks; left out: all that the key or the refresh token has.")] = ""
    refresh_token: Annotated[str, Field(description="With `grant_type=refresh_token`.")] = ""
    client_id: Annotated[str, Field(description="A key's id, `key_...`.")] = ""
    client_secret: Annotated[str, Field(description="The key itself, `pb_...`.")] = ""


class TokenOut(Out):
    """RFC 6749, 5.1.  `refresh_token` is good once."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str | None = None
    scope: str


class OAuthErrorOut(Out):
    """RFC 6749, 5.2."""

    error: Error
    error_description: str


class Refused(Exception):
    """A request that is answered with an error of RFC 6749, 5.2."""

    def __init__(self, error: Error, why: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(why)
        self.error, self.headers = error, headers or {}

    def answer(self) -> Response:
        """400, or 401 where the client is not known."""
        body = {"error": self.error, "error_description": str(self)}
        return Json(body, 401 if self.error == "invalid_client" else 400, NOT_KEPT | self.headers)


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "model": OAuthErrorOut}


@router.post(
    TOKEN_PATH,
    response_model=TokenOut,
    responses={
        **{status: told for status, told in documented("rate_limited").items() if status not in (401, 403, 422)},
        400: _refusal("RFC 6749, 5.2: the request or the grant is not good"),
        401: _refusal("`invalid_client`: the key is not known, or not good any more"),
    },
    openapi_extra={
        "security": [{"client": []}, {}],
        "requestBody": {"required": True, "content": {FORM: {"schema": {"$ref": "#/components/schemas/TokenForm"}}}},
    },
)
async def token(request: Request) -> Response:
    """Get a token for a key, or a new one for a refresh token."""
    rooms: Rooms = request.app.state.rooms
    try:
        form = await _form(request)
        client = await _client(request, rooms, form)
        request.scope["who"] = client
        limits = rooms.rates.take(client.tenant, client.rate)
        grant = {"client_credentials": _grant, "refresh_token": _refresh}.get(form.get("grant_type", ""))
        if grant is None:
            missing = not form.get("grant_type")
            raise Refused("invalid_request" if missing else "unsupported_grant_type", "client_credentials or refresh_token")
        answer = Json(await grant(rooms, client, form), 200, NOT_KEPT)
    except Refused as refused:
        return refused.answer()
    answer.raw_headers.extend(limits)
    return answer


async def _form(request: Request) -> dict[str, str]:
    """The fields of the body.  Raises Refused; a field that is there twice is refused (RFC 6749, 3.2)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Refused("invalid_request", f"send {FORM}")
    try:
        pairs = parse_qsl((await request.body()).decode("ascii"), True, errors="strict", max_num_fields=FIELDS_BOUND)
    except ValueError:
        raise Refused("invalid_request", "the body is no form in UTF-8") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise Refused("invalid_request", "a field may be there once")
    return form


async def _client(request: Request, rooms: Rooms, form: dict[str, str]) -> Who:
    """Whose key it is.  Raises Refused, Problem while this client or address is locked out."""
    header = request.headers.get("authorization")
    if header is not None and ("client_secret" in form or "client_id" in form):
        raise Refused("invalid_request", "authenticate by the header or by the form, not by both")
    name, secret = _basic(header) if header is not None else (form.get("client_id", ""), form.get("client_secret", ""))
    if not name or not secret:
        raise Refused("invalid_client", "send the key's id as client_id and the key as client_secret", BASIC)
    who = await rooms.keys.client(name, secret, address_of(request.scope))
    if who is None:
        raise Refused("invalid_client", "this key is not known, or not good any more", BASIC)
    return who


def _basic(header: str) -> tuple[str, str]:
    """Id and secret of an ``Authorization`` value; both are form-encoded in it (RFC 6749, 2.3.1).  Raises Refused."""
    kind, _, value = header.partition(" ")
    try:
        if kind.lower() != "basic":
            raise ValueError
        name, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        raise Refused("invalid_client", "this is no HTTP Basic", BASIC) from None
    return (unquote_plus(name), unquote_plus(secret)) if colon else ("", "")


def _scopes(asked: str, granted: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes asked for, all of them granted; left out: all that are granted.  Raises Refused."""
    wanted = tuple(dict.fromkeys(asked.split(" "))) if asked.strip() else tuple(granted)
    owner = Who("", "", frozenset(granted))
    if any(scope not in SCOPES or not owner.may(scope) for scope in wanted if scope):
        raise Refused("invalid_scope", "a scope is not known or was not granted")
    return tuple(scope for scope in wanted if scope)


async def _grant(rooms: Rooms, client: Who, form: dict[str, str]) -> dict[str, Any]:
    """RFC 6749, 4.4."""
    now = rooms.house.clock.now()
    scopes = _scopes(form.get("scope", ""), tuple(sorted(client.scopes)))
    made = _Pair(rooms, client, now, now, scopes, scopes)
    await rooms.house.database.tokens.grant(client.key, new_id(now), now, made.tokens)
    return made.answer()


async def _refresh(rooms: Rooms, client: Who, form: dict[str, str]) -> dict[str, Any]:
    """RFC 6749, 6: a new pair for a refresh token, which is used up."""
    now, text = rooms.house.clock.now(), form.get("refresh_token", "")
    if not text:
        raise Refused("invalid_request", "refresh_token is missing")
    old = await _refreshable(rooms, client, text, now)
    made = _Pair(rooms, client, now, old.began_at, _scopes(form.get("scope", ""), old.scopes), old.scopes)
    done = await rooms.house.database.tokens.rotate(hash_of(text), old, now, made.tokens)
    if done == "reused":
        rooms.keys.forget()
        log.warning("a refresh token was used twice: all tokens of its grant have ended", key=client.key, tenant=client.tenant)
        raise Refused("invalid_grant", "this refresh token was used before: all tokens of its grant have ended")
    return made.answer()


async def _refreshable(rooms: Rooms, client: Who, text: str, now: int) -> Token:
    """A refresh token of this client that has not expired; it may have been used.  Raises Refused."""
    old = await rooms.house.database.tokens.by_hash(hash_of(text))
    if old is None or old.kind != "refresh" or old.key.id != client.key or old.expires_at <= now:
        raise Refused("invalid_grant", "this refresh token is not known, or has expired")
    return old


class _Pair:
    """An access token, and a refresh token unless the grant or the key ends first."""

    def __init__(
        self, rooms: Rooms, client: Who, now: int, began_at: int, scopes: tuple[str, ...], granted: tuple[str, ...]
    ) -> None:
        settings, self._now, self._scopes = rooms.house.settings.access, now, scopes
        over = client.expires_at if client.expires_at is not None else 1 << 62
        self._until = min(now + settings.token_s * 1000, over)
        again = min(now + settings.refresh_s * 1000, began_at + settings.grant_s * 1000, over)
        self._access, self._refresh = new_secret(ACCESS), new_secret(REFRESH) if again > self._until else None
        self.tokens = [NewToken("access", hash_of(self._access), scopes, self._until)]
        if self._refresh is not None:
            self.tokens.append(NewToken("refresh", hash_of(self._refresh), granted, again))
        rooms.keys.made(self.tokens[0].hash)

    def answer(self) -> dict[str, Any]:
        """What the client is told."""
        told = {"access_token": self._access, "token_type": "Bearer", "expires_in": (self._until - self._now) // 1000}
        if self._refresh is not None:
            told["refresh_token"] = self._refresh
        return told | {"scope": " ".join(self._scopes)}
