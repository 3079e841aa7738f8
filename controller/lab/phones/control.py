"""The phones' process: a switchboard behind a line protocol on loopback, one JSON object a line each way.

Requests are `{"do": NAME, ...}`; the answers hold `version`, which grows with each news, or `error`.  `client.py` speaks it.
"""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from controller.lab.phones.scenario import ANSWER, HANG_UP, REJECT
from controller.lab.phones.switchboard import PhonesFailed, Switchboard

LONGEST_WAIT_S = 0.1  # tones are no news of their own: who waits for one looks again after this
GATHER_S = 0.01  # news come in bursts: whoever waits is told once of each
SETTLED_WITHIN_S = 2.0
_METHODS = {"hang_up": HANG_UP, "answer": ANSWER, "reject": REJECT}


class Control:
    """Obeys requests for one switchboard."""

    def __init__(self) -> None:
        self.version = 0
        self._news = asyncio.Event()

    def changed(self) -> None:
        """Something new is in the book."""
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()

    async def obey(self, board: Switchboard, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request, one answer."""
        match request:
            case {"do": "calls"}:
                board.refresh()
                calls = [
                    call.as_json()
                    for call in board.book.calls(request.get("number"))
                    if call.invite.at >= request.get("since", 0) and request.get("shown") in (None, call.shown)
                ]
                return {"version": self.version, "calls": calls}
            case {"do": "wait", "version": int(version)}:
                if version == self.version:
                    await _at_most(LONGEST_WAIT_S, self._news)
                    await asyncio.sleep(GATHER_S)
            case {"do": "hang_up" | "answer" | "reject" as what, "call_id": str(call_id)}:
                await self._settled(board, call_id)
                board.tell(_METHODS[what], call_id)
            case {"do": "press", "call_id": str(call_id), "keys": str(keys)}:
                if not board.press(call_id, keys):
                    return {"error": "that call has no sound now"}
            case {"do": "place", "from": str(number_from), "to": str(number_to)}:
                board.place(number_from, number_to, request.get("talk_s"))
            case {"do": "clear"}:
                board.book.clear()
            case _:
                return {"error": f"no such request: {request}"}
        return {"version": self.version}

    async def _settled(self, board: Switchboard, call_id: str) -> None:
        """Once the phone is not between a message and its answer: SIPp gives a call up that is told anything before it has said
        that it rings, and does nothing more for one that is told to let go between its 200 and the ACK.  A phone that is silent
        is not waited for longer than SETTLED_WITHIN_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WITHIN_S):
                while (call := board.book.call(call_id)) is not None and call.between:
                    await self._news.wait()

    async def serve(self, board: Switchboard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes."""
        try:
            while line := await reader.readline():
                try:
                    answer = await self.obey(board, json.loads(line))
                except (ValueError, PhonesFailed) as error:
                    answer = {"error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        pass


async def run(control: Control, board: Switchboard, port: int, ready_fd: int | None) -> None:
    """Serve until SIGTERM; a byte to ``ready_fd`` says that the phones answer.  Raises PhonesFailed, OSError."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    try:
        await board.start()
        server = await asyncio.start_server(lambda r, w: control.serve(board, r, w), "127.0.0.1", port)
        if ready_fd is not None:
            os.write(ready_fd, b"1")
            os.close(ready_fd)
        await done.wait()
        server.close()
    finally:
        board.close()
