"""`patchbay lab`: up, side by side, and gone without a trace, whoever dies."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from controller.lab.claim import is_free
from controller.lab.freeswitch import PROGRAM
from controller.lab.phones.client import Phones

PATCHBAY = [sys.executable, "-m", "cli", "lab"]
ROOT = Path(__file__).resolve().parents[2]
_NUMBERS = count(1)


def run(*words: str, timeout_s: float = 60, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A `patchbay lab` command with its output piped: it ends only if nothing in the background holds the pipe."""
    return subprocess.run([*PATCHBAY, *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, env=env)


def processes(folder: Path) -> dict[int, str]:
    """Every running process that names ``folder`` in its command line, zombies and ourselves apart."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"{folder}/" in words or f"{folder} " in words or f'{folder}"' in words:
            found[int(entry.name)] = words
    return found


def wait_until_none(folder: Path, timeout_s: float = 10) -> None:
    """Until no process of a lab is left, each watched through its pidfd."""
    deadline = time.monotonic() + timeout_s
    while left := processes(folder):
        assert time.monotonic() < deadline, f"left behind: {left}"
        for pid in left:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            with os.fdopen(descriptor):
                signal_on_end(descriptor, deadline - time.monotonic())


def signal_on_end(descriptor: int, timeout_s: float) -> None:
    """Return when the process of a pidfd ends, or after ``timeout_s``."""
    select.select([descriptor], [], [], max(0, timeout_s))


@pytest.fixture
def folder(short_folder: Path) -> Iterator[Path]:
    """A folder for a lab, which is down afterwards whatever the test did."""
    path = short_folder / f"l{next(_NUMBERS)}"
    yield path
    if (path / "lab.json").exists():
        run("down", "--dir", str(path))
    wait_until_none(path)


Up = Callable[..., dict[str, object]]


@pytest.fixture
def up(pbx_kind: str) -> Up:
    """Starts a lab without a controller."""
    return partial(_up, pbx_kind)


def _up(pbx: str, folder: Path, *more: str) -> dict[str, object]:
    done = run("up", "--pbx", pbx, "--dir", str(folder), "--no-controller", "--json", *more)
    assert done.returncode == 0, done.stderr
    description: dict[str, object] = json.loads(done.stdout)
    return description


def pids(description: dict[str, object]) -> dict[str, int]:
    found = description["pids"]
    assert isinstance(found, dict)
    return found


def ports(description: dict[str, object]) -> dict[str, int]:
    found = description["ports"]
    assert isinstance(found, dict)
    return found


def test_up_says_what_there_is_and_down_leaves_nothing(up: Up, pbx_kind: str, folder: Path) -> None:
    description = up(folder)
    assert set(description) >= {"dir", "api", "api_key", "nodes", "pids", "display", "phones"}
    assert description["nodes"] == [{"name": f"{pbx_kind}-1", "kind": pbx_kind}]
    assert set(pids(description)) == {pbx_kind, "phones", "keeper"}
    status = run("status", "--dir", str(folder), "--json")
    assert json.loads(status.stdout)["alive"] == {pbx_kind: True, "phones": True, "keeper": True}
    assert processes(folder)
    assert run("down", "--dir", str(folder)).returncode == 0
    assert processes(folder) == {}
    assert all(is_free(port) for name, port in ports(description).items() if name != "rtp_last")


def test_two_labs_stand_side_by_side_and_one_folder_takes_one(up: Up, pbx_kind: str, folder: Path, short_folder: Path) -> None:
    other = short_folder / "other"
    first, second = up(folder), up(other)
    try:
        assert not set(ports(first).values()) & set(ports(second).values())
        again = run("up", "--dir", str(folder), "--no-controller")
        assert again.returncode == 1
        assert "up already" in again.stderr
        assert run("down", "--dir", str(folder)).returncode == 0
        assert json.loads(run("status", "--dir", str(other), "--json").stdout)["alive"][pbx_kind] is True
    finally:
        run("down", "--dir", str(other))
    wait_until_none(other)


def test_where_no_lab_is_up_every_command_says_so_with_code_3(folder: Path) -> None:
    for words in (["down"], ["status"], ["restart", "asterisk"], ["calls"]):
        done = run(*words, "--dir", str(folder))
        assert done.returncode == 3, words
        assert "no lab is up" in done.stderr


def test_a_folder_with_other_things_is_not_touched(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    done = run("up", "--dir", str(folder), "--no-controller")
    assert done.returncode == 1
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_restart_brings_a_killed_pbx_back_on_its_ports(up: Up, pbx_kind: str, folder: Path) -> None:
    before = up(folder)
    os.kill(pids(before)[pbx_kind], signal.SIGKILL)
    done = run("restart", pbx_kind, "--dir", str(folder), "--json")
    after = json.loads(done.stdout)
    assert pids(after)[pbx_kind] != pids(before)[pbx_kind]
    assert pids(after)["phones"] == pids(before)["phones"]
    assert ports(after) == ports(before)


def test_what_a_lab_does_not_have_cannot_be_restarted(up: Up, pbx_kind: str, folder: Path) -> None:
    up(folder)
    other = {"asterisk": "freeswitch", "freeswitch": "asterisk"}[pbx_kind]
    done = run("restart", other, "--dir", str(folder))
    assert done.returncode == 1
    assert f"this lab has no {other}" in done.stderr


def test_without_a_freeswitch_at_hand_up_says_how_to_name_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sipp").symlink_to(shutil.which("sipp") or "sipp")
    done = run("up", "--pbx", "freeswitch", "--dir", str(folder), env={**os.environ, "PATH": str(tmp_path), PROGRAM: ""})
    assert done.returncode == 1
    assert PROGRAM in done.stderr
    assert not folder.exists()


def test_calls_are_reported_per_phone(up: Up, folder: Path) -> None:
    description = up(folder, "--prompts", "tones")
    with Phones(ports(description)["phones_control"]) as phones:
        phones.place("+14155550101", "+14155550100")
        (ringing,) = phones.wait_for(lambda calls: bool(calls and calls[0]["ringing_at"]))  # there is nobody to take it
        phones.hang_up(ringing["call_id"])
        phones.wait_for(lambda calls: bool(calls[0]["ended_at"]))
    report = json.loads(run("calls", "--dir", str(folder), "--json").stdout)
    first = report["phones"][0]
    assert first["number"] == "+14155550101"
    assert first["invites"] == []  # it called: nobody called it
    assert first["placed"][0]["status"] == 487
    assert first["placed"][0]["at"].endswith("Z")
    assert first["ended_by"] == "phone"


def _as_in_a_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background ignore Ctrl-C, and hand that on


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_that_is_ended_midway_leaves_nothing(pbx_kind: str, folder: Path, number: signal.Signals) -> None:
    command = [*PATCHBAY, "up", "--pbx", pbx_kind, "--dir", str(folder), "--no-controller"]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_as_in_a_terminal,
    )
    deadline = time.monotonic() + 20
    while not any("controller.lab.keeper" in words for words in processes(folder).values()):
        assert time.monotonic() < deadline
        assert started.poll() is None
    os.killpg(started.pid, number)  # as a terminal does with Ctrl-C
    started.communicate(timeout=30)
    assert started.returncode != 0
    wait_until_none(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_lab_ends_with_its_keeper(up: Up, folder: Path, number: signal.Signals) -> None:
    description = up(folder)
    os.kill(pids(description)["keeper"], number)
    wait_until_none(folder)
    assert run("status", "--dir", str(folder)).returncode == 3
    up(folder)  # and another can take its place


def test_a_lab_ends_with_its_owner(up: Up, folder: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    up(folder, "--owner", str(owner.pid))
    assert processes(folder)
    owner.kill()
    owner.communicate()
    wait_until_none(folder)
