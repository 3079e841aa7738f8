"""Recording: in stereo, begun by the PBX, from the bridge on."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.config import Settings
from controller.core import events as ev
from controller.core.verbs import Hangup, Notice, PauseRecord, Record, StopRecord
from controller.drivers.asterisk import commands
from controller.lab.phones.client import Call
from controller.lab.phones.ear import Sound
from controller.lab.prompts import TONE_S
from controller.lab.wav import tones_of
from controller.ports import VerbRefused
from tests.contract.node import Node, Talk
from tests.lab.far_end import A, B, unsaid, whole

BYTES_PER_S = 2 * 2 * 8000


def _raw(settings: Settings, recording: str) -> Path:
    return settings.nodes[0].spool / f"{recording}.raw"


def _length(path: Path) -> float:
    return path.stat().st_size / BYTES_PER_S


def _tones(node: Node, path: Path) -> list[list[Sound]]:
    """What each channel holds: the two phones' tones, and those of prompts."""
    known = sorted({node.lab.tone(A), node.lab.tone(B), *node.lab.description["prompts"].values()})
    sides = np.fromfile(path, "<i2").reshape(-1, 2).T
    return [whole(tones_of(side, known)) for side in sides]


async def _check_length(talk: Talk, path: Path, legs: tuple[str, str] = (A, B)) -> None:
    """A recording is as long as the bridge, but for what the phones never said."""
    ended = next(e for e in talk.node.said if isinstance(e, ev.LegEnded) and e.leg == talk.far)
    assert ended.bridged_at is not None
    lacks = (ended.at - ended.bridged_at) / 1000 - _length(path)
    assert -0.5 < lacks < 0.5 + unsaid(*[await talk.over(number) for number in legs])


async def _talk_for(node: Node, talk: Talk, seconds: float) -> None:
    """Until the near phone has heard the far one for so long."""
    tone = node.lab.tone(B)
    await talk.seen(A, lambda call: sum(s["end"] - s["begin"] for s in call["heard"] if s["hz"] == tone) > seconds)


async def test_a_recording_holds_one_party_per_channel_from_the_bridge_on(node: Node, settings: Settings) -> None:
    talk = node.talk()
    recording = f"{talk.id}0002"
    await talk.bridged(A, B, record=recording, notice="recorded", notice_to="both", announce=("connecting",))
    await _talk_for(node, talk, 1.5)
    await talk.end(talk.near, talk.far)
    path = _raw(settings, recording)
    left, right = _tones(node, path)
    assert [sound.hz for sound in left] == [node.lab.tone(A)], "left: what the near leg said; no notice, no announcement"
    assert [sound.hz for sound in right] == [node.lab.tone(B)], "right: what it heard"
    await _check_length(talk, path)


async def test_a_call_without_recording_leaves_no_file(node: Node, settings: Settings) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.end(talk.near, talk.far)
    assert not [path for path in settings.nodes[0].spool.iterdir() if path.name.startswith(talk.id)]


async def test_a_call_that_is_not_answered_leaves_no_sound(node: Node, settings: Settings) -> None:
    talk = node.talk()
    recording = f"{talk.id}0002"
    await talk.hold(A)
    connect = await talk.connect(node.lab.number("busy"), record=recording)
    await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    await talk.end()
    path = _raw(settings, recording)
    assert not path.exists() or path.stat().st_size == 0


async def test_the_recording_ends_with_the_bridge(node: Node, settings: Settings) -> None:
    talk = node.talk()
    recording = f"{talk.id}0002"
    connect = await talk.bridged(A, node.lab.number("hangup_early"), record=recording)
    await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    size = _raw(settings, recording).stat().st_size
    await node.expect(ev.LegEnded, talk.far)
    await _check_length(talk, _raw(settings, recording), (node.lab.number("hangup_early"),))
    await talk.connect(B, far=f"{talk.id}03")
    await node.expect(ev.LegsJoined, talk.near, other=f"{talk.id}03")
    await _talk_for(node, talk, 0.5)
    await talk.end(talk.near, f"{talk.id}03")
    assert _raw(settings, recording).stat().st_size == size


