"""What only a real FreeSWITCH and the phones at its far end can prove beyond the contract: its own traps, what must not leak.

Runs where PATCHBAY_FREESWITCH names a FreeSWITCH; is skipped aloud elsewhere.
"""

import asyncio
import re
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.config import load
from controller.core import events as ev
from controller.core import ids
from controller.core.verbs import Dial, Hangup, Play
from controller.drivers.freeswitch.pbx import FreeSwitchPbx
from controller.lab.freeswitch import FreeSwitchFailed, freeswitch_program, version
from controller.lab.options import TRUNK
from controller.ports import Pbx, VerbRefused
from controller.services.clock import SystemClock
from tests.contract.freeswitch import Room
from tests.contract.node import Node
from tests.lab.far_end import SHOWN_TO_A, A, B, C, everything_in, heard, methods_in

GIVE_UP_S = 6


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    try:
        print(version(freeswitch_program()))
    except FreeSwitchFailed as failure:
        pytest.skip(str(failure))
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    folder.chmod(0o755)
    try:
        with Room(folder, dead_man={"give_up_s": GIVE_UP_S}) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def node(room: Room) -> AsyncIterator[Node]:
    settings = load(room.folder / "patchbay.yaml")

    async def opened() -> Pbx:
        return await FreeSwitchPbx.open(settings.nodes[0], settings.trunks, SystemClock())

    node = Node(room, opened)  # type: ignore[arg-type]
    await node.come()
    yield node
    if not node.listening:
        await node.come()
    assert await node.pbx.alive() == {}
    await node.leave()


async def ask(node: Node, command: str) -> str:
    """A command of the test's own, over the driver's link."""
    answer: str = await node.pbx._link.act(command)  # type: ignore[attr-defined]
    return answer


# --- what must not leak


async def test_no_display_update_reaches_either_phone(node: Node) -> None:
    """Leaks 1 and 2: after bridging FreeSWITCH would tell each phone the other's number by INFO, UPDATE or re-INVITE."""
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.seen(A, lambda call: heard(call, node.lab.tone(B)) > 1.0)
    await talk.end(talk.near, talk.far)
    for number, other in ((A, B), (B, A)):
        call = await talk.over(number)
        assert set(methods_in(call)) == {"INVITE", "ACK", "BYE"}
        assert other.lstrip("+") not in everything_in(call)
        for header in (
            "P-Asserted-Identity",
            "Remote-Party-ID",
            "X-FS-Display-Number",
            "Diversion",
            "History-Info",
            "X-FS-Support",
        ):
            assert header not in call["headers"], header
        assert "Outbound Call" not in everything_in(call)
        assert talk.id not in everything_in(call)


async def test_after_a_transfer_the_third_phone_sees_neither_of_the_others(node: Node) -> None:
    """FreeSWITCH keeps the number that a leg was dialled with as its ``rdnis``."""
    talk = node.talk()
    await talk.bridged(A, B)
    from controller.core.verbs import Part

    await talk.do(Part, talk.near)
    await node.expect(ev.LegEnded, talk.far)
    third = node.lab.number("hangup_early")
    connect = await talk.connect(third, far=f"{talk.id}03")
    await node.expect(ev.VerbDone, talk.near, verb=connect.id, result="parted")
    await talk.end()
    text = everything_in(await talk.over(third))
    assert not [number for number in (A, B, SHOWN_TO_A) if number.lstrip("+") in text]


async def refuse(node: Node, arrived: ev.LegArrived) -> None:
    """A call that came in is not wanted."""
    await node.pbx.do(Hangup(ids.verb_id(ids.call_of(arrived.leg), 1), arrived.leg, cause=21))
    assert (await node.expect(ev.LegEnded, arrived.leg)).why == "platform"


@pytest.mark.parametrize("user", [b"anonymous", b"%0AUnique-ID%3A%20x", b"${system(touch)}", b"1;PB_TRUNK=x", b"+1%2C2"])
async def test_a_caller_whose_number_is_none_is_withheld(node: Node, room: Room, user: bytes) -> None:
    calling = asyncio.create_task(asyncio.to_thread(_invite, room.sip_port, b"x", "none", user))
    arrived = await node.expect(ev.LegArrived)
    assert re.fullmatch(r"1?", arrived.caller), "parameters of the user part are none of its number"
    await refuse(node, arrived)
    assert (await calling).startswith(b"SIP/2.0 403 ")


async def test_a_trunk_that_is_named_is_looked_up_as_the_dialplan_does(node: Node) -> None:
    same = "${cond('127.0.0.1' == '${host_lookup(localhost)}' ? yes : no)}"
    assert (await ask(node, f"api expand eval {same}")).strip() == "yes"


