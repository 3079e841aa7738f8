"""An Asterisk with a plain dialplan and the phones, to try the phones themselves: no controller, nothing of the driver's.

It is an Asterisk whatever --pbx says: what is tried here is the phones, which are the same for both.
"""

import re
import time
from pathlib import Path
from typing import Self

from controller.lab.asterisk import Asterisk, asterisk_root
from controller.lab.phones.client import Call, Phones
from controller.lab.phones.launch import PhonesProcess
from controller.lab.ports import Ports, claim_ports

MODULES = Path(__file__).with_name("modules.txt")
EXTENSIONS = """
[held]
exten => s,1,Wait(60)
[keys]
exten => s,1,Read(D,,1,,1,10)
 same => n,Set(GLOBAL(PRESSED)=${GLOBAL(PRESSED)}${D})
 same => n,Goto(1)
[from-phones]
exten => +14155559001,1,Answer()
 same => n,Wait(60)
exten => +14155559002,1,Hangup(17)
exten => _+1415555X.,1,Dial(PJSIP/${EXTEN}@phones,30)
 same => n,Hangup()
"""
PJSIP = """
[global]
type = global
endpoint_identifier_order = username,ip
[udp]
type = transport
protocol = udp
bind = 127.0.0.1:{sip}
[phones]
type = aor
contact = sip:127.0.0.1:{phones_sip}
[phones]
type = endpoint
context = from-phones
disallow = all
allow = ulaw
aors = phones
direct_media = no
send_pai = yes
trust_id_inbound = yes
trust_id_outbound = yes
[phones]
type = identify
endpoint = phones
match = 127.0.0.1
"""


def _files(ports: Ports) -> dict[str, str]:
    modules = "".join(f"load = {name}.so\n" for name in MODULES.read_text().split())
    return {
        "modules.conf": f"[modules]\nautoload = no\n{modules}",
        "extensions.conf": EXTENSIONS,
        "pjsip.conf": PJSIP.format(sip=ports.sip, phones_sip=ports.phones_sip),
        "rtp.conf": f"[general]\nrtpstart = {ports.rtp_first}\nrtpend = {ports.rtp_last}\n",
        "logger.conf": "[logfiles]\nmessages.log => warning,error\n",
        "manager.conf": "[general]\nenabled = no\n",
        "indications.conf": "[general]\ncountry = us\n[us]\nringcadence = 2000,4000\nring = 440+480/2000,0/4000\n",
    }


class Rig:
    """Asterisk and phones, started by `with`."""

    def __init__(self, folder: Path) -> None:
        root = asterisk_root()
        self.ports, self._claim = claim_ports()
        ports = self.ports
        self.asterisk = Asterisk(folder / "asterisk", root, _files(ports))
        self.process = PhonesProcess(folder / "phones", ports.phones_sip, ports.sip, ports.media_base, ports.phones_control)
        self.phones: Phones

    def __enter__(self) -> Self:
        try:
            self.process.start()
            self.asterisk.start()
            self.phones = self.process.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "phones"):
            self.phones.close()
        self.process.stop()
        self.asterisk.stop()
        self._claim.release()

    def ring(self, number: str, then: str = "s@held") -> float:
        """Let Asterisk call a phone and, once it answers, go on at ``then``; the time before, for `phones.calls(since=...)`."""
        since = time.time()
        self.asterisk.ctl(f"channel originate PJSIP/{number}@phones extension {then}")
        return since

    def channels(self) -> int:
        """How many channels Asterisk has."""
        found = re.search(r"(\d+) active channels?", self.asterisk.ctl("core show channels count"))
        assert found
        return int(found[1])

    def ended(self, number: str, since: float, timeout_s: float = 10.0) -> Call:
        """The first call of a phone, once it has ended."""
        return self.phones.wait_for(_one_is_over, number, since, timeout_s)[0]

    def answered(self, number: str, since: float) -> Call:
        """The first call of a phone, once it is up."""
        return self.phones.wait_for(lambda calls: any(call["answered_at"] for call in calls), number, since)[0]


def _one_is_over(calls: list[Call]) -> bool:
    return any(call["ended_at"] and call["status"] for call in calls)
