"""Work that goes on although nobody waits for it any more: a refusal by the database is told, a fault of ours is an error."""

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.ports import NotSaved
from controller.services.tasks import Tasks


@pytest.mark.parametrize(("fault", "level"), [(NotSaved("disk full"), "warning"), (ValueError("odd"), "error"), (None, "")])
async def test_what_becomes_of_work_that_nobody_waits_for(fault: Exception | None, level: str) -> None:
    tasks, go = Tasks(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        if fault is not None:
            raise fault

    waiting = asyncio.create_task(tasks.whole(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    with capture_logs() as logged:
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        await tasks.drain()
        await asyncio.sleep(0)
    assert [entry["log_level"] for entry in logged] == ([level] if level else [])


async def test_who_waits_is_told_and_nothing_is_logged() -> None:
    async def work() -> None:
        raise NotSaved("disk full")

    with capture_logs() as logged, pytest.raises(NotSaved):
        await Tasks().whole(work())
    assert logged == []
