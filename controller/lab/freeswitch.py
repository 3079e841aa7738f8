"""One real FreeSWITCH in a folder of its own, from a program that is at hand, with the configuration it is given."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from controller.lab import process

PROGRAM = "PATCHBAY_FREESWITCH"
"""The environment variable that names the program, for example ``/usr/bin/freeswitch``."""
_FOLDERS = ("conf", "log", "db", "run", "tmp", "spool", "storage", "cache", "sounds", "scripts", "certs", "grammar", "htdocs")
_OPTIONS = {
    "conf": "-conf",
    "log": "-log",
    "db": "-db",
    "run": "-run",
    "tmp": "-temp",
    "spool": "-recordings",
    "storage": "-storage",
    "cache": "-cache",
    "sounds": "-sounds",
    "scripts": "-scripts",
    "certs": "-certs",
    "grammar": "-grammar",
    "htdocs": "-htdocs",
}


class FreeSwitchFailed(RuntimeError):
    """FreeSWITCH is not at hand, or could not be started."""


def freeswitch_program(named: str | None = None) -> Path:
    """A FreeSWITCH: ``named``, else what the environment names, else the one on PATH.  Raises FreeSwitchFailed."""
    named = named or os.environ.get(PROGRAM, "") or shutil.which("freeswitch") or ""
    if not named or not os.access(named, os.X_OK):
        raise FreeSwitchFailed(f"no FreeSWITCH is at hand; name one by {PROGRAM}=/path/to/freeswitch")
    return Path(named)


def version(program: Path) -> str:
    """Which FreeSWITCH it is, for example `FreeSWITCH version: 1.10.12-release`."""
    told = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=True)
    return told.stdout.strip()


class FreeSwitch:
    """One instance.

    ``files``: the whole configuration by file name; ``esl_port``: where its event socket will answer once it is ready.  As
    root it runs as `nobody`, where that user can reach ``folder``.
    """

    def __init__(self, folder: Path, program: Path, files: Mapping[str, str], esl_port: int) -> None:
        self.folder = folder.resolve()
        self.program = program.resolve()
        self._files = dict(files)
        self._esl_port = esl_port
        user = process.unprivileged()
        self.user = user if user and process.reachable(self.folder) else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return self._process.pid if self._process else None

    def write(self) -> None:
        """Make the folders and write the configuration."""
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "log").chmod(0o750)  # FreeSWITCH puts its whole configuration there, secrets and all
        for name, text in self._files.items():
            path = self.folder / "conf" / name
            path.write_text(text)
            path.chmod(0o640)
        self._give_away()

    def start(self, ready_within_s: float = process.READY_WITHIN_S) -> None:
        """Start it and wait until its event socket answers, which it does last.  Raises FreeSwitchFailed."""
        self.write()
        # -np: no real-time priority, which it would get as root and starve the machine; -nf -c: stay our child
        command: list[str | Path] = [self.program, "-nonat", "-nf", "-c", "-np"]
        for name, option in _OPTIONS.items():
            command += [option, self.folder / name]
        env = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TZ")}
        env["HOME"] = str(self.folder)
        self._process = process.start(command, self.folder / "log" / "stdout", self.folder, self.user, env=env)
        self._wait_until_it_answers(self._process, ready_within_s)

    def ended(self) -> bool:
        """Whether it has ended by itself, or never ran."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """End it and its calls; it takes some 5 s."""
        process.stop(self._process, patience_s=10.0)
        self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            process.kill(self._process)
            self._process = None

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same configuration."""
        self.stop()
        self.start()

    def _wait_until_it_answers(self, started: subprocess.Popen[bytes], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not self._answers():
            if started.poll() is not None or time.monotonic() > deadline:
                process.kill(started)
                raise FreeSwitchFailed(f"FreeSWITCH does not start:\n{self._last_words()}")
            time.sleep(0.02)  # nothing says when its event socket will be there

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._esl_port), 1.0) as probe:
                return probe.recv(64).startswith(b"Content-Type: auth/request")
        except OSError:
            return False

    def _last_words(self) -> str:
        return (self.folder / "log" / "stdout").read_text(errors="replace")[-2000:]

    def _give_away(self) -> None:
        """Let the user that it runs as write where it must, and read its configuration."""
        if self.user is None:
            return
        for top in _FOLDERS:
            for folder, _, files in os.walk(self.folder / top):
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, self.user.uid, self.user.gid, follow_symlinks=False)
