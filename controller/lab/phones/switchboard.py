"""All phones at work: SIPp started, its messages noted, the ear told whose sound goes where, calls placed and told what
to do.
"""

import asyncio
import fcntl
import os
import random
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from controller.lab import process
from controller.lab.phones.book import Book, Change, SeenCall
from controller.lab.phones.ear import KEYS, Ear
from controller.lab.phones.scenario import called, calling
from controller.lab.phones.table import Phone
from controller.lab.phones.trace import SipMessage, TraceReader

FIRST_KEY_S, NEXT_KEY_S = 1.5, 1.5  # when a `keys` phone presses, counted from its answer
MOST_PLACED = 500  # calls placed by phones at once
PIPE_BYTES = 1 << 20
MESSAGES = "messages"
"""The folder of all that each SIPp was sent and has sent, a file each, as SIPp writes it."""
MOST_KEPT = 1 << 30  # bytes of these, and not one more


class PhonesFailed(RuntimeError):
    """SIPp could not be started or has ended."""


class Switchboard:
    """The lab's phones as one object on an event loop.

    ``sip_port``: where the phones are called; ``pbx_port``: the PBX's SIP port, for calls that phones place;
    ``media_base``: first of the block of 100 RTP ports; ``also_heard_hz``: tones to look for besides the phones' own;
    ``changed``: called on each news.
    """

    def __init__(
        self,
        phones: Sequence[Phone],
        folder: Path,
        sip_port: int,
        pbx_port: int,
        media_base: int,
        also_heard_hz: Sequence[int] = (),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.phones = tuple(phones)
        self.book = Book(self.phones)
        self._folder, self._sip_port, self._pbx_port, self._media_base = folder, sip_port, pbx_port, media_base
        self._ear = Ear(self.phones, media_base, [*(phone.tone_hz for phone in self.phones), *also_heard_hz])
        self._changed = changed
        self._sipp: dict[int, subprocess.Popen[bytes]] = {}  # by the read end of its pipe; the first is all phones
        self._files: dict[int, BinaryIO] = {}  # where its messages are kept, by the same pipe
        self._kept = 0
        self._ports: dict[str, int] = {}  # SIPp's own port, by the Call-ID of a call that a phone placed
        self._teller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._told = 1000
        self.exit_status: int | None = None  # of the SIPp that is all phones, should it end by itself

    async def start(self) -> None:
        """Begin to answer.  Raises PhonesFailed."""
        (self._folder / MESSAGES).mkdir(parents=True, exist_ok=True)
        self._ear.run()
        scenario = self._folder / "phones.xml"
        scenario.write_text(called(self.phones, self._media_base))
        sipp = self._spawn(["-sf", scenario, "-p", str(self._sip_port)], "phones")
        await self._until_bound(sipp)

    def close(self) -> None:
        """End every SIPp and give the ports back."""
        for pipe, sipp in list(self._sipp.items()):
            self._forget_pipe(pipe)
            process.kill(sipp)
        self._sipp.clear()
        self._ear.close()
        self._teller.close()

    def place(self, number_from: str, number_to: str, talk_s: float | None = None) -> None:
        """Let a phone call a number through the PBX; it shows in the book once SIPp has sent the INVITE.  Raises
        PhonesFailed.
        """
        phone = self.book.phone(number_from)
        if phone is None:
            raise PhonesFailed("no phone of the lab has that number")
        if len(self._sipp) > MOST_PLACED:
            raise PhonesFailed(f"more than {MOST_PLACED} calls placed at once")
        scenario = self._folder / f"calling-{phone.nn}-{talk_s or 0}.xml"
        scenario.write_text(calling(replace(phone, talk_s=talk_s), self._media_base))
        target = f"127.0.0.1:{self._pbx_port}"
        self._spawn(["-sf", scenario, "-m", "1", "-p", str(_udp_port()), "-s", number_to, target], f"calling-{phone.nn}")

    def tell(self, method: str, call_id: str) -> None:
        """Tell a running call what to do (`scenario.HANG_UP`, `ANSWER`, `REJECT`)."""
        self._told += 1
        port = self._ports.get(call_id, self._sip_port)
        lines = (
            f"{method} sip:lab@127.0.0.1:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-lab-{self._told}",
            "From: <sip:lab@127.0.0.1>;tag=lab",
            "To: <sip:lab@127.0.0.1>",
            f"Call-ID: {call_id}",
            f"CSeq: {self._told} {method}",
            "Content-Length: 0",
        )
        self._teller.sendto("\r\n".join([*lines, "", ""]).encode(), ("127.0.0.1", port))

    def press(self, call_id: str, keys: str) -> bool:
        """Let a call's phone press keys, 160 ms each; False when it has no sound now.  Raises ValueError for what is no key."""
        if not keys or any(key not in KEYS for key in keys):
            raise ValueError(f"keys are of {KEYS}")
        stream = self._ear.stream(call_id)
        if stream is not None:
            stream.press(keys)
        return stream is not None

    def refresh(self) -> None:
        """Bring what the ears have heard so far into the book."""
        for call in self.book.calls():
            stream = self._ear.stream(call.call_id)
            if stream is not None:
                call.hear(stream)

    def _spawn(self, words: Sequence[str | Path], name: str) -> subprocess.Popen[bytes]:
        pipe, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            _widen(pipe)
            os.set_blocking(pipe, False)
            label = f"%u-%p-{random.getrandbits(48):012x}@lab"
            common = ["-i", "127.0.0.1", "-nostdin", "-skip_rlimit", "-cid_str", label, "-trace_msg", "-message_file"]
            errors: list[str | Path] = ["-trace_err", "-error_file", self._folder / f"{name}.err"]
            command: list[str | Path] = ["sipp", *words, *common, f"/dev/fd/{write_end}", *errors]
            sipp = process.start(command, Path("/dev/null"), self._folder, keep_fds=[write_end])
        except OSError as error:
            os.close(pipe)
            raise PhonesFailed(f"sipp cannot be started ({error}); on Debian: apt-get install sip-tester") from error
        finally:
            os.close(write_end)
        self._sipp[pipe] = sipp
        self._files[pipe] = (self._folder / MESSAGES / f"{name}-{random.getrandbits(48):012x}.log").open("wb", buffering=0)
        asyncio.get_running_loop().add_reader(pipe, self._read, pipe, TraceReader())
        return sipp

    def _read(self, pipe: int, reader: TraceReader) -> None:
        data = os.read(pipe, PIPE_BYTES)
        self._kept += len(data)
        if self._kept <= MOST_KEPT:
            self._files[pipe].write(data)
        for message in reader.feed(data):
            self._take(message)
        if data:
            self._changed()
        else:
            self._ended(pipe)

    def _ended(self, pipe: int) -> None:
        is_all_phones = pipe == next(iter(self._sipp))
        self._forget_pipe(pipe)
        status = self._sipp.pop(pipe).wait(10)
        if is_all_phones:
            self.exit_status = status
        self._changed()

    def _forget_pipe(self, pipe: int) -> None:
        self._files.pop(pipe).close()
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)

    def _take(self, message: SipMessage) -> None:
        noted = self.book.take(message)
        if noted is None:
            return
        call, change = noted
        if message.sent and message.start.startswith("INVITE "):
            self._ports[call.call_id] = int(message.headers["Via"].partition(";")[0].rpartition(":")[2])
        self._follow(call, change)

    def _follow(self, call: SeenCall, change: Change) -> None:
        if change == "ended":
            self._ports.pop(call.call_id, None)
            stream = self._ear.stop(call.call_id)
            if stream is not None:
                call.hear(stream)
        elif call.has_sound and call.remote and call.ended_at is None:
            self._ear.start(call.call_id, call.phone, call.remote)
            if change == "answered" and call.direction == "in":
                loop = asyncio.get_running_loop()
                for place, key in enumerate(call.phone.keys):
                    loop.call_later(FIRST_KEY_S + place * NEXT_KEY_S, self.press, call.call_id, key)

    async def _until_bound(self, sipp: subprocess.Popen[bytes], patience_s: float = 30.0) -> None:
        """SIPp says nowhere that it listens: it does once its port is taken."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while _udp_is_free(self._sip_port):
            if sipp.poll() is not None or loop.time() > deadline:
                raise PhonesFailed(f"sipp does not listen; see {self._folder}/phones.err")
            await asyncio.sleep(0.005)


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except PermissionError:
        pass  # the limit of pipe-user-pages-soft: a smaller pipe works too


def _udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _udp_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
