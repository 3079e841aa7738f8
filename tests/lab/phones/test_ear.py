"""The ear, over real UDP: an even pace, each call told apart, keys as RFC 4733 says."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from typing import cast

import pytest

from controller.lab.claim import Claim
from controller.lab.phones.ear import REFUSED_MOST, Ear, Stream
from controller.lab.phones.sound import HOP, WINDOW, tone_frame
from controller.lab.phones.table import PHONES, Phone

WITHIN_S = 30.0
HELD_UP_S = 0.25  # after more than 0.2 s the ear goes on from now; what it caught up before comes closer together
HEADER = struct.Struct("!BBHII")
PHONE, OTHER = PHONES[0], PHONES[1]


@pytest.fixture
def base() -> Iterator[int]:
    claim = Claim(1)
    yield claim.first
    claim.release()


@pytest.fixture
async def ear(base: int) -> AsyncIterator[Ear]:
    running = Ear((PHONE, OTHER), base, [1000, 1300, 1600])
    running.run()
    yield running
    running.close()


class FarSide(asyncio.DatagramProtocol):
    """The PBX's side of one call: notes packets with their time."""

    def __init__(self) -> None:
        self.packets: list[tuple[float, bytes]] = []
        self._came = asyncio.Event()
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.packets.append((time.monotonic(), data))
        self._came.set()

    async def received(self, packets: int) -> None:
        """Until so many packets have come."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.packets) < packets:
                self._came.clear()
                await self._came.wait()

    @property
    def address(self) -> tuple[str, int]:
        name: tuple[str, int] = self.transport.get_extra_info("sockname")
        return name

    async def play(self, payload: bytes, packets: int) -> None:
        """Send frames at their pace."""
        due = time.monotonic()
        for number in range(packets):
            self.transport.sendto(HEADER.pack(0x80, 0, number, number * 160, 7) + payload)
            due += 0.02
            await asyncio.sleep(max(0, due - time.monotonic()))


MakeSide = Callable[[Phone], Awaitable[FarSide]]


@pytest.fixture
async def far_side(base: int) -> AsyncIterator[MakeSide]:
    """Make far sides that send to a phone; they are closed in the end."""
    made = []

    async def make(phone: Phone) -> FarSide:
        remote = ("127.0.0.1", base + int(phone.nn))
        loop = asyncio.get_running_loop()
        _, side = await loop.create_datagram_endpoint(FarSide, local_addr=("127.0.0.1", 0), remote_addr=remote)
        made.append(side)
        return side

    yield make
    for side in made:
        side.transport.close()
    await asyncio.sleep(0)  # transports close in the loop's next round


async def test_a_phone_plays_its_tone_at_an_even_pace(ear: Ear, far_side: MakeSide) -> None:
    side = await far_side(PHONE)
    ear.start("c1", PHONE, side.address)
    await side.received(50)
    ear.stop("c1")
    headers = [HEADER.unpack(packet[:12]) for _, packet in side.packets]
    assert {packet[12:] for _, packet in side.packets} == {tone_frame(PHONE.tone_hz)}
    assert [header[2] for header in headers] == [(headers[0][2] + i) & 0xFFFF for i in range(len(headers))]
    assert {(b[3] - a[3]) & 0xFFFFFFFF for a, b in pairwise(headers)} == {160}
    took = side.packets[49][0] - side.packets[0][0]
    assert took > 49 * 0.02 - HELD_UP_S


async def test_calls_on_one_port_are_told_apart_by_where_they_come_from(ear: Ear, far_side: MakeSide) -> None:
    first, second, stranger = [await far_side(PHONE) for _ in range(3)]
    ear.start("c1", PHONE, first.address)
    ear.start("c2", PHONE, second.address)
    await asyncio.gather(
        first.play(tone_frame(1300), 30), second.play(tone_frame(1600), 30), stranger.play(tone_frame(1000), 5)
    )
    heard = {call: [sound.hz for sound in stream.sounds] for call in ("c1", "c2") if (stream := ear.stop(call))}
    assert heard == {"c1": [1300], "c2": [1600]}
    assert ear.strays == 5


async def test_a_pause_parts_two_stretches_of_one_tone(ear: Ear, far_side: MakeSide) -> None:
    side = await far_side(PHONE)
    ear.start("c1", PHONE, side.address)
    await side.play(tone_frame(1300), 20)
    await side.play(b"\xff" * 160, 20)
    await side.play(tone_frame(1300), 20)
    stream = ear.stop("c1")
    assert stream
    first, second = stream.sounds
    assert second.begin - first.end > 0.25


async def test_keys_go_out_as_rfc_4733_says_and_are_heard_so(ear: Ear, far_side: MakeSide) -> None:
    side, other = await far_side(PHONE), await far_side(OTHER)
    ear.start("c1", PHONE, side.address)
    ear.start("c2", OTHER, other.address)
    stream = ear.stream("c1")
    assert stream
    stream.press("1#")
    await side.received(60)
    events = [(HEADER.unpack(packet[:12]), packet[12:]) for _, packet in side.packets if packet[1] & 0x7F == 101]
    assert len({header[3] for header, _ in events}) == 2  # one timestamp a key: that of its beginning
    assert [payload[0] for header, payload in events if header[1] & 0x80] == [1, 11]  # the marker on the first of each
    durations = [int.from_bytes(payload[2:], "big") for _, payload in events[:11]]
    assert durations == [160, 320, 480, 640, 800, 960, 1120, 1280, 1280, 1280, 1280]
    assert [payload[1] & 0x80 for _, payload in events[:11]] == [0] * 8 + [0x80] * 3
    for _, packet in side.packets:
        other.transport.sendto(packet)
    await other.play(tone_frame(1600), 5)
    heard = ear.stop("c2")
    assert heard
    assert heard.keys_heard == "1#"


def test_a_port_that_is_taken_is_said_so_and_nothing_stays_bound(base: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", base + int(OTHER.nn)))
        with pytest.raises(OSError, match="in use"):
            Ear((PHONE, OTHER), base, [1000])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", base + int(PHONE.nn)))


def test_what_is_no_key_cannot_be_pressed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(ValueError, match="substring"):
        Stream("c1", PHONE, sock, ("127.0.0.1", 9), None).press("x")


async def until(there: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells."""
    async with asyncio.timeout(WITHIN_S):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_phone_falls_silent_when_its_packets_are_refused_and_its_other_calls_lose_none(
    ear: Ear, far_side: MakeSide, base: int
) -> None:
    """A PBX that was killed says no BYE."""
    gone, there = [await far_side(PHONE) for _ in range(2)]
    remote = gone.address
    ear.start("c1", PHONE, remote)
    ear.start("c2", PHONE, there.address)
    await there.received(5)
    gone.transport.close()
    stream, other = ear.stream("c1"), ear.stream("c2")
    assert stream
    assert other
    await until(lambda: stream.is_refused)
    sent, at = stream.packets_out, len(there.packets)
    await there.received(at + 50)
    assert stream.packets_out == sent
    numbers = [HEADER.unpack(packet[:12])[2] for _, packet in there.packets]
    assert numbers == [(numbers[0] + i) & 0xFFFF for i in range(len(numbers))]
    assert not other.refused
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(remote)
        back.sendto(HEADER.pack(0x80, 0, 1, 160, 7) + tone_frame(1300), ("127.0.0.1", base + int(PHONE.nn)))
        await until(lambda: stream.packets_out > sent)


