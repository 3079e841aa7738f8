"""What only a real Asterisk can show: cut cables, two controllers, forged knocks, its rights, and what it writes down."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from controller.config import Node as NodeSettings
from controller.config import Settings
from controller.core import events as ev
from controller.drivers.asterisk.ami import AmiManager, PendingAction
from controller.drivers.asterisk.pbx import AsteriskPbx
from controller.ports import Unreachable, VerbRefused
from controller.services.clock import SystemClock
from tests.contract.conftest import open_pbx, room, settings  # noqa: F401  # the room of the contract serves here too
from tests.contract.node import Node
from tests.lab.far_end import A, B, Lab, heard


class Cable:
    """A TCP relay that can be cut without a word: what is sent simply does not arrive any more."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.whole = True
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.transport.abort()
            with suppress(OSError):
                await end.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends += (writer, forth)
        for source, target in ((reader, forth), (back, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if self.whole:
                    target.write(data)
        except OSError:
            pass
        finally:
            target.transport.abort()


@pytest.fixture
async def cable(settings: Settings) -> AsyncIterator[Cable]:  # noqa: F811
    one = settings.nodes[0]
    assert one.ami is not None
    cable = Cable(one.ami.port)
    await cable.start()
    yield cable
    await cable.stop()


def _over(one: NodeSettings, port: int) -> NodeSettings:
    assert one.ami is not None
    return one.model_copy(update={"ami": one.ami.model_copy(update={"port": port})})


@pytest.fixture
async def node(room: Lab, settings: Settings, cable: Cable) -> AsyncIterator[Node]:  # noqa: F811
    """A node whose AMI goes over the cable."""

    async def opened() -> AsteriskPbx:
        return await AsteriskPbx.open(_over(settings.nodes[0], cable.port), settings.trunks, SystemClock())

    node = Node(room, opened)
    await node.come()
    yield node
    await node.leave()


async def test_a_cable_cut_without_a_word_is_noticed_within_ten_seconds_and_calls_go_on(node: Node, cable: Cable) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    cable.whole = False
    cut_at = time.monotonic()
    await node.expect(ev.LinkDown)
    assert time.monotonic() - cut_at < 10
    with pytest.raises(Unreachable):
        await node.pbx.alive()
    cable.whole = True
    again = await node.expect(ev.LinkUp)
    first = next(event for event in node.said if isinstance(event, ev.LinkUp))
    assert again.boot == first.boot, "Asterisk lived on"
    assert (await talk.alive())[talk.near].bridged == talk.far
    call = await talk.seen(A, lambda call: heard(call, node.lab.tone(B)) > 1)
    assert call["ended_at"] is None
    await talk.end(talk.near, talk.far)


async def test_a_dial_whose_answer_never_came_is_unreachable_and_rings_once(node: Node, cable: Cable) -> None:
    talk = node.talk()
    dialling = asyncio.create_task(talk.dial(A))
    await asyncio.sleep(0)  # it is on the wire
    await asyncio.sleep(0)
    await talk.seen(A, lambda _: True)
    cable.whole = False
    results = await asyncio.gather(dialling, return_exceptions=True)
    assert not isinstance(results[0], VerbRefused)
    await node.expect(ev.LinkDown)
    cable.whole = True
    await node.expect(ev.LinkUp)
    assert list(await talk.alive()) == [talk.near]
    assert talk.rang(A) == 1
    await talk.end()


async def test_a_held_leg_whose_session_leads_nowhere_is_fetched(node: Node, settings: Settings) -> None:  # noqa: F811
    """A stopped owner: its sockets are open and nobody is behind them."""
    talk = node.talk()
    await talk.hold(A)
    stopped = node.pbx
    assert isinstance(stopped, AsteriskPbx)
    session = stopped._hook.sessions.pop(talk.near)  # as if another process had it, and slept
    stopped._link.cut()
    await node.expect(ev.LinkUp)
    await node.expect(ev.LegHeld, talk.near)
    assert stopped._hook.sessions[talk.near] is not session
    await talk.end()


async def test_a_knock_with_a_wrong_token_or_of_no_leg_is_not_ours(node: Node, settings: Settings) -> None:  # noqa: F811
    one = settings.nodes[0]
    assert one.hook is not None
    talk = node.talk()
    for token, leg in (("wrong", talk.near), (one.hook.token.get_secret_value(), "x")):
        reader, writer = await asyncio.open_connection("127.0.0.1", one.hook.port)
        writer.write(f"agi_network: yes\nagi_arg_1: {token}\nagi_arg_2: {leg}\n\n".encode())
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        await writer.wait_closed()
    assert not node.heard_of(talk.near)


async def test_two_controllers_cannot_hold_one_hook(node: Node, settings: Settings) -> None:  # noqa: F811
    with pytest.raises(OSError):
        await AsteriskPbx.open(settings.nodes[0], settings.trunks, SystemClock())


async def test_a_wrong_secret_is_told_once_and_final(node: Node, settings: Settings) -> None:  # noqa: F811
    await node.leave()
    one = settings.nodes[0]
    assert one.ami is not None
    wrong = one.model_copy(update={"ami": one.ami.model_copy(update={"username": "nobody"})})
    pbx = await AsteriskPbx.open(wrong, settings.trunks, SystemClock())
    first = await asyncio.wait_for(anext(pbx.events()), 30)
    assert isinstance(first, ev.LinkDown)
    assert first.reason == "login refused"
    await pbx.close()


@pytest.mark.parametrize(
    "action",
    [
        {"Action": "Command", "Command": "core show channels"},
        {"Action": "UpdateConfig", "SrcFilename": "pjsip.conf", "DstFilename": "pjsip.conf"},
        {"Action": "AGI", "Channel": "x", "Command": "x"},
        {"Action": "UserEvent", "UserEvent": "PatchbayEnded"},
        {"Action": "CreateConfig", "Filename": "x.conf"},
    ],
)
async def test_our_user_may_not_do_what_we_never_do(settings: Settings, action: dict[str, str]) -> None:  # noqa: F811
    one = settings.nodes[0]
    assert one.ami is not None
    manager = AmiManager("127.0.0.1", one.ami.port, lambda _: None)
    protocol = await manager.establish(30)
    login = {"Action": "Login", "Username": one.ami.username, "Secret": one.ami.secret.get_secret_value(), "Events": "off"}
    try:
        assert (await manager.send_action(_action(login)))["Response"] == "Success"
        answer = await manager.send_action(_action(action))
    finally:
        protocol.abort()
        await protocol.lost
    assert (answer["Response"], answer["Message"]) == ("Error", "Permission denied")


def _action(fields: dict[str, str]) -> PendingAction:
    return PendingAction(fields, False, time.monotonic() + 30)


async def test_asterisk_writes_no_number_anywhere(node: Node, room: Lab) -> None:  # noqa: F811
    """After calls of every kind: no file that Asterisk wrote bears a number."""
    talk = node.talk()
    await talk.bridged(A, B, record=f"{talk.id}0002")
    await talk.end(talk.near, talk.far)
    for number in (room.number("busy"), room.number("not_found")):
        other = node.talk()
        await other.dial(number)
        await node.expect(ev.LegEnded, other.near)
    for path in _written(room.folder, lambda path: path.suffix not in (".raw", ".wav", ".xml", ".yaml", ".jsonl")):
        text = path.read_bytes()
        assert b"4155550101" not in text, path.name
        assert room.number("busy").encode() not in text, path.name


def _written(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """Everything that lies under Asterisk's log folder and the spool."""
    places = (folder / "asterisk" / "log", folder / "spool")
    files = [path for place in places for path in place.rglob("*") if path.is_file() and wanted(path)]
    assert any(path.name.startswith("ended-") for path in files), "the lines of ended legs are among them"
    return files