async def test_who_does_not_call_from_a_trunks_address_is_refused(node: Node, room: Room) -> None:
    before = len(node.said)
    answer = await asyncio.to_thread(_invite, room.sip_port, b"x", "stranger", host="127.0.0.2")
    assert answer.startswith(b"SIP/2.0 403 ")
    talk = node.talk()
    await talk.hold(A)  # what was told of the stranger would have come before
    await talk.end()
    assert not [event for event in node.said[before:] if isinstance(event, ev.LegArrived)]


HOSTILE = (
    b'"x%0AEvent-Name: CHANNEL_HANGUP_COMPLETE%0AUnique-ID: LEG%0AHangup-Cause: USER_BUSY"',
    b'"x%0d%0aContent-Length: 9999%0d%0a%0d%0a"',
    b'"x\r\n Event-Name: CHANNEL_HANGUP_COMPLETE\r\n Unique-ID: LEG"',
    b'"${system(touch /tmp/pwned)}"',
    b'"caf\xe9 \xff\xfe"',
    b'"\\",\\"Event-Name\\":\\"CHANNEL_HANGUP_COMPLETE\\",\\"x\\":\\""',
)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_display_name_forges_nothing(node: Node, room: Room, name: bytes) -> None:
    """A call comes in over the trunk; its From, its Call-ID and its own headers stand in FreeSWITCH's events."""
    talk = node.talk()
    await talk.hold(A)
    before = len(node.said)
    evil = name.replace(b"LEG", talk.near.encode())
    calling = asyncio.create_task(asyncio.to_thread(_invite, room.sip_port, evil, talk.near))
    arrived = await node.expect(ev.LegArrived)
    assert (arrived.caller, arrived.called, arrived.trunk) == ("+14155559999", "+14155550100", TRUNK)
    assert arrived.leg != talk.near
    await refuse(node, arrived)
    assert (await calling).startswith(b"SIP/2.0 403 ")
    assert [(type(event), event.leg) for event in node.said[before:] if isinstance(event, ev.LegEvent)] == [
        (ev.LegArrived, arrived.leg),
        (ev.LegEnded, arrived.leg),
    ]
    assert (await talk.alive())[talk.near].held
    play = await talk.do(Play, talk.near, prompts=("beep",))
    assert (await node.expect(ev.VerbDone, talk.near, verb=play.id)).result == "done"
    await talk.end()
    assert not await asyncio.to_thread(Path("/tmp/pwned").exists)


def _invite(port: int, display: bytes, leg: str, user: bytes = b"+14155559999", host: str = "127.0.0.1") -> bytes:
    """The final answer to an INVITE."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((host, 0))
        phone.settimeout(10)
        me = phone.getsockname()[1]
        sdp = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {me} RTP/AVP 0\r\n".encode()
        head = (
            f"INVITE sip:+14155550100@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{me};branch=z9hG4bK{me}\r\n"
            f"Max-Forwards: 70\r\nTo: <sip:+14155550100@127.0.0.1>\r\nCall-ID: {leg}-{me}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:x@{host}:{me}>\r\nX-Forged: %0AUnique-ID: {leg}\r\nX-PB-STEP: {leg}\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\nFrom: "
        ).encode()
        phone.sendto(head + display + b" <sip:" + user + b"@127.0.0.1>;tag=1\r\n\r\n" + sdp, ("127.0.0.1", port))
        while True:
            answer = phone.recv(65536)
            if not answer.startswith(b"SIP/2.0 1"):
                return answer


async def test_what_freeswitch_writes_bears_no_number(node: Node, room: Room) -> None:
    """Logs and lines of ended legs, after a talk, refusals, keys, a bad gateway and a stranger's call."""
    talk = node.talk()
    connect = await talk.bridged(A, node.lab.number("hangup_early"))
    await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    await talk.end()
    for behaviour in ("busy", "not_found", "reject"):
        refused = node.talk()
        await refused.dial(node.lab.number(behaviour))
        await node.expect(ev.LegEnded, refused.near)
    await ask(node, f"bgapi originate sofia/gateway/nowhere/{B} &park")
    calling = asyncio.create_task(asyncio.to_thread(_invite, room.sip_port, b'"+14155559998"', talk.near))
    arrived = await node.expect(ev.LegArrived)
    await refuse(node, arrived)
    await calling
    await asyncio.sleep(0.3)  # until all of it is written
    folder = room.folder / "freeswitch"
    read = 0
    for path in [*(folder / "log").iterdir(), *(folder / "spool" / "cdr-csv").iterdir()]:
        text = path.read_bytes()
        assert not re.search(rb"1415555\d{4}", text), path.name
        read += 1
    assert read >= 3
    assert len(await node.pbx.gone([talk.near, talk.far, arrived.leg])) == 3


# --- what FreeSWITCH does alone


