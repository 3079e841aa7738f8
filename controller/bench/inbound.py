"""What the decision of a masked call costs its caller: from INVITE in to INVITE out, against a static dialplan.

One socket is the caller, another the callee, who is busy, so that each call is over at once.  Calls come one by one, to a
number that the dialplan itself connects and to an X in turn, so both meet the same Asterisk in the same state.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

from rich.table import Table

from controller.bench.figures import percentile
from controller.bench.ours import BenchFailed, Controller, controller
from controller.bench.room import CALLEE, CALLER, Load, Room

STATIC, X = "+14155550198", "+14155550199"
WITHIN_S = 5.0
WARM = 30
"""Calls of each kind before those that count."""
_SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"


def dialplan(trunk: str) -> str:
    """A number that Asterisk connects by itself, showing X: what is added to the calls from outside."""
    return (
        f"\n[patchbay-in](+)\nexten => {STATIC},1,Set(CALLERID(all)={X} <{X}>)\n"
        f" same => n,Dial(PJSIP/{CALLEE}@{trunk},30,I)\n same => n,Hangup()\n"
    )


@dataclass(frozen=True, slots=True)
class Added:
    """Times from INVITE in to INVITE out (ms)."""

    static: list[float] = field(repr=False)
    masked: list[float] = field(repr=False)

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(_line(self))


@dataclass(frozen=True, slots=True)
class _Line:
    calls: int
    static_p50: float
    static_p99: float
    masked_p50: float
    masked_p99: float
    added_p50: float


def _line(added: Added) -> _Line:
    static, masked = ((percentile(times, 0.5), percentile(times, 0.99)) for times in (added.static, added.masked))
    return _Line(len(added.masked), *static, *masked, masked[0] - static[0])


def table(_load: Load, runs: Sequence[Added]) -> Table:
    """The runs for people."""
    made = Table("calls", "static p50", "p99", "masked p50", "p99", "added p50", title="INVITE in to INVITE out, ms")
    for line in (_line(run) for run in runs):
        times = (line.static_p50, line.static_p99, line.masked_p50, line.masked_p99, line.added_p50)
        made.add_row(str(line.calls), *(f"{value:.2f}" for value in times))
    return made


class _Phone(asyncio.DatagramProtocol):
    """A socket that hears SIP."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A message, and when it came."""
        self.heard.put_nowait((time.perf_counter(), data.decode()))

    def say(self, port: int, *lines: str, body: str = "") -> None:
        """Send a message."""
        assert self.transport is not None
        length = (f"Content-Length: {len(body)}", "", body)
        self.transport.sendto("\r\n".join([*lines, *length]).encode(), ("127.0.0.1", port))

    async def until(self, fits: Callable[[str], bool]) -> tuple[float, str]:
        """The next message that fits.  Raises BenchFailed."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    at, text = await self.heard.get()
                    if fits(text):
                        return at, text
        except TimeoutError:
            raise BenchFailed("a call did not go on as it should: look at the log of Asterisk") from None


class Calls:
    """Places calls, and is who is called."""

    def __init__(self, sip: int, near: int, near_phone: _Phone, far_phone: _Phone) -> None:
        self._sip, self._near, self._caller, self._callee = sip, near, near_phone, far_phone
        self._numbers = itertools.count(1)

    async def place(self, number: str) -> float:
        """One call: the time (ms) from its INVITE to that which the callee gets."""
        call = f"bench{next(self._numbers)}"
        head = (
            f"Via: SIP/2.0/UDP 127.0.0.1:{self._near};branch=z9hG4bK{call};rport",
            f"From: <sip:{CALLER}@127.0.0.1:{self._near}>;tag={call}",
            f"Call-ID: {call}",
            "Max-Forwards: 70",
        )
        uri, here = f"sip:{number}@127.0.0.1:{self._sip}", f"Contact: <sip:caller@127.0.0.1:{self._near}>"
        began = time.perf_counter()
        self._caller.say(
            self._sip, f"INVITE {uri} SIP/2.0", *head, f"To: <{uri}>", "CSeq: 1 INVITE", here,
            "Content-Type: application/sdp", body=_SDP,
        )  # fmt: skip
        rang, invite = await self._callee.until(lambda text: text.startswith("INVITE "))
        self._callee.say(self._sip, "SIP/2.0 486 Busy Here", *_echoed(invite))
        _, end = await self._caller.until(lambda text: _is_final(text) and f"\r\nCall-ID: {call}\r\n" in text)
        to = next(line for line in end.split("\r\n") if line.startswith("To:"))
        self._caller.say(self._sip, f"ACK {uri} SIP/2.0", *head, to, "CSeq: 1 ACK")
        await self._callee.until(lambda text: text.startswith("ACK "))
        return (rang - began) * 1000


def _echoed(invite: str) -> list[str]:
    """The headers that a response repeats (RFC 3261, 8.2.6.2)."""
    kept = ("Via:", "From:", "Call-ID:", "CSeq:")
    lines = [line for line in invite.split("\r\n") if line.startswith(kept)]
    to = next(line for line in invite.split("\r\n") if line.startswith("To:"))
    return [*lines, to + ";tag=busy"]


def _is_final(text: str) -> bool:
    return text.startswith("SIP/2.0 ") and text[8:11] >= "200" and "INVITE" in text


async def bench(calls: int, tell: Callable[[str], None]) -> Added:
    """So many calls of each kind."""
    load = Load(rtp=False, record=False)
    with Room(load, phones=False, dialplan=dialplan("callees")) as room:
        async with controller(room) as one:
            await _bind(one)
            loop = asyncio.get_running_loop()
            near, near_phone = await loop.create_datagram_endpoint(_Phone, ("127.0.0.1", 0))
            far, far_phone = await loop.create_datagram_endpoint(_Phone, ("127.0.0.1", room.far))
            try:
                port = near.get_extra_info("sockname")[1]
                return await _measure(Calls(room.sip, port, near_phone, far_phone), calls, tell)
            finally:
                near.close()
                far.close()


async def _measure(calls: Calls, count: int, tell: Callable[[str], None]) -> Added:
    static: list[float] = []
    masked: list[float] = []
    tell(f"{count} calls of each kind")
    for _ in range(WARM + count):
        static.append(await calls.place(STATIC))
        masked.append(await calls.place(X))
    return Added(static[WARM:], masked[WARM:])


async def _bind(one: Controller) -> None:
    """X stands between the two."""
    pool = await one.post("/v1/pools", {"name": "bench"})
    await one.post("/v1/numbers", {"number": X, "kind": "x", "pool": pool["id"]})
    await one.post("/v1/bindings", {"mode": "axb", "a": CALLER, "b": CALLEE, "pool": "bench"})
