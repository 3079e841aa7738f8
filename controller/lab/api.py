"""The little that the lab asks of its controller's API, with the standard library's HTTP client."""

import http.client
import json
import time
from collections.abc import Callable, Collection
from typing import Any

from controller.lab.process import READY_WITHIN_S


class ApiFailed(RuntimeError):
    """The controller did not answer, or not as it should."""


def ask(port: int, method: str, path: str, key: str = "", body: object = None, timeout_s: float = 10.0) -> tuple[int, Any]:
    """Status and JSON of one request to 127.0.0.1:``port``.  Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if "json" in (response.getheader("Content-Type") or "") else text
    finally:
        connection.close()


def wait_until_ready(port: int, lives: Callable[[], bool], nodes: Collection[str]) -> None:
    """Until it has a link to each of ``nodes``; without any, until it answers.  One that is drained does not make it ready.

    Raises ApiFailed when the controller ends or takes too long."""
    path = "/readyz" if nodes else "/healthz"
    deadline = time.monotonic() + READY_WITHIN_S
    answer: object = "nothing"
    while time.monotonic() < deadline:
        if not lives():
            raise ApiFailed("the controller has ended; see controller.log")
        try:
            status, answer = ask(port, "GET", path, timeout_s=2)
            if status in (200, 503) and not _unlinked(answer, nodes):
                return
        except (OSError, http.client.HTTPException) as error:
            answer = error
        time.sleep(0.02)  # nothing tells when it listens
    raise ApiFailed(f"the controller is not ready after {READY_WITHIN_S} s; {path} says {answer}")


def _unlinked(answer: Any, nodes: Collection[str]) -> list[str]:
    """Those of ``nodes`` that have no link yet, by what /readyz says; all, while the database cannot be written."""
    checks = answer.get("checks", {}) if isinstance(answer, dict) else {}
    states = checks.get("nodes", {}) if checks.get("database") == "ok" else {}
    return [node for node in nodes if states.get(node) not in ("up", "draining")]


def own_numbers(port: int, key: str, numbers: tuple[str, ...]) -> None:
    """Give the key's tenant its display numbers.  Raises ApiFailed."""
    for number in numbers:
        status, answer = ask(port, "POST", "/v1/numbers", key, {"number": number})
        if status not in (201, 409):
            raise ApiFailed(f"POST /v1/numbers: {status} {answer}")


def fill_pool(port: int, key: str, name: str, numbers: tuple[str, ...]) -> None:
    """Give the key's tenant a pool of X numbers, unless it has one.  Raises ApiFailed."""
    status, pool = ask(port, "POST", "/v1/pools", key, {"name": name})
    if status == 409:
        return
    if status != 201:
        raise ApiFailed(f"POST /v1/pools: {status} {pool}")
    for number in numbers:
        status, answer = ask(port, "POST", "/v1/numbers", key, {"number": number, "kind": "x", "pool": pool["id"]})
        if status not in (201, 409):
            raise ApiFailed(f"POST /v1/numbers: {status} {answer}")


def open_policy(port: int, key: str, prefix: str) -> None:
    """Let the key's tenant call numbers with this prefix, at all hours and as often as it likes.  Raises ApiFailed."""
    status, answer = ask(port, "POST", "/v1/lists/allow", key, {"number": prefix, "note": "the lab's phones"})
    if status not in (201, 409):
        raise ApiFailed(f"POST /v1/lists/allow: {status} {answer}")
    status, answer = ask(port, "PATCH", "/v1/policy", key, {"calls_per_callee_24h": None, "hours": None})
    if status != 200:
        raise ApiFailed(f"PATCH /v1/policy: {status} {answer}")
