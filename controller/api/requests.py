"""How a request's body is read: bounded in size and time, and as strict JSON (no NaN, no lone surrogates, UTF-8 only)."""

import asyncio
from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any, TypeVar

import msgspec
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from controller.api.problems import Problem, from_validation

LARGEST_BODY = 256 * 1024
DISCARDED = 8 * LARGEST_BODY
"""A body that is too large is read so far before it is refused: who is still sending does not hear an answer."""
BODY_TIMEOUT_S = 10.0


class JsonRequest(Request):
    """A request whose body is JSON."""

    async def body(self) -> bytes:
        """The body.  Raises Problem when it is too large or too slow."""
        if not hasattr(self, "_body"):
            if int(self.headers.get("content-length") or 0) > DISCARDED:
                raise _too_large()
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    self._body = await self._read()
            except TimeoutError:
                raise Problem("timeout", f"the body must arrive within {BODY_TIMEOUT_S:.0f} s") from None
        return self._body

    async def _read(self) -> bytes:
        """What comes, straight from the server: nearly always it is there at once, and in one piece."""
        body, size, more = b"", 0, True
        while more and size <= DISCARDED:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            if size <= LARGEST_BODY:
                body += message.get("body", b"")
        if size > LARGEST_BODY:
            raise _too_large()
        return body

    async def json(self) -> Any:
        """What the body says.  Raises Problem."""
        if not hasattr(self, "_json"):
            try:
                self._json = msgspec.json.decode(await self.body())
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise Problem("invalid_request", "the body is not valid JSON in UTF-8", "body") from None
        return self._json


M = TypeVar("M", bound=BaseModel)


async def read(request: Request, model: type[M]) -> M:
    """The body as a model, for a route that is asked so often that the framework's own way costs too much.  Raises Problem."""
    try:
        return model.model_validate(await request.json())
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False, include_input=False)) from None


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of such a route; ``app`` puts the model itself among the schemas."""
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


def _too_large() -> Problem:
    return Problem("too_large", f"a body may have {LARGEST_BODY} bytes", headers={"Connection": "close"})


class Route(APIRoute):
    """A route that reads bodies our way."""

    @property
    def is_plain(self) -> bool:
        """Whether its endpoint takes the request alone, and needs nothing of the framework (``straight``)."""
        return list(signature(self.endpoint).parameters) == ["request"]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a JsonRequest."""
        handle = super().get_route_handler()

        async def run(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return run


class Json(Response):
    """A response of plain data, encoded by msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return content if isinstance(content, bytes) else msgspec.json.encode(content)
