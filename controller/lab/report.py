"""What `patchbay lab calls --json` prints."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

_TIMES = ("at", "ringing_at", "answered_at", "ended_at", "begin", "end")


def calls_report(lab: dict[str, Any], calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each phone with the calls that came to it and that it placed; times become RFC 3339.

    ``heard_hz`` has phones' tones alone; the prompts that a lab with `--prompts tones` played are in ``heard_prompts``.
    """
    prompts = {hz: name for name, hz in lab["prompts"].items()}
    told = [_told(call, prompts) for call in calls]
    phones = []
    for phone in (*lab["phones"], *lab["more_phones"]):
        own = [call for call in told if call["number"] == phone["number"]]
        phones.append(
            {
                "number": phone["number"],
                "behaviour": phone["behaviour"],
                "invites": [call for call in own if call["direction"] == "in"],
                "placed": [call for call in own if call["direction"] == "out"],
                "heard_hz": sorted({hz for call in own for hz in call["heard_hz"]}),
                "heard_prompts": list(dict.fromkeys(name for call in own for name in call["heard_prompts"])),
                "ended_by": own[-1]["ended_by"] if own else None,
            }
        )
    return {"phones": phones}


def _told(call: dict[str, Any], prompts: dict[int, str]) -> dict[str, Any]:
    heard: list[dict[str, Any]] = sorted(call["heard"], key=lambda sound: float(sound["begin"]))
    played = list(dict.fromkeys(prompts[sound["hz"]] for sound in heard if sound["hz"] in prompts))
    by_phones = [hz for hz in call["heard_hz"] if hz not in prompts]
    told: dict[str, Any] = _with_times({**call, "heard_hz": by_phones, "heard_prompts": played})
    return told


def _with_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _rfc3339(item) if name in _TIMES and isinstance(item, float) else _with_times(item)
        for name, item in value.items()
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
