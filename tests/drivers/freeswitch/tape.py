"""Tapes: what a real FreeSWITCH said and was told, frame by frame, in `tests/tapes/freeswitch`; see `tests/tapes/record.py`.

A tape is gzipped JSON lines: `t` seconds since its begin, `dir` S (FreeSWITCH to us) or C (we to it), `text` as it was on the
wire.  Those named `lab-` were made before there was a driver, by hand, some with plain events.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from controller.core import events as ev
from controller.drivers.freeswitch import events
from controller.drivers.freeswitch.frames import Frame, Framer

FOLDER = Path(__file__).parents[2] / "tapes" / "freeswitch"


def read(name: str, way: str = "S") -> Iterator[str]:
    """What went one way, in order."""
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            part = json.loads(line)
            if part["dir"] == way:
                yield part["text"]


def stream(name: str) -> bytes:
    """All that FreeSWITCH sent, as one stream."""
    return "".join(read(name)).encode()


def frames(name: str) -> list[Frame]:
    """The frames that FreeSWITCH sent."""
    return Framer().feed(stream(name))


def heard(name: str) -> list[events.Heard]:
    """The events that FreeSWITCH sent."""
    return [events.decode(frame.body) for frame in frames(name) if frame.kind == "text/event-json"]


def said(name: str, legs: events.Legs | None = None) -> list[ev.Event]:
    """What they mean."""
    legs = legs or events.Legs()
    return [event for one in heard(name) for event in events.read(one, legs)]
