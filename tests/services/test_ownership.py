"""Who owns a node keeps trying, whatever goes wrong on the way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.ports import Pbx
from controller.services.calls import Calls
from controller.services.clock import SystemClock
from controller.services.conductor import NodeState
from controller.services.flows import FlowBook
from controller.services.ownership import NodeOwner
from controller.store.database import Database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path}/calls.db")
    yield database
    await database.close()


async def test_a_node_whose_driver_cannot_be_opened_is_let_go_of_and_tried_again(db: Database) -> None:
    """Its hook's port is taken, for example: when that is free again the node comes up without anybody's doing."""
    tried: asyncio.Queue[int | None] = asyncio.Queue()

    async def open_pbx() -> Pbx:
        tried.put_nowait(owner.epoch)
        raise OSError("address in use")

    def changed(_node: str, _state: NodeState) -> None:
        raise AssertionError("nothing was opened")

    owner = NodeOwner(
        "pbx1", db.leases, db.calls, Calls(db.calls, FlowBook({})), SystemClock(), open_pbx, changed, lambda _: None
    )
    running = asyncio.create_task(owner.run())
    epochs = [await asyncio.wait_for(tried.get(), 30) for _ in range(2)]
    assert epochs[0] is not None
    assert epochs[1] is not None
    assert epochs[0] < epochs[1]
    assert owner.state.state == "down"
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
