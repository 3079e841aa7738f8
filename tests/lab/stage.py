"""Where stories are played: a lab, its API, a receiver of all its facts, and as many display numbers as there are stories.

Each leg of a story shows a display number of its own.  So what a phone saw in `From` tells which story a SIP call belongs to,
however many are under way: a call that shows anything else belongs to none, and is missed.
"""

import http.client
import itertools
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from controller.lab.options import NODES
from tests.lab.far_end import Lab
from tests.lab.receiver import Receiver

DISPLAYS = [f"+1415555{last}" for last in range(2000, 10_000)]


class Stage:
    """A running lab with a receiver of its own."""

    def __init__(self, lab: Lab, receiver: Receiver) -> None:
        self.lab, self.receiver = lab, receiver
        self._displays: Iterator[str] = iter(DISPLAYS)
        self._lock = threading.Lock()
        self.given: set[str] = set()
        receiver.secret = self.subscribe(receiver)

    def ask(self, method: str, path: str, body: object = None, once: str = "", timeout_s: float = 20.0) -> tuple[int, Any]:
        """Status and JSON of one request with the lab's key; ``once``: its Idempotency-Key.  Raises OSError, HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.lab.description["ports"]["api"], timeout=timeout_s)
        headers = {"Authorization": f"Bearer {self.lab.key}", "Content-Type": "application/json"}
        if once:
            headers["Idempotency-Key"] = once
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if "json" in (response.getheader("Content-Type") or "") else text.decode()
        finally:
            connection.close()

    def patiently(self, method: str, path: str, body: object = None, once: str = "", within_s: float = 60.0) -> tuple[int, Any]:
        """The same as a careful business does it: again under the same key, until the answer is neither silence nor 5xx."""
        once, deadline = once or uuid.uuid4().hex, time.monotonic() + within_s
        while True:
            with suppress(OSError, http.client.HTTPException):
                status, answer = self.ask(method, path, body, once)
                if status < 500 and answer.get("code") != "idempotency_in_flight":
                    return status, answer
            assert time.monotonic() < deadline, "the controller does not answer"
            time.sleep(0.1)  # the pause of a client that tries again

    def get(self, path: str, within_s: float = 60.0) -> Any:
        """What a resource holds; a controller that is just being started again is waited for."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                status, answer = self.ask("GET", path)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # the pause of a client that tries again
            else:
                assert status == 200, (path, status, answer)
                return answer

    def subscribe(self, receiver: Receiver) -> str:
        """Send all facts there from now on; the secret that signs them."""
        status, answer = self.ask("POST", "/v1/webhooks", {"url": receiver.url})
        assert status == 201, answer
        secret: str = answer["secret"]
        return secret

    def display(self) -> str:
        """A number that nobody has shown yet, and that the tenant owns from now on."""
        with self._lock:
            number = next(self._displays)
            self.given.add(number)
        status, answer = self.patiently("POST", "/v1/numbers", {"number": number})
        assert status == 201, answer
        return number

    def numbers(self) -> set[str]:
        """Every number that belongs to anybody here."""
        phones = (*self.lab.description["phones"], *self.lab.description["more_phones"])
        return {*(phone["number"] for phone in phones), *self.given}

    def events(self, call_id: str) -> list[dict[str, Any]]:
        """A call's timeline, page by page."""
        found: list[dict[str, Any]] = []
        path = f"/v1/calls/{call_id}/events?limit=50"
        while True:
            page = self.get(path)
            found += page["items"]
            if page["next"] is None:
                return found
            path = f"/v1/calls/{call_id}/events?limit=50&after={page['next']}"

    def assert_nothing_is_left(self) -> None:
        """No leg in the PBX, no call that lives or waits, no file in the spool but the lines of ended legs."""
        assert self.lab.legs_within(5.0) == 0, [console.all() for console in self.lab.consoles]
        assert self.get("/v1/calls?status=live")["items"] == []
        assert self.get("/v1/calls?status=queued")["items"] == []
        metrics = self.get("/metrics")
        assert "\npatchbay_calls_in_memory 0" in metrics
        assert self._rows("SELECT id FROM call WHERE ended_at IS NULL OR status <> 'ended'") == []
        recordings = "SELECT id, status FROM recording WHERE status NOT IN ('stored', 'failed')"
        assert none_within(10.0, lambda: self._rows(recordings)) == []
        for spool in self.lab.spools:
            assert none_within(5.0, lambda: [one.name for one in spool.iterdir() if not holds_lines(one)]) == []  # noqa: B023

    def _rows(self, query: str) -> list[Any]:
        with sqlite3.connect(f"file:{self.lab.folder}/patchbay.db?mode=ro", uri=True) as database:
            return database.execute(query).fetchall()


def holds_lines(path: Path) -> bool:
    """Whether it is where a PBX writes the lines of ended legs: Asterisk's files, FreeSWITCH's folder."""
    return path.suffix == ".log" or path.name == "cdr-csv"


def none_within(patience_s: float, look: Callable[[], list[Any]]) -> list[Any]:
    """What is left, once that is nothing or ``patience_s`` is over."""
    deadline = time.monotonic() + patience_s
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.05)  # what is looked at here (rows, files) sends no word
    return left


NOTATIONS = ("{0}{1}{2}{3}", "{1}{2}{3}", "{0}-{1}-{2}-{3}", "{1}-{2}-{3}", "({1}) {2}-{3}", "{1} {2} {3}", "{1}.{2}.{3}",
             "{2}-{3}", "%2B{0}{1}{2}{3}")  # fmt: skip


def written(number: str) -> set[str]:
    """The ways in which a number of North America is written."""
    parts = (number[1:2], number[2:5], number[5:8], number[8:])
    return {notation.format(*parts) for notation in NOTATIONS}


def logs(folder: Path) -> list[Path]:
    """Everything that a lab's controller and PBX have logged."""
    found = [folder / "controller.log", folder / "controller.out", folder / "keeper.log"]
    for kind in NODES:
        found += (folder / kind / "log").rglob("*")
        found += (path for top in (folder / "spool" / kind).glob("*") if holds_lines(top) for path in (top, *top.rglob("*")))
    return [path for path in found if path.is_file()]


def numbers_in_logs(folder: Path, numbers: set[str]) -> list[str]:
    """File and line of each place in a lab's logs where one of these numbers stands, however written."""
    ways = {way for number in numbers for way in written(number)}
    found = []
    for path in logs(folder):
        text = path.read_text(errors="replace")
        if any(way in text for way in ways):
            lines = enumerate(text.splitlines(), 1)
            found += [f"{path}:{at}: {line}" for at, line in lines if any(way in line for way in ways)]
    return list(itertools.islice(found, 20))
