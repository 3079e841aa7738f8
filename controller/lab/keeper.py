"""The lab's keeper: a process in the background that starts a lab, obeys, and ends it, whoever else dies.

It ends the lab when told to (`down`, SIGTERM), when its owner ends, and when whoever started it goes away before it is
ready.  Should it be killed itself, the kernel ends its children (`process.py`).  It inherits the lock on the lab's folder.
It listens on `keeper.sock` there, one JSON object a line each way: `{"do": "status" | "down" | "restart", "part": ...}`.
"""

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from controller.lab.options import Options
from controller.lab.room import Room, save

LOOK_S = 1.0  # how often dead children are buried


class GaveUp(RuntimeError):
    """Whoever wanted the lab has gone."""


def short(folder: Path) -> tuple[str, int]:
    """The path of the keeper's socket as sockets can take it (108 bytes), and a descriptor to close after use."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/keeper.sock", descriptor


class Keeper:
    """Keeps one lab.  ``ready_fd``: a pipe to who started us: the description goes into it, or `{"error": ...}`."""

    def __init__(self, options: Options, root: Path, ready_fd: int) -> None:
        self._options, self._root, self._ready_fd = options, root, ready_fd
        self._wanted = True

    def run(self) -> None:
        """From start to end."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_end)
        room: Room | None = None
        try:
            room = Room(self._options, self._root, self._check)
            room.start()
            description = self._publish(room)
            with self._listening() as listener:
                self._tell(description)
                self._obey(room, listener)
        except GaveUp:
            pass
        except Exception as error:  # whatever it is, who started us must hear of it
            with suppress(GaveUp):
                self._tell({"error": f"{type(error).__name__}: {error}"})
        finally:
            if room is not None:
                room.stop()
            (self._options.folder / "lab.json").unlink(missing_ok=True)
            (self._options.folder / "keeper.sock").unlink(missing_ok=True)

    def _told_to_end(self, *_: object) -> None:
        self._wanted = False

    def _check(self) -> None:
        """Give up when told to, or when who started us has gone, which closes the other end of the pipe."""
        gone = select.poll()
        gone.register(self._ready_fd, 0)
        if not self._wanted or gone.poll(0):
            raise GaveUp

    def _tell(self, what: dict[str, Any]) -> None:
        try:
            with os.fdopen(self._ready_fd, "w") as pipe:
                pipe.write(json.dumps(what))
        except BrokenPipeError:
            raise GaveUp from None

    def _publish(self, room: Room) -> dict[str, Any]:
        description = room.describe()
        description["pids"]["keeper"] = os.getpid()
        save(description, self._options.folder)
        return description

    def _listening(self) -> socket.socket:
        path, descriptor = short(self._options.folder)
        (self._options.folder / "keeper.sock").unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
            os.close(descriptor)
        listener.listen(8)
        return listener

    def _obey(self, room: Room, listener: socket.socket) -> None:
        try:
            owner = os.pidfd_open(self._options.owner) if self._options.owner else None
        except ProcessLookupError:
            return
        watched: list[socket.socket | int] = [listener, *([owner] if owner is not None else [])]
        while self._wanted:
            with suppress(InterruptedError):
                ready, _, _ = select.select(watched, [], [], LOOK_S)
                if owner in ready:
                    return
                if listener in ready:
                    self._serve(room, listener)
            room.bury()

    def _serve(self, room: Room, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError), connection.makefile("rwb") as lines:
            connection.settimeout(60)
            try:
                answer = self._one(room, json.loads(lines.readline() or b"{}"))
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            lines.write(json.dumps(answer).encode() + b"\n")

    def _one(self, room: Room, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "status"}:
                return self._publish(room)
            case {"do": "restart", "part": "controller" | "asterisk" | "freeswitch" | "phones" as part}:
                room.restart(part)
                return self._publish(room)
            case {"do": "down"}:
                self._wanted = False
                room.stop()
                return {}
        raise ValueError(f"no such request: {request}")


def main() -> None:
    """`python -m controller.lab.keeper OPTIONS-AS-JSON ROOT READY-FD`."""
    Keeper(Options.from_json(json.loads(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])).run()


if __name__ == "__main__":
    main()
