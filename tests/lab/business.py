"""A business that is asked what becomes of calls (X mode): keeps every question, and answers as it is told."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks.webhooks import Webhook

Question = dict[str, Any]


class Business:
    """Listens on loopback.  ``answer``: from a question to an answer; none is given before ``go`` is set."""

    def __init__(self) -> None:
        self.answer: Callable[[Question], Any] = lambda _question: {"action": "reject"}
        self.status = 200
        self.secret = ""
        self.forged = 0
        self.go = threading.Event()
        self.go.set()
        self._news = threading.Condition()
        self._questions: list[Question] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/route"

    def questions(self, called: str) -> list[Question]:
        """All questions about calls to this X."""
        with self._news:
            return [one for one in self._questions if one["data"]["called"] == called]

    def asked(self, called: str, times: int, within_s: float = 30.0) -> list[Question]:
        """The questions about an X, once there are so many."""
        deadline = time.monotonic() + within_s
        with self._news:
            while len(found := [one for one in self._questions if one["data"]["called"] == called]) < times:
                assert self._news.wait(deadline - time.monotonic()), f"{len(found)} questions, not {times}"
            return found

    def take(self, body: bytes, headers: dict[str, str]) -> bytes:
        """One question; its answer."""
        try:
            Webhook(self.secret).verify(body, headers)
        except Exception:
            self.forged += 1
            raise
        question: Question = json.loads(body)
        assert headers["webhook-id"] == question["id"]
        with self._news:
            self._questions.append(question)
            self._news.notify_all()
        self.go.wait(60)
        return json.dumps(self.answer(question)).encode()


def _handler(business: Business) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """A question."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = business.take(body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(business.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def handle(self) -> None:
            """Who asked may be gone by the time of the answer."""
            try:
                super().handle()
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            """No lines."""

    return Handler
