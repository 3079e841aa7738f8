"""How calls look in a terminal."""

from collections.abc import Iterator
from typing import Any

from controller.cli.common import Api, show_list


def call_lines(call: dict[str, Any]) -> dict[str, Any]:
    """A call, line by line."""
    lines = {
        "id": call["id"],
        "status": call["status"],
        "disposition": call["disposition"],
        "hung up by": call["hangup_by"],
        "requested": call["requested_at"],
        "bridged": call["bridged_at"],
        "ended": call["ended_at"],
        "talked": f"{call['bill_s']:.1f} s" if call["bridged_at"] else None,
        "reference": call["reference"],
    }
    for leg in call["legs"]:
        lines[leg["name"]] = _leg(leg)
    for recording in call["recordings"]:
        length = f", {recording['duration_s']:.1f} s" if recording["duration_s"] is not None else ""
        lines["recording"] = f"{recording['id']} {recording['status']}{length}"
    return {name: what for name, what in lines.items() if what is not None}


def _leg(leg: dict[str, Any]) -> str:
    how = " ".join(f"{name} {leg[key]}" for name, key in (("SIP", "sip_status"), ("Q.850", "q850")) if leg[key] is not None)
    times = ", ".join(
        f"{key} {leg[key + '_at'][11:23]}" for key in ("dialed", "ringing", "answered", "ended") if leg[key + "_at"]
    )
    return f"{leg['number']} sees {leg['display']}; {times}" + (f" ({how})" if how else "")


def show_calls(api: Api, calls: Iterator[dict[str, Any]]) -> None:
    """A list of calls."""
    show_list(
        api,
        calls,
        {
            "id": lambda call: call["id"],
            "requested": lambda call: call["requested_at"][:19].replace("T", " "),
            "kind": lambda call: call["kind"],
            "status": lambda call: call["status"],
            "disposition": lambda call: call["disposition"],
            "talked": lambda call: f"{call['bill_s']:.0f} s" if call["bridged_at"] else "",
            "reference": lambda call: call["reference"],
        },
    )
