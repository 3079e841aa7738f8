"""A stage on which things die."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from controller.lab.options import Part
from tests.lab.far_end import Lab
from tests.lab.proxy import Proxy
from tests.lab.receiver import Receiver
from tests.lab.stage import Stage
from tests.lab.story import Story

RETRIES_S = [0.0] + [0.4] * 99


def impatient(settings: dict[str, Any], control_port: int) -> None:
    """What differs from a lab's usual settings: the way to the PBX, and how soon a webhook is tried again."""
    node = settings["nodes"][0]
    node["esl" if node["kind"] == "freeswitch" else "ami"]["port"] = control_port
    settings["webhooks"] |= {"retry_s": RETRIES_S, "read_timeout_s": 1.0, "connect_timeout_s": 1.0}


class Doomed(Stage):
    """A stage whose parts can be killed, cut off and brought back."""

    def __init__(self, lab: Lab, receiver: Receiver, proxy: Proxy) -> None:
        super().__init__(lab, receiver)
        self.proxy = proxy

    @contextmanager
    def without(self, part: Part) -> Iterator[float]:
        """`kill -9` a part; what happens in the block happens without it, then it is started again.  When it was killed."""
        self.lab.kill(part)
        try:
            yield time.time()
        finally:
            self.lab.restart(part)

    @contextmanager
    def story(self, name: str) -> Iterator[Story]:
        """One story."""
        with Story(self, name) as story:
            yield story

    def node(self) -> dict[str, Any]:
        """What the API says of the PBX."""
        found: dict[str, Any] = self.get(f"/v1/nodes/{self.lab.node}")
        return found

    def until_node_is(self, state: str, within_s: float) -> float:
        """Until the API says so of the PBX; how long that took (s)."""
        begun = time.monotonic()
        while (found := self.node())["state"] != state:
            assert time.monotonic() - begun < within_s, found
            time.sleep(0.05)  # it is what a client sees that counts here, and a client asks
        return time.monotonic() - begun


class Death:
    """One death that many stories share: `with death:` begins when all have come so far, and the controller is killed with -9;
    when all have come to the end of their blocks it is started again.  A story that is over is waited for no more."""

    PATIENCE_S = 100.0

    def __init__(self, stage: Any, stories: int) -> None:
        self._stage, self._stories = stage, stories
        self._met = threading.Condition()
        self._arrived = self._round = self._last = 0
        self._do: Callable[[], None] = lambda: None
        self._fault: BaseException | None = None
        self.at = 0.0

    def begin_last(self) -> None:
        """For a story whose moment does not last: wait until all others have come as far as the death."""
        with self._met:
            self._last += 1
            self._met.notify_all()
            came = self._met.wait_for(lambda: self._round or self._arrived + self._last >= self._stories, self.PATIENCE_S)
            assert came, "not all other stories came so far"

    def __enter__(self) -> float:
        self._meet(self._kill)
        return self.at

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None) -> None:
        if kind is None:
            self._meet(lambda: self._stage.lab.restart("controller"))

    def _kill(self) -> None:
        self._stage.lab.kill("controller")
        self.at = time.time()

    def leave(self) -> None:
        """A story is over, or failed."""
        with self._met:
            self._stories -= 1
            self._go_on()
            self._met.notify_all()

    def _meet(self, do: Callable[[], None]) -> None:
        with self._met:
            self._do, now = do, self._round
            self._arrived += 1
            self._go_on()
            self._met.notify_all()
            assert self._met.wait_for(lambda: self._round > now, self.PATIENCE_S), "not all stories came so far"
            if self._fault is not None:
                raise RuntimeError("the controller could not be killed or started") from self._fault

    def _go_on(self) -> None:
        if self._arrived and self._arrived >= self._stories:
            try:
                self._do()
            except BaseException as fault:
                self._fault = fault
            self._arrived, self._round = 0, self._round + 1
            self._met.notify_all()
