"""The yardstick: a raw AMI script that makes the same callback by one Originate, with the rest in the dialplan.

It keeps no state, writes nothing down, and subscribes to three events.  What it reaches is what this Asterisk can do here.
"""

import re

from controller.bench.script import Script

CONTEXT = "patchbay-bench"
_END = re.compile(rb"^Event: Hangup\r|\r\nResponse: Failure\r")
USER, SECRET = "bench", "bench-on-loopback"


def dialplan(far: str, trunk: str, display: str, hold_ms: int, record: bool) -> str:
    """The callback without us, for the end of extensions.conf: what the controller asks for, said by the dialplan."""
    mix = "exten => s,1,MixMonitor(${PB_SPOOL}/bench-${UNIQUEID}.raw,bD)\n" if record else "exten => s,1,NoOp()\n"
    return (
        f"\n[{CONTEXT}]\n{mix} same => n,Set(CALLERID(all)={display} <{display}>)\n"
        f" same => n,Dial(PJSIP/{far}@{trunk},30,L({hold_ms})I)\n same => n,Hangup()\n"
    )


def manager() -> str:
    """The script's own AMI user, for the end of manager.conf."""
    events = "".join(
        f"eventfilter(action(include),name({name})) =\n" for name in ("OriginateResponse", "Hangup", "BridgeEnter")
    )
    return (
        f"\n[{USER}]\nsecret = {SECRET}\ndeny = 0.0.0.0/0.0.0.0\npermit = 127.0.0.1/32\nread = call\n"
        f"write = call,originate\nwritetimeout = 5000\n{events}"
    )


class RawScript(Script):
    """Drives Asterisk's AMI with no library."""

    def __init__(self, port: int, near: str, trunk: str, display: str) -> None:
        super().__init__(port)
        self._near, self._trunk, self._display = near, trunk, display

    async def _log_in(self) -> None:
        await self._reader.readline()
        self._writer.write(f"Action: Login\r\nUsername: {USER}\r\nSecret: {SECRET}\r\n\r\n".encode())

    def _originate(self, leg: str) -> None:
        self._writer.write(
            f"Action: Originate\r\nActionID: {leg}\r\nChannelId: {leg}\r\nChannel: PJSIP/{self._near}@{self._trunk}\r\n"
            f"Context: {CONTEXT}\r\nExten: s\r\nPriority: 1\r\nAsync: true\r\nTimeout: 30000\r\n"
            f"CallerID: {self._display}\r\n\r\n".encode()
        )

    async def _read(self) -> None:
        unique, linked = re.compile(rb"\r\nUniqueid: (raw\d+)\r\n"), re.compile(rb"\r\nLinkedid: (raw\d+)\r\n")
        while True:
            message = await self._reader.readuntil(b"\r\n\r\n")
            if message.startswith(b"Event: BridgeEnter"):
                if b"BridgeNumChannels: 2\r\n" in message and (found := linked.search(message)):
                    self._on_bridge(found[1].decode())
            elif _END.search(message) and (found := unique.search(message)):
                self._on_end(found[1].decode())
