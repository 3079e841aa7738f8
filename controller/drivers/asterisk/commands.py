"""Verb to wire: AMI actions and AGI commands.  Pure.

Everything that comes from outside passes here, once.  A number, display, id, trunk, prompt or key must have its exact form,
or the verb is refused before anything is sent; and no AMI field or AGI line with CR, LF or NUL leaves this module.
"""

import re
from collections.abc import Collection
from pathlib import Path

from controller.core import ids
from controller.core.numbers import is_dialable
from controller.core.verbs import PROMPT_NAME, Answer, Ask, Connect, Detect, Dial, Join, Play, Record, Whisper, sides
from controller.ports import VerbRefused

Fields = dict[str, str | list[str]]

_PROMPT = re.compile(PROMPT_NAME, re.ASCII)
_TRUNK = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_CHANNEL = re.compile(r"[A-Za-z0-9._-]{1,149}", re.ASCII)
_SPY = re.compile(r"Local/spy@patchbay-whisper-[0-9a-f]{1,16};2", re.ASCII)
_FOLDER = re.compile(r"/[A-Za-z0-9/._-]{1,400}", re.ASCII)
_STOP = re.compile(r"[0-9*#]?", re.ASCII)
_BREAKS = re.compile(r"[\r\n\x00]")
LONGEST_AGI = 2000
"""Asterisk reads AGI commands into 2048 bytes (res_agi.c, AGI_BUF_LEN)."""
LONGEST_S = 86_400
HOLD = {"Context": "patchbay-hold", "Exten": "s", "Priority": "1"}


# --- AMI


def login(username: str, secret: str) -> Fields:
    """Begin a session; of the events only those of the class ``system``, which say when Asterisk has booted."""
    return _checked({"Action": "Login", "Username": username, "Secret": secret, "Events": "system"})


def originate(verb: Dial) -> Fields:
    """A new leg under an id of ours, with its hang-up handler; held once it has answered.

    Asterisk sets the variables from the last to the first, so PB_LEG stands when the handler is pushed.  It takes no
    PreDialGoSub together with Async (manager.c, ``fast_originate``), hence the function as a variable.
    """
    display = _number(verb.display)
    return _checked(
        {
            "Action": "Originate",
            "Channel": f"PJSIP/{_number(verb.number)}@{_trunk(verb.trunk)}",
            **HOLD,
            "CallerID": f"{display} <{display}>",
            "Timeout": str(_positive(verb.ring_s) * 1000),
            "Async": "true",
            "ChannelId": _leg(verb.leg),
            "Variable": [r"CHANNEL(hangup_handler_push)=patchbay-ended\,s\,1", f"PB_LEG={_leg(verb.leg)}"],
        }
    )


def hang_up(channel: str, cause: int) -> tuple[Fields, Fields]:
    """Two actions: say that it was us, for the line that the hang-up handler writes; then hang up."""
    ours: Fields = {"Action": "Setvar", "Channel": _channel(channel), "Variable": "PB_OURS", "Value": "1"}
    return _checked(ours), _checked({"Action": "Hangup", "Channel": channel, "Cause": str(_positive(cause))})


def redirect_to_hold(channel: str) -> Fields:
    """Take a channel out of whatever it does into hold."""
    return _checked({"Action": "Redirect", "Channel": _channel(channel), **HOLD, "Exten": "again"})


def mute(channel: str, on: bool) -> Fields:
    """What the leg says is not passed on, or is again (func MUTEAUDIO)."""
    value = "on" if on else "off"
    return _checked({"Action": "Setvar", "Channel": _channel(channel), "Variable": "MUTEAUDIO(in)", "Value": value})


def record(channel: str, recording: str, spool: Path) -> tuple[Fields, Fields]:
    """Two actions: note on the leg what is recorded; then record from now on, while bridged, in stereo: left what the leg says,
    right what it hears."""
    file = f"{_folder(spool)}/{_verb(recording)}.raw"
    note: Fields = {"Action": "Setvar", "Channel": _channel(channel), "Variable": "PB_KEPT", "Value": recording}
    return _checked(note), _checked({"Action": "MixMonitor", "Channel": channel, "File": file, "Options": "bDi(PB_MIX)"})


def kept(channel: str) -> Fields:
    """Ask which recording was begun last on a leg in mid-call."""
    return _checked({"Action": "Getvar", "Channel": _channel(channel), "Variable": "PB_KEPT"})


def pause_record(channel: str, on: bool) -> Fields:
    """Silence in the recording, both sides, or sound again; the recording's time goes on."""
    state = "1" if on else "0"
    return _checked({"Action": "MixMonitorMute", "Channel": _channel(channel), "Direction": "both", "State": state})


