"""Bringing labs up and down: what `patchbay lab` and the tests call."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.lab import process
from controller.lab.asterisk import AsteriskFailed, asterisk_root
from controller.lab.freeswitch import FreeSwitchFailed, freeswitch_program
from controller.lab.keeper import short
from controller.lab.options import Options, Part
from controller.lab.phones.client import Phones
from controller.lab.phones.launch import project

Description = dict[str, Any]  # what `patchbay lab up --json` prints; see room.Room.describe
_MARK = ".patchbay-lab"  # in a folder that is ours to empty
STOPS_WITHIN_S = 120.0


class LabFailed(RuntimeError):
    """The lab could not be brought up, or did not do what it was told."""


class NoLab(LookupError):
    """No lab is up in that folder."""


def default_folder() -> Path:
    """Where a lab without `--dir` lies: a short path that the PBX's own user can reach."""
    return Path(tempfile.gettempdir()) / f"patchbay-lab-{os.geteuid()}"


def up(options: Options) -> Description:
    """Start a lab and return once it is ready.  Raises LabFailed, leaving nothing running."""
    for program, package in {"sipp": "sip-tester"}.items():
        if shutil.which(program) is None:
            raise LabFailed(f"{program} is not installed; on Debian: apt-get install {package}")
    try:
        root = asterisk_root() if "asterisk" in options.kinds else Path()
        if "freeswitch" in options.kinds:
            options = replace(options, freeswitch=str(freeswitch_program(options.freeswitch)))
    except (AsteriskFailed, FreeSwitchFailed) as error:
        raise LabFailed(str(error)) from error
    lock = _take(options.folder)
    try:
        _empty(options.folder)
        told = _run_keeper(options, root, lock)
    finally:
        os.close(lock)
    if "error" in told:
        raise LabFailed(told["error"])
    return told


def down(folder: Path) -> None:
    """End the lab in ``folder``; what it recorded and logged stays.  Raises NoLab."""
    keeper = _read(folder)["pids"]["keeper"]
    ask_keeper(folder, "down")
    _wait_until_gone(keeper)


def status(folder: Path) -> Description:
    """The description of a running lab, with `alive`: which of its processes run.  Raises NoLab."""
    description = ask_keeper(folder, "status")
    description["alive"] = {name: process.alive(pid) for name, pid in description["pids"].items()}
    return description


def restart(folder: Path, part: Part) -> Description:
    """Start a part again, whether it still runs or not.  Raises NoLab, LabFailed."""
    return ask_keeper(folder, "restart", part=part)


def phones(folder: Path) -> Phones:
    """A connection to the lab's phones.  Raises NoLab, PhonesError."""
    return Phones(_read(folder)["ports"]["phones_control"])


def ask_keeper(folder: Path, do: str, **more: str) -> Description:
    """One request to a lab's keeper.  Raises NoLab, LabFailed."""
    answer: Description = {}
    try:
        path, descriptor = short(folder)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(STOPS_WITHIN_S)
                connection.connect(path)
                with connection.makefile("rwb") as lines:
                    lines.write(json.dumps({"do": do, **more}).encode() + b"\n")
                    lines.flush()
                    answer = json.loads(lines.readline() or b'{"error": "the keeper has gone"}')
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NoLab(f"no lab is up in {folder}; start one with: patchbay lab up --dir {folder}") from None
    except TimeoutError:
        raise LabFailed(f"the lab's keeper does not answer within {STOPS_WITHIN_S} s") from None
    if "error" in answer:
        raise LabFailed(answer["error"])
    return answer


def _read(folder: Path) -> Description:
    try:
        description: Description = json.loads((folder / "lab.json").read_text())
    except FileNotFoundError:
        raise NoLab(f"no lab is up in {folder}; start one with: patchbay lab up --dir {folder}") from None
    return description


def _take(folder: Path) -> int:
    """The lock of a folder that is new, empty or left by an ended lab.  Raises LabFailed rather than touch another's."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise LabFailed(f"{folder} holds other things; name an empty folder or one of an earlier lab")
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise LabFailed(f"a lab is up already in {folder}; see: patchbay lab status --dir {folder}") from None
    return lock


def _empty(folder: Path) -> None:
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    (folder / _MARK).write_text("This folder belongs to `patchbay lab`, which empties it.\n")


def _run_keeper(options: Options, root: Path, lock: int) -> Description:
    """Start the keeper and wait for its word.  Should we die meanwhile, the pipe closes and it gives up."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        with open(options.folder / "keeper.log", "ab") as log:
            command = [sys.executable, "-m", "controller.lab.keeper", json.dumps(options.as_json()), str(root), str(write_end)]
            keeper = subprocess.Popen(
                command,
                cwd=project(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write_end, lock],
                start_new_session=True,
            )
    finally:
        os.close(write_end)
    try:
        with os.fdopen(read_end) as pipe:
            text = pipe.read()
    except BaseException:  # Ctrl-C: what has begun is taken back before we go
        keeper.terminate()
        keeper.wait(STOPS_WITHIN_S)
        raise
    if not text:
        keeper.wait(STOPS_WITHIN_S)
        raise LabFailed(f"the lab's keeper ended:\n{(options.folder / 'keeper.log').read_text()[-2000:]}")
    told: Description = json.loads(text)
    if "error" in told:
        keeper.wait(STOPS_WITHIN_S)
    keeper.returncode = 0  # it goes on without us: no warning that it still runs
    return told


def _wait_until_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not process.wait_gone(descriptor, STOPS_WITHIN_S):
            raise LabFailed(f"the lab's keeper {pid} does not end")
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)  # where it was a child of ours
    finally:
        os.close(descriptor)
    _wait_until_buried(pid)


def _wait_until_buried(pid: int, patience_s: float = 2.0) -> None:
    """Until whoever adopted an ended process has taken note of it: till then `ps` shows a zombie."""
    deadline = time.monotonic() + patience_s
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