async def test_a_leg_that_nobody_comes_back_for_is_told_so_and_let_go(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await node.leave()
    left = time.time()
    call = await talk.seen(A, lambda call: call["ended_at"] is not None, within_s=30)
    assert call["ended_by"] == "pbx"
    moment, sorry = (heard(call, node.lab.prompt(name)) for name in ("one-moment", "sorry"))
    assert moment > 0.3
    assert sorry > 0.3
    begin = next(sound["begin"] for sound in call["heard"] if sound["hz"] == node.lab.prompt("one-moment"))
    assert 1.9 <= begin - left <= 8, "patience: 3 s, give or take one"
    assert GIVE_UP_S - 1 <= call["ended_at"] - left <= GIVE_UP_S + 10
    await node.come()
    ended = (await node.pbx.gone([talk.near]))[talk.near]
    assert (ended.why, ended.sip) == ("platform", 200)


async def test_a_call_that_comes_in_while_nobody_is_there_rings_and_is_refused_in_the_end(node: Node) -> None:
    await node.leave()
    since = time.time()
    await asyncio.to_thread(node.lab.phones.place, C, SHOWN_TO_A)
    over = await asyncio.to_thread(
        node.lab.phones.wait_for, lambda calls: bool(calls and calls[0]["ended_at"]), C, since, GIVE_UP_S + 15
    )
    (call,) = over
    assert (call["status"], call["ended_by"], call["answered_at"], call["heard"]) == (503, "pbx", None, [])
    assert call["ringing_at"]
    assert GIVE_UP_S - 1 <= call["ended_at"] - since <= GIVE_UP_S + 10


async def test_the_limit_of_a_talk_holds_without_a_controller(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B, limit_s=3)
    await node.leave()
    far = await talk.over(B)
    assert far["ended_by"] == "pbx"
    await node.come()
    held = await node.expect(ev.LegHeld, talk.near)
    assert held.result == "parted"
    ended = (await node.pbx.gone([talk.far]))[talk.far]
    assert ended.why == "limit"
    assert 2500 <= ended.at - (ended.bridged_at or 0) <= 6000
    await talk.end()


# --- its refusals


async def test_a_paused_freeswitch_refuses_a_dial_at_once(node: Node) -> None:
    """Sessions per second, the maximum of sessions, and a pause all look like this."""
    await ask(node, "api fsctl pause outbound")
    try:
        talk = node.talk()
        begin = time.monotonic()
        with pytest.raises(VerbRefused) as refused:
            await talk.dial(A)
        assert refused.value.disposition == "congestion"
        assert time.monotonic() - begin < 10, "not when the phone would have been given up"
        assert talk.rang(A) == 0
    finally:
        await ask(node, "api fsctl resume outbound")


async def test_a_far_leg_that_freeswitch_refuses_is_ended_too(node: Node) -> None:
    """It tells nothing of a leg that it never made."""
    talk = node.talk()
    await talk.hold(A)
    await ask(node, "api fsctl pause outbound")
    try:
        connect = await talk.connect(B)
        assert (await node.expect(ev.VerbDone, talk.near, verb=connect.id)).result == "unanswered"
        assert (await node.expect(ev.LegEnded, talk.far)).why == "platform"
    finally:
        await ask(node, "api fsctl resume outbound")
    await talk.end()


async def test_a_dial_under_a_live_legs_id_is_no_second_call(node: Node) -> None:
    """FreeSWITCH refuses the uuid, with the same cause as if it were full."""
    talk = node.talk()
    await talk.hold(A)
    await node.leave()
    await node.come()
    await node.pbx.do(Dial(talk.verb_id(), talk.near, number=A, trunk=TRUNK, display=SHOWN_TO_A, ring_s=5))
    assert talk.rang(A) == 1
    await talk.end()


async def test_a_controller_that_takes_over_sees_a_leg_that_was_made_a_moment_ago(node: Node) -> None:
    """FreeSWITCH's list of channels is late; a leg that is missing in it would be taken for lost."""
    for _ in range(5):
        talk = node.talk()
        await talk.dial(node.lab.number("no_answer"))
        assert talk.near in await node.pbx.alive()
        await talk.do(Hangup, talk.near)
        await node.expect(ev.LegEnded, talk.near)


async def test_a_key_pressed_while_nobody_asked_is_told_and_not_taken_for_an_answer(node: Node) -> None:
    from controller.core.verbs import Ask

    talk = node.talk()
    await talk.hold(A)
    call = await talk.seen(A, lambda call: call["answered_at"] is not None)
    node.lab.phones.press(call["call_id"], "9")
    assert (await node.expect(ev.Digit, talk.near)).digit == "9"
    ask_ = await talk.do(Ask, talk.near, prompts=("press-1",), first_s=1.0)
    done = await node.expect(ev.VerbDone, talk.near, verb=ask_.id)
    assert (done.result, done.data) == ("timeout", "")
    await talk.end()
