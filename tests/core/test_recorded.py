"""Recordings of a call: from the bridge on or begun in mid-call, paused, stopped (RC1, RC2)."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.acts import refusal
from controller.core.call import changed
from controller.core.cdr import cdr
from controller.core.verbs import PauseRecord, Record, StopRecord
from tests.core.story import CALL, A, B, C, Story, flow
from tests.core.test_acts import TO, act, parted


def test_recording_starts_at_the_bridge_and_stops_with_it() -> None:
    story = Story(record=True).ringing()
    assert [r.state for r in story.call.recordings] == ["armed"]
    assert cdr(story.call)["recordings"] == [], "one that has not started is not shown"
    assert "recording.started" not in story.told
    story.hear(ev.LegsJoined, A, B)
    assert [r.state for r in story.call.recordings] == ["recording"]
    story.ended(B)
    assert [(r.state, r.stopped_at) for r in story.call.recordings] == [("stopped", story.now)]


def test_a_recording_that_never_started_leaves_no_trace() -> None:
    story = Story(record=True).sorry().done().over()
    assert story.call.recordings == ()
    assert story.cdr["recordings"] == []
    assert not [kind for kind in story.told if kind.startswith("recording")]


def test_a_recording_that_may_have_started_unheard_is_looked_for() -> None:
    story = Story(record=True).ringing().hear(ev.Swept)
    assert [r.state for r in story.call.recordings] == ["stopped"]
    story.hear(ev.RecordingFailed, CALL + "0003", "there is no file")
    assert story.facts[-1].data == {"recording_id": "rec_" + CALL + "0003", "reason": "there is no file"}


def test_a_key_that_is_pressed_while_a_recording_is_paused_is_noted_nowhere() -> None:
    story = Story(record=True).bridged().hear(ev.Digit, A, "1").hear(ev.Act, "pause_recording")
    story.hear(ev.Digit, A, "4").hear(ev.Digit, B, "5").hear(ev.Act, "resume_recording").hear(ev.Digit, A, "2")
    story.ended(B).done("parted").over()
    assert story.call.keys == ("1", "2")
    assert story.cdr["keys_pressed"] == "12"


def test_pause_and_resume() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "pause_recording")
    assert story.verbs[-1] == PauseRecord(CALL + "0004", A, CALL + "0003", True)
    assert story.call.recordings[0].state == "paused"
    story.sent().hear(ev.Act, "resume_recording")
    assert story.verbs[-1] == PauseRecord(CALL + "0005", A, CALL + "0003", False)
    assert story.call.recordings[0].state == "recording"


def test_a_pause_that_the_pbx_refuses_did_not_happen() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "pause_recording")
    story.hear(ev.Refused, story.verb("PauseRecord").id, "no")
    assert story.call.recordings[0].state == "recording"
    story.hear(ev.Act, "pause_recording").sent().hear(ev.Act, "resume_recording")
    story.hear(ev.Refused, story.verb("PauseRecord").id, "no")
    assert story.call.recordings[0].state == "paused"


def test_stop_and_start_again() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "stop_recording")
    assert story.verbs[-1] == StopRecord(CALL + "0004", A, CALL + "0003")
    assert story.call.recordings[0].state == "stopped"
    story.sent().hear(ev.Act, "record")
    assert story.verbs[-1] == Record(CALL + "0005", A, CALL + "0005", "recorded", "both")
    story.sent().hear(ev.VerbDone, A, CALL + "0005", "recording")
    assert [r.state for r in story.call.recordings] == ["stopped", "recording"]
    assert story.told[-1] == "recording.started"
    story.ended(A).ended(B, "platform")
    assert [r.state for r in story.call.recordings] == ["stopped", "stopped"]


# --- in mid-call the notice comes first (RC1)


def asked_to_record(story: Story, **args: Any) -> Record:
    """The verb that the action asks for."""
    story.bridged().hear(ev.Act, "record", "", args)
    record: Record = story.verb("Record")
    return record


def test_nothing_is_kept_and_nothing_told_of_it_before_the_notice_is_over() -> None:
    story = Story()
    record = asked_to_record(story)
    assert (record.notice, record.notice_to) == ("recorded", "both")
    story.hear(ev.Sent, record.id)
    assert [r.state for r in story.call.recordings] == ["armed"]
    assert "recording.started" not in story.told
    assert refusal(story.call, act("record")) == "the call is being recorded already"
    assert refusal(story.call, act("pause_recording")) == "nothing is being recorded"
    story.hear(ev.VerbDone, A, record.id, "recording")
    assert [(r.state, r.started_at) for r in story.call.recordings] == [("recording", story.now)]
    assert (story.told[-1], story.facts[-1].at) == ("recording.started", story.now)
    assert story.call.step(record.id) is None
    before = story.call
    assert story.hear(ev.VerbDone, A, record.id, "recording").call == before


@pytest.mark.parametrize(("asked", "chosen", "heard"), [
    ("caller", None, "caller"), ("caller", "callee", "callee"), ("none", None, "none"), (None, "none", "none"),
    (7, None, "both"),
])  # fmt: skip
def test_whom_the_notice_is_for(asked: Any, chosen: str | None, heard: str) -> None:
    story = Story(**({} if asked is None else {"recording_notice": asked}))
    args = {} if chosen is None else {"recording_notice": chosen}
    assert asked_to_record(story, **args).notice_to == heard


def test_a_recording_whose_notice_was_not_heard_has_failed() -> None:
    story = Story()
    record = asked_to_record(story)
    story.hear(ev.VerbDone, A, record.id, "failed")
    assert story.call.recordings[0].state == "failed"
    assert story.facts[-1].data == {"recording_id": "rec_" + record.id, "reason": "the notice was not heard"}
    assert refusal(story.call, act("record")) is None


def test_a_stop_during_the_notice_calls_the_recording_off() -> None:
    story = Story()
    record = asked_to_record(story)
    story.hear(ev.Act, "stop_recording")
    assert story.asked[-1] == "StopRecord"
    story.hear(ev.Refused, story.verb("StopRecord").id, "nothing is recorded")
    story.hear(ev.VerbDone, A, record.id, "recording")
    assert [(r.state, r.started_at) for r in story.call.recordings] == [("stopped", None)]
    assert "recording.started" not in story.told


def test_a_controller_that_comes_in_the_midst_of_the_notice_finds_the_verb_to_be_done() -> None:
    story = Story()
    record = asked_to_record(story)
    story.sent()
    assert [step.state for step in story.call.steps if step.id == record.id] == ["todo"]


def test_a_recording_of_which_the_pbx_says_nothing_is_asked_for_again_and_in_the_end_stopped() -> None:
    story = Story()
    record = asked_to_record(story)
    for tries in range(1, 5):
        assert story.asked.count("Record") == tries
        due = next(step.due_at for step in story.call.steps if step.id == record.id)
        story.hear(ev.Deadline, at=due)
    assert story.asked[-1] == "StopRecord"
    assert story.call.step(record.id) is None
    assert story.call.recordings[0].state == "stopped"


@pytest.mark.parametrize("end", ["hangup", "the caller leaves"])
def test_a_call_that_ends_during_the_notice_may_have_begun_to_record_unheard(end: str) -> None:
    story = Story()
    asked_to_record(story)
    story.hear(ev.Act, "hangup") if end == "hangup" else story.ended(A)
    story.over()
    assert [r.state for r in story.call.recordings] == ["stopped"]


def test_the_bridge_begins_no_recording_whose_notice_is_not_over() -> None:
    story = Story()
    asked_to_record(story)
    story.call = story.call.with_leg(changed(story.leg(B), joined_at=None))
    story.hear(ev.LegsJoined, A, B)
    assert story.call.recordings[0].state == "armed"


@pytest.mark.parametrize("begun", [True, False])
def test_what_began_in_mid_call_is_not_kept_in_the_next_talk_which_was_told_nothing(begun: bool) -> None:
    story = Story()
    record = asked_to_record(story)
    if begun:
        story.hear(ev.VerbDone, A, record.id, "recording")
    parted(story.hear(ev.Act, "transfer", "", TO).sent())
    assert story.asked[-2:] == ["StopRecord", "Connect"]
    assert story.call.recordings[0].state == "stopped"
    stop = story.verb("StopRecord")
    assert (stop.leg, stop.recording) == (A, record.id)
    story.hear(ev.Refused, stop.id, "nothing is recorded")
    assert story.call.recordings[0].state == "stopped"
    assert refusal(story.hear(ev.LegAnswered, C).hear(ev.LegsJoined, A, C).call, act("record")) is None


def test_what_began_in_mid_call_ends_when_the_other_side_leaves() -> None:
    story = Story(flow("""
        start: caller
        nodes:
          caller: {dial: caller, show: $x, answered: callee, else: end}
          callee: {connect: callee, from: caller, show: $x, parted: bye, else: end}
          bye: {play: caller, say: goodbye, done: end}
        """), x="+14155550100")  # fmt: skip
    story.start().sent().hear(ev.LegAnswered, A).held().sent().hear(ev.LegAnswered, B).hear(ev.LegsJoined, A, B)
    story.hear(ev.Act, "record").hear(ev.VerbDone, A, story.verb("Record").id, "recording")
    story.ended(B).done("parted")
    assert story.asked[-2:] == ["StopRecord", "Play"]
    assert story.call.recordings[0].state == "stopped"


def test_a_stop_that_the_pbx_refuses_did_not_happen() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "stop_recording")
    story.hear(ev.Refused, story.verb("StopRecord").id, "no")
    assert (story.call.recordings[0].state, story.call.recordings[0].stopped_at) == ("recording", None)


def test_a_stop_that_is_refused_when_the_file_is_stored_already_changes_nothing() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "stop_recording")
    story.hear(ev.RecordingStored, CALL + "0003", 1500, 24044, "ab" * 32)
    story.hear(ev.Refused, story.verb("StopRecord").id, "no")
    assert story.call.recordings[0].state == "stored"


def test_a_pause_refused_after_the_stop_leaves_it_stopped() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "pause_recording")
    pause = story.verb("PauseRecord").id
    story.hear(ev.Act, "stop_recording").hear(ev.Refused, pause, "no")
    assert story.call.recordings[0].state == "stopped"


def test_a_recording_in_mid_call_that_the_pbx_refuses_has_failed() -> None:
    story = Story().bridged().hear(ev.Act, "record")
    story.hear(ev.Refused, story.verb("Record").id, "no disk")
    assert story.call.recordings[0].state == "failed"
    assert story.told[-1] == "recording.failed"


def test_a_refused_mute_or_a_verb_of_a_recording_that_is_gone_changes_nothing_else() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "mute").hear(ev.Act, "pause_recording")
    story.hear(ev.Refused, story.verb("Mute").id, "no")
    story.call = changed(story.call, recordings=())
    story.hear(ev.Refused, story.verb("PauseRecord").id, "no")
    assert [step.kind for step in story.call.steps] == ["Connect"]


def test_a_recording_is_stored_once_also_when_the_call_is_closed() -> None:
    story = Story(record=True).bridged().ended(B).done("parted").over()
    for _ in range(2):
        story.hear(ev.RecordingStored, CALL + "0003", 1500, 24044, "ab" * 32)
        story.hear(ev.RecordingFailed, CALL + "0003", "too late")
    assert story.told[-2:] == ["cdr.created", "recording.stored"]
    assert story.facts[-1].data == {
        "recording_id": "rec_" + CALL + "0003",
        "duration_s": 1.5,
        "size": 24044,
        "sha256": "ab" * 32,
    }
    assert story.facts[-1].sequence == len(story.facts)
    assert story.call.recordings[0].duration_ms == 1500


def test_a_recording_of_another_call_is_not_ours() -> None:
    story = Story().bridged()
    before = story.call
    assert story.hear(ev.RecordingStored, "other", 1, 1, "").call == before
