"""The same answer to the same ``Idempotency-Key``, for 24 hours.

The answer is written in the transaction of what it answers for, so there is never one without the other.  The key is looked at
only when that write finds it taken: a first request costs nothing extra.  Keys are kept as hashes, and an answer that holds
a secret is encrypted with the key itself, so the database alone gives neither away.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import Response

from controller.api.house import House
from controller.api.problems import Problem, on_http
from controller.api.requests import Json
from controller.store.errors import KeyTaken

Record = tuple[str, str, str, bytes]
"""(tenant, key, fingerprint, answer), as the store keeps it."""

InFlight = set[tuple[str, str]]
"""Tenant and key of the requests that are being handled in this process."""

_SEALED = b"sealed:"
_NONCE = b"patchbay-seal"[:12]  # each sealing key seals one answer only


class Once:
    """A request with an Idempotency-Key."""

    def __init__(self, house: House, in_flight: InFlight, tenant: str, key: str, fingerprint: str) -> None:
        self._house, self._in_flight, self._tenant, self._fingerprint = house, in_flight, tenant, fingerprint
        self._key = hashlib.sha256(key.encode()).hexdigest()
        self._seal = hashlib.sha256(b"seal:" + key.encode()).digest()

    def record(self, answer: bytes, secret: bool = False) -> Record:
        """What to keep with the write that this request makes."""
        kept = _SEALED + AESGCM(self._seal).encrypt(_NONCE, answer, None) if secret else answer
        return self._tenant, self._key, self._fingerprint, kept

    def replay(self, fingerprint: str, status: int, answer: bytes) -> Response:
        """The first answer again.  Raises Problem when the request is another one, or the first is not answered yet."""
        if fingerprint != self._fingerprint:
            raise Problem("idempotency_conflict", param="Idempotency-Key")
        if not status:
            raise still_in_flight()
        if answer.startswith(_SEALED):
            try:
                answer = AESGCM(self._seal).decrypt(_NONCE, answer[len(_SEALED) :], None)
            except InvalidTag:
                raise Problem("idempotency_conflict", param="Idempotency-Key") from None
        return Json(answer, status, {"Idempotent-Replayed": "true"})

    async def first_answer(self) -> Response | None:
        """The first answer if there is one: a repeat is answered with it even where a new request would now be refused."""
        found = await self._house.database.idempotency.get(self._tenant, self._key)
        if found is None or found.fingerprint != self._fingerprint or not found.status:
            return None
        return self.replay(found.fingerprint, found.status, found.response)

    async def around(self, status: int, act: Callable[[], Awaitable[bytes]]) -> Response:
        """Do what has no transaction of its own: the key is taken before and the answer kept after."""
        store = self._house.database.idempotency
        await store.begin(self._tenant, self._key, self._fingerprint, self._house.clock.now())
        try:
            answer = await act()
        except BaseException:
            await store.drop(self._tenant, self._key)
            raise
        await store.finish(self._tenant, self._key, self._fingerprint, status, answer, self._house.clock.now())
        return Json(answer, status)

    def close(self) -> None:
        """The request is answered."""
        self._in_flight.discard((self._tenant, self._key))

    def open(self) -> None:
        """Raises Problem while the first request with this key is being handled."""
        if (self._tenant, self._key) in self._in_flight:
            raise still_in_flight()
        self._in_flight.add((self._tenant, self._key))


def still_in_flight() -> Problem:
    """409: wait for the first."""
    return Problem("idempotency_in_flight", param="Idempotency-Key", headers={"Retry-After": "1"})


async def once_of(request: Request, tenant: str, key: str, house: House, in_flight: InFlight) -> Once:
    """The request's Once, from now on in flight; the gate closes it.  Raises Problem while the first is."""
    once = Once(house, in_flight, tenant, key, await _fingerprint(request))
    once.open()
    request.scope["once"] = once
    return once


async def _fingerprint(request: Request) -> str:
    body = msgspec.json.encode(await request.json(), order="sorted") if await request.body() else b""
    return hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()


async def or_first_answer(request: Request, error: Exception) -> Response:
    """A refusal, unless this is the repeat of a request that was answered when it could be."""
    once: Once | None = request.scope.get("once")
    if once is not None and (first := await once.first_answer()) is not None:
        return first
    return await on_http(request, error)


async def on_key_taken(request: Request, error: Exception) -> Response:
    """The write found that the key was used before."""
    assert isinstance(error, KeyTaken)
    once: Any = request.scope["once"]
    replay: Response = once.replay(error.fingerprint, error.status, error.response)
    return replay
