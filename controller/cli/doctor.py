"""`patchbay doctor`: what may keep this installation from working, and what to do about it."""

import ctypes
import os
import platform
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import click
import httpx2

from controller.cli.common import FAILED, Ended, print_json
from controller.cli.local import configured
from controller.config import Ami, Esl, Node, Settings

LIBRARIES = (
    "patchbay",
    "panoramisk",
    "greenswitch",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "asyncpg",
    "phonenumbers",
)
TIMEOUT_S = 3.0
LEAST_FREE = 2 * 1024**3
FILES_A_CALL = 2
SPARE_FILES = 1024
LONGEST_VERSION = 200
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    cure: str = ""


@click.command("doctor")
@configured
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(settings: Settings, as_json: bool) -> None:
    """Look for what is wrong with this installation, and say what to do.  Exit code 1 when something must be mended."""
    found = [finding for check in CHECKS for finding in check(settings)]
    faults = [finding for finding in found if finding.level == "fault"]
    if as_json:
        print_json({"ok": not faults, "findings": [asdict(finding) for finding in found]})
    for finding in () if as_json else found:
        click.echo(f"{finding.level:<8} {finding.what}" + (f"\n         -> {finding.cure}" if finding.cure else ""))
    if faults:
        raise Ended(f"{len(faults)} thing{'s' if len(faults) > 1 else ''} to mend", FAILED)


