"""Verb to wire: ESL commands.  Pure.

Everything that comes from outside passes here, once.  A number, display, id, trunk, prompt or key must have its exact form,
or the verb is refused before anything is sent: none of these forms holds a blank, a separator of FreeSWITCH's own or
``${``, and no command with a line break but our own leaves this module.
"""

import re
from collections.abc import Collection

from controller.core import ids
from controller.core.numbers import is_dialable
from controller.core.verbs import PROMPT_NAME, Answer, Ask, Connect, Detect, Dial, Join, Notice, Play
from controller.ports import VerbRefused

_PROMPT = re.compile(PROMPT_NAME, re.ASCII)
_TRUNK = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_STOP = re.compile(r"[0-9*#]?", re.ASCII)
_BREAKS = re.compile(r"[\r\n\x00]")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NONCE = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
END = "\n\n"
"""Ends a command's headers.  What is long stands behind it, as the command's body: FreeSWITCH reads headers byte by byte,
with two system calls and a turn of its thread for each, but a body at once (mod_event_socket.c, ``read_packet``)."""
LONGEST_SAY_S = 3600
"""How long what a far leg hears before the bridge may last: originate_timeout counts on while it does."""

EVENTS = (
    "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE "
    "DTMF BACKGROUND_JOB MEDIA_BUG_STOP CUSTOM patchbay::held patchbay::done"
)
SUBSCRIBE = (f"event json {EVENTS}",)
BEAT = "api expand global_setvar PB_UNTIL=${expr(${strepoch()}+2)}"
BOOT = "api global_getvar core_uuid"
CHANNELS = "api show channels as json"
TASKS = "api show tasks as json"
ROTATE = "api cdr_csv rotate"


def one_line(text: str) -> str:
    """The text itself, if it breaks no line.  Raises ValueError."""
    if _BREAKS.search(text):
        raise ValueError("a value holds a line break")
    return text


def wire(command: str) -> bytes:
    """A command as it is sent."""
    return (command if END in command else command + END).encode()


# --- legs


def originate(verb: Dial) -> str:
    """A new leg under an id of ours, held once it has answered.  Early media is no answer."""
    ring_s = _positive(verb.ring_s)
    every = {**_shown(verb.display), "origination_uuid": _leg(verb.leg), "ignore_early_media": "true"}
    variables = _variables({**every, "originate_timeout": str(ring_s + LONGEST_SAY_S)})
    endpoint = _endpoint(ring_s, verb.trunk, verb.number)
    then = "'&execute_extension(fresh XML patchbay)'"
    return _checked(f"bgapi originate {{{variables}}}{endpoint} {then}", f"Job-UUID: {_verb(verb.id)}")


def hang_up(leg: str, cause: int) -> str:
    """End a leg; an unknown one is an error in the answer."""
    return _api("uuid_kill", _leg(leg), str(_positive(cause)))


def cut_short(leg: str) -> str:
    """End what the leg is played now, and what is about to be."""
    return _api("uuid_break", _leg(leg), "all")


def exists(leg: str) -> str:
    """Whether there is such a leg."""
    return _api("uuid_exists", _leg(leg))


def dump(leg: str) -> str:
    """All that FreeSWITCH knows of a leg, as JSON."""
    return _api("uuid_dump", _leg(leg), "json")


def variable(leg: str, name: str) -> str:
    """A variable of a leg; ``_undef_`` if it is not set."""
    return _api("uuid_getvar", _leg(leg), name)


def name(uuid: str, leg: str) -> str:
    """A leg that came in bears our id from now on."""
    return _api("uuid_setvar", _matching(_UUID, "uuid", uuid), "PB_LEG", _leg(leg))


def ring(leg: str) -> str:
    """Let the caller's phone ring (180)."""
    return _api("uuid_ring_ready", _leg(leg))


def keep(leg: str) -> str:
    """A leg whose Connect closes is held after its bridge all the same."""
    return _api("uuid_setvar", _leg(leg), "hangup_after_bridge", "false")


def mute(leg: str, on: bool) -> str:
    """What the leg says is not passed on, or is again."""
    return _api("uuid_audio", _leg(leg), "start read mute 1" if on else "stop")


def record(leg: str, recording: str) -> str:
    """Record from now on, while bridged, in stereo: left what the leg says, right what it hears."""
    return _record(leg, "start", recording)


