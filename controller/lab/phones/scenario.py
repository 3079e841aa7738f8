"""The SIPp scenarios: one that is all phones (`called`), one that places a call (`calling`).

Answers to the first INVITE are written from headers saved when it came ($via ...), since SIPp's `[last_...]` is whatever came
last.  Phones that ring alike share one ringing part, and those that talk alike one talking part: SIPp reads at most 64 KiB.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

from controller.lab.phones import sipp_xml as x
from controller.lab.phones.table import Phone

TOLD_BY_THE_LAB = "LAB"
ANSWER, REJECT, HANG_UP = "LABANSWER", "LABREJECT", "LABBYE"  # the methods that tell a running call what to do
TOO_LONG_MS = 4 * 3600 * 1000  # no call of a lab lasts longer
REASONS = {
    180: "Ringing",
    183: "Session Progress",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    410: "Gone",
    480: "Temporarily Unavailable",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
}
REFUSALS = (400, 401, 403, 404, 406, 408, 410, 480, 481, 484, 486, 487, 488, 500, 501, 502, 503, 504, 600, 603, 604, 606)
_OUR_TAG = "[pid]p[call_number]"
_FROM_INVITE = f"Via:[$via]\n      From:[$from]\n      To:[$to];tag={_OUR_TAG}\n      Call-ID: [call_id]\n      CSeq:[$cseq]"
_OK = "SIP/2.0 200 OK"


class _Labels(defaultdict[object, str]):
    """A label for every place that is named; the first use makes it."""

    def __init__(self) -> None:
        numbers = count(int(x.END) + 1)
        super().__init__(lambda: str(next(numbers)))


def _refuse(status: int) -> str:
    return x.send(f"SIP/2.0 {status} {REASONS[status]}", _FROM_INVITE, retrans=True) + x.recv("ACK") + x.jump(x.END)


def _identity(phone: Phone) -> str:
    return f"P-Asserted-Identity: {phone.identity}" if phone.identity else ""


def _manner(phone: Phone) -> Phone:
    """The phone without what SIPp need not know: phones with the same manner share their part."""
    return replace(phone, number="", behaviour="", tone_hz=0, keys="", says_s=None, says_after_s=0.0)


def _ringing(phone: Phone, go: _Labels, media: str) -> Iterator[str]:
    """From the INVITE to the phone's final answer."""
    ours = (_FROM_INVITE, _identity(phone), x.CONTACT, x.ALLOW)
    here, ok, due = (phone, "ringing"), (phone, "ok"), (phone, "due")
    if phone.ring_s != 0:
        status = 183 if phone.early else 180
        if not phone.silent:
            yield x.send(f"SIP/2.0 {status} {REASONS[status]}", *ours, body=media if phone.early else "")
        wait_ms = TOO_LONG_MS if phone.ring_s is None else int(phone.ring_s * 1000)
        yield x.label(go[here]) + x.recv("CANCEL", go["cancelled"], timeout=(wait_ms, go[due]))
        yield (
            x.recv("UPDATE", go[ok])
            + x.recv("INFO", go[ok])
            + x.recv(ANSWER, go[phone, "answer"])
            + x.recv(REJECT, go["reject"])
        )
        yield x.recv("LABNEVER") + x.jump(go[here])
        yield x.label(go[ok]) + x.send(_OK, x.FROM_LAST, x.CONTACT, goto=go[here])
        yield x.label(go[due])
    if phone.status != 200:
        yield _refuse(phone.status)
    if phone.status == 200 or phone.ring_s != 0:
        yield x.label(go[phone, "answer"]) + x.send(_OK, *ours, body=media, retrans=True, goto=go["talk", phone.talk_s])


def _called_off(go: _Labels) -> Iterator[str]:
    """The ways to the end of every call that still rings."""
    yield x.label(go["reject"]) + _refuse(603)
    yield x.label(go["cancelled"]) + x.send(_OK, x.FROM_LAST) + _refuse(487)


def _talking(talk_s: float | None, go: _Labels, media: str, bye: str) -> Iterator[str]:
    """From the answer to the end, by the phone itself after ``talk_s``; ``bye``: the headers of its own BYE."""
    talk, again, ok, ours, waiting, both = ((place, talk_s) for place in ("talk", "again", "ok", "bye", "waiting", "both"))
    talk_ms = TOO_LONG_MS if talk_s is None else int(talk_s * 1000)
    yield x.label(go[talk]) + x.recv("ACK", go[talk], timeout=(talk_ms, go[ours])) + x.recv("INVITE", go[again])
    yield "".join(x.recv(method, go[ok]) for method in ("UPDATE", "INFO", "OPTIONS", "CANCEL")) + x.recv(HANG_UP, go[ours])
    yield x.recv("BYE") + x.send(_OK, x.FROM_LAST, goto=x.END)
    yield x.label(go[ok]) + x.send(_OK, x.FROM_LAST, x.CONTACT, goto=go[talk])
    yield x.label(go[again]) + x.send(_OK, x.FROM_LAST, x.CONTACT, x.ALLOW, body=media, retrans=True, goto=go[talk])
    yield x.label(go[ours]) + x.send("BYE [next_url] SIP/2.0", bye, x.CONTACT, retrans=True)
    yield x.label(go[waiting]) + x.recv("ACK", go[waiting]) + x.recv("BYE", go[both])
    yield x.response(481, x.END) + x.response(200) + x.jump(x.END)
    yield x.label(go[both]) + x.send(_OK, x.FROM_LAST, goto=go[waiting])


