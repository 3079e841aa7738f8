"""What a call is in this process: its inbox, and what waits to be done."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from controller.audit import Note
from controller.core import events as ev
from controller.core.call import Call, changed
from controller.core.flow import Flow
from controller.core.verbs import Verb
from controller.ports import NotSaved

PATIENT = (ev.LegRinging, ev.EarlyMedia, ev.LegAnswered, ev.LegsJoined, ev.LegsParted, ev.LegEnded, ev.Digit, ev.Sent)
"""Events that seldom want anything done: they may wait for the next, to share its unit."""


def is_patient(event: ev.Event) -> bool:
    """Whether an event waits for the next.  A bridge's end is told twice, by the leg that stays and by the one that left."""
    return isinstance(event, PATIENT) or (isinstance(event, ev.VerbDone) and event.result in ("parted", "unanswered"))


class Busy(Exception):
    """This call's inbox is full."""


@dataclass(slots=True)
class Letter:
    """An event in an inbox.  ``reply``: a client waits for the call after it; then the event is not tried again.

    ``note``: of the request that wishes it, for the audit log."""

    event: ev.Event
    reply: asyncio.Future[Call] | None = None
    check: Callable[[Call], Any] | None = None
    checked: Any = None
    note: Note | None = None


@dataclass(slots=True)
class LiveCall:
    """A call in memory: as last committed, with its flow, what waits for it, and the verbs to be done in order.

    ``cleared``: ringing verbs that were committed as on their way by this process and not sent yet; ``doubt``: nobody knows yet
    whether its last unit counted; ``gone``: its node was let go of, and whoever owns it next reads the call anew."""

    call: Call
    flow: Flow
    inbox: deque[Letter] = field(default_factory=deque)
    working: bool = False
    timer: asyncio.TimerHandle | None = None
    verbs: deque[Verb] = field(default_factory=deque)
    acting: bool = False
    cleared: set[str] = field(default_factory=set)
    doubt: NotSaved | None = None
    gone: bool = False


class Flows(Protocol):
    """Where a call finds the version of the flow that it walks."""

    def version(self, name: str, version: str) -> Flow:
        """The flow; raises KeyError."""


def flow_of(live: LiveCall, call: Call, flows: Flows) -> Flow:
    """The flow of a state of this call: another than the live one's when a look-up led it to another."""
    same = (call.flow, call.flow_version) == (live.flow.name, live.flow.version)
    return live.flow if same else flows.version(call.flow, call.flow_version)


def clear_to_ring(live: LiveCall, call: Call, verbs: Iterable[Verb], ready: Callable[[str], bool]) -> tuple[Call, set[str]]:
    """Ringing verbs that will be sent directly after this unit's commit are on their way with it, at no further cost."""
    cleared: set[str] = set()
    if live.acting or live.verbs or not any(verb.rings for verb in verbs) or not ready(call.node):
        return call, cleared
    for verb in verbs:
        step = call.step(verb.id) if verb.rings else None
        if step is not None and step.state == "todo":
            cleared.add(verb.id)
    steps = tuple(changed(step, state="sending") if step.id in cleared else step for step in call.steps)
    return changed(call, steps=steps), cleared