def pause_record(leg: str, recording: str, on: bool) -> str:
    """Silence in the recording, both sides, or sound again; the recording's time goes on."""
    return _record(leg, "mask" if on else "unmask", recording)


def stop_record(leg: str, recording: str) -> str:
    """End a recording."""
    return _record(leg, "stop", recording)


def _record(leg: str, what: str, recording: str) -> str:
    return _api("expand", "uuid_record", _leg(leg), what, f"${{PB_SPOOL}}/{_verb(recording)}.raw")


def whisper(leg: str, prompts: Collection[str]) -> str:
    """Mix prompts into what the leg hears."""
    return _api("expand", "uuid_displace", _leg(leg), "start", _files(prompts), "0", "mux")


def notice(leg: str, prompt: str, mark: str) -> str:
    """The same with the notice of a recording.  The mark is a parameter of the file that nobody reads; it comes back with the
    end of what is mixed in, and lets a second one of the same prompt be."""
    file = f"{{pb={_matching(_NONCE, 'mark', mark)}}}{_files((prompt,))}"
    return _api("expand", "uuid_displace", _leg(leg), "start", file, "0", "mux")


def mark_of(file: str) -> str:
    """The mark in a file's name, or empty."""
    return file.partition("}")[0].removeprefix("{pb=") if file.startswith("{pb=") else ""


# --- the truth after a gap


def mark(nonce: str) -> str:
    """Put a mark into FreeSWITCH's list of tasks, behind all that it has still to write into its list of channels."""
    return _api("sched_api", "+60", f"pb{_matching(_NONCE, 'mark', nonce)}", "status")


def unmark(nonce: str) -> str:
    """Take the mark away."""
    return _api("sched_del", f"pb{_matching(_NONCE, 'mark', nonce)}")


# --- native macros on a held leg (dialplans/freeswitch/patchbay.xml)


# ``silent``: the leg came in and has no sound yet, neither early nor answered


def connect(verb: Connect, silent: bool = False) -> str:
    """Dial the far leg and bridge the two."""
    far, verb_id, ring_s = _leg(verb.far), _verb(verb.id), _positive(verb.ring_s)
    early = verb.wait == "early_media"
    every = {
        **_shown(verb.display),
        "origination_uuid": far,
        "PB_PEER": _leg(verb.leg),
        "PB_STEP": verb_id,
        "api_hangup_hook": f"sched_del {verb_id}",
        "bridge_early_media": "true" if early else "false",
        "ignore_early_media": "false" if early else "true",
        "originate_timeout": str(ring_s + LONGEST_SAY_S),
    }
    if up := _up(verb):
        every |= {"group_confirm_key": "exec", "group_confirm_cancel_timeout": "true"}
        every |= {"group_confirm_file": f"execute_extension {up} XML patchbay"}
    recording = _verb(verb.record) if verb.record else ""
    limit_s, closes = _positive(verb.limit_s), "true" if verb.closes else "false"
    limit = f"{limit_s * 1000}~{limit_s - 1}"  # the scheduler strikes within a second, so it is set that much early
    endpoint = _endpoint(ring_s, verb.trunk, verb.number)
    parts = ("connect", verb_id, far, verb.wait, recording, closes, limit, _variables(every), endpoint)
    # without event-lock: the notice to this leg arrives while it waits for the far one
    return _macro(verb.leg, ";".join(parts), silent, lock=False)


