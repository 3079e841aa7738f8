"""A fake event socket, and a driver that does not wait long before it tries again."""

from collections.abc import AsyncIterator

import pytest

from controller.drivers.freeswitch import link as link_module
from tests.drivers.freeswitch.fake_esl import FakeEsl, fake_esl


@pytest.fixture
async def server() -> AsyncIterator[FakeEsl]:
    """The server, without a call."""
    async with fake_esl() as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects come at once."""
    monkeypatch.setattr(link_module, "BACKOFF_S", (0.01,))
