"""A transfer: one leg of a bridged call is kept, the other let go, and the kept one is connected to another number.

The Connect that carries the talk stays a step until the PBX says that the kept leg is held; so a transfer that the PBX refuses
leaves the call as it was.
"""

from collections.abc import Sequence
from typing import Any

from controller.core import events as ev
from controller.core.call import Call, Leg, Step
from controller.core.draft import GRACE_MS, Draft
from controller.core.nodes import reconnect
from controller.core.recorded import talk_over
from controller.core.verbs import Part, StopRecord

TARGET = "_transfer"
"""Where the call keeps it in ``vars``: a name that no flow can use."""
NAME = "transfer"
"""The new leg's name."""


def under_way(call: Call) -> bool:
    """True from the wish until the kept leg is held."""
    return TARGET in call.vars


def begin(draft: Draft, near: Leg, to: str, display: str, trunk: str) -> None:
    """Take the kept leg out of its bridge."""
    target = {"number": to, "display": display}
    draft.change(
        vars={**draft.call.vars, TARGET: target},
        routes={**draft.call.routes, NAME: trunk},
    )
    draft.ask_pbx("", lambda verb: Part(verb, near.id), GRACE_MS)


def held(draft: Draft, leg: Leg, steps: Sequence[Step], event: ev.LegHeld) -> None:
    """The kept leg waits for us: the talk is over, connect it to the new number.  An older word (before the talk) is none."""
    connect, part = steps[0], steps[-1]
    if event.step != connect.id and part.state != "sent":
        return
    target: dict[str, Any] = draft.call.vars[TARGET]
    forget(draft)
    draft.change(steps=tuple([step for step in draft.call.steps if step.id not in (connect.id, part.id)]))
    talk_over(draft, connect)
    recording = draft.recording(connect.id)
    if recording is not None and recording.state in ("recording", "paused", "stopped"):
        draft.stop_recording(connect.id, draft.at)
        draft.ask_pbx(connect.node, lambda verb: StopRecord(verb, leg.id, connect.id), GRACE_MS)  # the leg goes on
    reconnect(draft, leg, connect.node, NAME, target["number"], target["display"])


def forget(draft: Draft) -> None:
    """No transfer is under way any more."""
    draft.change(vars={key: value for key, value in draft.call.vars.items() if key != TARGET})
