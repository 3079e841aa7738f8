"""SIPp's message log is read right however it is cut into pieces, and the book makes calls of it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from controller.lab.phones.book import MOST_CALLS, Book
from controller.lab.phones.table import PHONES
from controller.lab.phones.trace import SipMessage, TraceReader, parse

INVITE = (
    "INVITE sip:+14155550101@127.0.0.1:5060 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:1;branch=a\r\nVia: SIP/2.0/UDP 127.0.0.1:2\r\n"
    'From: "Büro" <sip:+14155550100@127.0.0.1>;tag=1\r\nTo: <sip:+14155550101@127.0.0.1>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n'
    "Content-Length: 60\r\n\r\nv=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 4242 RTP/AVP 0 101\r\na=sendrecv\r\n"
)
OK = "SIP/2.0 200 OK\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
DASHES = "-" * 47


def logged(text: str, sent: bool, second: int) -> bytes:
    """An entry as SIPp 3.6 writes it."""
    size = len(text.encode())
    how = f"sent ({size} bytes):" if sent else f"received [{size}] bytes :"
    return f"{DASHES} 2026-11-20 12:55:{second:02}.250000\nUDP message {how}\n\n{text}\n".encode()


LOG = logged(INVITE, False, 1) + logged(OK, True, 2) + logged(OK.replace("200 OK", "180 Ringing"), True, 3)


@given(st.lists(st.integers(0, len(LOG)), max_size=12))
def test_the_log_gives_the_same_messages_however_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(LOG)]
    reader = TraceReader()
    found = [message for begin, end in pairwise(places) for message in reader.feed(LOG[begin:end])]
    assert [(message.sent, message.start.split(" ")[0], message.status) for message in found] == [
        (False, "INVITE", 0),
        (True, "SIP/2.0", 200),
        (True, "SIP/2.0", 180),
    ]
    assert found[1].at - found[0].at == 1
    assert found[0].headers["From"] == '"Büro" <sip:+14155550100@127.0.0.1>;tag=1'


def test_a_message_tells_its_call_method_and_media() -> None:
    message = parse(0, False, INVITE)
    assert (message.call_id, message.method, message.media()) == ("c1", "INVITE", ("127.0.0.9", 4242))
    assert message.headers["Via"] == "SIP/2.0/UDP 127.0.0.1:1;branch=a, SIP/2.0/UDP 127.0.0.1:2"
    assert parse(0, True, OK).method == "INVITE"


def message(at: float, sent: bool, start: str, cseq: str = "7 INVITE", body: str = "", call_id: str = "c1") -> SipMessage:
    headers = {"Call-ID": call_id, "CSeq": cseq, "To": "<sip:+14155550101@x>", "From": "<sip:+14155550100@x>"}
    return SipMessage(at, sent, start, headers, body)


def test_a_call_goes_from_invite_to_its_end_and_ends_once() -> None:
    book = Book(PHONES)
    changes = []
    for one in (
        message(1, False, "INVITE sip:x SIP/2.0", body="c=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0"),
        message(2, True, "SIP/2.0 180 Ringing"),
        message(3, False, "INVITE sip:x SIP/2.0", body="again"),
        message(4, True, "SIP/2.0 200 OK", body="ours"),
        message(5, False, "BYE sip:x SIP/2.0", "8 BYE"),
        message(6, True, "BYE sip:x SIP/2.0", "7 BYE"),
        message(6, True, "SIP/2.0 200 OK", "8 BYE"),
    ):
        taken = book.take(one)
        assert taken
        changes.append(taken[1])
    call = book.calls()[0]
    assert changes == ["noted", "noted", "sound", "answered", "ended", "noted", "noted"]
    assert (call.ringing_at, call.answered_at, call.ended_at, call.ended_by, call.status) == (2, 4, 5, "pbx", 200)
    assert (call.remote, call.has_sound, call.direction) == (("127.0.0.1", 9), True, "in")
    assert call.as_json()["received"][0]["start"].startswith("INVITE")


def test_what_belongs_to_no_phone_is_not_noted() -> None:
    book = Book(PHONES)
    assert book.take(message(1, False, "OPTIONS sip:x SIP/2.0", "1 OPTIONS")) is None
    other = SipMessage(1, False, "INVITE sip:x SIP/2.0", {"Call-ID": "c2", "To": "<sip:+14155559999@x>"})
    assert book.take(other) is None


def test_the_book_is_bounded_and_forgets_the_oldest_ended_call_first() -> None:
    book = Book(PHONES)
    for number in range(MOST_CALLS):
        book.take(message(number, False, "INVITE sip:x SIP/2.0", call_id=str(number)))
    book.take(message(1, True, "SIP/2.0 486 Busy Here", call_id="3"))
    book.take(message(2, False, "INVITE sip:x SIP/2.0", call_id="last"))
    assert len(book.calls()) == MOST_CALLS
    assert book.call("3") is None
    assert book.call("0") is not None
    book.take(message(1, True, "SIP/2.0 486 Busy Here", call_id="5"))
    book.clear()
    assert book.call("5") is None
    assert len(book.calls()) == MOST_CALLS - 1
