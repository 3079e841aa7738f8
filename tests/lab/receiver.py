"""A business's webhook receiver: keeps every fact that comes, and can be told to be as bad as real ones are."""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from standardwebhooks.webhooks import Webhook

Fact = dict[str, Any]
Mood = Literal["fine", "wrong", "slow", "closed"]


class NotTold(AssertionError):
    """A fact that was waited for did not come in time."""


class Receiver:
    """Listens on loopback from the start.  ``mood``: ``fine`` answers 204, ``wrong`` 500, ``slow`` after ``slow_s``, ``closed``
    hangs up without an answer.  What was not answered by 204 in time counts as not received."""

    def __init__(self, slow_s: float = 30.0) -> None:
        self.mood: Mood = "fine"
        self.slow_s = slow_s
        self.secret = ""
        self.refused = 0
        self.forged: list[str] = []
        self._news = threading.Condition()
        self._facts: dict[str, list[Fact]] = {}
        self._over = threading.Event()
        self._server = self._listen(0)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.down()

    @property
    def url(self) -> str:
        """Where to send facts."""
        return f"http://127.0.0.1:{self.port}/facts"

    def down(self) -> None:
        """Nobody listens any more: connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def up(self) -> None:
        """Listen again, on the same port."""
        self._server = self._listen(self.port)

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), _handler(self))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    # --- what came

    def told(self, call_id: str) -> list[Fact]:
        """The facts of a call, each once, in the order in which they first came."""
        with self._news:
            return list({fact["id"]: fact for fact in self._facts.get(call_id, [])}.values())

    def everything(self) -> list[Fact]:
        """All that ever came."""
        with self._news:
            return [fact for facts in self._facts.values() for fact in facts]

    def came(self, call_id: str) -> list[Fact]:
        """Everything that came of a call, repeats too."""
        with self._news:
            return list(self._facts.get(call_id, []))

    def wait_for(self, call_id: str, there: Callable[[list[Fact]], bool], within_s: float) -> list[Fact]:
        """The facts of a call as soon as ``there(facts)``.  Raises NotTold."""
        deadline = time.monotonic() + within_s
        with self._news:
            while not there(facts := self.told(call_id)):
                if not self._news.wait(deadline - time.monotonic()):
                    types = [(fact["sequence"], fact["type"], fact["data"].get("leg")) for fact in facts]
                    raise NotTold(f"not within {within_s} s; of {call_id} came {types}")
            return facts

    # --- for the handler

    def take(self, body: bytes, headers: dict[str, str]) -> bool:
        """One request; False if it is to be refused."""
        if self.mood != "fine":
            with self._news:
                self.refused += 1
                self._news.notify_all()
            if self.mood == "slow":
                self._over.wait(self.slow_s)
            return False
        if self.secret:
            try:
                Webhook(self.secret).verify(body, headers)
            except Exception as error:  # whatever is wrong with it, a test must hear of it
                self.forged.append(repr(error))
        fact: Fact = json.loads(body)
        with self._news:
            self._facts.setdefault(fact["call_id"], []).append(fact)
            self._news.notify_all()
        return True

    def wait_until_refused(self, times: int, within_s: float) -> None:
        """Until so many requests were turned away.  Raises NotTold."""
        with self._news:
            if not self._news.wait_for(lambda: self.refused >= times, within_s):
                raise NotTold(f"only {self.refused} of {times} requests within {within_s} s")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A controller that is killed leaves its connections."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 120

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken = receiver.take(body, dict(self.headers))
            if receiver.mood == "closed" and not taken:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(204 if taken else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    return Handler
