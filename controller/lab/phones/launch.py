"""Starting the phones' process, from the lab or from a test."""

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.lab import process
from controller.lab.phones.client import Phones, PhonesError


@dataclass(slots=True)
class PhonesProcess:
    """The phones as a process of their own; see `switchboard.Switchboard` for the ports."""

    folder: Path
    sip_port: int
    pbx_port: int
    media_base: int
    control_port: int
    also_heard_hz: Sequence[int] = ()
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and wait until the phones answer.  Raises PhonesError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            numbers = {
                "--sip-port": self.sip_port,
                "--pbx-port": self.pbx_port,
                "--media-base": self.media_base,
                "--control-port": self.control_port,
                "--ready-fd": write_end,
            }
            words = [str(word) for option in numbers.items() for word in option]
            heard = ",".join(str(hz) for hz in self.also_heard_hz)
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "controller.lab.phones",
                "--dir",
                self.folder,
                *words,
                "--also-heard",
                heard,
            ]
            log = self.folder / "phones.log"
            self._process = process.start(command, log, project(), keep_fds=[write_end])
        finally:
            os.close(write_end)
        self._wait_until_ready(read_end, log)

    def _wait_until_ready(self, read_end: int, log: Path) -> None:
        try:
            ready, _, _ = select.select([read_end], [], [], process.READY_WITHIN_S)
            if not ready or not os.read(read_end, 1):
                self.stop()
                raise PhonesError(f"the phones do not start:\n{log.read_text(errors='replace')[-2000:]}")
        finally:
            os.close(read_end)

    def connect(self) -> Phones:
        """A connection to them."""
        return Phones(self.control_port)

    def ended(self) -> bool:
        """Whether they have ended by themselves, or never ran."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """End them and their SIPp."""
        process.stop(self._process)
        self._process = None


def project() -> Path:
    """Where `controller` can be imported from, installed or not."""
    return Path(__file__).resolve().parents[3]