def _versions(_settings: Settings) -> Iterator[Finding]:
    yield Finding("ok", f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    for name in LIBRARIES:
        try:
            yield Finding("ok", f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("fault", f"{name} is not installed", "install Patchbay again: pip install patchbay")


def _controller(settings: Settings) -> Iterator[Finding]:
    host = "127.0.0.1" if settings.listen.host in ("0.0.0.0", "::") else settings.listen.host
    base = f"http://{f'[{host}]' if ':' in host else host}:{settings.listen.port}"
    try:
        answer = httpx2.get(base + "/readyz", timeout=TIMEOUT_S, trust_env=False)
    except httpx2.HTTPError:
        yield Finding("warning", f"no controller answers on {base}", "start it: patchbay serve")
        return
    if answer.status_code == 200:
        yield Finding("ok", f"the controller on {base} is ready")
    else:
        yield Finding("fault", f"the controller on {base} is not ready: {answer.text[:300]}", "mend what it names")


def _nodes(settings: Settings) -> Iterator[Finding]:
    """The nodes and trunks of the configuration, and those that were added at run time."""
    from controller.cli.added import with_added

    try:
        settings = with_added(settings)
    except Ended as ended:
        why = ended.message.partition(";")[0]
        yield Finding("warning", f"{why}, so added nodes and trunks are not looked at", "is it running, and up to date?")
    if not settings.nodes:
        yield Finding("fault", "no PBX is configured", "add one under `nodes:`, or with patchbay node add")
    if not settings.trunks:
        yield Finding("fault", "no trunk is configured", "add one under `trunks:`, or with patchbay trunk add")
    for node in settings.nodes:
        try:
            yield _reach(node)
        except OSError as error:
            yield Finding(
                "fault", f"node {node.name} cannot be reached ({error.strerror or error})", "is the PBX running there?"
            )


def _reach(node: Node) -> Finding:
    """Log in the way the driver does.  Raises OSError."""
    if node.ami is not None:
        return _asterisk(node.name, node.ami)
    assert node.esl is not None
    return _freeswitch(node.name, node.esl)


def _freeswitch(name: str, esl: Esl) -> Finding:
    password = esl.password.get_secret_value()
    if not password.isprintable():
        return Finding("fault", f"node {name}: the password has a character that none may have", "change `esl.password`")
    with socket.create_connection((esl.host, esl.port), TIMEOUT_S) as link, link.makefile("rwb") as wire:
        link.settimeout(TIMEOUT_S)
        greeting = _block(wire.readline).get("Content-Type")
        if greeting == "text/rude-rejection":
            return Finding("fault", f"node {name}: FreeSWITCH refuses our address", "let it in: patchbay config render")
        if greeting != "auth/request":
            return Finding("fault", f"node {name}: what listens there is no event socket", "look at `esl:` and its port")
        wire.write(f"auth {password}\n\n".encode())
        wire.flush()
        if not _block(wire.readline).get("Reply-Text", "").startswith("+OK"):
            return Finding(
                "fault",
                f"node {name}: FreeSWITCH refuses the password",
                "render its event_socket.xml again: patchbay config render",
            )
        wire.write(b"api version short\n\n")
        wire.flush()
        told = _block(wire.readline).get("Content-Length", "0")
        version = wire.read(min(int(told), LONGEST_VERSION)).decode("ascii", "replace").strip() if told.isdecimal() else ""
    return Finding("ok", f"node {name}: FreeSWITCH {version or '(version not told)'} lets us in")


def _asterisk(name: str, ami: Ami) -> Finding:
    with socket.create_connection((ami.host, ami.port), TIMEOUT_S) as link, link.makefile("rwb") as wire:
        link.settimeout(TIMEOUT_S)
        if not wire.readline().startswith(b"Asterisk Call Manager/"):
            return Finding("fault", f"node {name}: what listens there is no Asterisk manager", "look at `ami:` and its port")
        secret = ami.secret.get_secret_value()
        if not secret.isprintable():
            return Finding(
                "fault", f"node {name}: the secret has a character that no AMI secret may have", "change `ami.secret`"
            )
        wire.write(f"Action: Login\r\nUsername: {ami.username}\r\nSecret: {secret}\r\nEvents: off\r\n\r\n".encode())
        wire.flush()
        if _block(wire.readline).get("Response") != "Success":
            return Finding(
                "fault", f"node {name}: Asterisk refuses the login", "render its manager.conf again: patchbay config render"
            )
        wire.write(b"Action: CoreSettings\r\n\r\n")
        wire.flush()
        told: dict[str, str] = {}
        while "AsteriskVersion" not in told and told.get("Response") != "Error":
            told = _block(wire.readline)
    return Finding("ok", f"node {name}: Asterisk {told.get('AsteriskVersion', '(version not told)')} lets us in")


def _block(readline: Callable[[], bytes]) -> dict[str, str]:
    """One message of AMI, or the head of one of the event socket.  Raises OSError."""
    found: dict[str, str] = {}
    while (line := readline()) not in (b"\r\n", b"\n"):
        if not line:
            raise OSError("the link was closed")
        name, _, value = line.decode("utf-8", "replace").partition(":")
        found[name] = value.strip()
    return found


def _folders(settings: Settings) -> Iterator[Finding]:
    wanted = [("recordings", settings.recordings.folder)]
    wanted += [(f"the spool of {node.name}", node.spool) for node in settings.nodes]
    if settings.database.url.startswith("sqlite:///"):
        wanted.append(("the database's folder", Path(settings.database.url.removeprefix("sqlite:///")).resolve().parent))
    for name, folder in wanted:
        near = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
        if not os.access(near, os.R_OK | os.W_OK | os.X_OK):
            yield Finding("fault", f"{name}: {near} cannot be written by this user", f"chown or chmod {near}")
        elif (free := shutil.disk_usage(near).free) < LEAST_FREE:
            yield Finding("warning", f"{name}: {free / 1024**3:.1f} GB left in {near}", "make room before calls fail")
        else:
            yield Finding("ok", f"{name}: {folder}, {free / 1024**3:.0f} GB free")


def _limits(settings: Settings) -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SPARE_FILES + FILES_A_CALL * sum(node.capacity for node in settings.nodes)
    if files < wanted:
        yield Finding(
            "warning", f"this process may open {files} files, {wanted} are wanted", f"ulimit -n {wanted}, or LimitNOFILE="
        )
    else:
        yield Finding("ok", f"this process may open {files} files")


def _clock(_settings: Settings) -> Iterator[Finding]:
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(1024))
    except (OSError, AttributeError):
        state = -1
    if state == TIME_ERROR:
        yield Finding("warning", "the clock is not synchronised", "run chrony or systemd-timesyncd: records bear its time")
    elif state < 0:
        yield Finding("warning", "nobody can say whether the clock is synchronised", "see that the host runs NTP")
    else:
        yield Finding("ok", "the clock is synchronised")


CHECKS = (_versions, _nodes, _controller, _folders, _limits, _clock)
