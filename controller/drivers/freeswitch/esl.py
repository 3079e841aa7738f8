"""One connection to FreeSWITCH's event socket: greenswitch's connect and log-in, with everything else of it made safe.

greenswitch 0.0.19 waits for ever for a reply of a dead server, spins at the end of a stream inside a body, decodes an event
before it splits its lines, sends partly, and cannot be told of a loss.  So framing, reading, sending and dropping are ours.
All of this runs in the thread of ``thread.Host``, on its own gevent hub, without monkey patching.
"""

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import greenswitch
from greenswitch.esl import NotConnectedError

from controller.drivers.freeswitch import commands
from controller.drivers.freeswitch.frames import BadFrame, Frame, Framer

READ_AT_ONCE = 1 << 16
REST_S, LITTLE = 0.001, 1 << 14
"""FreeSWITCH writes an event in two parts, and a step of a call is several events: after a read of so little the reader rests,
or it would be woken, and would wait for the interpreter's lock, for each part."""
SEND_WITHIN_S = 5.0
MOST_WAITING = 10_000

Answer = Callable[[Frame | None], None]
"""Called once for a command: with its reply, or with None when the connection was lost first."""


class LoginRefused(Exception):
    """FreeSWITCH does not take our password, or does not let our address in."""


class Reply:
    """A reply as greenswitch's own log-in reads it."""

    def __init__(self, text: str) -> None:
        self.headers = {"Reply-Text": text}


class Esl(greenswitch.InboundESL):  # type: ignore[misc]  # the library has no types
    """One connection, used once.

    ``heard``: each event's JSON, in order, which may block to hold the stream up; ``lost``: called once, with the reason.
    """

    def __init__(
        self, host: str, port: int, password: str, within_s: float, heard: Callable[[bytes], None], lost: Callable[[str], None]
    ) -> None:
        super().__init__(host, port, password, within_s)
        self.sock: Any = None
        self.sock_file: Any = None
        self._heard, self._lost = heard, lost
        self._answers: deque[Answer] = deque()
        self._outbox: deque[bytes] = deque()
        self._mail = gevent.event.Event()
        self._refused = False
        self._over = False

    def connect(self) -> None:
        """Connect and log in.  Raises LoginRefused, OSError."""
        try:
            with gevent.Timeout(self.timeout, TimeoutError("no log-in in time")):
                super().connect()
        except (NotConnectedError, ValueError) as error:
            self.drop("not connected")
            raise (LoginRefused() if self._refused else ConnectionError(str(error))) from None
        except BaseException:
            self.drop("not connected")
            raise

    def authenticate(self) -> None:
        """Say the password.  Raises ValueError when it is wrong."""
        reply: gevent.event.AsyncResult[Frame | None] = gevent.event.AsyncResult()
        self.post(f"auth {self.password}", reply.set)
        frame = reply.get()
        if frame is None:
            raise NotConnectedError
        if frame.reply != "+OK accepted":
            self._refused = True
            raise ValueError("invalid password")

    def post(self, command: str, answer: Answer) -> None:
        """Put a command on the wire, in order; never blocks."""
        if self._over or len(self._answers) >= MOST_WAITING:
            answer(None)
            return
        self._answers.append(answer)
        self._outbox.append(commands.wire(command))
        self._mail.set()

    def drop(self, reason: str) -> None:
        """End the connection and every wait for it; once."""
        if self._over:
            return
        self._over = True
        self._run = self.connected = False
        for thing in (self.sock_file, self.sock):
            if thing is not None:
                thing.close()
        answers, self._answers = self._answers, deque()
        for answer in answers:
            answer(None)
        self._auth_request_event.set()
        self._mail.set()
        self._lost(reason)

    # --- greenlets

    def start_event_handlers(self) -> None:
        """greenswitch calls this once the socket is connected."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a command would wait for the last one's ACK
        self._receive_events_greenlet = gevent.spawn(self.receive_events)
        gevent.spawn(self._send_all)

    def receive_events(self) -> None:
        """Read until the end."""
        framer, reason = Framer(), "connection closed"
        try:
            while self._run and (data := self.sock.recv(READ_AT_ONCE)):
                for frame in framer.feed(data):
                    if self._over:
                        return
                    self._take(frame)
                if len(data) < LITTLE:
                    gevent.sleep(REST_S)
        except BadFrame as error:
            reason = str(error)
        except OSError as error:
            reason = type(error).__name__
        finally:
            self.drop(reason)

    def _take(self, frame: Frame) -> None:
        if frame.kind == "text/event-json":
            self._heard(frame.body)
        elif frame.kind in ("command/reply", "api/response"):
            if not self._answers:
                raise BadFrame("a reply that nobody asked for")
            self._answers.popleft()(frame)
        elif frame.kind == "auth/request":
            self._auth_request_event.set()
        elif frame.kind == "text/rude-rejection":
            self._refused = True
            raise BadFrame("not let in")
        elif frame.kind == "text/disconnect-notice":
            raise BadFrame("FreeSWITCH said good-bye")

    def _send_all(self) -> None:
        while not self._over:
            self._mail.clear()
            data = b"".join(self._outbox)
            self._outbox.clear()
            if not data:
                self._mail.wait()
                continue
            try:
                with gevent.Timeout(SEND_WITHIN_S, TimeoutError("nobody reads what we send")):
                    self.sock.sendall(data)
            except OSError as error:
                self.drop(str(error) if isinstance(error, TimeoutError) else type(error).__name__)
