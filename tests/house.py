"""A whole controller for tests: the real wiring and store, a PBX in memory, and the API over real HTTP on a free port."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import structlog
import uvicorn

from controller.api.app import create_app
from controller.api.first import EVERYTHING, make_key
from controller.config import Log, Node, Settings, Trunk
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import LoopTimers
from controller.listening import http_config
from controller.logs import configure
from controller.ports import Clock, Pbx
from controller.wiring import Patchbay, running

CALLER, CALLEE, BUSY, SILENT = "+14155550101", "+14155550102", "+14155550103", "+14155550104"
SHOWN, SHOWN_TOO = "+14155550100", "+14155550199"
PHONES = {
    CALLER: Phone(ring_after_ms=5, answer_after_ms=15),
    CALLEE: Phone(ring_after_ms=5, answer_after_ms=15),
    BUSY: Phone("busy", ring_after_ms=5, answer_after_ms=5),
    SILENT: Phone("no_answer", ring_after_ms=5),
}

WITHIN_S = 30.0  # for what must come; a busy machine is no fault of the code


def settings(folder: Path, port: int, **more: Any) -> Settings:
    """Settings for one node in memory."""
    node = {
        "name": "pbx1",
        "kind": "asterisk",
        "ami": {"secret": "unused"},
        "hook": {"token": "unused"},
        "spool": str(folder / "spool"),
    }
    return Settings(
        **{
            "listen": {"port": port},
            "database": {"url": f"sqlite:///{folder}/patchbay.db"},
            "nodes": [node],
            "trunks": [{"name": "carrier", "prefixes": ["+1415"], "calls_per_second": 1000, "concurrent": 1000}],
            "queue": {"tenant_calls_per_second": 1000, "tenant_concurrent": 1000},
            "recordings": {"folder": str(folder / "recordings")},
            "webhooks": {"allow_private": ["127.0.0.0/8"]},
            "policy": {"allow": ["+1415"], "hours": None, "calls_per_callee_24h": None},
            **more,
        }
    )


@dataclass(slots=True)
class Standing:
    """A running house.  ``key``: may do everything; ``http``: a client that carries it."""

    patchbay: Patchbay
    exchange: Exchange
    link: list[Simulator]
    base: str
    key: str
    http: httpx2.AsyncClient
    folder: Path

    async def awake(self) -> None:
        """Its loop may have stood still while tests with a loop of their own ran: what must be renewed each second is again."""
        await self.patchbay.house.policy.refresh()
        clock = self.patchbay.house.clock
        async with asyncio.timeout(WITHIN_S):
            while not all(owner._lives_until - 1 > clock.monotonic() for owner in self.patchbay.owners.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while (await self.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def key_for(self, tenant: str, *scopes: str) -> dict[str, str]:
        """The header with a new key of this tenant, which is made if there is none."""
        database = self.patchbay.house.database
        if await database.tenants.get(tenant) is None:
            await database.tenants.add(tenant, tenant, time.time_ns() // 1_000_000)
        made = await make_key(database, time.time_ns() // 1_000_000, "test", scopes or EVERYTHING, tenant)
        assert made is not None
        return {"Authorization": f"Bearer {made.text}"}

    async def callback(self, **fields: Any) -> dict[str, Any]:
        """A callback that was accepted; nothing is announced, which would take its time."""
        answer = await self.http.post("/v1/callbacks", json=body(**{"announce": {"caller": None}, **fields}))
        assert answer.status_code == 202, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def until(self, call_id: str, **expected: Any) -> dict[str, Any]:
        """The call once these of its fields are so; events wake us, so nothing is polled for long."""
        async with asyncio.timeout(WITHIN_S), self.patchbay.house.feed.subscribe("main") as lives:
            while True:
                seen = (await self.http.get(f"/v1/calls/{call_id}")).json()
                if all(seen[name] == value for name, value in expected.items()):
                    return dict(seen)
                await anext(lives)

    async def until_fact(self, call_id: str, kind: str, **data: Any) -> dict[str, Any]:
        """The first event of this type with this data."""
        async with asyncio.timeout(WITHIN_S), self.patchbay.house.feed.subscribe("main") as lives:
            while True:
                for fact in await self.facts(call_id):
                    if fact["type"] == kind and data.items() <= fact["data"].items():
                        return fact
                await anext(lives)

    async def facts(self, call_id: str) -> list[dict[str, Any]]:
        """The call's timeline."""
        answer = await self.http.get(f"/v1/calls/{call_id}/events", params={"limit": 200})
        assert answer.status_code == 200, answer.text
        assert answer.json()["next"] is None, "more than a page"
        return list(answer.json()["items"])


def body(**fields: Any) -> dict[str, Any]:
    """A callback's request with these fields changed; ``...`` leaves one out."""
    whole = {"caller": CALLER, "callee": CALLEE, "caller_display": SHOWN, "callee_display": SHOWN_TOO, **fields}
    return {name: value for name, value in whole.items() if value is not ...}


class QuietServer(uvicorn.Server):
    """uvicorn that leaves the signals to pytest."""

    def capture_signals(self) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


def free_socket() -> socket.socket:
    """A listening socket on a free port of loopback."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio lets Nagle wait
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", 0))
    return made


@asynccontextmanager
async def standing(
    folder: Path, phones: Mapping[str, Phone] = PHONES, *, up: bool = True, seed: bool = True, **more: Any
) -> AsyncIterator[Standing]:
    """A running house.  ``up``: wait until its PBX can be used; ``seed``: give its tenant display numbers."""
    exchange = Exchange(LoopTimers(time.time_ns() // 1_000_000), phones)
    links: list[Simulator] = []

    async def open_pbx(node: Node, _trunks: Sequence[Trunk], _clock: Clock) -> Pbx:
        links.append(Simulator(exchange if node.name == "pbx1" else Exchange(exchange.timers, phones), node.name))
        return links[-1]

    (folder / "spool").mkdir(parents=True, exist_ok=True)
    with free_socket() as listener:
        wanted = settings(folder, listener.getsockname()[1], **more)
        async with running(wanted, open_pbx) as patchbay, served(patchbay, listener) as (key, http):
            for number in (SHOWN, SHOWN_TOO) if seed else ():
                (await http.post("/v1/numbers", json={"number": number})).raise_for_status()
            while up and (await http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            yield Standing(patchbay, exchange, links, str(http.base_url).rstrip("/"), key, http, folder)


@asynccontextmanager
async def served(patchbay: Patchbay, listener: socket.socket) -> AsyncIterator[tuple[str, httpx2.AsyncClient]]:
    """The API on this socket, with a key that may do everything, and a client that carries it."""
    house = patchbay.house
    made = await make_key(house.database, house.clock.now(), "test", EVERYTHING, None)
    assert made is not None
    server = QuietServer(http_config(create_app(house), house.settings))
    serving = asyncio.create_task(server.serve([listener]))
    base, headers = f"http://127.0.0.1:{listener.getsockname()[1]}", {"Authorization": f"Bearer {made.text}"}
    try:
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=WITHIN_S) as http:
            yield made.text, http
    finally:
        server.should_exit = True
        house.feed.close()
        await serving


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Everything that is logged goes into this file, at level debug, as a controller's own log does."""
    root, uvicorn_error = logging.getLogger(), logging.getLogger("uvicorn.error")
    before = root.handlers[:], root.level, uvicorn_error.level
    try:
        with path.open("w") as stream:
            configure(Log(level="debug"), stream)
            yield
    finally:
        structlog.reset_defaults()
        root.handlers = before[0]
        root.setLevel(before[1])
        uvicorn_error.setLevel(before[2])
