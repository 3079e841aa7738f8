"""The same callback through the controller: posted over HTTP, every step durable, read back from its CDRs."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from controller.bench.figures import Usage, percentile, usage
from controller.bench.room import CALLEE, CALLER, DISPLAY, Load, Room
from controller.lab import process

READY_WITHIN_S = 30
SETTLE_WITHIN_S = 40
AHEAD = 60
FIRST_SHARE, LAST_SHARE = 0.25, 0.95


class BenchFailed(RuntimeError):
    """The bench could not run; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run gave.  Times in seconds; ``usage`` and ``pbx``: from the first request to the end of the last call."""

    seconds: float
    completed: int
    failed: int
    per_second: float
    setup_s: list[float]
    accept_s: list[float]
    refused: int
    usage: Usage
    pbx: Usage
    lag_p99_s: float
    most_alive: int


class Controller:
    """A running `patchbay serve` and the way to it."""

    def __init__(self, room: Room, serving: subprocess.Popen[bytes], key: str) -> None:
        self.room, self.serving, self.key = room, serving, key
        self.api = f"http://127.0.0.1:{room.api}"
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})

    async def close(self) -> None:
        """Leave it."""
        await self._session.close()

    async def get(self, path: str) -> Any:
        """A JSON answer."""
        async with self._session.get(self.api + path) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """A JSON answer to a POST."""
        async with self._session.post(self.api + path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def until_ready(self) -> None:
        """Wait until it can take calls.  Raises BenchFailed."""
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            try:
                async with self._session.get(self.api + "/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if self.serving.poll() is not None:
                break
            await asyncio.sleep(0.1)
        log = (self.room.folder / "controller.log").read_text(errors="replace")[-3000:]
        raise BenchFailed(f"the controller is not ready:\n{log}")

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples; 0 when there are none."""
        async with self._session.get(self.api + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")))

    async def cdrs(self) -> list[dict[str, Any]]:
        """All closed calls."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self.get(f"/v1/cdrs?limit=200{after}")
            found += page["items"]
            if not page["next"]:
                return found
            after = f"&after={page['next']}"

    async def until_idle(self) -> None:
        """Wait until nothing waits or lives.  Raises BenchFailed."""
        until = time.monotonic() + SETTLE_WITHIN_S + self.room.load.hold_s
        while time.monotonic() < until:
            if not (await self.get("/v1/calls?limit=1&status=live"))["items"] and not await self.metric(
                "patchbay_queue_length"
            ):
                return
            await asyncio.sleep(0.5)
        raise BenchFailed("calls are still alive after the run")


@asynccontextmanager
async def controller(room: Room) -> AsyncIterator[Controller]:
    """A controller for the room, ready to take calls."""
    serving, key = await asyncio.to_thread(room.start_controller)
    one = Controller(room, serving, key)
    try:
        await one.until_ready()
        await one.post("/v1/numbers", {"number": DISPLAY})
        yield one
    finally:
        await one.close()
        process.stop(serving)


def body(load: Load) -> dict[str, Any]:
    """The callback that is asked for: what the raw script's dialplan does."""
    return {
        "caller": CALLER,
        "callee": CALLEE,
        "caller_display": DISPLAY,
        "callee_display": DISPLAY,
        "record": load.record,
        "recording_notice": "none",
        "max_duration_s": load.hold_s,
        "announce": {"caller": None, "callee": None},
    }


async def run(one: Controller, seconds: float, per_second: float | None = None) -> Run:
    """Post for some seconds, at a pace or as fast as calls may start, and read back what came of it."""
    load = one.room.load
    plan = {"host": "127.0.0.1", "port": one.room.api, "key": one.key, "body": body(load), "seconds": seconds}
    plan |= {"per_second": per_second, "ahead": AHEAD}
    known = {cdr["id"] for cdr in await one.cdrs()}
    before, pbx_before = usage(one.serving.pid), usage(one.room.pbx.pid or 0)
    began = time.time()
    posting = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller.bench.post", json.dumps(plan), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await posting.communicate()
    ended = time.time()
    await one.until_idle()
    used, pbx = usage(one.serving.pid) - before, usage(one.room.pbx.pid or 0) - pbx_before
    lag = await one.metric("patchbay_event_lag_p99_seconds")
    answers = json.loads(told)
    fresh = [cdr for cdr in await one.cdrs() if cdr["id"] not in known]
    if failures := came_to_nothing(fresh):
        print(f"of {len(fresh)} calls failed: {failures}", file=sys.stderr)
    return _read(fresh, answers, began, ended, used, pbx, lag)


def came_to_nothing(cdrs: list[dict[str, Any]]) -> str:
    """How many calls were not what was asked for, by what became of them; empty where all were.  Here no phone lets go by
    itself, so one that is completed and was never bridged has failed, too."""
    failed = [cdr for cdr in cdrs if not _talked(cdr)]
    kinds = Counter(f"{c['disposition']} by {c['hangup_by']}" + ("" if c["bridged_at"] else ", never bridged") for c in failed)
    return "; ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _talked(cdr: dict[str, Any]) -> bool:
    return cdr["disposition"] == "completed" and cdr["bridged_at"] is not None


def _read(
    cdrs: list[dict[str, Any]], answers: dict[str, Any], began: float, ended: float, used: Usage, pbx: Usage, lag: float
) -> Run:
    done = [cdr for cdr in cdrs if _talked(cdr)]
    first, last = began + FIRST_SHARE * (ended - began), began + LAST_SHARE * (ended - began)
    inside = [cdr for cdr in done if first <= _seconds(cdr["ended_at"]) < last]
    changes = sorted([(_seconds(c["legs"][0]["dialed_at"]), 1) for c in done] + [(_seconds(c["ended_at"]), -1) for c in done])
    alive = most = 0
    for _, change in changes:
        alive += change
        most = max(most, alive)
    return Run(
        seconds=ended - began,
        completed=len(done),
        failed=len(cdrs) - len(done),
        per_second=len(inside) / (last - first),
        setup_s=[_seconds(cdr["bridged_at"]) - _seconds(cdr["requested_at"]) for cdr in done],
        accept_s=answers["took_s"],
        refused=sum(answers["refused"].values()),
        usage=used,
        pbx=pbx,
        lag_p99_s=lag,
        most_alive=most,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def accept_p99(one: Run) -> float:
    """Seconds within which 99 of 100 requests were accepted."""
    return percentile(one.accept_s, 0.99)
