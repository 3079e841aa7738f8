"""What the phones of a lab can prove: who saw which number, who heard whom, what a recording holds."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, cast

import yaml

from controller.lab import lab, process
from controller.lab.options import NODES, Kind, Options, Part
from controller.lab.phones.client import Call, Phones
from controller.lab.phones.ear import Sound
from controller.lab.prompts import write_tone
from controller.lab.wav import channels, tones_of
from tests.lab.console import AsteriskConsole, FreeSwitchConsole, console

A, B, C = "+14155550101", "+14155550102", "+14155550103"  # phones that answer: 1000, 1300 and 1600 Hz
FLOWS = Path(__file__).with_name("flows")
BROKE_OFF_S = 0.1  # a tone that was gone for so long, on a busy machine, is one
PACKET_S = 0.02
LONG_S = 8.0  # of the prompts that the flow `unhurried` plays
SHOWN_TO_A, SHOWN_TO_B = "+14155550100", "+14155550200"  # display numbers that the lab's tenant owns


class Lab:
    """A running lab.  ``pbx``: asterisk, freeswitch or both; what is asked of *the* PBX is then asked of the first."""

    def __init__(self, folder: Path, pbx: str, owner: int, controller: bool = True, **more: Any) -> None:
        chosen = cast(Literal["asterisk", "freeswitch", "both"], pbx)
        self._options = Options(folder, chosen, prompts="tones", owner=owner, controller=controller, flows=str(FLOWS), **more)
        self.kinds = self._options.kinds
        self.kind: Kind = self.kinds[0]
        self.folder = folder
        self.description: dict[str, Any] = {}
        self.phones: Phones

    def __enter__(self) -> Self:
        self.description = lab.up(self._options)
        for name, hz in self.description["prompts"].items():
            write_tone(self.folder / "prompts" / f"long-{name}.wav", hz, LONG_S)
        self.phones = lab.phones(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self.phones.close()
        lab.down(self.folder)

    @property
    def api(self) -> str:
        """The controller's address."""
        address: str = self.description["api"]
        return address

    @property
    def key(self) -> str:
        """An admin's API key of the lab's tenant."""
        key: str = self.description["api_key"]
        return key

    def number(self, behaviour: str) -> str:
        """The first phone that behaves so."""
        phones = (*self.description["phones"], *self.description["more_phones"])
        return next(phone["number"] for phone in phones if phone["behaviour"] == behaviour)

    def tone(self, number: str) -> int:
        """The tone (Hz) that a phone plays."""
        phones = (*self.description["phones"], *self.description["more_phones"])
        return next(phone["tone_hz"] for phone in phones if phone["number"] == number)

    def kill(self, part: Part) -> None:
        """`kill -9` a part, and return once it is gone."""
        pid = self.description["pids"][part]
        gone = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            process.wait_gone(gone, 10)
        finally:
            os.close(gone)

    def restart(self, part: Part) -> None:
        """Start a part again, whether it runs or not."""
        self.description = lab.restart(self.folder, part)

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the controller's settings and start it with them; the PBX keeps what it was rendered from."""
        path = self.folder / "patchbay.yaml"
        document = yaml.safe_load(path.read_text())
        change(document)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        self.restart("controller")

    def pid(self, part: Part) -> int:
        """The process of a part."""
        pid: int = self.description["pids"][part]
        return pid

    @property
    def node(self) -> str:
        """The name of the PBX's node."""
        return NODES[self.kind]

    @property
    def control_port(self) -> int:
        """Where the PBX takes the controller's orders."""
        port: int = self.description["ports"]["esl" if self.kind == "freeswitch" else "ami"]
        return port

    @property
    def spools(self) -> list[Path]:
        """Where each PBX leaves what it has recorded."""
        return [self.folder / "spool" / kind for kind in self.kinds]

    @cached_property
    def consoles(self) -> list[AsteriskConsole | FreeSwitchConsole]:
        """The PBXes themselves."""
        return [console(kind, self.folder) for kind in self.kinds]

    def legs_within(self, patience_s: float) -> int:
        """How many legs there are, once there are none or ``patience_s`` is over: the last ones are just leaving."""
        deadline = time.monotonic() + patience_s
        while (count := sum(one.legs() for one in self.consoles)) and time.monotonic() < deadline:
            time.sleep(0.05)  # nothing says when a leg's thread has ended
        return count

    def prompt(self, name: str) -> int:
        """The tone (Hz) that stands for a prompt."""
        tones: dict[str, int] = self.description["prompts"]
        return tones[name]

    def recording_tones(self, path: Path) -> list[list[Sound]]:
        """Each channel's tones, of phones and prompts, in order."""
        phones = (*self.description["phones"], *self.description["more_phones"])
        known = sorted({*(phone["tone_hz"] for phone in phones), *self.description["prompts"].values()})
        return [whole(tones_of(channel, known)) for channel in channels(path)]


def shown_in(call: Call) -> str:
    """The number in the `From` that a phone saw."""
    number: str = call["headers"]["From"].partition("sip:")[2].partition("@")[0]
    return number


def everything_in(call: Call) -> str:
    """Every header and every SDP that a phone was sent in a call, as one text: what must not be there is not in it."""
    return json.dumps([(message["start"], message["headers"], message["sdp"]) for message in call["received"]])


def heard(call: Call, hz: int) -> float:
    """For how many seconds a phone heard a tone in a call."""
    return sum(sound["end"] - sound["begin"] for sound in call["heard"] if sound["hz"] == hz)


def whole(sounds: Iterable[Sound]) -> list[Sound]:
    """The tones in order; one that broke off for a moment is one."""
    last: dict[int, Sound] = {}
    found: list[Sound] = []
    for sound in sorted(sounds, key=lambda sound: sound.begin):
        before = last.get(sound.hz)
        if before is not None and sound.begin - before.end <= BROKE_OFF_S:
            before.end = sound.end
        else:
            found.append(sound)
            last[sound.hz] = sound
    return found


def unsaid(*calls: Call) -> float:
    """For how long (s) phones that play their tone sent nothing while they were up, at most.

    The lab's phones are a program, and after a hold-up they go on from then.  What was never sent is in no recording.
    """
    return max(call["ended_at"] - call["answered_at"] - call["packets_out"] * PACKET_S for call in calls)


def methods_in(call: Call) -> list[str]:
    """The requests that a phone was sent in a call, in order."""
    return [message["start"].split(" ")[0] for message in call["received"] if not message["start"].startswith("SIP/2.0")]