def _up(verb: Connect) -> str:
    """What the far leg does once it has answered; empty where it is bridged at once."""
    limit_s = _positive(verb.limit_s)
    notice = _both(verb.notice, verb.notice_to)
    warning = _both(verb.warn, verb.warn_to)
    left_s = min(_positive(verb.warn_s), limit_s // 2) if verb.warn else 0  # a short bridge is warned at its half
    say = _files(verb.announce) if verb.announce else ""
    if not any((*notice, *warning, say)):
        return ""
    return "~".join(("up", verb.id, verb.leg, verb.far, *notice, say, str(limit_s - left_s), *warning))


def _both(prompt: str, to: Notice) -> tuple[str, str]:
    """The prompt for the near leg and for the far leg, empty for whom it is not meant."""
    if not prompt:
        return "", ""
    file = _files((prompt,))
    return file if to in ("both", "caller") else "", file if to in ("both", "callee") else ""


def join(verb: Join) -> str:
    """Bridge the leg with another held one."""
    return _macro(verb.leg, f"join;{_verb(verb.id)};{_leg(verb.other)}")


def play(verb: Play, silent: bool = False) -> str:
    """Play prompts."""
    return _macro(verb.leg, f"play;{_verb(verb.id)};{_files(verb.prompts)}", silent)


def answer(verb: Answer, silent: bool = False) -> str:
    """Answer a leg that came in."""
    return _macro(verb.leg, f"answer;{_verb(verb.id)};", silent)


def ask(verb: Ask, silent: bool = False) -> str:
    """Play prompts and collect digits.  FreeSWITCH waits for a first key one second at least."""
    if not 0 <= verb.least <= verb.most <= 100 or verb.most < 1:
        raise VerbRefused("digits: 1 <= most <= 100 and least <= most")
    if not _STOP.fullmatch(verb.stop):
        raise VerbRefused("the stop key is one of 0-9 * #")
    files = _files(verb.prompts) if verb.prompts else ""
    heard = ("", files or "silence") if verb.barge else (files, "silence")
    times = (str(_ms(verb.first_s)), str(_ms(verb.next_s)))
    parts = ("ask", _verb(verb.id), *heard, str(verb.least), str(verb.most), *times, verb.stop or "none")
    return _macro(verb.leg, ";".join(parts), silent)


def detect(verb: Detect, silent: bool = False) -> str:
    """Listen to who has answered."""
    return _macro(verb.leg, f"detect;{_verb(verb.id)};{_ms(verb.within_s)}", silent)


def _macro(leg: str, what: str, silent: bool = False, lock: bool = True) -> str:
    """Let a held leg do a macro.  Without sound FreeSWITCH looks at no message while it sleeps (switch_ivr.c,
    ``switch_ivr_sleep``), so such a leg is sent there, and comes back by itself."""
    if silent:
        return _api("uuid_transfer", _leg(leg), _word(f"silent~{what}"), "XML", "patchbay")
    where = _checked(f"{_word(what)} XML patchbay")
    head = _checked(
        f"sendmsg {_leg(leg)}",
        "call-command: execute",
        "execute-app-name: execute_extension",
        f"event-lock: {'true' if lock else 'false'}",
        "content-type: text/plain",
        f"content-length: {len(where.encode())}",
    )
    return f"{head}{END}{where}"


def _word(text: str) -> str:
    """FreeSWITCH takes arguments apart at blanks that are not quoted (``switch_separate_string``)."""
    return f"'{text}'" if " " in text else text


def _api(*words: str) -> str:
    return _checked(" ".join(("api", *words)))


def _checked(*lines: str) -> str:
    if any(_BREAKS.search(line) for line in lines):
        raise VerbRefused("a value holds a line break")
    return "\n".join(lines)


def _variables(every: dict[str, str]) -> str:
    """A dial string's variables."""
    return ",".join(f"{name}={value}" for name, value in every.items())


def _endpoint(ring_s: int, trunk: str, number: str) -> str:
    """``[the ring timer, which counts for one leg]endpoint``."""
    return f"[leg_timeout={ring_s}]sofia/gateway/{_matching(_TRUNK, 'trunk', trunk)}/{_number(number)}"


def _shown(display: str) -> dict[str, str]:
    """Number and name, or FreeSWITCH shows the other party's number, and "Outbound Call"."""
    number = _number(display)
    names = ("origination_caller_id_number", "origination_caller_id_name")
    return {**dict.fromkeys(names, number), "ignore_display_updates": "true"}


# --- what values may look like


def _number(text: str) -> str:
    if not is_dialable(text):
        raise VerbRefused("this is no number that can be dialled or shown", "invalid_number")
    return text


def _leg(text: str) -> str:
    """A leg as FreeSWITCH calls it: our id, or a uuid of its own where the leg came in."""
    if not (text.isascii() and (ids.is_leg_id(text) or _UUID.fullmatch(text))):
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


def _files(names: Collection[str]) -> str:
    """One file, or several as one (mod_dptools' ``file_string``)."""
    if not names:
        raise VerbRefused("no prompt is named")
    files = [f"${{PB_SAY}}/{_matching(_PROMPT, 'prompt', name)}.wav" for name in names]
    return files[0] if len(files) == 1 else "file_string://" + "!".join(files)


def _positive(value: int) -> int:
    if not isinstance(value, int) or not 1 <= value <= 604_800:
        raise VerbRefused("a time or cause is out of range")
    return value


def _ms(seconds: float) -> int:
    if not 0 < seconds <= 3600:
        raise VerbRefused("a time is out of range")
    return round(seconds * 1000)
