"""Far end: what is recorded, when, which side on which channel, and who was told of it before."""

import hashlib
import http.client
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from controller.lab.phones.ear import Sound
from controller.lab.prompts import TONE_S
from tests.lab.far_end import A, B, unsaid
from tests.lab.story import Ended, Story
from tests.lab.together import together

BYTES_A_SECOND = 8000 * 2 * 2
HEADER = 44


def recordings(story: Story, count: int = 1) -> list[dict[str, Any]]:
    """The call's recordings as the API shows them, once all are stored."""
    for _ in range(count):
        story.stage.receiver.wait_for(story.id, lambda facts: len(stored(facts)) >= count, 30)
    return [story.stage.get(f"/v1/recordings/{fact['data']['recording_id']}") for fact in stored(story.stage.events(story.id))]


def stored(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The facts of stored recordings."""
    return [fact for fact in facts if fact["type"] == "recording.stored"]


def download(story: Story, recording: dict[str, Any]) -> Path:
    """The audio by the API, as its checksum and size say."""
    connection = http.client.HTTPConnection("127.0.0.1", story.lab.description["ports"]["api"], timeout=20)
    connection.request("GET", f"/v1/recordings/{recording['id']}/media", headers={"Authorization": f"Bearer {story.lab.key}"})
    response = connection.getresponse()
    audio = response.read()
    connection.close()
    assert (response.status, response.getheader("Content-Type")) == (200, "audio/wav")
    assert hashlib.sha256(audio).hexdigest() == recording["sha256"]
    assert len(audio) == recording["size"] == HEADER + round(recording["duration_s"] * BYTES_A_SECOND)
    path = story.lab.folder / f"{recording['id']}.wav"
    path.write_bytes(audio)
    return path


def channels(story: Story, recording: dict[str, Any]) -> tuple[list[Sound], list[Sound]]:
    """The tones on the left and on the right of a recording."""
    left, right = story.lab.recording_tones(download(story, recording))
    return left, right


def only(sounds: list[Sound], hz: int) -> float:
    """For how long a tone sounds on a channel that holds nothing else."""
    assert {sound.hz for sound in sounds} == {hz}
    return sum(sound.end - sound.begin for sound in sounds)


def times(end: Ended, kind: str) -> list[str]:
    """When facts of a type happened."""
    return [event["occurred_at"] for event in end.events if event["type"] == kind]


@together
@pytest.mark.parametrize(("notice", "told"), [
    ("both", {"caller", "callee"}), ("caller", {"caller"}), ("callee", {"callee"}), ("none", set()),
])  # fmt: skip
def test_each_side_has_a_channel_and_whoever_was_to_be_told_heard_the_notice_which_is_not_kept(
    story: Story, notice: str, told: set[str]
) -> None:
    story.begin(record=True, recording_notice=notice)
    story.talk()
    story.hears("caller", story.lab.tone(B), 1.5)
    story.hang_up("caller")
    end = story.ended()
    (recording,) = recordings(story)
    assert {leg for leg in ("caller", "callee") if "recorded" in end.prompts(leg)} == told
    left, right = channels(story, recording)
    assert only(left, story.lab.tone(A)) > 0.7
    assert only(right, story.lab.tone(B)) > 0.7
    end.check_length(recording["duration_s"])
    assert times(end, "recording.started") == times(end, "call.bridged")
    first_tone = min(sound["begin"] for sound in end.at_phone["caller"]["heard"] if sound["hz"] == story.lab.tone(B))
    for leg in told:
        notices = [s for s in end.at_phone[leg]["heard"] if s["hz"] == story.lab.prompt("recorded")]
        assert notices[-1]["end"] < first_tone + 0.2


@together
def test_without_record_nothing_is_kept_and_nobody_is_told_that_it_is(story: Story) -> None:
    story.begin(record=False, recording_notice="both")
    story.talk()
    story.hang_up("caller")
    end = story.ended()
    assert (end.prompts("caller"), end.prompts("callee")) == (["connecting"], [])
    assert end.record["recordings"] == []
    assert not {event["type"] for event in end.events} & {"recording.started", "recording.stored", "recording.failed"}


@together
def test_a_call_that_is_never_bridged_has_no_recording(story: Story) -> None:
    end = story.begin(callee=story.lab.number("busy"), record=True).ended()
    assert end.record["recordings"] == []
    assert "recorded" not in end.prompts("caller")


def around_the_longest_silence(sounds: Sequence[Sound]) -> tuple[float, float, float]:
    """How long (s) a tone is heard before, how long it is silent, and how long it is heard after that.  It may break off for a
    moment elsewhere: the phones are programs on a busy machine."""
    sounds = sorted(sounds, key=lambda sound: sound.begin)
    assert len(sounds) > 1
    silences = [later.begin - sooner.end for sooner, later in pairwise(sounds)]
    place = silences.index(max(silences)) + 1
    before, after = (sum(sound.end - sound.begin for sound in part) for part in (sounds[:place], sounds[place:]))
    return before, silences[place - 1], after


@together
def test_a_pause_is_silence_on_both_channels_and_takes_its_time(story: Story) -> None:
    story.begin(record=True, recording_notice="none")
    story.talk()
    story.hears("callee", story.lab.tone(A), 1.0)
    story.must("pause_recording")
    assert story.act("pause_recording")[0] == 409
    heard_by_now = story.wait("callee", lambda _: True)["heard"][-1]["end"]
    story.hears("callee", story.lab.tone(A), 1.5, after=heard_by_now)  # the two still hear each other
    story.must("resume_recording")
    assert story.act("resume_recording")[0] == 409
    resumed = story.wait("callee", lambda _: True)["heard"][-1]["end"]
    story.hears("callee", story.lab.tone(A), 1.0, after=resumed)
    story.hang_up("callee")
    end = story.ended()
    (recording,) = recordings(story)
    for sounds, number in zip(channels(story, recording), (A, B), strict=True):
        only(sounds, story.lab.tone(number))
        before, silence, after = around_the_longest_silence(sounds)
        assert silence > 0.5
        assert before > 0.5
        assert after > 0.5
    end.check_length(recording["duration_s"])


@together
def test_a_recording_may_be_stopped_and_another_started_in_mid_call(story: Story) -> None:
    story.begin(record=True, recording_notice="none")
    story.talk()
    story.hears("callee", story.lab.tone(A), 1.0)
    story.must("stop_recording")
    assert story.act("stop_recording")[0] == 409
    story.until("recording.stored")
    assert story.status() == "bridged"
    story.must("record", recording_notice="none")
    assert story.act("record")[0] == 409
    begun = story.wait("callee", lambda _: True)["heard"][-1]["end"]
    story.hears("callee", story.lab.tone(A), 1.5, after=begun)
    story.hang_up("caller")
    end = story.ended()
    first, second = recordings(story, 2)
    assert first["id"] != second["id"]
    for recording in (first, second):
        left, right = channels(story, recording)
        assert only(left, story.lab.tone(A)) > 0.7
        assert only(right, story.lab.tone(B)) > 0.7
    assert first["duration_s"] + second["duration_s"] < end.record["bill_s"]


@together
@pytest.mark.parametrize(("asked", "chosen", "told"), [
    ("both", None, {"caller", "callee"}), ("callee", None, {"callee"}), ("none", "caller", {"caller"}),
])  # fmt: skip
def test_a_recording_that_is_started_in_mid_call_begins_when_those_were_told_who_were_to_be(
    story: Story, asked: str, chosen: str | None, told: set[str]
) -> None:
    story.begin(recording_notice=asked)
    story.talk()
    assert story.act("pause_recording")[0] == 409
    story.must("record", **({} if chosen is None else {"recording_notice": chosen}))
    begun = datetime.fromisoformat(story.until("recording.started")["occurred_at"]).timestamp()
    story.hears("callee", story.lab.tone(A), 1.5, after=begun)
    story.hang_up("callee")
    end = story.ended()
    (recording,) = recordings(story)
    assert {leg for leg in ("caller", "callee") if "recorded" in end.prompts(leg)} == told
    for leg in told:
        notices = [sound for sound in end.at_phone[leg]["heard"] if sound["hz"] == story.lab.prompt("recorded")]
        assert notices[-1]["end"] - notices[0]["begin"] > 0.8 * TONE_S
        assert notices[-1]["end"] < begun + 0.3
    left, right = channels(story, recording)
    assert only(left, story.lab.tone(A)) > 0.5
    assert only(right, story.lab.tone(B)) > 0.5
    lacks = end.at_phone["callee"]["ended_at"] - begun - recording["duration_s"]
    assert -0.5 < lacks < 0.5 + unsaid(*end.at_phone.values())


@together
def test_a_recorded_talk_that_reaches_its_limit_is_stored_whole(story: Story) -> None:
    story.begin(record=True, max_duration_s=3, warn_to="both")
    end = story.ended()
    (recording,) = recordings(story)
    assert end.outcome == ("completed", "platform")
    assert end.record["bill_s"] >= 2.9
    end.check_length(recording["duration_s"])
    left, right = channels(story, recording)
    assert story.lab.tone(A) in {sound.hz for sound in left}
    assert story.lab.tone(B) in {sound.hz for sound in right}


@together
def test_a_part_of_a_recording_can_be_had(story: Story) -> None:
    story.begin(record=True, recording_notice="none", max_duration_s=1).ended()
    (recording,) = recordings(story)
    whole = download(story, recording).read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", story.lab.description["ports"]["api"], timeout=20)
    headers = {"Authorization": f"Bearer {story.lab.key}", "Range": "bytes=44-1043"}
    connection.request("GET", f"/v1/recordings/{recording['id']}/media", headers=headers)
    response = connection.getresponse()
    assert (response.status, response.read()) == (206, whole[44:1044])
    assert response.getheader("Content-Range") == f"bytes 44-1043/{len(whole)}"
    connection.close()
