"""AMI over panoramisk 1.4, with its hazards taken out.

| panoramisk 1.4 does | here |
|---|---|
| resend unanswered actions after a reconnect, Originate twice | they fail with ``LinkLost``; nothing is ever kept for later |
| leave a future open for ever while the link is down | ``send`` fails at once, and each action has a deadline |
| hand OriginateResponse and any event with our ActionID to the action | an action ends with its response, events are events |
| hang on an error to a list, on Originate without Async, on QueueAdd | only a list is longer than its first response |
| decode per TCP segment, losing split characters | bytes are cut into messages first, then decoded |
| drop the link when a callback raises | the exception is logged by its type, and the next message is read |
| never check a ping, reconnect by itself, retry bad credentials for ever | no timers here; ``link.py`` watches |
| log whole messages, numbers and secrets with them | nothing here logs what a message holds |

Values with CR, LF or NUL, which would begin a new action, are refused in ``commands.py``, where every action is made.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager

from controller.ports import Unreachable

log = logging.getLogger(__name__)

Message = Mapping[str, str]
"""One AMI message: header -> value.  Channel variables come as ``$NAME``, those of the other channel as ``dest$NAME``."""

LONGEST_MESSAGE = 1 << 20
_VARIABLES = {"ChanVariable": "$", "Variable": "$", "DestChanVariable": "dest$"}


class LinkLost(Unreachable):
    """The connection went while we waited for an answer."""


def parse(frame: bytes) -> dict[str, str]:
    """The headers of one message (the bytes between two empty lines).  A header that comes twice keeps its last value."""
    message: dict[str, str] = {}
    for line in frame.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(": ")
        if not colon:
            continue
        prefix = _VARIABLES.get(name)
        if prefix is None or "=" not in value:
            message[name] = value
        else:
            variable, _, value = value.partition("=")
            message[prefix + variable] = value
    return message


class PendingAction(Action):
    """An action on its way.  ``deadline``: by the monotonic clock."""

    _numbers = itertools.count(1)

    def __init__(self, fields: Mapping[str, str | list[str]], is_list: bool, deadline: float) -> None:
        self._fields = {**fields, "ActionID": f"pb-{next(self._numbers)}"}
        super().__init__(self._fields)
        self.is_list = is_list
        self.deadline = deadline
        self.rows: list[Message] = []

    def __str__(self) -> str:
        """As it goes onto the wire; the library's own sorts and looks up each header."""
        lines = [
            f"{name}: {one}" for name, value in self._fields.items() for one in ((value,) if isinstance(value, str) else value)
        ]
        return "\r\n".join((*lines, "", ""))

    def add_message(self, message: Message) -> bool:
        """Take an answer; True when it was the last."""
        if "Response" in message:
            if self.is_list and message["Response"] == "Success":
                return False
            self._end([message] if self.is_list else message)
            return True
        if message.get("EventList") == "Complete":
            self._end(self.rows)
            return True
        self.rows.append(message)
        return False

    def fail(self, error: Exception) -> None:
        """No answer will come."""
        if not self.future.done():
            self.future.set_exception(error)

    def _end(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)


class AmiProtocol(AMIProtocol):
    """One connection.  ``heard`` gets every event, in order, and nothing else."""

    def __init__(self, heard: Callable[[Message], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard_at = time.monotonic()
        self._heard = heard
        self._pending: dict[str, PendingAction] = {}
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Ready to send."""
        super().connection_made(transport)
        self.heard_at = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Cut the stream into messages; the greeting is a line of its own in front of the first."""
        self.heard_at = time.monotonic()
        *frames, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        if len(self._buffer) > LONGEST_MESSAGE:
            self.abort()
            return
        for frame in frames:
            self.handle_message(parse(frame))

    def handle_message(self, message: Message) -> None:
        """An answer goes to its action, everything else is an event."""
        action = self._pending.get(message.get("ActionID", ""))
        if action is not None and ("Response" in message or action.is_list) and message.get("Event") != "OriginateResponse":
            if action.add_message(message):
                del self._pending[action.id]
        elif "Event" in message:
            try:
                self._heard(message)
            except Exception as error:
                log.error(
                    "an event could not be handled", extra={"event_name": message["Event"], "error": type(error).__name__}
                )

    def send(self, data: PendingAction, as_list: bool = False) -> Any:
        """Write an action; its future ends with the answer, ``LinkLost`` or, by ``expire``, ``Unreachable``."""
        self.send_all((data,))
        return data.future

    def send_all(self, actions: Sequence[PendingAction]) -> None:
        """Write several at once; Asterisk takes them in this order."""
        if self.lost.done():
            for action in actions:
                action.fail(LinkLost("the link to the PBX is down"))
            return
        self._pending.update((action.id, action) for action in actions)
        self.transport.write("".join(map(str, actions)).encode())

    def expire(self, now: float) -> None:
        """Fail what has waited too long; a late answer is ignored."""
        for action in [action for action in self._pending.values() if action.deadline <= now]:
            del self._pending[action.id]
            action.fail(Unreachable("the PBX did not answer in time"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail everything that waits; whoever watches is told by ``lost``."""
        if not self.lost.done():
            self.lost.set_result(None)
        self.closed = True
        for action in self._pending.values():
            action.fail(LinkLost("the link to the PBX was lost"))
        self._pending.clear()

    def close(self) -> None:
        """Close; nothing is kept for later."""
        self.transport.close()

    def abort(self) -> None:
        """Drop the connection now, whether the other side hears it or not."""
        self.transport.abort()


class AmiManager(Manager):
    """One session at a time, opened by ``establish``; it never reconnects by itself."""

    def __init__(self, host: str, port: int, heard: Callable[[Message], None]) -> None:
        super().__init__(
            host=host, port=port, loop=asyncio.get_running_loop(), protocol_factory=lambda: AmiProtocol(heard), log=log
        )

    async def establish(self, timeout: float) -> AmiProtocol:
        """Connect.  Raises OSError, TimeoutError."""
        async with asyncio.timeout(timeout):
            _, protocol = await self.loop.create_connection(
                self.config["protocol_factory"], self.config["host"], self.config["port"]
            )
        self.protocol = protocol
        return protocol  # type: ignore[no-any-return]

    def send_actions(self, actions: Sequence[PendingAction]) -> None:
        """Send on the session there is.  Their futures fail with ``LinkLost`` when there is none."""
        if self.protocol is not None:
            self.protocol.send_all(actions)
            return
        for action in actions:
            action.fail(LinkLost("the link to the PBX is down"))

    def send_action(self, action: PendingAction, as_list: bool | None = None, **_: Any) -> Any:
        """Send one."""
        self.send_actions((action,))
        return action.future

    def connect(self, *_: Any, **__: Any) -> Any:
        """Not this way: panoramisk's own reconnect leaves zombies and sends old actions."""
        raise NotImplementedError("use establish()")
