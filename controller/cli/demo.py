"""`patchbay demo`: one callback through a real PBX, shown as it happens, and what became of it at both far ends."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from controller.cli import demo_shown as shown
from controller.cli.common import Api, Ended
from controller.cli.watching import follow
from controller.lab import lab
from controller.lab.options import Options
from controller.lab.wav import channels, tones_of

CALLER, CALLEE = "+14155550101", "+14155550102"
TALK_S = 5
STORED_WITHIN_S = 15.0


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the lab up afterwards, to try things.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("demo.png"),
    show_default=True,
    help="Where the picture of the recording goes.",
)
def command(keep: bool, out: Path) -> None:
    """Ring two phones, bridge them, record them, and show what each of them saw and heard."""
    console = Console(highlight=False)
    folder = Path(tempfile.gettempdir()) / f"patchbay-demo-{os.getpid()}"
    began = time.monotonic()
    console.print("[bold]1[/] a lab: real Asterisk, SIP phones, the controller, on loopback")
    try:
        room = lab.up(Options(folder.absolute(), owner=None if keep else os.getpid()))
    except lab.LabFailed as error:
        raise Ended(str(error)) from None
    try:
        console.print(f"  up after {time.monotonic() - began:.1f} s in {folder}")
        _show(console, room, out)
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            lab.down(folder.absolute())
            shutil.rmtree(folder, ignore_errors=True)
    _next(console, folder if keep else None)


def _show(console: Console, room: dict[str, Any], out: Path) -> None:
    with Api(room["api"], room["api_key"], as_json=False) as api:
        call = _callback(console, api, room)
        stored = _stored(api, call)
        record = api.send("GET", f"/v1/calls/{call}")
        console.print(f"\n[bold]3[/] its record: {shown.verdict(record)}", soft_wrap=True)
        console.print(shown.record(record))
        _far_ends(console, room, record)
        _recording(console, api, room, stored, out)


def _callback(console: Console, api: Api, room: dict[str, Any]) -> str:
    """Post it and print its timeline as it happens; the call's id."""
    first, second = room["display"][:2]
    asked = {
        "caller": CALLER,
        "callee": CALLEE,
        "caller_display": first,
        "callee_display": second,
        "record": True,
        "max_duration_s": TALK_S,
        "reference": "demo",
    }
    console.print(f"\n[bold]2[/] POST /v1/callbacks: {CALLER} and {CALLEE}, {TALK_S} s, recorded; live:")
    call = str(api.send("POST", "/v1/callbacks", asked)["id"])
    start: str | None = None
    for event in follow(api, call):
        start = start or event["occurred_at"]
        console.print(shown.line(event, start))
    return call


def _stored(api: Api, call: str) -> dict[str, Any]:
    """The recording once it is durably there."""
    until = time.monotonic() + STORED_WITHIN_S
    while time.monotonic() < until:
        events = api.send("GET", f"/v1/calls/{call}/events", limit=100)["items"]
        for event in events:
            if event["type"] == "recording.stored":
                found: dict[str, Any] = event["data"]
                return found
        time.sleep(0.1)
    raise Ended("the recording was not stored; see the controller's log in the lab's folder")


def _far_ends(console: Console, room: dict[str, Any], record: dict[str, Any]) -> None:
    numbers = {leg["number"] for leg in record["legs"]}
    phones = {phone["number"]: phone for phone in room["phones"]}
    with lab.phones(Path(room["dir"])) as book:
        calls = [call for call in book.calls() if call["number"] in numbers]
    console.print("\n[bold]4[/] what each phone saw and heard")
    console.print(shown.far_ends(calls, phones))
    leaks = [call["number"] for call in calls if any(other in str(call["received"]) for other in numbers - {call["number"]})]
    if leaks:
        raise Ended(f"a phone was shown the other's number: {', '.join(leaks)}")
    console.print("  no SIP message to either phone has the other's number in it")


def _recording(console: Console, api: Api, room: dict[str, Any], stored: dict[str, Any], out: Path) -> None:
    sound = Path(room["dir"]) / "demo.wav"
    with api.stream(f"/v1/recordings/{stored['recording_id']}/media") as answer:
        sound.write_bytes(b"".join(answer.iter_bytes()))
    tones = [phone["tone_hz"] for phone in room["phones"]]
    found = [sorted({sound.hz for sound in tones_of(channel, tones)}) for channel in channels(sound)]
    about = f"{stored['duration_s']} s, {stored['size']} bytes, sha256 {stored['sha256'][:16]}..."
    console.print(f"\n[bold]5[/] the recording: {about}", soft_wrap=True)
    console.print(shown.recording(found))
    if shown.picture(sound, out):
        console.print(f"  its spectrogram: {out}")


def _next(console: Console, folder: Path | None) -> None:
    console.print("\n[bold]next[/]")
    if folder:
        console.print(f"  the lab is still up: export PATCHBAY_LAB={folder}, then `patchbay callback create --help`")
        console.print(f"  end it with: patchbay lab down --dir {folder}")
    else:
        console.print("  make dev        a shell beside a running lab: kill the controller, watch calls go on")
        console.print("  make test       the proof: every story at the far end, crashes included")
        console.print("  docs/start.md   from here to your own PBX")
