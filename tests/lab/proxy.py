"""A TCP proxy that can go silent: nothing is passed on and nothing is closed, as when a cable is pulled."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Proxy:
    """Passes every connection to its port on to ``target``, until it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._over = threading.Event()
        self._held: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who accepts
        self._accepting.join(10)
        self._listener.close()
        self._drop()

    def cut(self) -> None:
        """From now on nothing goes through, on no connection, old or new; nobody is told."""
        self._whole.clear()

    def heal(self) -> None:
        """New connections go through again; those of before are gone for good."""
        held, self._held = self._held, []
        self._whole.set()
        self._drop(held)

    def _drop(self, held: list[socket.socket] | None = None) -> None:
        for connection in self._held if held is None else held:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._held.append(near)
            if not self._whole.is_set():
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            self._held.append(far)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        source.settimeout(None)
        with suppress(OSError):
            while data := source.recv(65536):
                if not self._whole.is_set():
                    return
                target.sendall(data)
            if self._whole.is_set():
                target.shutdown(socket.SHUT_WR)
