"""Records tapes from a real FreeSWITCH: `PATCHBAY_FREESWITCH=... python -m tests.tapes.record [SCENE ...]`.

The driver plays the same scenes that were taped of Asterisk, and some of its own; every byte that it reads and writes is
noted.  The password and the folder become as many S.
"""

import asyncio
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller.config import Settings, load
from controller.core import events as ev
from controller.core.verbs import Detect, Hangup, Join, Mute, Part, PauseRecord, Play, Record, Ring, StopRecord, Whisper
from controller.drivers.freeswitch.commands import wire
from controller.drivers.freeswitch.esl import Esl
from controller.drivers.freeswitch.frames import Framer
from controller.drivers.freeswitch.pbx import FreeSwitchPbx
from controller.ports import Pbx
from controller.services.clock import SystemClock
from tests.contract.freeswitch import Room
from tests.contract.node import Node
from tests.contract.test_arrive import Visit
from tests.drivers.asterisk.tape import SCENES as SHARED
from tests.drivers.freeswitch.tape import FOLDER
from tests.lab.far_end import SHOWN_TO_A, A, B, C, heard


class Recorder:
    """Listens in on our own end of the wire."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self._begin = time.monotonic()

    def note(self, way: str, data: bytes) -> None:
        """One read or write."""
        self._parts.append({"t": round(time.monotonic() - self._begin, 4), "dir": way, "text": data.decode()})

    def save(self, name: str, secrets: list[str]) -> None:
        """Write the tape.  Lengths in the frames are those of the text that stands there."""
        with gzip.open(FOLDER / f"{name}.jsonl.gz", "wt", encoding="utf-8", compresslevel=9) as file:
            for part in self._parts:
                line = json.dumps(part)
                for secret in secrets:
                    line = line.replace(secret, "S" * len(secret))
                file.write(line + "\n")


@contextmanager
def listening_in(recorder: Recorder) -> Iterator[None]:
    """Every byte that the driver reads and writes is noted."""
    feed, post = Framer.feed, Esl.post

    def noted_feed(self: Framer, data: bytes) -> Any:
        recorder.note("S", data)
        return feed(self, data)

    def noted_post(self: Esl, command: str, answer: Callable[..., None]) -> None:
        recorder.note("C", wire(command))
        post(self, command, answer)

    Framer.feed, Esl.post = noted_feed, noted_post  # type: ignore[method-assign]
    try:
        yield
    finally:
        Framer.feed, Esl.post = feed, post  # type: ignore[method-assign]


# --- what is taped besides the shared scenes


async def pause(node: Node) -> None:
    """A recording that begins in mid-call, is paused, goes on and is stopped."""
    talk = node.talk()
    await talk.bridged(A, B)
    recording = talk.verb_id()
    await node.pbx.do(Record(recording, talk.near, recording=recording))
    await talk.do(PauseRecord, talk.near, recording=recording, on=True)
    await talk.do(PauseRecord, talk.near, recording=recording, on=False)
    await talk.do(StopRecord, talk.near, recording=recording)
    await talk.end(talk.near, talk.far)


async def transfer(node: Node) -> None:
    """The near leg is taken out of its bridge and connected to another phone."""
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.do(Part, talk.near)
    await node.expect(ev.LegEnded, talk.far)
    await node.expect(ev.LegHeld, talk.near)
    await talk.connect(C, far=f"{talk.id}03")
    await node.expect(ev.LegsJoined, talk.near, other=f"{talk.id}03")
    await talk.end(talk.near, f"{talk.id}03")


async def joined(node: Node) -> None:
    """Two held legs are joined; one hangs up; the other is held again."""
    talk = node.talk()
    await talk.hold(A)
    await talk.hold(B, leg=talk.far)
    await talk.do(Join, talk.near, other=talk.far)
    await node.expect(ev.LegsJoined, talk.near, other=talk.far)
    await talk.do(Mute, talk.near, on=True)
    await talk.do(Mute, talk.near, on=False)
    await talk.do(Whisper, talk.near, prompts=("beep",))
    await talk.do(Hangup, talk.near)
    await node.expect(ev.LegEnded, talk.near)
    await node.expect(ev.LegHeld, talk.far)
    await talk.end(talk.far)


async def resync(node: Node) -> None:
    """A controller leaves during a prompt; the next one finds the leg."""
    talk = node.talk()
    await talk.hold(A)
    await talk.do(Play, talk.near, prompts=("connecting", "goodbye"))
    await node.leave()
    await node.come()
    await node.pbx.alive()
    await node.expect(ev.LegHeld, talk.near)
    await talk.end()


async def arrived(node: Node) -> None:
    """Calls that come in: one is let go while it rings, one refused, one hears a prompt and is refused, one is connected."""
    visit = Visit(node)
    await visit.come()
    await visit.do(Ring, visit.near)
    call = await visit.at_phone(lambda call: call["ringing_at"] is not None)
    node.lab.phones.hang_up(call["call_id"])
    await node.expect(ev.LegEnded, visit.near)
    visit = Visit(node)
    await visit.come()
    await visit.do(Hangup, visit.near, cause=21)
    await node.expect(ev.LegEnded, visit.near)
    visit = Visit(node)
    await visit.come()
    play = await visit.do(Play, visit.near, prompts=("not-available",))
    await node.expect(ev.VerbDone, visit.near, verb=play.id)
    await visit.do(Hangup, visit.near, cause=1)
    await node.expect(ev.LegEnded, visit.near)
    visit = Visit(node)
    await visit.come(C)
    await visit.do(Ring, visit.near)
    await visit.connect(B, display=SHOWN_TO_A)
    await node.expect(ev.LegsJoined, visit.near, other=visit.far)
    call = await visit.at_phone(lambda call: heard(call, node.lab.tone(B)) > 0.3)
    node.lab.phones.hang_up(call["call_id"])
    await node.expect(ev.LegEnded, visit.near)
    await node.expect(ev.LegEnded, visit.far)


async def detected(node: Node) -> None:
    """Three phones that are listened to: one says a word and waits, one greets at length, one says nothing."""
    for behaviour in ("says_hello", "greets_long", "says_nothing"):
        talk = node.talk()
        await talk.hold(node.lab.number(behaviour))
        detect = await talk.do(Detect, talk.near)
        await node.expect(ev.VerbDone, talk.near, verb=detect.id)
        await talk.end()


OWN = (pause, transfer, joined, resync, arrived, detected)
SCENES = {**SHARED, **{scene.__name__: scene for scene in OWN}}


async def _record(room: Room, settings: Settings, names: list[str]) -> None:
    one = settings.nodes[0]
    trunks = (*settings.trunks, settings.trunks[0].model_copy(update={"name": "nowhere"}))

    async def opened() -> Pbx:
        return await FreeSwitchPbx.open(one, trunks, SystemClock())

    assert one.esl is not None
    for name in names:
        recorder = Recorder()
        node = Node(room, opened)
        with listening_in(recorder):
            await node.come()
            await SCENES[name](node)
            await node.leave()
        recorder.save(name, [one.esl.password.get_secret_value(), str(room.folder)])
        print(f"taped {name}", file=sys.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        Path(folder).chmod(0o755)
        with Room(Path(folder)) as running:
            asyncio.run(_record(running, load(running.folder / "patchbay.yaml"), sys.argv[1:] or list(SCENES)))
