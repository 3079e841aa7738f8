"""Tapes: what a real Asterisk 22 said and was told, byte by byte, in `tests/tapes/asterisk`; made by this module.

A tape is JSON lines: `t` seconds since its begin, `on` ami or agi, `dir` S (Asterisk to us) or C (we to it), `text` as it was
on the wire.  Secrets are replaced by `SECRET`.  To make them anew: `python -m tests.drivers.asterisk.tape`.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller.config import Settings, load
from controller.core import events as ev
from controller.core.verbs import Ask, Hangup, Play
from controller.drivers.asterisk import ami, hook
from controller.drivers.asterisk.pbx import AsteriskPbx
from controller.ports import Pbx, VerbRefused
from controller.services.clock import SystemClock
from tests.contract.node import Node
from tests.lab.far_end import A, B, Lab, heard

FOLDER = Path(__file__).parents[2] / "tapes" / "asterisk"


def read(name: str, on: str, way: str = "S") -> Iterator[str]:
    """What went one way over AMI or AGI, in order."""
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        part = json.loads(line)
        if (part["on"], part["dir"]) == (on, way):
            yield part["text"]


def messages(name: str) -> list[ami.Message]:
    """The AMI messages that Asterisk sent."""
    stream = "".join(read(name, "ami")).encode()
    return [ami.parse(frame) for frame in stream.split(b"\r\n\r\n") if frame]


class Recorder:
    """Listens in on our own ends of the wire."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self._begin = time.monotonic()

    def note(self, on: str, way: str, data: bytes) -> None:
        self._parts.append({"t": round(time.monotonic() - self._begin, 4), "on": on, "dir": way, "text": data.decode()})

    def save(self, name: str, secrets: list[str]) -> None:
        text = "".join(json.dumps(part) + "\n" for part in self._parts)
        for secret in secrets:
            text = text.replace(secret, "SECRET")
        (FOLDER / f"{name}.jsonl").write_text(text)


@contextmanager
def listening_in(recorder: Recorder) -> Iterator[None]:
    """Every byte that the driver reads and writes is noted."""
    wrapped: list[tuple[type, str, Callable[..., Any]]] = []

    def wrap(cls: type, name: str, note: Callable[..., None]) -> None:
        original = getattr(cls, name)

        def noted(self: Any, argument: Any) -> Any:
            note(argument)
            return original(self, argument)

        wrapped.append((cls, name, original))
        setattr(cls, name, noted)

    wrap(ami.AmiProtocol, "data_received", lambda data: recorder.note("ami", "S", data))
    wrap(ami.AmiProtocol, "send_all", lambda sent: recorder.note("ami", "C", "".join(map(str, sent)).encode()))
    wrap(hook.Session, "data_received", lambda data: recorder.note("agi", "S", data))
    wrap(hook.Session, "_write", lambda command: recorder.note("agi", "C", f"{command}\n".encode()))
    try:
        yield
    finally:
        for cls, name, original in wrapped:
            setattr(cls, name, original)


# --- what is taped


async def callback(node: Node) -> None:
    """A recorded callback with notice; the far phone hangs up."""
    talk = node.talk()
    await talk.hold(A)
    play = await talk.do(Play, talk.near, prompts=("connecting",))
    await node.expect(ev.VerbDone, talk.near, verb=play.id)
    connect = await talk.connect(
        node.lab.number("hangup_late"), record=f"{talk.id}0003", notice="recorded", notice_to="both", announce=("connecting",)
    )
    await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    await node.pbx.alive()
    await talk.end()


async def bridged(node: Node) -> None:
    """Two phones that talk, a key, what is alive, and a hang-up by us."""
    talk = node.talk()
    await talk.bridged(A, B)
    await node.pbx.alive()
    call = await talk.seen(A, lambda call: call["answered_at"] is not None)
    node.lab.phones.press(call["call_id"], "5")
    await node.expect(ev.Digit, talk.near)
    await talk.do(Hangup, talk.near)
    await node.expect(ev.LegEnded, talk.far)
    await node.expect(ev.LegEnded, talk.near)


async def refusals(node: Node) -> None:
    """Near legs: busy, declined, unknown, ring time-out, no response at all; a trunk that is not there."""
    for behaviour in ("busy", "reject", "not_found", "silent_drop"):
        talk = node.talk()
        await talk.dial(node.lab.number(behaviour))
        await node.expect(ev.LegEnded, talk.near)
    talk = node.talk()
    await talk.dial(node.lab.number("no_answer"), ring_s=1)
    await node.expect(ev.LegEnded, talk.near)
    try:
        await node.talk().dial(A, trunk="nowhere")
    except VerbRefused:
        return
    raise AssertionError("a trunk that is not there was taken")


async def far_refusals(node: Node) -> None:
    """Far legs: busy, early media, ring time-out, limit."""
    talk = node.talk()
    await talk.hold(A)
    for number, (behaviour, more) in enumerate(
        (("busy", {}), ("no_answer", {"ring_s": 1}), ("early_media", {"limit_s": 1})), start=2
    ):
        connect = await talk.connect(node.lab.number(behaviour), far=f"{talk.id}{number:02d}", **more)
        await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    await talk.end()


async def keys(node: Node) -> None:
    """An Ask and its keys."""
    talk = node.talk()
    await talk.hold(A)
    ask = await talk.do(Ask, talk.near, prompts=("press-1",), most=2)
    call = await talk.seen(A, lambda call: heard(call, node.lab.prompt("press-1")) > 0.2)
    node.lab.phones.press(call["call_id"], "42")
    await node.expect(ev.VerbDone, talk.near, verb=ask.id)
    await talk.end()


SCENES = {scene.__name__: scene for scene in (callback, bridged, refusals, far_refusals, keys)}


async def _record(lab: Lab, settings: Settings) -> None:
    one = settings.nodes[0]
    trunks = (*settings.trunks, settings.trunks[0].model_copy(update={"name": "nowhere"}))

    async def opened() -> Pbx:
        return await AsteriskPbx.open(one, trunks, SystemClock())

    assert one.ami is not None
    assert one.hook is not None
    for name, scene in SCENES.items():
        recorder = Recorder()
        node = Node(lab, opened)
        with listening_in(recorder):
            await node.come()
            token = node.pbx._token  # type: ignore[attr-defined]  # it is to be blotted out
            await scene(node)
            await node.leave()
        recorder.save(name, [one.ami.secret.get_secret_value(), one.hook.token.get_secret_value(), token, str(lab.folder)])
        print(f"taped {name}", file=sys.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pb-") as folder:
        os.chmod(folder, 0o755)
        with Lab(Path(folder) / "lab", "asterisk", owner=os.getpid(), controller=False) as running:
            asyncio.run(_record(running, load(running.folder / "patchbay.yaml")))