def stop_record(channel: str) -> Fields:
    """End the recording of a leg."""
    return _checked({"Action": "StopMixMonitor", "Channel": _channel(channel)})


def whisper(verb: Whisper, channel: str, prompts: Path) -> Fields:
    """A Local channel speaks; its other half passes that to the leg alone (ChanSpy, private whisper)."""
    return _speak(channel, _files(verb.prompts, prompts))


def notice(verb: Record, channel: str, mark: str, prompts: Path) -> Fields:
    """The same with the notice of a recording, by a channel of this id."""
    return {**_speak(channel, _files((verb.notice,), prompts)), "ChannelId": _channel(mark)}


def speaker(verb: Record, leg: str, nonce: str) -> str:
    """The id of the channel that speaks to a leg; not the beginning of a leg's, which Asterisk would refuse."""
    return f"notice-{_verb(verb.recording)}-{_leg(leg)}-{nonce}"


def _speak(channel: str, files: str) -> Fields:
    return _checked(
        {
            "Action": "Originate",
            "Channel": "Local/spy@patchbay-whisper/n",
            "Context": "patchbay-whisper",
            "Exten": "say",
            "Priority": "1",
            "Timeout": "5000",
            "Async": "true",
            "Variable": [f"__PB_TARGET={_channel(channel)}", f"PB_FILES={files}"],
        }
    )


def passed_on(spy: str) -> Fields:
    """What is said to this half of a Local channel reaches the leg from now on: the other half may speak."""
    speaks = _matching(_SPY, "whispering channel", spy)[:-1] + "1"
    return _checked({"Action": "Setvar", "Channel": speaks, "Variable": "PB_PASSED", "Value": "1"})


def set_global(name: str, value: str) -> Fields:
    """A global variable of the dialplan."""
    return _checked({"Action": "Setvar", "Variable": name, "Value": value})


def get_global(name: str) -> Fields:
    """Ask for a global variable of the dialplan."""
    return _checked({"Action": "Getvar", "Variable": name})


def status() -> Fields:
    """Every channel, with what we wrote on it."""
    return {"Action": "Status", "Variables": "PB_LEG,PB_STEP,PB_RESULT,PB_ANSWERED,PB_JOINED,PB_DUE,TIMEOUT(absolute)"}


# --- AGI: native subroutines on a held leg


def connect(verb: Connect, prompts: Path) -> str:
    """Dial the far leg and bridge the two (dialplan patchbay-connect)."""
    _leg(verb.leg)
    limit_ms, ring_ms = _positive(verb.limit_s) * 1000, _positive(verb.ring_s) * 1000
    far, verb_id = _leg(verb.far), _verb(verb.id)
    if ids.call_of(far) != ids.call_of(verb_id):
        raise VerbRefused("the far leg is of another call")
    announce = _files(verb.announce, prompts) if verb.announce else ""
    notice = _notice(verb, prompts)
    limit, *warning = _warning(verb, limit_ms, prompts)
    up = _once_up(_prompt(verb.notice) if notice else "", announce, bool(warning))
    options = "".join(
        (
            "giI",
            f"b(patchbay-far^{far}{verb_id[ids.CALL_WIDTH :]}{ring_ms:08d}{limit_ms:09d}^1)",
            up,
            notice,
            limit,
            {"early_media": "", "ringback": "r", "music": "m"}[verb.wait],
        )
    )
    target = f"{_number(verb.number)}@{_trunk(verb.trunk)}"
    recording = _verb(verb.record) if verb.record else ""
    joined, then = "" if up else "joined", "end" if verb.closes else ""
    args = (verb_id, target, _number(verb.display), str(verb.ring_s), options, recording, joined, then, *warning)
    return _gosub("patchbay-connect", "|".join(args), entry="warn" if warning else "s")


def _once_up(notice: str, announce: str, warned: bool) -> str:
    """Dial option U: what the far leg does before the bridge, and when that begins.

    It costs up to 10 ms (main/autoservice.c), so without need it is not there: of a bridge that is limited and not warned,
    Asterisk itself knows when it began (``TIMEOUT(absolute)`` of the far leg)."""
    if notice or announce:
        return f"U(patchbay-say^{notice}^{announce})"
    return "U(patchbay-up)" if warned else ""


def _notice(verb: Connect, prompts: Path) -> str:
    """Dial option A(to the far leg:to the near leg)."""
    if not verb.notice or verb.notice_to == "none":
        return ""
    file = _files((verb.notice,), prompts)
    near, far = sides(verb.notice_to)
    return f"A({file if far else ''}:{file if near else ''})"


