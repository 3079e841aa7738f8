"""What a client may do to a live call: hang up, mute, play, record, pause, transfer."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.acts import ACTS, MOST_STEPS, describe, refusal
from controller.core.call import changed
from controller.core.verbs import Mute, Part, PauseRecord, Record, StopRecord, Whisper
from tests.core.story import CALL, A, B, C, Story

TO = {"to": "+14155550103", "display": "+14155550120", "trunk": "other"}


def act(action: str, leg: str = "", **args: Any) -> ev.Act:
    return ev.Act(0, action, leg, args)


@pytest.mark.parametrize("action", sorted(ACTS.keys() - {"hangup"}))
@pytest.mark.parametrize("state", ["queued", "ringing", "sorry", "parted"])
def test_nothing_but_hanging_up_is_possible_unless_the_parties_talk(action: str, state: str) -> None:
    story = {
        "queued": Story(),
        "ringing": Story().ringing(),
        "sorry": Story().sorry(),
        "parted": Story().bridged().ended(B),
    }[state]
    assert refusal(story.call, act(action)) == "the parties are not talking"
    assert refusal(story.call, act("hangup")) is None
    before = story.call
    assert story.hear(ev.Act, action).call == before


def test_refusals_say_why() -> None:
    talk = Story().bridged().call
    assert refusal(talk, act("dance")) == "there is no action dance"
    assert refusal(talk, act("mute", "nobody")) == "there is no such leg"
    assert refusal(talk, act("pause_recording")) == "nothing is being recorded"
    assert refusal(talk, act("stop_recording")) == "nothing is being recorded"
    assert refusal(talk, act("resume_recording")) == "no recording is paused"
    assert refusal(talk, act("transfer")) == "it is not said where to, or which number to show"
    recorded = Story(record=True).bridged()
    assert refusal(recorded.call, act("record")) == "the call is being recorded already"
    assert refusal(recorded.call, act("resume_recording")) == "no recording is paused"
    assert refusal(changed(talk, steps_taken=MOST_STEPS), act("mute")) == "too much has been done in this call"
    assert refusal(recorded.hear(ev.Cancel).call, act("hangup")) == "the call is over"
    assert refusal(recorded.over().call, act("hangup")) == "the call is over"


def test_a_refused_wish_changes_nothing() -> None:
    story = Story().bridged()
    before = story.call
    assert story.hear(ev.Act, "pause_recording").call == before


def test_hanging_up_before_the_bridge_is_canceling() -> None:
    assert Story().hear(ev.Act, "hangup").outcome == ("canceled", "platform")
    assert Story().ringing().hear(ev.Act, "hangup").over().outcome == ("canceled", "platform")


def test_mute_and_unmute() -> None:
    story = Story().bridged().hear(ev.Act, "mute").hear(ev.Act, "unmute", "callee")
    assert story.verbs[-2:] == [Mute(CALL + "0004", A, True), Mute(CALL + "0005", B, False)]
    assert [step.kind for step in story.sent().call.steps] == ["Connect"]


def test_play_is_heard_by_one_side() -> None:
    story = Story().bridged().hear(ev.Act, "play", "callee", {"prompts": ["one-moment"]})
    assert story.verbs[-1] == Whisper(CALL + "0004", B, ("one-moment",))


# --- recordings (RC1, RC2)


def test_recording_starts_at_the_bridge_and_stops_with_it() -> None:
    story = Story(record=True).ringing()
    assert [r.state for r in story.call.recordings] == ["armed"]
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
    assert story.verbs[-1] == Record(CALL + "0005", A, CALL + "0005")
    assert [r.state for r in story.call.recordings] == ["stopped", "recording"]
    assert story.told[-1] == "recording.started"
    story.ended(A).ended(B, "platform")
    assert [r.state for r in story.call.recordings] == ["stopped", "stopped"]


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


# --- transfer


def parted(story: Story) -> Story:
    """The PBX has taken the caller out of the bridge."""
    return story.ended(B, "platform").held(A, story.verb("Connect").id)


def test_a_transfer_keeps_the_caller_and_connects_it_to_another_number() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "transfer", "", TO)
    assert story.verbs[-1] == Part(CALL + "0004", A)
    parted(story.sent())
    assert story.asked[-2:] == ["StopRecord", "Connect"]
    connect = story.verb("Connect")
    assert (connect.leg, connect.far, connect.number, connect.display, connect.trunk) == (
        A, C, "+14155550103", "+14155550120", "other",
    )  # fmt: skip
    assert (connect.ring_s, connect.limit_s, connect.record) == (45, 3600, CALL + "0006")
    story.sent().hear(ev.LegRinging, C).hear(ev.LegAnswered, C).hear(ev.LegsJoined, A, C)
    assert story.told.count("call.bridged") == 2
    assert story.leg(C).name == "transfer"
    story.ended(C).done("parted").over()
    assert story.outcome == ("completed", "callee")
    assert [r.state for r in story.call.recordings] == ["stopped", "stopped"]
    assert not [key for key in story.call.vars if key.startswith("_")]


def test_stopping_a_recording_that_had_stopped_by_itself_may_be_refused() -> None:
    story = parted(Story(record=True).bridged().hear(ev.Act, "transfer", "", TO).sent())
    story.hear(ev.Refused, story.verb("StopRecord").id, "nothing is being recorded")
    assert story.call.recordings[0].state == "stopped"


def test_the_kept_leg_may_be_held_before_the_end_of_the_other_is_told() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.held(A, story.verb("Connect").id).ended(B, "platform")
    assert story.asked[-1] == "Connect"
    assert not story.call.ending


def test_talk_and_ring_seconds_of_a_transferred_call() -> None:
    story = parted(Story().bridged().hear(ev.Act, "transfer", "", TO).sent())
    story.sent().hear(ev.LegRinging, C).hear(ev.LegAnswered, C).hear(ev.LegsJoined, A, C).ended(C).done("parted").over()
    b, c = story.leg(B), story.leg(C)
    talked = [(leg.ended_at or 0) - (leg.joined_at or 0) for leg in (b, c)]
    assert story.cdr["bill_s"] == sum(talked) / 1000
    assert story.cdr["ring_s"] == 1.0


def test_a_transfer_that_nobody_answers_is_told_to_the_caller() -> None:
    story = parted(Story().bridged().hear(ev.Act, "transfer", "", TO).sent()).sent()
    story.ended(C, "remote", 486, 17).done("unanswered").sent()
    assert story.verb("Play").prompts == ("not-available",)
    assert story.done().over().outcome == ("completed", "platform")


def test_a_transfer_that_the_pbx_refuses_leaves_the_call_as_it_was() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.hear(ev.Refused, story.verb("Part").id, "not possible")
    assert [step.kind for step in story.call.steps] == ["Connect"]
    assert refusal(story.call, act("mute")) is None
    assert story.ended(B).done("parted").over().outcome == ("completed", "callee")


@pytest.mark.parametrize("order", ["the end first", "the result first"])
def test_the_callee_hangs_up_in_the_midst_of_a_transfer_that_is_then_refused(order: str) -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.ended(B).done("parted") if order == "the end first" else story.done("parted").ended(B)
    assert not story.call.ending
    story.hear(ev.Refused, story.verb("Part").id, "not bridged")
    assert story.over().outcome == ("completed", "callee")


def test_the_callee_hangs_up_in_the_midst_of_a_transfer_and_its_result_is_late() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).ended(B)
    story.hear(ev.Refused, story.verb("Part").id, "not bridged")
    assert not story.call.ending
    assert story.done("parted").over().outcome == ("completed", "callee")


def test_a_transfer_that_the_pbx_forgets_is_given_up() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).sent()
    due = story.call.due_at
    assert due is not None
    story.hear(ev.Deadline, at=due)
    assert [step.kind for step in story.call.steps] == ["Connect"]
    assert story.call.vars.keys() == Story().call.vars.keys()


def test_a_connect_that_is_overdue_waits_for_the_transfer() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).ended(B)
    connect = story.call.connecting(B)
    assert connect is not None
    story.call = story.call.with_step(changed(connect, due_at=story.now))
    story.hear(ev.Deadline)
    assert not story.call.ending
    assert story.held(A, connect.id).asked[-1] == "Connect"


def test_an_old_word_of_the_leg_being_held_does_not_complete_a_transfer() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).held(A)
    assert story.asked[-1] == "Part"


def test_a_pbx_that_took_the_parting_need_not_name_the_talk() -> None:
    assert Story().bridged().hear(ev.Act, "transfer", "", TO).sent().held(A).asked[-1] == "Connect"


def test_the_caller_leaves_in_the_midst_of_a_transfer() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).ended(A).ended(B, "platform")
    assert story.outcome == ("completed", "caller")


def test_only_one_transfer_at_a_time() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    assert refusal(story.call, act("transfer", **TO)) == "the call is being transferred"


def test_a_transfer_cannot_begin_what_the_flow_does_not_know_or_ids_do_not_reach() -> None:
    for fault in ("steps", "node"):
        story = Story().bridged().hear(ev.Act, "transfer", "", TO)
        if fault == "steps":
            story.call = changed(story.call, steps_taken=9_000)
        else:
            story.call = changed(story.call, steps=tuple(changed(step, node="gone") for step in story.call.steps))
        assert parted(story).over().outcome == ("completed", "platform")


def test_a_transfer_without_a_number_is_not_dialled() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.call = changed(story.call, vars={**story.call.vars, "_transfer": {"number": "", "display": "+1"}})
    assert parted(story).verb("Play").prompts == ("not-available",)


def test_the_audit_log_gets_names_only() -> None:
    assert describe(ev.Act(0, "transfer", "", TO)) == {"action": "transfer", "leg": None}
