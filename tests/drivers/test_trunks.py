"""Both drivers follow the trunks there are: one that is added is dialled over without a new link, one that is gone no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from controller.config import Hook, Node, Trunk
from controller.core import events as ev
from controller.core.verbs import Dial
from controller.drivers.asterisk.pbx import AsteriskPbx
from controller.drivers.freeswitch.pbx import FreeSwitchPbx
from controller.ports import Pbx, VerbRefused
from controller.services.clock import SystemClock
from tests.drivers.asterisk.fake_ami import fake_ami, reply
from tests.drivers.freeswitch.fake_esl import fake_esl
from tests.house import free_socket

WITHIN_S = 30
CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"


@asynccontextmanager
async def asterisk(trunks: list[Trunk], spool: Path) -> AsyncIterator[tuple[Pbx, list[object]]]:
    """A driver whose link is up, and what its PBX has been told."""
    with free_socket() as one:
        port = one.getsockname()[1]
    values = {"GetVar": "Value: boot"}
    async with fake_ami(lambda action, _: reply(action, *filter(None, [values.get(action["Action"].title(), "")]))) as server:
        hook = Hook.model_validate({"port": port, "token": "a-token-of-sixteen"})
        node = Node(name="pbx1", kind="asterisk", ami=server.settings, hook=hook, spool=spool)
        yield await AsteriskPbx.open(node, trunks, SystemClock()), server.actions


@asynccontextmanager
async def freeswitch(trunks: list[Trunk], spool: Path) -> AsyncIterator[tuple[Pbx, list[object]]]:
    """The same for the other one."""
    async with fake_esl() as server:
        node = Node(name="pbx1", kind="freeswitch", esl=server.settings, spool=spool)
        yield await FreeSwitchPbx.open(node, trunks, SystemClock()), server.commands


@pytest.mark.parametrize("kind", [asterisk, freeswitch])
async def test_a_driver_dials_over_what_there_is_now(kind: type, tmp_path: Path) -> None:
    trunks = [Trunk(name="carrier")]
    async with kind(trunks, tmp_path) as (pbx, told):
        try:
            async with asyncio.timeout(WITHIN_S):
                assert isinstance(await anext(pbx.events()), ev.LinkUp)
            for number, after in enumerate(([], [Trunk(name="late", kinds=("asterisk", "freeswitch"))], [])):
                trunks[1:] = after
                verb = Dial(f"{CALL}000{number}", f"{CALL}0{number}", "+14155550101", "late", "+14155550100", 30)
                if after:
                    dialling = asyncio.create_task(pbx.do(verb))
                    async with asyncio.timeout(WITHIN_S):
                        while not any("late" in str(one) for one in told):  # noqa: ASYNC110 - the fake PBX tells nobody
                            await asyncio.sleep(0.01)
                    dialling.cancel()
                    with suppress(asyncio.CancelledError):
                        await dialling
                else:
                    with pytest.raises(VerbRefused, match="no such trunk"):
                        await pbx.do(verb)
        finally:
            await pbx.close()
