"""Background tasks that are kept, whose faults are logged, and that can be waited for or cancelled together."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from controller.ports import NotSaved

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Tasks:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run ``work`` in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` to its end, also when whoever waits for it is cancelled meanwhile; then its fault is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._unheard)
            raise

    def _unheard(self, task: asyncio.Task[Any]) -> None:
        """Nobody waits for it any more.  That the database refused it is no fault of ours: it was never promised."""
        if not task.cancelled() and isinstance(fault := task.exception(), NotSaved):
            log.warning("what a request wished was not saved, and it has gone", reason=str(fault))
        else:
            self._done(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("a background task failed", exc_info=fault)

    async def drain(self) -> None:
        """Wait until none runs."""
        while self._running:
            await asyncio.wait(self._running)

    def cancel(self) -> None:
        """Cancel all."""
        for task in self._running:
            task.cancel()
