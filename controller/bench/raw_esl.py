"""The yardstick for FreeSWITCH: a raw ESL script that makes the same callback by one originate with one bridge.

It keeps no state, writes nothing down, and subscribes to two events.  What it reaches is what this FreeSWITCH can do here.  It
ends each talk itself: FreeSWITCH's ``sched_hangup +1`` strikes after anything from nothing to a second, half a talk on average.
"""

import asyncio
import json
from pathlib import Path

from controller.bench.script import Script


class RawEsl(Script):
    """Drives FreeSWITCH's event socket with no library.  ``near``/``far``: gateway/number; ``spool``: where to record."""

    def __init__(self, port: int, secret: str, near: str, far: str, display: str, hold_s: int, spool: Path | None) -> None:
        super().__init__(port)
        self._secret, self._near, self._far, self._display = secret, near, far, display
        self._hold_s, self._spool = hold_s, spool

    async def _log_in(self) -> None:
        await self._head()
        for command in (f"auth {self._secret}", "event json CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE"):
            self._writer.write(f"{command}\n\n".encode())
            if "+OK" not in (told := (await self._head()).get("Reply-Text", "")):
                raise ConnectionError(f"FreeSWITCH refused the script: {told}")

    def _originate(self, leg: str) -> None:
        shown = f"origination_caller_id_number={self._display},origination_caller_id_name={self._display}"
        record = f",execute_on_answer=record_session {self._spool}/bench-{leg}.raw" if self._spool else ""
        self._writer.write(
            f"bgapi originate '{{{shown},origination_uuid={leg},originate_timeout=30,ignore_early_media=true{record}}}"
            f"sofia/gateway/{self._near}' '&bridge({{{shown}}}sofia/gateway/{self._far})'\n\n".encode()
        )

    async def _head(self) -> dict[str, str]:
        lines = (await self._reader.readuntil(b"\n\n")).decode("utf-8", "replace").splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    async def _read(self) -> None:
        while True:
            head = await self._head()
            body = await self._reader.readexactly(int(head.get("Content-Length", 0)))
            if head.get("Content-Type") == "text/event-json":
                event = json.loads(body.decode("utf-8", "replace"))
                happened = self._on_bridge if event["Event-Name"] == "CHANNEL_BRIDGE" else self._on_end
                happened(event.get("Unique-ID", ""))

    def _on_bridge(self, leg: str) -> None:
        super()._on_bridge(leg)
        asyncio.get_running_loop().call_later(self._hold_s, self._hang_up, leg)

    def _hang_up(self, leg: str) -> None:
        if not self._writer.is_closing():
            self._writer.write(f"api uuid_kill {leg}\n\n".encode())
