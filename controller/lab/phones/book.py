"""What each phone saw: the calls of the lab, from the SIP messages that SIPp sent and received.

The book is bounded: the oldest ended calls are forgotten first.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.lab.phones.ear import Sound, Stream
from controller.lab.phones.scenario import TOLD_BY_THE_LAB
from controller.lab.phones.table import Phone
from controller.lab.phones.trace import SipMessage

MOST_CALLS = 20_000
MOST_MESSAGES = 500  # of one call
Change = Literal["noted", "sound", "answered", "ended"]


@dataclass(slots=True)
class SeenCall:
    """One call as its phone saw it.  Times are Unix seconds.

    ``direction``: in (the PBX called the phone) or out; ``ended_by``: phone (its BYE, its refusal, or its CANCEL of its
    own call) or pbx; ``status``: the final SIP status of the INVITE.
    """

    call_id: str
    phone: Phone
    direction: Literal["in", "out"]
    invite: SipMessage
    messages: list[SipMessage] = field(default_factory=list)
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    ended_by: Literal["phone", "pbx"] | None = None
    status: int | None = None
    sounds: list[Sound] = field(default_factory=list)
    keys_heard: str = ""
    packets_in: int = 0
    packets_out: int = 0
    remote: tuple[str, int] | None = None  # the PBX's RTP address
    has_sound: bool = False  # both sides have named theirs
    _open: set[str] = field(default_factory=set)

    @property
    def shown(self) -> str:
        """The number in the INVITE's From: what the phone showed, or for a call that it placed its own."""
        return self.invite.headers.get("From", "").partition("sip:")[2].partition("@")[0]

    @property
    def between(self) -> bool:
        """Between a message and its answer: a request that the phone has not answered, or a final answer without its ACK."""
        return bool(self._open)

    def take(self, message: SipMessage) -> Change:
        """Note a message, and say what it means for the call: "sound": where its sound goes may have changed."""
        self._follow(message)
        if len(self.messages) < MOST_MESSAGES:
            self.messages.append(message)
        if message.body and not message.sent:
            self.remote = message.media() or self.remote
        if message.status:
            return self._response(message)
        if message.start.startswith("BYE ") or (message.start.startswith("CANCEL ") and self.answered_at is None):
            return self._end(message)
        return "sound" if message.body else "noted"

    def hear(self, stream: Stream) -> None:
        """Note what came and went by sound so far."""
        self.sounds, self.keys_heard = stream.heard(), stream.keys_heard
        self.packets_in, self.packets_out = stream.packets_in, stream.packets_out

    def _follow(self, message: SipMessage) -> None:
        """Keep the CSeq of what is not answered yet; a 200 to an INVITE waits for its ACK, which has the same number."""
        number = message.headers.get("CSeq", "").partition(" ")[0]
        if message.method == "ACK":
            self._open.discard(f"{number} ACK")
        elif message.status == 0 and not message.sent and not message.method.startswith(TOLD_BY_THE_LAB):
            self._open.add(f"{number} {message.method}")
        elif message.status > 100:
            self._open.discard(f"{number} {message.method}")
            if message.method == "INVITE" and message.status >= 200:
                self._open.add(f"{number} ACK")

    def _response(self, message: SipMessage) -> Change:
        if message.method != "INVITE" or message.status == 100:
            return "noted"
        self.has_sound = self.has_sound or bool(message.body)
        if message.status < 200:
            self.ringing_at = self.ringing_at or message.at
        elif self.status is None:
            self.status = message.status
            if message.status >= 300:
                return self._end(message)
            self.answered_at = message.at
            return "answered"
        return "sound" if message.body else "noted"

    def _end(self, message: SipMessage) -> Change:
        if self.ended_at is not None:
            return "noted"
        self.ended_at, self.ended_by = message.at, "phone" if message.sent else "pbx"
        return "ended"

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON; the first five names are the contract of `lab calls`."""
        received = [message for message in self.messages if not message.sent]
        return {
            "call_id": self.call_id,
            "at": self.invite.at,
            "headers": self.invite.headers,
            "heard_hz": sorted({sound.hz for sound in self.sounds}),
            "ended_by": self.ended_by,
            "number": self.phone.number,
            "direction": self.direction,
            "sdp": self.invite.body,
            "ringing_at": self.ringing_at,
            "answered_at": self.answered_at,
            "ended_at": self.ended_at,
            "status": self.status,
            "heard": [{"hz": sound.hz, "begin": sound.begin, "end": sound.end} for sound in self.sounds],
            "keys_heard": self.keys_heard,
            "packets_in": self.packets_in,
            "packets_out": self.packets_out,
            "received": [{"at": m.at, "start": m.start, "headers": m.headers, "sdp": m.body} for m in received],
            "sent": [{"at": m.at, "start": m.start} for m in self.messages if m.sent],
        }


class Book:
    """All calls of the lab by Call-ID."""

    def __init__(self, phones: tuple[Phone, ...]) -> None:
        self._phones = {phone.number: phone for phone in phones}
        self._calls: OrderedDict[str, SeenCall] = OrderedDict()

    def phone(self, number: str) -> Phone | None:
        """The phone of a number."""
        return self._phones.get(number)

    def call(self, call_id: str) -> SeenCall | None:
        """The call of a Call-ID."""
        return self._calls.get(call_id)

    def calls(self, number: str | None = None) -> list[SeenCall]:
        """All calls, or those of one phone, oldest first."""
        return [call for call in self._calls.values() if number in (None, call.phone.number)]

    def take(self, message: SipMessage) -> tuple[SeenCall, Change] | None:
        """Note a message; None if it belongs to no call of a phone."""
        call = self._calls.get(message.call_id)
        if call is not None:
            return call, call.take(message)
        if not message.start.startswith("INVITE "):
            return None
        whose = message.headers.get("From" if message.sent else "To", "")
        phone = self._phones.get("+" + whose.partition("sip:")[2].partition("@")[0].removeprefix("+"))
        if phone is None:
            return None
        call = SeenCall(message.call_id, phone, "out" if message.sent else "in", message)
        call.take(message)
        self._calls[call.call_id] = call
        self._forget()
        return call, "noted"

    def clear(self) -> None:
        """Forget the calls that have ended."""
        for call_id in [call.call_id for call in self._calls.values() if call.ended_at is not None]:
            del self._calls[call_id]

    def _forget(self) -> None:
        if len(self._calls) > MOST_CALLS:
            oldest = next((call_id for call_id, call in self._calls.items() if call.ended_at is not None), None)
            self._calls.pop(oldest or next(iter(self._calls)))
