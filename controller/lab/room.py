"""One running lab: PBXes, phones and controller, started and ended together.  Lives in the keeper's process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from controller import assets
from controller.config import Node, Settings, load
from controller.lab import process, prompts
from controller.lab.api import fill_pool, open_policy, own_numbers, wait_until_ready
from controller.lab.asterisk import Asterisk
from controller.lab.freeswitch import FreeSwitch, freeswitch_program
from controller.lab.options import NODES, Options, Part, settings_document
from controller.lab.phones.launch import PhonesProcess
from controller.lab.phones.table import DISPLAY, MORE_PHONES, PHONES, POOL, PREFIX, Phone
from controller.lab.ports import claim_ports
from controller.rendering import render

_ADMIN_KEY = re.compile(r"\bpb_[A-Za-z0-9_-]{16,}")


class Room:
    """The parts of one lab.  ``root``: where Asterisk is, if the lab has one; ``check``: called between steps, raises to give
    up.
    """

    def __init__(self, options: Options, root: Path, check: Callable[[], None]) -> None:
        self.options, self._root, self._check = options, root, check
        self.folder = options.folder
        self.ports, self._claim = claim_ports(options.rtp_blocks, two=len(options.kinds) > 1)
        self._config = self.folder / "patchbay.yaml"
        self._key = ""
        self._controller: subprocess.Popen[bytes] | None = None
        self._write_settings()
        settings = load(self._config)
        self._pbxes = {node.kind: self._pbx(settings, node) for node in settings.nodes}
        self._phones = PhonesProcess(
            self.folder / "phones",
            self.ports.phones_sip,
            self.ports.sip,
            self.ports.media_base,
            self.ports.phones_control,
            sorted(prompts.tones().values()) if options.prompts == "tones" else (),
        )

    def start(self) -> None:
        """Start everything.  Raises what the parts raise; then `stop` is still to be called."""
        self._make_folders()
        for step in (self._phones.start, *(pbx.start for pbx in self._pbxes.values()), self._start_controller):
            self._check()
            step()
        if self._key:
            own_numbers(self.ports.api, self._key, DISPLAY)
            fill_pool(self.ports.api, self._key, "lab", POOL)
            open_policy(self.ports.api, self._key, PREFIX)
        self._check()

    def stop(self) -> None:
        """End everything, the controller first, and give the ports back."""
        self._stop_controller()
        self._phones.stop()
        for pbx in self._pbxes.values():
            pbx.stop()
        self._claim.release()

    def restart(self, part: Part) -> None:
        """Start a part again, whether it still runs or not; ports, keys and data stay.  Raises LookupError."""
        if part == "controller":
            self._stop_controller()
            self._start_controller()
        elif part == "phones":
            self._phones.stop()
            self._phones.start()
        elif part not in self._pbxes:
            raise LookupError(f"this lab has no {part}")
        else:
            self._pbxes[part].restart()
            if self._controller is not None and self._controller.poll() is None:
                self._wait_for_controller()

    def bury(self) -> None:
        """Take note of processes that have ended, so that they are no zombies."""
        for pbx in self._pbxes.values():
            pbx.ended()
        self._phones.ended()
        if self._controller is not None:
            self._controller.poll()

    def describe(self) -> dict[str, Any]:
        """What `patchbay lab up --json` prints; `controller_log` and the like are additions to the contract."""
        pids: dict[str, int | None] = {kind: pbx.pid for kind, pbx in self._pbxes.items()}
        pids["phones"] = self._phones.pid
        if self._controller is not None:
            pids["controller"] = self._controller.pid
        return {
            "dir": str(self.folder),
            "api": f"http://127.0.0.1:{self.ports.api}",
            "api_key": self._key,
            "nodes": [{"name": NODES[kind], "kind": kind} for kind in self.options.kinds],
            "pids": pids,
            "display": list(DISPLAY),
            "pool": list(POOL),
            "phones": [_told(phone) for phone in PHONES],
            "more_phones": [_told(phone) for phone in MORE_PHONES],
            "ports": {name: port for name in self.ports.__slots__ if (port := getattr(self.ports, name))},
            "prompts": prompts.tones() if self.options.prompts == "tones" else {},
        }

    def _write_settings(self) -> None:
        spoken = assets.prompts()
        if self.options.prompts == "tones":
            spoken = self.folder / "prompts"
            prompts.write_tones(spoken)
        document = settings_document(self.options, self.ports, spoken)
        self._config.touch(mode=0o600)
        self._config.write_text("# Written by `patchbay lab up`.\n" + yaml.safe_dump(document, sort_keys=False))

    def _pbx(self, settings: Settings, node: Node) -> Asterisk | FreeSwitch:
        """One PBX, rendered from the settings."""
        folder, files = self.folder / node.kind, render(settings, node)
        if node.kind == "asterisk":
            return Asterisk(folder, self._root, files, node.name)
        return FreeSwitch(folder, freeswitch_program(self.options.freeswitch), files, self.ports.esl)

    def _make_folders(self) -> None:
        (self.folder / "recordings").mkdir(exist_ok=True)
        for kind, pbx in self._pbxes.items():
            spool = self.folder / "spool" / kind
            spool.mkdir(parents=True, exist_ok=True)
            if pbx.user is not None:
                os.chown(spool, pbx.user.uid, pbx.user.gid)

    def _start_controller(self) -> None:
        if not self.options.controller:
            return
        out = self.folder / "controller.out"
        out.touch(mode=0o600)
        command = [*_patchbay(), "serve", "--config", self._config]
        self._controller = process.start(command, self.folder / "controller.log", self.folder, out=out)
        self._wait_for_controller()
        if not self._key:
            found = _ADMIN_KEY.search(out.read_text())
            self._key = found[0] if found else ""

    def _wait_for_controller(self) -> None:
        """Until it is ready, with every PBX that runs."""
        started = self._controller
        if started is not None:
            running = [NODES[kind] for kind, pbx in self._pbxes.items() if not pbx.ended()]
            wait_until_ready(self.ports.api, lambda: started.poll() is None, running)

    def _stop_controller(self) -> None:
        process.stop(self._controller, patience_s=8.0)
        self._controller = None


def _patchbay() -> list[str | Path]:
    script = Path(sys.executable).with_name("patchbay")
    return [script] if script.exists() else [sys.executable, "-m", "cli"]


def _told(phone: Phone) -> dict[str, Any]:
    return {"number": phone.number, "behaviour": phone.behaviour, "tone_hz": phone.tone_hz, "keys": phone.keys}


def save(description: dict[str, Any], folder: Path) -> None:
    """Keep the description for `lab status`, readable by its owner: it bears the key."""
    path = folder / "lab.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(description))
