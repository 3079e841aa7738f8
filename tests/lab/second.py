"""A second Asterisk beside a lab's own, which nobody told the controller of: tests add it while the controller runs."""

import os
import re
import secrets
from pathlib import Path
from typing import Any, Self

from controller.config import Node, load
from controller.lab.asterisk import Asterisk, asterisk_root
from controller.lab.ports import claim_ports
from controller.rendering import render
from tests.lab.far_end import Lab
from tests.lab.proxy import Proxy

NAME = "asterisk-2"
LOST_AFTER_S = 3


class SecondAsterisk:
    """The PBX, and a proxy before its AMI that can be cut; started by `with`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.ports, self._claim = claim_ports(rtp_blocks=2)
        self.spool = lab.folder / "spool" / NAME
        node = Node.model_validate(self._document(self.ports.ami))
        settings = load(lab.folder / "patchbay.yaml")
        trunks = tuple(trunk.model_copy(update={"nodes": ()}) for trunk in settings.trunks)
        files = render(settings.model_copy(update={"nodes": (node,), "trunks": trunks}), node)
        self.asterisk = Asterisk(lab.folder / NAME, asterisk_root(say=False), files, NAME)
        self.proxy = Proxy(self.ports.ami)

    def _document(self, ami: int) -> dict[str, Any]:
        if not hasattr(self, "_secrets"):
            self._secrets = [secrets.token_hex(16) for _ in range(2)]
        here = "127.0.0.1"
        return {
            "name": NAME,
            "kind": "asterisk",
            "ami": {"host": here, "port": ami, "username": "patchbay", "secret": self._secrets[0]},
            "hook": {"host": here, "port": self.ports.hook, "token": self._secrets[1]},
            "sip": {
                "host": here,
                "port": self.ports.sip,
                "rtp_first": self.ports.rtp_first,
                "rtp_last": self.ports.rtp_last,
                "t1_ms": 100,
            },
            "spool": str(self.spool),
            "prompts": str(self._lab.folder / "prompts"),
            "lost_after_s": LOST_AFTER_S,
        }

    @property
    def document(self) -> dict[str, Any]:
        """What is posted to have it as a node: by way of the proxy."""
        return self._document(self.proxy.port)

    @property
    def secret_words(self) -> list[str]:
        """What must never be shown."""
        return self._secrets

    def __enter__(self) -> Self:
        self.spool.mkdir(parents=True, exist_ok=True)
        if self.asterisk.user is not None:
            os.chown(self.spool, self.asterisk.user.uid, self.asterisk.user.gid)
        try:
            self.asterisk.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.asterisk.stop()
        self.proxy.__exit__()
        self._claim.release()

    def channels(self) -> int:
        """How many it has."""
        found = re.search(r"^(\d+) active channels?", self.asterisk.ctl("core show channels count"), re.MULTILINE)
        assert found
        return int(found[1])

    def logs(self) -> list[Path]:
        """What it has logged."""
        return [path for path in (self.asterisk.folder / "log").rglob("*") if path.is_file()]
