"""The whole driver hears a tape: what it tells of it, in order, beside what the events alone mean (`test_events`)."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from controller.config import Esl, Node
from controller.core import events as ev
from controller.core import ids
from controller.drivers.freeswitch.frames import Frame
from controller.drivers.freeswitch.pbx import FreeSwitchPbx
from controller.services.clock import SystemClock
from tests.drivers.freeswitch import tape

UUID = 36


async def told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ev.Event]:
    """What the driver tells of a tape whose every command is obeyed."""
    esl = Esl(password=SecretStr("not-used-in-this-test"))
    pbx = FreeSwitchPbx(Node(name="fs1", kind="freeswitch", esl=esl, spool=tmp_path), esl, (), SystemClock())
    asked: list[str] = []

    async def obey(command: str) -> str:
        asked.append(command)
        return "+OK\n"

    monkeypatch.setattr(pbx._link, "act", obey)
    named = re.findall(r"uuid_setvar \S+ PB_LEG (\w+)", "".join(tape.read(name, "C")))
    calls = iter(ids.call_of(leg) for leg in named)
    monkeypatch.setattr("controller.drivers.freeswitch.pbx.ULID", lambda: next(calls))  # the far legs bear the same
    pbx._link.is_up = True
    for frame in tape.frames(name):
        if frame.kind == "text/event-json":
            pbx._heard(frame.body)
            await asyncio.sleep(0)  # whoever names a leg that came in is a task
            await asyncio.sleep(0)
    await pbx.close()
    assert all(len(command.split(" ")[2]) == UUID for command in asked), "nothing is asked but the naming of legs that came in"
    return [event async for event in pbx.events()]


def words(said: list[ev.Event]) -> list[str]:
    """Events of legs: kind, the leg's number in its call, what came of it."""
    return [
        " ".join([type(event).__name__, event.leg[-2:], str(getattr(event, "result", "") or getattr(event, "why", ""))]).strip()
        for event in said
        if isinstance(event, ev.LegEvent)
    ]


async def test_a_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words(await told("callback", tmp_path, monkeypatch)) == [
        "LegRinging 01",
        "LegAnswered 01",
        "LegHeld 01",
        "VerbDone 01 done",
        "LegHeld 01 done",
        "LegRinging 02",
        "LegAnswered 02",
        "LegsJoined 01",
        "LegsParted 01",
        "LegEnded 02 remote",
        "VerbDone 01 parted",
        "LegHeld 01 parted",
        "LegEnded 01 platform",
    ]


async def test_a_leg_that_came_in_and_was_answered_while_nobody_listened_has_its_true_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first knock at a new controller: it bears the id that the one before gave it."""
    leg = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE01"
    knock = {
        "Event-Name": "CUSTOM",
        "Event-Subclass": "patchbay::held",
        "Event-Date-Timestamp": "1700000020000000",
        "Unique-ID": "8d97d93b-01d6-49a8-9503-594684c9b44c",
        "Answer-State": "answered",
        "Caller-Channel-Answered-Time": "1700000008200000",
        "variable_PB_TRUNK": "lab",
        "variable_PB_LEG": leg,
        "variable_PB_STEP": ids.verb_id(ids.call_of(leg), 2),
        "variable_PB_RESULT": "parted",
    }
    monkeypatch.setattr(tape, "frames", lambda _name: [Frame("text/event-json", "", json.dumps(knock).encode())])
    monkeypatch.setattr(tape, "read", lambda *_: iter(()))
    answered, held = await told("none", tmp_path, monkeypatch)
    assert answered == ev.LegAnswered(1_700_000_008_200, leg)
    assert held == ev.LegHeld(1_700_000_020_000, leg, knock["variable_PB_STEP"], "parted")


async def test_calls_that_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await told("arrived", tmp_path, monkeypatch)
    arrivals = [event for event in said if isinstance(event, ev.LegArrived)]
    assert [arrival.trunk for arrival in arrivals] == ["lab"] * 4
    assert len({ids.call_of(arrival.leg) for arrival in arrivals}) == 4, "each is a call of its own"
    assert {(arrival.caller, arrival.called) for arrival in arrivals} == {
        ("+14155550101", "+14155550200"),
        ("+14155550103", "+14155550200"),
    }
    assert words(said) == [
        "LegArrived 01",
        "LegEnded 01 remote",
        "LegArrived 01",
        "LegEnded 01 platform",
        "LegArrived 01",
        "VerbDone 01 done",
        "LegHeld 01 done",
        "LegEnded 01 platform",
        "LegArrived 01",
        "LegRinging 02",
        "LegAnswered 02",
        "LegAnswered 01",
        "LegsJoined 01",
        "LegsParted 01",
        "LegEnded 02 platform",
        "LegEnded 01 remote",
    ]
    unanswered = [event for event in said if isinstance(event, ev.LegHeld)]
    assert [event.up for event in unanswered] == [False]


@pytest.mark.parametrize(
    "name", ["bridged", "refusals", "far_refusals", "keys", "pause", "transfer", "joined", "resync", "detected"]
)
async def test_each_leg_of_a_tape_ends_once_and_nothing_is_told_of_it_afterwards(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: set[str] = set()
    for event in await told(name, tmp_path, monkeypatch):
        if isinstance(event, ev.LegEvent):
            assert event.leg not in over, event
            if isinstance(event, ev.LegEnded):
                over.add(event.leg)
    assert over
