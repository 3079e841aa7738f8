"""Asking the phones' process: what they saw and heard, and telling them what to do.  For the command line and for tests."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any, Self

Call = dict[str, Any]  # see book.SeenCall.as_json


class PhonesError(RuntimeError):
    """The phones' process does not answer, or refused."""


class NotSeen(AssertionError):
    """What was waited for did not show at the phones in time."""


class Phones:
    """A connection to the phones' process; blocking, each request a millisecond or so."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        """Raises PhonesError."""
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        except OSError as error:
            raise PhonesError(f"the lab's phones do not answer on port {port}: {error}") from error
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; the phones go on."""
        self._lines.close()
        self._socket.close()

    def ask(self, do: str, **more: object) -> dict[str, Any]:
        """One request.  Raises PhonesError."""
        try:
            self._socket.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            line = self._lines.readline()
        except OSError as error:
            raise PhonesError(f"the lab's phones do not answer: {error}") from error
        if not line:
            raise PhonesError("the lab's phones have gone")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PhonesError(answer["error"])
        return answer

    def calls(self, number: str | None = None, since: float = 0.0, shown: str | None = None) -> list[Call]:
        """What the phones, or one of them, saw; oldest first, INVITEs from ``since`` (Unix seconds) on, or only those that
        showed a number."""
        calls: list[Call] = self.ask("calls", number=number, since=since, shown=shown)["calls"]
        return calls

    def wait_for(
        self,
        there: Callable[[list[Call]], bool],
        number: str | None = None,
        since: float = 0.0,
        timeout_s: float = 10.0,
        shown: str | None = None,
    ) -> list[Call]:
        """The calls as soon as ``there(calls)``.  Raises NotSeen after ``timeout_s``, with what was there instead."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self.ask("calls", number=number, since=since, shown=shown)
            calls: list[Call] = answer["calls"]
            if there(calls):
                return calls
            if time.monotonic() > deadline:
                raise NotSeen(f"not within {timeout_s} s; the phones saw {json.dumps(calls, indent=1)}")
            self.ask("wait", version=answer["version"])

    def place(self, number_from: str, number_to: str, talk_s: float | None = None) -> None:
        """Let a phone call a number through the PBX; ``talk_s``: it hangs up so many seconds after the answer."""
        self.ask("place", **{"from": number_from, "to": number_to}, talk_s=talk_s)

    def hang_up(self, call_id: str) -> None:
        """BYE from the phone, or CANCEL of a call that it placed and that still rings."""
        self.ask("hang_up", call_id=call_id)

    def answer(self, call_id: str) -> None:
        """200 from a phone that rings."""
        self.ask("answer", call_id=call_id)

    def reject(self, call_id: str) -> None:
        """603 from a phone that rings."""
        self.ask("reject", call_id=call_id)

    def press(self, call_id: str, keys: str) -> None:
        """Key presses of 160 ms each (RFC 4733)."""
        self.ask("press", call_id=call_id, keys=keys)

    def clear(self) -> None:
        """Forget the calls that have ended."""
        self.ask("clear")
