"""The phones' ears and mouths: RTP on a UDP port per phone, many calls at once on each.

A call is told apart by the PBX's RTP address, which its SDP names.  While it is up, every 20 ms its phone's tone goes
out, or the key presses that were asked for (RFC 4733); and every 50 ms what came in is searched for tones, for all
calls in one go.

A PBX that was killed says no BYE.  Its port is closed, which ICMP tells us of each packet (`IP_RECVERR`, ip(7)): a call
whose packets are refused for a second falls silent, until something comes from there again.  Silence from the PBX is no
sign of its end: whoever waits, on hold or muted, hears nothing either.
"""

import asyncio
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.lab.phones.sound import FRAME, HOP, WINDOW, Detector, decode, tone_frame
from controller.lab.phones.table import Phone

Address = tuple[str, int]
TICK_S = 0.02
LISTEN_S = 0.05
FEWEST_WINDOWS = 3  # 200 ms: vowels of speech hit a tone for shorter
GAP_S = 0.1  # without packets: what comes then is another sound
REFUSED_MOST = 50  # packets, of a second: then nobody is there any more
KEYS = "0123456789*#ABCD"
_PCMU, _EVENTS, _MARKER = 0, 101, 0x80
_EVENT_PACKETS, _EVENT_ENDS, _EVENT_PAUSE = 8, 3, 6  # 160 ms pressed, its end said three times, 120 ms silence
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_IP_RECVERR = 11  # linux/in.h; Python's socket has no name for it yet


@dataclass(slots=True)
class Sound:
    """A tone as heard: from first to last, Unix seconds."""

    hz: int
    begin: float
    end: float
    windows: int = 1


@dataclass(slots=True)
class Stream:
    """The sound of one call at one phone."""

    call_id: str
    phone: Phone
    local: socket.socket
    remote: Address
    payload: bytes | None
    sequence: int = field(default_factory=lambda: random.getrandbits(16))
    timestamp: int = field(default_factory=lambda: random.getrandbits(32))
    ssrc: int = field(default_factory=lambda: random.getrandbits(32))
    presses: deque[tuple[int, bytes | None]] = field(default_factory=deque)  # (payload type and marker, payload); None: a pause
    event_at: int | None = None  # timestamp of the key that is being pressed
    unheard: bytearray = field(default_factory=bytearray)
    packets_in: int = 0
    packets_out: int = 0
    last_in: float = 0.0
    next_in: tuple[bytes, int] | None = None  # the PBX's SSRC, and the timestamp that follows on what came last
    refused: int = 0  # packets in a row, since the last that came
    now: dict[int, Sound] = field(default_factory=dict)
    sounds: list[Sound] = field(default_factory=list)
    keys_heard: str = ""
    last_key_at: int | None = None
    hush: int = 0  # packets of silence that still come before its tone
    says: int | None = None  # packets of its tone that are still to come before it is silent; None: no end
    silence: bytes = b"\xff" * FRAME  # mu-law

    @property
    def is_refused(self) -> bool:
        """Nobody is there any more."""
        return self.refused >= REFUSED_MOST

    def send_next(self) -> None:
        """The packet of these 20 ms, if there is anything to send."""
        kind, payload = self.presses.popleft() if self.presses else (_PCMU, self._spoken())
        if self.is_refused:
            payload = None
        if payload is not None:
            stamp = self.timestamp
            if kind & 0x7F == _EVENTS:
                if kind & _MARKER:
                    self.event_at = self.timestamp
                stamp = self.event_at if self.event_at is not None else stamp
            packet = _HEADER.pack(0x80, kind, self.sequence & 0xFFFF, stamp & 0xFFFFFFFF, self.ssrc) + payload
            self.sequence += 1
            self.packets_out += 1
            self._send(packet)
        self.timestamp += FRAME

    def _send(self, packet: bytes) -> None:
        for _ in range(2):  # what is raised first may be that another call's packet was refused
            try:
                self.local.sendto(packet, self.remote)
            except ConnectionRefusedError:
                continue
            except OSError:
                pass  # a full buffer loses a packet, as networks do
            return

    def _spoken(self) -> bytes | None:
        if self.says is None or self.payload is None:
            return self.payload
        if self.hush > 0:
            self.hush -= 1
            return self.silence
        self.says -= 1
        return self.payload if self.says >= 0 else self.silence

    def press(self, keys: str) -> None:
        """Queue key presses."""
        for key in keys:
            event = KEYS.index(key)
            for packet in range(1, _EVENT_PACKETS + 1):
                self.presses.append((_EVENTS | (_MARKER if packet == 1 else 0), _EVENT.pack(event, 10, packet * FRAME)))
            self.presses.extend([(_EVENTS, _EVENT.pack(event, 0x80 | 10, _EVENT_PACKETS * FRAME))] * _EVENT_ENDS)
            self.presses.extend([(_PCMU, None)] * _EVENT_PAUSE)

    def take(self, packet: bytes, at: float) -> None:
        """A packet from the PBX."""
        if len(packet) < 12:
            return
        self.packets_in += 1
        self.refused = 0
        kind = packet[1] & 0x7F
        if kind == _PCMU:
            ssrc, stamp = packet[8:12], int.from_bytes(packet[4:8], "big")
            if at - self.last_in > GAP_S and self.next_in != (ssrc, stamp):  # else it was we who were held up
                self.unheard.clear()
                self.settle()
            self.unheard += packet[12:]
            self.last_in, self.next_in = at, (ssrc, (stamp + len(packet) - 12) & 0xFFFFFFFF)
        elif kind == _EVENTS and len(packet) >= 16:
            stamp = int.from_bytes(packet[4:8], "big")
            if packet[13] & 0x80 and stamp != self.last_key_at and packet[12] < len(KEYS):
                self.last_key_at = stamp
                self.keys_heard += KEYS[packet[12]]

    def note(self, tones: Iterable[int], end: float) -> None:
        """The tones of one window that ended at ``end``."""
        found = set(tones)
        for hz in [hz for hz in self.now if hz not in found]:
            self._settle(self.now.pop(hz))
        for hz in found:
            if hz in self.now:
                self.now[hz].end = end
                self.now[hz].windows += 1
            else:
                self.now[hz] = Sound(hz, end - WINDOW / 8000, end)

    def settle(self) -> None:
        """Nothing more comes: what sounds now has ended."""
        for sound in self.now.values():
            self._settle(sound)
        self.now.clear()

    def _settle(self, sound: Sound) -> None:
        if sound.windows >= FEWEST_WINDOWS:
            self.sounds.append(sound)

    def heard(self) -> list[Sound]:
        """Every tone so far, also one that still sounds."""
        return self.sounds + [sound for sound in self.now.values() if sound.windows >= FEWEST_WINDOWS]


