"""Recordings that are asked for while two talk: first whoever is to be told hears so, then audio is kept.

One verb does both, and its end says that it is kept.  Until then the recording is ``armed`` and the verb stays to be done, so
a controller that comes after a crash asks for it again: what was not begun is begun with its notice, what was is only told.
"""

from controller.core import events as ev
from controller.core.call import Call, Recording, Step, changed
from controller.core.draft import GRACE_MS, Draft
from controller.core.notation import PARTIES
from controller.core.verbs import Notice, PauseRecord, Record, StopRecord

NOTICE = "recorded"
"""The prompt where the flow names none."""
NOTICE_MS = 60_000
"""How long we wait for the notice to be over before the verb is asked for again."""
KEPT = "recording"
"""How a Record ends that goes well."""


def begin(draft: Draft, event: ev.Act) -> None:
    """Tell the parties, then record."""
    near = draft.call.near
    assert near is not None  # else it had been refused
    notice, to = _notice(draft, event)
    verb_id = draft.ask_pbx("", lambda verb: Record(verb, near.id, verb, notice, to), NOTICE_MS)
    draft.change(recordings=(*draft.call.recordings, Recording(verb_id, near.id)))


def _notice(draft: Draft, event: ev.Act) -> tuple[str, Notice]:
    """The prompt and whom it is for: as the talk's own node says, unless the action chooses."""
    step = next((step for step in draft.call.steps if step.kind == "Connect"), None)
    node = draft.flow.nodes.get(step.node) if step is not None else None
    args = node.args if node is not None else {}
    to = event.args.get("recording_notice") or draft.value(args.get("notice_to"), "both")
    return str(draft.value(args.get("notice")) or NOTICE), to if to in PARTIES else "both"


def current(call: Call) -> Recording | None:
    """The recording that is kept, paused, or waits for its notice to be over."""
    return next((r for r in call.recordings if r.state in ("armed", "recording", "paused")), None)


def stop(draft: Draft, recording: Recording, node: str = "") -> None:
    """End a recording; one whose notice is not over is called off.  ``node``: whose talk is over, where nobody asked for it."""
    draft.ask_pbx(node, lambda verb: StopRecord(verb, recording.leg, recording.id), GRACE_MS)
    draft.stop_recording(recording.id, draft.at)
    draft.call_off(draft.call.step(recording.id), draft.at)


def talk_over(draft: Draft, connect: Step) -> None:
    """The talk is over and its near leg may go on, to somebody who was told nothing: what was begun in mid-call ends here.  The
    PBX itself ends what the Connect began."""
    for recording in draft.call.recordings:
        if recording.id != connect.id and recording.leg == connect.leg and recording.state in ("armed", "recording", "paused"):
            stop(draft, recording, connect.node)


def done(draft: Draft, step: Step, event: ev.VerbDone) -> None:
    """Audio is kept from now on, or it will not be."""
    draft.call = draft.call.without_step(step.id)
    recording = draft.recording(step.verb.recording)
    if recording is None or recording.state != "armed":
        return
    if event.result == KEPT:
        draft.start_recording(recording, event.at)
    else:
        _failed(draft, recording, "the notice was not heard")


def _failed(draft: Draft, recording: Recording, reason: str) -> None:
    draft.call = draft.call.with_recording(changed(recording, state="failed"))
    draft.tell("recording.failed", {"recording_id": "rec_" + recording.id, "reason": reason})


def given_up(draft: Draft, step: Step) -> None:
    """The PBX never said how a verb of a recording ended.  One that was to begin is ended: it may lie in the spool."""
    recording = draft.recording(step.verb.recording) if isinstance(step.verb, Record) else None
    if recording is not None and recording.state == "armed":
        stop(draft, recording)
    draft.call = draft.call.without_step(step.id)


def undo(draft: Draft, step: Step) -> None:
    """What a client asked for was taken for done, and did not happen."""
    verb = step.verb
    if step.node or not isinstance(verb, Record | PauseRecord | StopRecord):
        return
    recording = draft.recording(verb.recording)
    if recording is None:
        return
    if isinstance(verb, Record):
        _failed(draft, recording, "refused")
    elif recording.started_at is not None and recording.state in ("recording", "paused", "stopped"):
        draft.call = draft.call.with_recording(_as_before(recording, verb))


def _as_before(recording: Recording, verb: PauseRecord | StopRecord) -> Recording:
    if isinstance(verb, StopRecord):
        return changed(recording, state="recording", stopped_at=None)
    return recording if recording.state == "stopped" else changed(recording, state="recording" if verb.on else "paused")
