"""Starting and ending the lab's processes so that none outlives who started it.

Each gets the kernel's parent-death signal, so even `kill -9` of the parent takes it along; each leads a process group
of its own, so Ctrl-C in a terminal reaches only who is to decide; and none inherits a pipe that it was not given.
"""

import ctypes
import os
import pwd
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

READY_WITHIN_S = 45.0
"""How long each part of a lab may take to be ready: beside others that want the processors, too."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class User:
    """Whom a process runs as."""

    uid: int
    gid: int


def unprivileged() -> User | None:
    """The user that a root's lab runs its PBX as; None when we are not root, and so need none."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return User(nobody.pw_uid, nobody.pw_gid)


def reachable(path: Path) -> bool:
    """Whether anybody may walk down to ``path``: else another user's process cannot work there."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str | Path],
    log: Path,
    folder: Path,
    user: User | None = None,
    keep_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    out: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in ``folder``; what it prints goes to the end of ``log``, its standard output to ``out`` if given.

    Raises OSError when it cannot start.
    """
    with open(log, "ab") as errors, open(out or log, "ab") as printed:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=errors,
            pass_fds=tuple(keep_fds),
            start_new_session=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            preexec_fn=_die_with_parent,  # after the ids have changed, which would clear it; no threads here
        )


def stop(process: subprocess.Popen[bytes] | None, patience_s: float = 3.0) -> None:
    """End a process and its group, politely first."""
    if process is None:
        return
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def wait_gone(pidfd: int, timeout_s: float) -> bool:
    """Whether the process of a pidfd (`os.pidfd_open`) ends within ``timeout_s``."""
    return bool(select.select([pidfd], [], [], timeout_s)[0])


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