class Ear:
    """All RTP of the lab's phones."""

    def __init__(self, phones: Sequence[Phone], media_base: int, tones_hz: Iterable[int]) -> None:
        """Binds the ports; OSError when one is taken."""
        self._detector = Detector(sorted(set(tones_hz)))
        self._sockets: dict[str, socket.socket] = {}
        self._by_remote: dict[tuple[str, Address], Stream] = {}
        self._streams: dict[str, Stream] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.strays = 0  # packets from addresses that no call named
        try:
            for phone in phones:
                self._sockets[phone.nn] = _bound(media_base + int(phone.nn))
        except OSError:
            self.close()
            raise

    def run(self) -> None:
        """Begin to send and listen, on the running event loop."""
        loop = asyncio.get_running_loop()
        for nn, sock in self._sockets.items():
            loop.add_reader(sock, self._read, nn, sock)
        self._tasks = [loop.create_task(_every(TICK_S, self._speak)), loop.create_task(_every(LISTEN_S, self._listen))]

    def close(self) -> None:
        """Give the ports back."""
        for task in self._tasks:
            task.cancel()
        for sock in self._sockets.values():
            if self._tasks:
                asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def start(self, call_id: str, phone: Phone, remote: Address, speak: bool = True) -> None:
        """A call's sound begins, or goes elsewhere from now on."""
        payload = tone_frame(phone.tone_hz) if speak else None
        stream = self._streams.get(call_id)
        if stream is None:
            stream = Stream(call_id, phone, self._sockets[phone.nn], remote, payload)
            stream.hush = round(phone.says_after_s / TICK_S)
            stream.says = None if phone.says_s is None else round(phone.says_s / TICK_S)
            self._streams[call_id] = stream
        self._forget_remote(stream)
        stream.remote, stream.payload, stream.refused = remote, payload, 0
        before = self._by_remote.get((phone.nn, remote))
        if before is not None:  # a PBX that was started anew uses the port again: two phones in one call's ear
            before.payload = None
        self._by_remote[phone.nn, remote] = stream

    def _forget_remote(self, stream: Stream) -> None:
        if self._by_remote.get((stream.phone.nn, stream.remote)) is stream:
            del self._by_remote[stream.phone.nn, stream.remote]

    def stop(self, call_id: str) -> Stream | None:
        """A call's sound ends; what was heard goes with the answer."""
        stream = self._streams.pop(call_id, None)
        if stream is not None:
            self._forget_remote(stream)
            self._find_tones([stream])
            stream.settle()
        return stream

    def stream(self, call_id: str) -> Stream | None:
        """The running sound of a call."""
        return self._streams.get(call_id)

    def _read(self, nn: str, sock: socket.socket) -> None:
        self._read_refusals(nn, sock)
        now = time.time()
        for _ in range(200):  # then let others have their turn
            try:
                packet, remote = sock.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # a packet was refused: what is known of it lies in the error queue
            stream = self._by_remote.get((nn, remote))
            if stream is None:
                self.strays += 1
            else:
                stream.take(packet, now)

    def _read_refusals(self, nn: str, sock: socket.socket) -> None:
        for _ in range(200):
            try:
                _packet, _more, _flags, remote = sock.recvmsg(0, 0, socket.MSG_ERRQUEUE)
            except OSError:
                return
            stream = self._by_remote.get((nn, remote))
            if stream is not None:
                stream.refused += 1

    def _speak(self) -> None:
        for stream in self._streams.values():
            stream.send_next()

    def _listen(self) -> None:
        self._find_tones(self._streams.values())

    def _find_tones(self, streams: Iterable[Stream]) -> None:
        ready = [stream for stream in streams if len(stream.unheard) >= WINDOW]
        while ready:
            windows = np.stack([decode(bytes(stream.unheard[:WINDOW])) for stream in ready])
            for stream, tones in zip(ready, self._detector.find(windows), strict=True):
                behind = (len(stream.unheard) - WINDOW) / 8000
                stream.note(tones, stream.last_in - behind)
                del stream.unheard[:HOP]
            ready = [stream for stream in ready if len(stream.unheard) >= WINDOW]


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


async def _every(period_s: float, what: Callable[[], None]) -> None:
    """Call ``what`` at an even pace; after a long hold-up go on from now instead of catching up."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        what()
        due += period_s
        if loop.time() - due > 10 * period_s:
            due = loop.time()
        await asyncio.sleep(due - loop.time())
