"""Asking a lab's PBX itself, past the controller: how many legs it has."""

import re
import socket
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from controller.lab.asterisk import asterisk_root

WITHIN_S = 30.0


class AsteriskConsole:
    """Asterisk's command line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _words(self) -> list[str | Path]:
        return [asterisk_root(say=False) / "asterisk", "-C", self._folder / "asterisk" / "etc" / "asterisk.conf", "-rx"]

    def ask(self, command: str) -> str:
        """What it answers."""
        return subprocess.run([*self._words, command], capture_output=True, text=True, timeout=WITHIN_S, check=True).stdout

    def legs(self) -> int:
        """How many channels there are."""
        return _number(r"^(\d+) active channels?", self.ask("core show channels count"))

    def all(self) -> str:
        """All of them, for a message."""
        return self.ask("core show channels concise")


class FreeSwitchConsole:
    """FreeSWITCH's API over an event socket of our own, with the lab's password."""

    def __init__(self, folder: Path) -> None:
        nodes: list[dict[str, Any]] = yaml.safe_load((folder / "patchbay.yaml").read_text())["nodes"]
        esl = next(node["esl"] for node in nodes if node["kind"] == "freeswitch")
        self._port, self._password = esl["port"], esl["password"]

    def ask(self, command: str) -> str:
        """What it answers."""
        with socket.create_connection(("127.0.0.1", self._port), WITHIN_S) as link, link.makefile("rwb") as wire:
            answer = ""
            for line in (b"", f"auth {self._password}\n\n".encode(), f"api {command}\n\n".encode()):
                wire.write(line)
                wire.flush()
                headers = dict(header.split(": ", 1) for header in iter(lambda: wire.readline().decode().strip(), ""))
                answer = wire.read(int(headers.get("Content-Length", 0))).decode()
            return answer

    def legs(self) -> int:
        """How many sessions there are: its own count, since its list of channels is late."""
        return _number(r"(\d+) session\(s\) - peak", self.ask("status"))

    def all(self) -> str:
        """All of them, for a message."""
        return self.ask("show channels")


def console(kind: str, folder: Path) -> AsteriskConsole | FreeSwitchConsole:
    """The console of a lab's PBX."""
    return FreeSwitchConsole(folder) if kind == "freeswitch" else AsteriskConsole(folder)


def _number(pattern: str, told: str) -> int:
    found = re.search(pattern, told, re.MULTILINE)
    assert found, told
    return int(found[1])