async def test_one_that_hears_nothing_speaks_on(ear: Ear, far_side: MakeSide) -> None:
    """Whoever is on hold, or talks with somebody who is muted."""
    side = await far_side(PHONE)
    ear.start("c1", PHONE, side.address)
    await side.received(REFUSED_MOST + 10)


async def test_who_takes_a_port_over_silences_the_call_that_had_it(ear: Ear, far_side: MakeSide) -> None:
    side = await far_side(PHONE)
    ear.start("before", PHONE, side.address)
    await side.received(3)
    ear.start("now", PHONE, side.address)
    here = len(side.packets)
    await side.received(here + 20)
    assert len({HEADER.unpack(packet[:12])[4] for _, packet in side.packets[here + 3 :]}) == 1
    ear.stop("before")
    await side.play(tone_frame(1300), 20)
    stream = ear.stop("now")
    assert stream
    assert [sound.hz for sound in stream.sounds] == [1300]


def test_a_tone_whose_packets_were_read_late_is_one_and_one_that_was_not_sent_is_not() -> None:
    for ahead, count in ((0, 1), (160 * 20, 2)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            stream = Stream("c1", PHONE, sock, ("127.0.0.1", 9), None)
            for number in range(40):
                late, stamp = (0.4, ahead) if number >= 20 else (0.0, 0)
                packet = HEADER.pack(0x80, 0, number, number * 160 + stamp, 7) + tone_frame(1300)
                stream.take(packet, 1000.0 + number * 0.02 + late)
                while len(stream.unheard) >= WINDOW:
                    stream.note((1300,), stream.last_in)
                    del stream.unheard[:HOP]
            assert len(stream.heard()) == count
