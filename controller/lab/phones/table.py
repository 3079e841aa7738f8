"""Which phones there are: number, behaviour and tone of each.

All numbers are +1415555xxxx and end in different two digits, because these are also the end of the phone's RTP port.
Tones (Hz) are multiples of 50, so that one 20 ms frame holds whole waves; they keep away from key, fax and ringback tones, and
below 2150, where the tones of the lab's prompts begin (`dialplans/prompts/prompts.yaml`).
"""

from dataclasses import dataclass

PREFIX = "+1415555"
DISPLAY = ("+14155550100", "+14155550200", "+14155550300", "+14155550400")  # numbers that the lab's tenant owns
POOL = ("+14155550501", "+14155550502", "+14155550503", "+14155550504", "+14155550505", "+14155550506")  # X numbers
FOREVER = None


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone.

    ``behaviour``: its name in `lab up`; the rest says what that means.  ``ring_s``: seconds of 180 before its answer
    (FOREVER: it never answers); ``early``: 183 with sound in place of 180; ``silent``: no answer of any kind;
    ``status``: its final SIP status; ``talk_s``: seconds from its answer to its own BYE (FOREVER: it waits for the
    other's); ``says_s``: how long it plays its tone, from ``says_after_s`` after its answer on, before and after
    that silence (FOREVER: all the time); ``keys``: what it presses, once, after its answer; ``identity``: the
    P-Asserted-Identity it names itself by.
    """

    number: str
    behaviour: str
    tone_hz: int
    keys: str = ""
    ring_s: float | None = 0.2
    early: bool = False
    silent: bool = False
    status: int = 200
    talk_s: float | None = FOREVER
    identity: str = ""
    says_s: float | None = FOREVER
    says_after_s: float = 0.0

    @property
    def nn(self) -> str:
        """The last two digits of the number: its place in the block of RTP ports."""
        return self.number[-2:]


def _phone(last4: str, behaviour: str, tone_hz: int, **how: object) -> Phone:
    return Phone(PREFIX + last4, behaviour, tone_hz, **how)  # type: ignore[arg-type]


PHONES = (
    _phone("0101", "answer", 1000),
    _phone("0102", "answer", 1300),
    _phone("0103", "answer", 1600),
    _phone("0104", "answer", 1150),
    _phone("0105", "answer", 1450),
    _phone("0106", "answer", 1750),
    _phone("0111", "no_answer", 1050, ring_s=FOREVER),
    _phone("0112", "busy", 1250, ring_s=0, status=486),
    _phone("0113", "reject", 1400, ring_s=0.2, status=603),
    _phone("0114", "not_found", 1550, ring_s=0, status=404),
    _phone("0115", "hangup_early", 1700, talk_s=1.0),
    _phone("0116", "keys", 1850, keys="1"),
    _phone("0117", "early_media", 1900, ring_s=1.5, early=True),
    _phone("0118", "silent_drop", 1950, ring_s=FOREVER, silent=True),
)
"""What `lab up` lists as `phones`: the behaviours of its contract."""

MORE_PHONES = (
    _phone("0121", "unavailable", 2000, ring_s=0, status=480),
    _phone("0122", "congestion", 2000, ring_s=0, status=503),
    _phone("0123", "server_error", 2000, ring_s=0, status=500),
    _phone("0124", "forbidden", 2000, ring_s=0, status=403),
    _phone("0125", "answer_late", 2050, ring_s=3.0),
    _phone("0126", "hangup_late", 1350, talk_s=4.0),
    _phone("0127", "tells_identity", 1500, identity='"Real Name" <sip:+14155550127@127.0.0.1>'),
    _phone("0128", "keys_2", 1650, keys="2"),
    _phone("0129", "reject_late", 1800, ring_s=2.0, status=603),
    _phone("0130", "busy_everywhere", 2000, ring_s=0, status=600),
    _phone("0131", "timed_out", 2000, ring_s=0, status=408),
    _phone("0132", "gone", 2000, ring_s=0, status=410),
    _phone("0133", "incomplete", 2000, ring_s=0, status=484),
    _phone("0134", "nowhere", 2000, ring_s=0, status=604),
    _phone("0135", "not_implemented", 2000, ring_s=0, status=501),
    _phone("0136", "bad_gateway", 2000, ring_s=0, status=502),
    _phone("0137", "gateway_timeout", 2000, ring_s=0, status=504),
    _phone("0138", "says_hello", 1100, says_s=0.8, says_after_s=0.8),
    _phone("0139", "greets_long", 1200, says_s=4.0),
    _phone("0140", "says_nothing", 2000, says_s=0.0),
)
"""Further phones, for tests and rehearsals of rarer answers."""

ALL_PHONES = PHONES + MORE_PHONES
