"""Which legs wait for a verb.  What Asterisk's legs say by knocking at the hook, FreeSWITCH's say by an event each second."""

import asyncio

from controller.ports import VerbRefused

KNOCK_WITHIN_S = 3.0


class Held:
    """Which legs wait for a verb, and which do one that we asked for (``busy``: leg -> verb)."""

    def __init__(self) -> None:
        self.busy: dict[str, str] = {}
        self._idle: set[str] = set()
        self._asked_since: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def knocked(self, leg: str) -> bool:
        """The leg says that it is held: whether that is news.  While a verb is on its way one such word is an old one; a second
        means that the verb was lost."""
        if leg in self.busy:
            self._asked_since[leg] = self._asked_since.get(leg, 0) + 1
            if self._asked_since[leg] < 2:
                return False
        news = leg not in self._idle
        self.free(leg)
        return news

    def free(self, leg: str) -> None:
        """The leg waits for a verb."""
        self.busy.pop(leg, None)
        self._asked_since.pop(leg, None)
        self._idle.add(leg)
        waiting = self._waiting.pop(leg, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def talks(self, leg: str) -> None:
        """The leg is bridged."""
        self._idle.discard(leg)

    def takes(self, leg: str, verb: str) -> None:
        """The leg was asked for a verb."""
        self._idle.discard(leg)
        self.busy[leg] = verb

    async def wait(self, leg: str) -> None:
        """Until the leg is held.  Raises VerbRefused."""
        if leg in self._idle:
            return
        waiting = self._waiting.setdefault(leg, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(KNOCK_WITHIN_S):
                await asyncio.shield(waiting)
        except TimeoutError:
            raise VerbRefused("the leg is not held") from None

    def forget(self, leg: str) -> None:
        """The leg is gone: nobody needs to wait for it."""
        self.busy.pop(leg, None)
        self._asked_since.pop(leg, None)
        self._idle.discard(leg)
        waiting = self._waiting.pop(leg, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(VerbRefused("the leg is gone"))
            waiting.exception()

    def clear(self) -> None:
        """Nothing is known any more."""
        self.busy.clear()
        self._asked_since.clear()
        self._idle.clear()