def _warning(verb: Connect, limit_ms: int, prompts: Path) -> tuple[str, ...]:
    """Dial option L, and who hears what.  A bridge shorter than the warning time is warned at its half."""
    if not verb.warn or verb.warn_to == "none":
        return (f"L({limit_ms})",)
    near, far = sides(verb.warn_to)
    left_ms = min(_positive(verb.warn_s) * 1000, limit_ms // 2)
    yes = {True: "yes", False: "no"}
    return f"L({limit_ms}:{left_ms})", yes[near], yes[far], _files((verb.warn,), prompts)


def join(verb: Join, channel: str) -> str:
    """Bridge the leg with another held one (dialplan patchbay-join)."""
    _leg(verb.leg)
    return _gosub("patchbay-join", _verb(verb.id), _channel(channel))


def play(verb: Play, prompts: Path, arrived: bool = False) -> str:
    """Play prompts (dialplan patchbay-play); ``arrived``: to a leg that came in, without answering it."""
    _leg(verb.leg)
    return _gosub("patchbay-play", _verb(verb.id), _files(verb.prompts, prompts), entry="early" if arrived else "s")


def answer(verb: Answer) -> str:
    """Answer a leg that came in (dialplan patchbay-answer)."""
    _leg(verb.leg)
    return _gosub("patchbay-answer", _verb(verb.id))


def detect(verb: Detect) -> str:
    """Listen to who has answered (dialplan patchbay-detect)."""
    _leg(verb.leg)
    return _gosub("patchbay-detect", _verb(verb.id), str(round(_seconds(verb.within_s) * 1000)))


RINGING = "EXEC Ringing"


def ask(verb: Ask, prompts: Path) -> str:
    """Play prompts and collect digits (dialplan patchbay-ask)."""
    _leg(verb.leg)
    if not 0 <= verb.least <= verb.most <= 255 or verb.most < 1:
        raise VerbRefused("digits: 1 <= most <= 255 and least <= most")
    if not _STOP.fullmatch(verb.stop):
        raise VerbRefused("the stop key is one of 0-9 * #")
    files = _files(verb.prompts, prompts) if verb.prompts else ""
    heard = (files, "") if verb.barge else ("", files)
    times = (f"{_seconds(verb.first_s):.3f}", f"{_seconds(verb.next_s):.3f}")
    return _gosub("patchbay-ask", _verb(verb.id), *heard, str(verb.least), str(verb.most), *times, verb.stop)


RESULT = "GET FULL VARIABLE ${PB_STEP}|${PB_RESULT}"


def _gosub(context: str, *args: str, entry: str = "s") -> str:
    command = f'GOSUB {context} {entry} 1 "{",".join(args)}"'
    if _BREAKS.search(command) or len(command) > LONGEST_AGI:
        raise VerbRefused("the command is too long or holds a line break")
    return command


# --- what values may look like


def _checked(fields: Fields) -> Fields:
    for value in fields.values():
        for text in (value,) if isinstance(value, str) else value:
            if _BREAKS.search(text):
                raise VerbRefused("a value holds a line break")
    return fields


def _number(text: str) -> str:
    if not is_dialable(text):
        raise VerbRefused("this is no number that can be dialled or shown", "invalid_number")
    return text


def _leg(text: str) -> str:
    if not (text.isascii() and ids.is_leg_id(text)):
        raise VerbRefused("this is no leg id")
    return text


def _verb(text: str) -> str:
    known = len(text) == ids.VERB_WIDTH and ids.is_call_id(ids.call_of(text))
    if not (known and text.isascii() and text[ids.CALL_WIDTH :].isdigit()):
        raise VerbRefused("this is no verb id")
    return text


def _matching(pattern: re.Pattern[str], what: str, text: str) -> str:
    if not pattern.fullmatch(text):
        raise VerbRefused(f"this is no {what}")
    return text


def _trunk(text: str) -> str:
    return _matching(_TRUNK, "trunk's name", text)


def _channel(text: str) -> str:
    return _matching(_CHANNEL, "channel", text)


def _folder(path: Path) -> str:
    return _matching(_FOLDER, "folder that Asterisk's configuration can carry", str(path))


def _prompt(name: str) -> str:
    return _matching(_PROMPT, "prompt's name", name)


def _files(names: Collection[str], folder: Path) -> str:
    if not names:
        raise VerbRefused("no prompt is named")
    return "&".join(f"{_folder(folder)}/{_prompt(name)}" for name in names)


def _positive(value: int) -> int:
    if not isinstance(value, int) or not 1 <= value <= LONGEST_S:
        raise VerbRefused("a time or cause is out of range")
    return value


def _seconds(value: float) -> float:
    if not 0 < value <= 3600:
        raise VerbRefused("a time is out of range")
    return value
