"""The words of a SIPp scenario: send, wait, jump.  See the SIPp manual, "Create your own XML scenarios"."""

from collections.abc import Iterable

END = "1"  # the label behind everything
ALLOW = "Allow: INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS"
CONTACT = "Contact: <sip:[local_ip]:[local_port];transport=udp>"
FROM_LAST = "[last_Via:]\n      [last_From:]\n      [last_To:]\n      [last_Call-ID:]\n      [last_CSeq:]"

_SDP = """
      v=0
      o=phone 1 1 IN IP4 127.0.0.1
      s=-
      c=IN IP4 127.0.0.1
      t=0 0
      m=audio {port} RTP/AVP 0 101
      a=rtpmap:0 PCMU/8000
      a=rtpmap:101 telephone-event/8000
      a=fmtp:101 0-15
      a=ptime:20
      a=sendrecv
"""


def sdp(port: str) -> str:
    """An offer or answer: PCMU and telephone events on 127.0.0.1:``port``."""
    return _SDP.format(port=port)


def send(start: str, *headers: str, body: str = "", retrans: bool = False, goto: str | None = None) -> str:
    """Send a message, then go on at ``goto`` or below.

    ``body``: SDP; ``retrans``: again and again until the next message comes (RFC 3261, timers A and G): what follows must
    be a wait, since SIPp does nothing else before that.
    """
    kind = f"Content-Type: application/sdp\n      Content-Length: [len]\n{body}" if body else "Content-Length: 0\n"
    lines = "\n      ".join((start, *(header for header in headers if header), kind))
    attributes = (' retrans="500"' if retrans else "") + (f' next="{goto}"' if goto else "")
    return f"  <send{attributes}><![CDATA[\n      {lines}\n  ]]></send>\n"


def recv(request: str, goto: str | None = None, timeout: tuple[int, str] | None = None) -> str:
    """Wait for a request; with ``goto`` it may come, and jumps there.

    ``timeout``: (ms, label) for this wait and those listed after it; SIPp heeds only that of the first of them.
    """
    attributes = f' optional="true" next="{goto}"' if goto else ""
    if timeout:
        attributes += f' timeout="{timeout[0]}" ontimeout="{timeout[1]}"'
    return f'  <recv request="{request}"{attributes}/>\n'


def response(status: int, goto: str | None = None, actions: str = "") -> str:
    """Wait for a response; with ``goto`` it may come, and jumps there; ``actions``: what is saved of it."""
    attributes = f' optional="true" next="{goto}"' if goto else ""
    if not actions:
        return f'  <recv response="{status}"{attributes}/>\n'
    return f'  <recv response="{status}" rrs="true"{attributes}>\n    <action>\n{actions}    </action>\n  </recv>\n'


def jump(label: str, test: str | None = None) -> str:
    """Go on at ``label``; with ``test`` only if that variable is set."""
    return f'  <nop next="{label}"' + (f' test="{test}"' if test else "") + "/>\n"


def label(name: str) -> str:
    """A place to jump to; SIPp wants numbers."""
    return f'  <label id="{name}"/>\n'


def save(header: str, *variables: str, regexp: str = ".*") -> str:
    """Keep what ``regexp`` finds in a header, whole and by group, in ``variables``."""
    return f'      <ereg regexp="{regexp}" search_in="hdr" header="{header}:" assign_to="{",".join(variables)}"/>\n'


def own_request(method: str, cseq: int, sender: str, receiver: str, branch: str = "[branch]") -> str:
    """The headers of a request of our own; ``sender``/``receiver``: whole From and To lines."""
    return (
        f"Via: SIP/2.0/UDP [local_ip]:[local_port];branch={branch}\n      {sender}\n      {receiver}\n"
        f"      Call-ID: [call_id]\n      CSeq: {cseq} {method}\n      Max-Forwards: 70"
    )


def whole(name: str, parts: Iterable[str], variables: Iterable[str]) -> str:
    """The scenario file; ``variables`` are named once more, because SIPp refuses those that are set and never read."""
    return (
        f'<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name="{name}">\n{"".join(parts)}{label(END)}  <nop/>\n'
        f'  <Reference variables="{",".join(variables)}"/>\n</scenario>\n'
    )