def _dispatch(manners: dict[Phone, list[str]], go: _Labels) -> Iterator[str]:
    """Take the INVITE, and go to the part of the phone that it calls."""
    yield x.recv("OPTIONS", go["options"]) + '  <recv request="INVITE" rrs="true">\n    <action>\n'
    yield x.save("Via", "via") + x.save("From", "from") + x.save("To", "to") + x.save("CSeq", "cseq")
    yield x.save("To", "all", "nn", regexp="([0-9][0-9])@")
    for place, numbers in enumerate(manners.values()):
        yield x.save("To", f"is{place}", f"n{place}", regexp=f"sip:[+]?({'|'.join(number[1:] for number in numbers)})@")
    yield "    </action>\n  </recv>\n"
    for place, manner in enumerate(manners):
        yield x.jump(go[manner, "start"], f"is{place}")
    yield _refuse(404)
    yield x.label(go["options"]) + x.send(_OK, x.FROM_LAST, x.ALLOW, goto=x.END)


def called(phones: Iterable[Phone], media_base: int) -> str:
    """The scenario that is all ``phones``; their RTP ports are ``media_base`` (a multiple of 100) + the last two digits."""
    manners: dict[Phone, list[str]] = {}
    for phone in phones:
        manners.setdefault(_manner(phone), []).append(phone.number)
    go = _Labels()
    media = x.sdp(f"{media_base // 100}[$nn]")
    bye = x.own_request("BYE", 7, f"From:[$to];tag={_OUR_TAG}", "To:[$from]")
    parts = [*_dispatch(manners, go)]
    for manner in manners:
        parts += [x.label(go[manner, "start"]), *_ringing(manner, go, media)]
    for talk_s in dict.fromkeys(manner.talk_s for manner in manners):
        parts += _talking(talk_s, go, media, bye)
    variables = [name for place in range(len(manners)) for name in (f"is{place}", f"n{place}")]
    return x.whole("phones", [*parts, *_called_off(go)], ("via", "from", "to", "cseq", "all", "nn", *variables))


def calling(phone: Phone, media_base: int) -> str:
    """The scenario of one call from ``phone`` to SIPp's `-s` number; it ends after the phone's ``talk_s``, or by the
    other side.
    """
    go = _Labels()
    media = x.sdp(str(media_base + int(phone.nn)))
    target = "sip:[service]@[remote_ip]:[remote_port]"
    branch = "z9hG4bK-[pid]-invite-[call_number]"  # that of the INVITE is also that of its CANCEL and of the ACK of a refusal
    ours, theirs = f"From: <sip:{phone.number}@[local_ip]:[local_port]>;tag={_OUR_TAG}", f"To: <{target}>"
    invite = (x.own_request("INVITE", 1, ours, theirs, branch), _identity(phone), x.CONTACT, x.ALLOW)
    parts = [
        x.send(f"INVITE {target} SIP/2.0", *invite, body=media, retrans=True),
        x.label(go["ringing"]) + "".join(x.response(status, go["ringing"]) for status in (100, 180, 181, 183)),
        x.recv("UPDATE", go["update"]) + x.recv(HANG_UP, go["cancel"]),
        *(x.response(status, go["refused"]) for status in REFUSALS),
        x.response(200, actions=x.save("To", "to")),
        x.send("ACK [next_url] SIP/2.0", x.own_request("ACK", 1, ours, "To:[$to]"), x.CONTACT)
        + x.jump(go["talk", phone.talk_s]),
        x.label(go["update"]) + x.send(_OK, x.FROM_LAST, x.CONTACT, goto=go["ringing"]),
        x.label(go["cancel"])
        + x.send(f"CANCEL {target} SIP/2.0", x.own_request("CANCEL", 1, ours, theirs, branch), retrans=True),
        x.label(go["cancelling"]) + "".join(x.response(status, go["cancelling"]) for status in (100, 180, 183)),
        x.response(200) + x.response(487),
        x.label(go["refused"])
        + x.send(f"ACK {target} SIP/2.0", x.own_request("ACK", 1, ours, "[last_To:]", branch))
        + x.jump(x.END),
        *_talking(phone.talk_s, go, media, x.own_request("BYE", 2, ours, "To:[$to]")),
    ]
    return x.whole("calling", parts, ("to",))
