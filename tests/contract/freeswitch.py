"""A FreeSWITCH with phones, without a controller: what `tests.lab.far_end.Lab` is for Asterisk, as far as the contract asks."""

from pathlib import Path
from typing import Any, Self

import yaml

from controller.config import load
from controller.drivers.freeswitch.render import render
from controller.lab.claim import BLOCK, Claim
from controller.lab.freeswitch import FreeSwitch, freeswitch_program
from controller.lab.options import TRUNK
from controller.lab.phones.client import Phones
from controller.lab.phones.launch import PhonesProcess
from controller.lab.phones.table import ALL_PHONES
from controller.lab.prompts import tones, write_tone, write_tones
from tests.lab.far_end import LONG_S

RTP_BLOCKS = 4


class Room:
    """The PBX and its phones, started by `with`."""

    def __init__(self, folder: Path, **node: Any) -> None:
        self.folder = folder
        self.phones: Phones
        self._claim = Claim(2 + RTP_BLOCKS)
        base = self._claim.first
        self._claim.skip(BLOCK)
        sip, esl, phones_sip, control = (self._claim.free() for _ in range(4))
        self.sip_port = sip
        prompts = folder / "prompts"
        write_tones(prompts)
        for name, hz in tones().items():
            write_tone(prompts / f"long-{name}.wav", hz, LONG_S)
        self.description: dict[str, Any] = {"prompts": tones()}
        (folder / "patchbay.yaml").write_text(yaml.safe_dump(_document(folder, prompts, sip, esl, phones_sip, base, node)))
        settings = load(folder / "patchbay.yaml")
        files = render(settings, settings.nodes[0])
        self.pbx = FreeSwitch(folder / "freeswitch", freeswitch_program(), files, esl)
        self._phones = PhonesProcess(folder / "phones", phones_sip, sip, base, control, list(tones().values()))

    def __enter__(self) -> Self:
        try:
            self._phones.start()
            self.pbx.start()
            self.phones = self._phones.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "phones"):
            self.phones.close()
        self._phones.stop()
        self.pbx.stop()
        self._claim.release()

    def number(self, behaviour: str) -> str:
        """The first phone that behaves so."""
        return next(phone.number for phone in ALL_PHONES if phone.behaviour == behaviour)

    def tone(self, number: str) -> int:
        """The tone (Hz) that a phone plays."""
        return next(phone.tone_hz for phone in ALL_PHONES if phone.number == number)

    def prompt(self, name: str) -> int:
        """The tone (Hz) that stands for a prompt."""
        return tones()[name]

    def kill(self, _part: str) -> None:
        """`kill -9` the PBX."""
        self.pbx.kill()

    def restart(self, _part: str) -> None:
        """Start the PBX again."""
        self.pbx.restart()


def _document(
    folder: Path, prompts: Path, sip: int, esl: int, phones_sip: int, base: int, node: dict[str, Any]
) -> dict[str, Any]:
    return {
        "nodes": [
            {
                "name": "freeswitch-1",
                "kind": "freeswitch",
                "esl": {"port": esl, "password": "a-password-of-the-lab"},
                "sip": {
                    "host": "127.0.0.1",
                    "port": sip,
                    "rtp_first": base + 2 * BLOCK,
                    "rtp_last": base + (2 + RTP_BLOCKS) * BLOCK - 1,
                    "t1_ms": 100,
                },
                "spool": str(folder / "freeswitch" / "spool"),
                "prompts": str(prompts),
                **node,
            }
        ],
        "trunks": [
            {"name": TRUNK, "calls_per_second": 1000, "sip": {"host": "127.0.0.1", "port": phones_sip, "codecs": ["ulaw"]}}
        ],
    }