async def test_a_pause_is_silence_on_both_sides_and_takes_its_time(node: Node, settings: Settings) -> None:
    talk = node.talk()
    recording = f"{talk.id}0002"
    await talk.bridged(A, B, record=recording)
    await _talk_for(node, talk, 1.0)
    await talk.do(PauseRecord, talk.near, recording=recording, on=True)
    begin = time.monotonic()
    await asyncio.sleep(1.0)  # the pause itself
    await talk.do(PauseRecord, talk.near, recording=recording, on=False)
    paused = time.monotonic() - begin
    await asyncio.sleep(1.0)  # what is recorded after it
    await talk.end(talk.near, talk.far)
    path = _raw(settings, recording)
    for side, hz in zip(_tones(node, path), (node.lab.tone(A), node.lab.tone(B)), strict=True):
        assert [sound.hz for sound in side] == [hz, hz]
        assert abs(side[1].begin - side[0].end - paused) < 0.5 + unsaid(await talk.over(A))
    await _check_length(talk, path)


async def test_a_recording_may_begin_and_end_in_mid_call(node: Node, settings: Settings) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await _talk_for(node, talk, 0.5)
    recording = talk.verb_id()
    record = Record(recording, talk.near, recording=recording)
    for _ in range(2):  # the same verb again begins nothing again
        await node.pbx.do(record)
        assert (await node.expect(ev.VerbDone, talk.near, verb=recording)).result == "recording"
    await _talk_for(node, talk, 1.5)
    await talk.do(StopRecord, talk.near, recording=recording)
    length = _length(_raw(settings, recording))
    await _talk_for(node, talk, 2.5)
    await talk.end(talk.near, talk.far)
    path = _raw(settings, recording)
    assert _length(path) - length < 0.5
    assert [[sound.hz for sound in side] for side in _tones(node, path)] == [[node.lab.tone(A)], [node.lab.tone(B)]]


# --- in mid-call the notice comes first


async def _notice(talk: Talk, prompt: str = "recorded", to: Notice = "both") -> Record:
    return await talk.do(Record, talk.near, recording=talk.verb_id(), notice=prompt, notice_to=to)


def _heard(node: Node, call: Call) -> list[Any]:
    """The sounds of the notice at a phone."""
    return [sound for sound in call["heard"] if sound["hz"] == node.lab.prompt("recorded")]


@pytest.mark.parametrize(("to", "told"), [("both", {A, B}), ("caller", {A}), ("callee", {B}), ("none", set())])
async def test_in_mid_call_the_notice_is_heard_in_the_talk_before_anything_is_kept(
    node: Node, settings: Settings, to: Notice, told: set[str]
) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await _talk_for(node, talk, 0.5)
    record = await _notice(talk, to=to)
    path = _raw(settings, record.recording)
    assert not told or not path.exists(), "accepted, and nothing is kept yet"
    done = await node.expect(ev.VerbDone, talk.near, verb=record.id)
    assert done.result == "recording"
    await talk.seen(A, lambda call: _tone_since(call, node.lab.tone(B), done.at / 1000) > 1.0)
    await talk.end(talk.near, talk.far)
    left, right = _tones(node, path)
    assert {sound.hz for sound in left} == {node.lab.tone(A)}
    assert {sound.hz for sound in right} == {node.lab.tone(B)}, "no notice in it"
    calls = {number: await talk.over(number) for number in (A, B)}
    assert {number for number, call in calls.items() if _heard(node, call)} == told
    length = TONE_S
    for number in told:
        sounds = _heard(node, calls[number])
        begin, end = sounds[0]["begin"], sounds[-1]["end"]
        assert end - begin > 0.4 * length, "more than its beginning: on a busy machine a phone misses some"
        assert end < done.at / 1000 + 0.3, "before the first of what is kept"
        other = node.lab.tone(B if number == A else A)
        assert _tone_since(calls[number], other, begin) - _tone_since(calls[number], other, end) > 0.5 * (end - begin), (
            "they talk on"
        )
    ended = next(e for e in node.said if isinstance(e, ev.LegEnded) and e.leg == talk.far)
    lacks = (ended.at - done.at) / 1000 - _length(path)
    assert -0.5 < lacks < 0.5 + unsaid(*calls.values())


