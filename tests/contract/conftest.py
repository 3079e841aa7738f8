"""Fixtures of the contract: `node` is a PBX with phones and a driver with its link; the PBX is shared, the driver is not."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from controller.config import Settings, load
from controller.core import ids
from controller.core.verbs import Hangup
from controller.drivers.asterisk.pbx import AsteriskPbx
from controller.drivers.freeswitch.pbx import FreeSwitchPbx
from controller.ports import Pbx
from controller.services.clock import SystemClock
from tests.contract.freeswitch import Room
from tests.contract.node import Node
from tests.lab.far_end import Lab


@pytest.fixture(scope="session")
def room(pbx_kind: str) -> Iterator[Lab | Room]:
    """The PBX and its phones, without a controller."""
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    folder.chmod(0o755)
    try:
        with _room(folder / "lab", pbx_kind) as lab:
            yield lab
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _room(folder: Path, pbx_kind: str) -> AbstractContextManager[Lab | Room]:
    if pbx_kind == "asterisk":
        return Lab(folder, pbx_kind, owner=os.getpid(), controller=False)
    folder.mkdir(mode=0o755)
    return Room(folder)


@pytest.fixture(scope="session")
def settings(room: Lab | Room) -> Settings:
    """The settings of the room."""
    return load(room.folder / "patchbay.yaml")


@pytest.fixture(scope="session")
def open_pbx(settings: Settings, pbx_kind: str) -> Callable[[], Awaitable[Pbx]]:
    """Opens the driver of the PBX under test."""

    async def opened() -> Pbx:
        kind = {"asterisk": AsteriskPbx, "freeswitch": FreeSwitchPbx}[pbx_kind]
        return await kind.open(settings.nodes[0], settings.trunks, SystemClock())

    return opened


@pytest.fixture
async def node(room: Lab | Room, open_pbx: Callable[[], Awaitable[Pbx]]) -> AsyncIterator[Node]:
    """A node whose link is up.  Legs that a test leaves behind fail it, and are hung up."""
    node = Node(room, open_pbx)
    await node.come()
    yield node
    if not node.listening:
        await node.come()
    left = await node.pbx.alive()
    for leg in left:
        await node.pbx.do(Hangup(ids.verb_id(ids.call_of(leg), 9999), leg))
    await node.leave()
    assert not left, f"legs left behind: {left}"
