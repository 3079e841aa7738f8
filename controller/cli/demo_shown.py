"""How the demo shows what it found."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

WORTH_SAYING = ("leg", "number_masked", "sip_status", "q850", "disposition", "hangup_by", "duration_s")


def line(event: Mapping[str, Any], start: str) -> str:
    """One event, with the seconds since the first."""
    data = event["data"] if event["type"] != "cdr.created" else {}
    details = "  ".join(str(data[name]) for name in WORTH_SAYING if data.get(name) is not None)
    return f"  {_since(start, event['occurred_at']):>7} s  {event['sequence']:>2}  {event['type']:<20} {details}".rstrip()


def verdict(call: Mapping[str, Any]) -> str:
    """A call's end in a line."""
    return f"{call['disposition']}, ended by {call['hangup_by']}; rang {call['ring_s']} s, talked {call['bill_s']} s"


def record(call: Mapping[str, Any]) -> Table:
    """A call's record: one row a leg, times in seconds since the request."""
    table = _table()
    for column in ("leg", "number", "shows", "rings", "answers", "ends", "SIP/Q.850", "why"):
        table.add_column(column, justify="right" if column in ("rings", "answers", "ends") else "left")
    for leg in call["legs"]:
        times = [_since(call["requested_at"], leg[name]) for name in ("ringing_at", "answered_at", "ended_at")]
        codes = "/".join(str(leg[name]) for name in ("sip_status", "q850") if leg[name] is not None)
        table.add_row(leg["name"], leg["number"], leg["display"], *times, codes, leg["cause"] or "")
    return table


def _since(start: str, moment: str | None) -> str:
    if moment is None:
        return ""
    return f"{(datetime.fromisoformat(moment) - datetime.fromisoformat(start)).total_seconds():.2f}"


def far_ends(calls: Sequence[Mapping[str, Any]], phones: Mapping[str, Mapping[str, Any]]) -> Table:
    """What each phone saw in From and which tones it heard."""
    table = _table()
    for column in ("phone", "From", "plays", "heard", "ended by"):
        table.add_column(column)
    for call in calls:
        sender = next((value for name, value in call["headers"].items() if name.lower() == "from"), "")
        heard = " ".join(f"{hz} Hz" for hz in call["heard_hz"]) or "nothing"
        plays = f"{phones[call['number']]['tone_hz']} Hz"
        table.add_row(
            call["number"], str(sender).split(";")[0].rpartition("<")[2].rstrip(">"), plays, heard, str(call["ended_by"])
        )
    return table


def recording(found: Sequence[Sequence[int]]) -> Table:
    """What a recording holds, channel by channel."""
    table = _table()
    for column in ("channel", "holds"):
        table.add_column(column)
    for name, tones in zip(("left: the caller", "right: the callee"), found, strict=False):
        table.add_row(name, " ".join(f"{hz} Hz" for hz in tones) or "nothing")
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def picture(sound: Path, out: Path) -> bool:
    """A spectrogram of ``sound`` as a PNG; False where sox is missing."""
    if shutil.which("sox") is None:
        return False
    draw = ["spectrogram", "-x", "900", "-y", "257", "-t", "left: caller   right: callee", "-o", str(out)]
    subprocess.run(["sox", str(sound), "-n", *draw], check=True, timeout=30)
    return True
