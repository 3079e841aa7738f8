"""The room of a benchmark: one PBX, two load phones, and, where it is asked for, a controller of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

import yaml
from pydantic import SecretStr

from controller.bench import phones, raw
from controller.config import (
    Access,
    Ami,
    Database,
    Esl,
    Hook,
    Listen,
    Node,
    Queue,
    Recordings,
    Settings,
    SipBind,
    Trunk,
    TrunkSip,
    Webhooks,
)
from controller.config_policy import CallingHours, Policy
from controller.drivers.asterisk.render import render
from controller.drivers.freeswitch.render import render as render_freeswitch
from controller.lab import process
from controller.lab.asterisk import Asterisk, asterisk_root
from controller.lab.claim import Claim
from controller.lab.freeswitch import FreeSwitch, freeswitch_program

CALLER, CALLEE, DISPLAY = "+14155551001", "+14155552001", "+14155550100"
UNBOUND = 10_000
SECRET = "bench-secret-on-loopback"  # noqa: S105 - of a PBX that lives for the bench
Kind = Literal["asterisk", "freeswitch"]
PRIORITY = ("nice", "-n", "-10") if os.geteuid() == 0 else ()
"""The controller goes first, as its systemd unit says: it needs little, and everything waits for it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a callback is made of here.  ``hold_s``: how long the parties talk; ``alive``: calls that the controller may have
    up at once."""

    rtp: bool = True
    record: bool = True
    hold_s: int = 1
    alive: int = 150

    @property
    def label(self) -> str:
        """In words, for tables."""
        return "SIP" + (" + RTP" if self.rtp else "") + (" + recording" if self.record else "")


class Room:
    """Everything of one benchmark, in a folder that goes with it."""

    def __init__(self, load: Load, kind: Kind = "asterisk", phones: bool = True, dialplan: str = "") -> None:
        """``phones``: start the load phones; ``dialplan``: more for Asterisk's."""
        self.load, self.kind, self._phones, self._dialplan = load, kind, phones, dialplan
        self.folder = Path(tempfile.mkdtemp(prefix="patchbay-bench-"))
        self.folder.chmod(0o755)
        self._claim = claim = Claim(101)
        self.sip, self.ami, self.hook, self.api, self._near, self._far = (claim.free() for _ in range(6))
        self._first_rtp = claim.first + 100
        self.settings = self._settings(self._near, self._far, self._first_rtp)
        self.node = self.settings.nodes[0]
        self.pbx: Asterisk | FreeSwitch = self._asterisk() if kind == "asterisk" else self._freeswitch()
        self._sipp: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Room":
        for path in (self.node.spool, self.folder / "recordings"):
            path.mkdir()
        if self.pbx.user is not None:
            shutil.chown(self.node.spool, self.pbx.user.uid, self.pbx.user.gid)
        self.pbx.start()
        rtp = self._first_rtp
        if not self._phones:
            return self
        for name, port, first, hz in (("callers", self._near, rtp + 2000, 440), ("callees", self._far, rtp + 6000, 1000)):
            sound = phones.tone(self.folder / f"{name}.ul", hz) if self.load.rtp else None
            self._sipp.append(phones.start(self.folder, name, port, first, sound))
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        for one in self._sipp:
            process.kill(one)
        self.pbx.stop()
        self._claim.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def far(self) -> int:
        """Where callees are called."""
        return self._far

    def _settings(self, near: int, far: int, first_rtp: int) -> Settings:
        def trunk(name: str, prefix: str, port: int) -> Trunk:
            sip = TrunkSip(host="127.0.0.1", port=port, codecs=("ulaw",))
            return Trunk(name=name, prefixes=(prefix,), calls_per_second=UNBOUND, concurrent=UNBOUND, sip=sip)

        asterisk = self.kind == "asterisk"
        node = Node(
            name="pbx1",
            kind=self.kind,
            ami=Ami(port=self.ami, secret=SecretStr(SECRET)) if asterisk else None,
            hook=Hook(port=self.hook, token=SecretStr("bench-token-on-loopback")) if asterisk else None,
            esl=None if asterisk else Esl(port=self.ami, password=SecretStr(SECRET)),
            sip=SipBind(host="127.0.0.1", port=self.sip, rtp_first=first_rtp, rtp_last=first_rtp + 1999),
            spool=self.folder / "spool",
            capacity=UNBOUND,
        )
        return Settings(
            listen=Listen(port=self.api),
            database=Database(url=f"sqlite:///{self.folder}/patchbay.db"),
            nodes=(node,),
            trunks=(trunk("callers", "+14155551", near), trunk("callees", "+14155552", far)),
            queue=Queue(tenant_calls_per_second=UNBOUND, tenant_concurrent=self.load.alive),
            recordings=Recordings(folder=self.folder / "recordings"),
            webhooks=Webhooks(allow_private=("127.0.0.0/8",)),
            access=Access(requests_per_second=UNBOUND),
            policy=Policy(allow=("+1415555",), hours=CallingHours(open="00:00", close="24:00"), calls_per_callee_24h=1_000_000),
        )

    def _asterisk(self) -> Asterisk:
        files = render(self.settings, self.node)
        hold_ms = self.load.hold_s * 1000
        files["extensions.conf"] += raw.dialplan(CALLEE, "callees", DISPLAY, hold_ms, self.load.record)
        files["extensions.conf"] += self._dialplan
        files["manager.conf"] += raw.manager()
        return Asterisk(self.folder / "pbx", asterisk_root(), files, name="bench")

    def _freeswitch(self) -> FreeSwitch:
        files = render_freeswitch(self.settings, self.node)
        return FreeSwitch(self.folder / "pbx", freeswitch_program(), files, self.ami)

    # --- the controller

    def allow(self, alive: int) -> None:
        """How many calls the next controller may have up at once."""
        self.load = replace(self.load, alive=alive)
        self.settings = self._settings(self._near, self._far, self._first_rtp)

    def start_controller(self) -> tuple[subprocess.Popen[bytes], str]:
        """Start `patchbay serve` on the room's settings; its process and an API key."""
        config = self.folder / "patchbay.yaml"
        config.write_text(yaml.safe_dump(_plain(self.settings)))
        patchbay = [sys.executable, "-m", "cli"]
        made = subprocess.run(
            [*patchbay, "key", "create", "bench", "--local", "--config", str(config), "--json"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        key = str(json.loads(made.stdout)["key"])
        serving = process.start(
            [*PRIORITY, *patchbay, "serve", "--config", str(config)], self.folder / "controller.log", self.folder
        )
        return serving, key


def _plain(settings: Settings) -> object:
    """Settings as the YAML file has them, secrets included."""

    def plain(value: object) -> object:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item is not None}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return plain(settings.model_dump())