def _tone_since(call: Call, hz: int, since: float) -> float:
    return sum(max(0.0, sound["end"] - max(since, sound["begin"])) for sound in call["heard"] if sound["hz"] == hz)


async def test_a_controller_that_dies_during_the_notice_has_recorded_nothing_and_the_next_one_begins_anew(
    node: Node, settings: Settings
) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    record = await _notice(talk, "long-recorded")
    for number in (A, B):
        await talk.seen(number, lambda call: bool(_heard(node, call)))
    await node.leave()
    await talk.seen(A, lambda call: time.time() - _heard(node, call)[-1]["end"] > 0.5)
    assert not _raw(settings, record.recording).exists()
    await node.come()
    await node.pbx.alive()
    await node.pbx.do(replace(record, notice="recorded"))
    assert (await node.expect(ev.VerbDone, talk.near, verb=record.id)).result == "recording"
    await node.leave()
    size = await _begun(_raw(settings, record.recording))
    await node.come()
    await node.pbx.alive()
    await node.pbx.do(replace(record, notice="recorded", notice_to="none"))  # another one that never heard of its end
    assert (await node.expect(ev.VerbDone, talk.near, verb=record.id)).result == "recording"
    await asyncio.sleep(1.0)  # what is recorded
    await talk.end(talk.near, talk.far)
    assert _length(_raw(settings, record.recording)) - size / BYTES_PER_S > 0.7, "it goes on, and not anew"


async def _begun(file: Path, within_s: float = 5.0) -> int:
    """The size of a recording once there is a file: the PBX says that it records before its writer has made one."""
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(file.exists):
        assert time.monotonic() < deadline, "nothing is recorded"
        await asyncio.sleep(0.02)
    return (await asyncio.to_thread(file.stat)).st_size


async def test_a_notice_that_would_not_have_been_passed_on_is_not_spoken_and_nothing_is_kept(
    node: Node, settings: Settings, pbx_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pbx_kind != "asterisk":
        pytest.skip("only on Asterisk another channel speaks, and is not heard before a third passes it on")
    passed_on = commands.passed_on
    monkeypatch.setattr(commands, "passed_on", lambda spy: {**passed_on(spy), "Variable": "PB_NOT_YET"})
    talk = node.talk()
    await talk.bridged(A, B)
    record = await _notice(talk)
    assert (await node.expect(ev.VerbDone, talk.near, verb=record.id)).result == "failed"
    await talk.end(talk.near, talk.far)
    assert not any([_heard(node, await talk.over(number)) for number in (A, B)])
    assert not _raw(settings, record.recording).exists()


@pytest.mark.parametrize("how", ["stopped", "the other leaves", "no such prompt"])
async def test_what_comes_between_the_notice_and_the_recording_keeps_it_from_beginning(
    node: Node, settings: Settings, how: str
) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    if how == "no such prompt":
        try:
            record = await _notice(talk, "no-such-prompt")
        except VerbRefused:
            record = None
    else:
        record = await _notice(talk, "long-recorded")
        await talk.seen(A, lambda call: bool(_heard(node, call)))
    if record is not None and how == "stopped":
        await talk.do(StopRecord, talk.near, recording=record.recording)
        await talk.seen(A, lambda call: time.time() - _heard(node, call)[-1]["end"] > 0.5)
    elif record is not None:
        if how == "the other leaves":
            await talk.do(Hangup, talk.far)
        assert (await node.expect(ev.VerbDone, talk.near, verb=record.id)).result == "failed"
    await talk.end()
    await node.expect(ev.LegEnded, talk.far)
    assert not [path for path in settings.nodes[0].spool.iterdir() if path.name.startswith(talk.id)]
