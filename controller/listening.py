"""Where the API listens, and how it is served."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from controller.config import Settings

STOP_S = 5
KEEP_ALIVE_S = 75
"""Longer than what reverse proxies keep idle connections for, so that it is they who close them."""
BACKLOG = 1024
LARGEST_MESSAGE = 16 * 1024
"""Of what a client may say on a WebSocket (bytes)."""


class Server(uvicorn.Server):
    """uvicorn that does not raise the signal again once it has stopped: there is more to put away than its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the serving, in order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def listening(settings: Settings) -> socket.socket:
    """A socket on the API's address.  Raises OSError."""
    family = socket.AF_INET6 if ":" in settings.listen.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.listen.host, settings.listen.port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def http_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the app is served."""
    return uvicorn.Config(
        app,
        host=settings.listen.host,
        port=settings.listen.port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        backlog=BACKLOG,
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
    )
