"""The live calls of this process: an inbox per call, one durable unit at a time.

Whatever concerns a call (the PBX's events, a client's wish, the clock) goes into its inbox.  A worker takes what lies there,
lets the engine decide, writes the outcome as one unit, and only then tells the world and asks the PBX.  Events that arrived
while the last unit was being written share the next one.  A unit that cannot be written changes nothing: a client's wish is
refused, the PBX's word is kept and tried again.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from controller.audit import Note, carrying, current
from controller.core import events as ev
from controller.core.call import Call, CallStatus
from controller.core.decide import decide
from controller.core.draft import Decision
from controller.core.facts import Fact
from controller.core.verbs import Verb
from controller.ports import CallStore, InDoubt, LeaseLost, NotSaved, Unit
from controller.services.doubt import is_same, is_stored
from controller.services.inbox import Busy, Flows, Letter, LiveCall, clear_to_ring, flow_of, is_patient
from controller.services.tasks import Tasks

log = structlog.get_logger(__name__)

INBOX_BOUND = 1000
"""Events that may wait for one call; a PBX that says more has gone mad, and resync will tell the truth."""
PATIENCE_S = 0.01
"""How long a patient event waits for company."""
LATELY = 2000
"""Ended calls that are kept at hand until their recording is stored; others are read from the database for it."""
RETRY_S = (0.05, 0.2, 0.5, 1.0)
"""How long a unit waits before it is tried again; the last value repeats."""


Committed = Callable[[Call, Call, tuple[Fact, ...]], None]
"""Told after each commit: the call before, the call after, the facts.  Must not block or raise."""


class Calls:
    """All live calls of this process, by id."""

    def __init__(self, store: CallStore, flows: Flows) -> None:
        self._store = store
        self._flows = flows
        self._live: dict[str, LiveCall] = {}
        self._started: dict[str, dict[str, LiveCall]] = {}
        self._lately: OrderedDict[str, Call] = OrderedDict()
        self._tasks = Tasks()
        self._watchers: list[Committed] = []
        self.act: Callable[[LiveCall], None] = lambda _live: None
        self.ready: Callable[[str], bool] = lambda _node: False
        self.owned: Callable[[str], bool] = lambda _node: True
        self.opened: Callable[[Call], None] = lambda _call: None
        self.not_begun: Callable[[str], None] = lambda _call_id: None

    def __len__(self) -> int:
        return len(self._live)

    def watch(self, *watchers: Committed) -> None:
        """Be told of each commit."""
        self._watchers += watchers

    def get(self, call_id: str) -> Call | None:
        """The freshest state of a live call."""
        live = self._live.get(call_id)
        return live.call if live else None

    def live(self, call_id: str) -> LiveCall | None:
        """A live call with its inbox and verbs, for its conductor."""
        return self._live.get(call_id)

    def by_status(self) -> Counter[str]:
        """How many calls have each status."""
        return Counter(live.call.status.name for live in self._live.values())

    def of_node(self, node: str) -> list[Call]:
        """The live calls that a PBX carries."""
        return [live.call for live in self._started.get(node, {}).values()]

    def adopt(self, call: Call) -> None:
        """Take a stored call into memory; one that is there already stays as it is."""
        if call.id not in self._live:
            live = self._live[call.id] = LiveCall(call, self._flows.version(call.flow, call.flow_version))
            self._place(live)

    async def take_up(self, call_id: str) -> None:
        """Take a call that waits in the database, and not here, into memory; any other stays where it is."""
        stored = None if call_id in self._live else await self._store.get(call_id)
        if stored is not None and stored.status is CallStatus.queued:
            self._follow(stored)

    def _place(self, live: LiveCall) -> None:
        """Keep started calls by node: the many that wait are not looked at with every tick."""
        if live.call.node and not live.gone:
            self._started.setdefault(live.call.node, {})[live.call.id] = live

    def _drop(self, call: Call) -> None:
        self._live.pop(call.id, None)
        self._started.get(call.node, {}).pop(call.id, None)

    def forget_node(self, node: str) -> None:
        """Drop a node's calls from memory: another process owns them now, or this one anew.  What waits in them is over."""
        for live in list(self._started.get(node, {}).values()):
            live.gone = True
            self._drop(live.call)

    async def open(self, unit: Unit, verbs: Iterable[Verb] = ()) -> None:
        """Write a new call and take it in; one that begins at once has first ``verbs`` to be done.  Raises NotSaved."""
        todo, note = list(verbs), current()
        live = LiveCall(unit.call, self._flows.version(unit.call.flow, unit.call.flow_version))
        live.call, live.cleared = clear_to_ring(live, unit.call, todo, self.ready)
        try:
            await self._store.commit(replace(unit, call=live.call, notes=() if note is None else (note,)))
        except InDoubt:
            self._tasks.spawn(self._open_if_stored(live, unit.facts, todo))
            raise
        self._take_in(live, unit.facts, todo)

    async def _open_if_stored(self, live: LiveCall, facts: tuple[Fact, ...], verbs: list[Verb]) -> None:
        """It was refused, and may be there all the same: then it must not wait for the next start to be heard of."""
        if await is_stored(self._store, live.call) and live.call.id not in self._live:
            log.warning("a call that was refused is stored, and goes on", call=live.call.id)
            self._take_in(live, facts, verbs)
            self.opened(live.call)

    def _take_in(self, live: LiveCall, facts: tuple[Fact, ...], verbs: list[Verb]) -> None:
        """What is written already is in memory too, unless the node's next owner was quicker."""
        if self._live.setdefault(live.call.id, live) is not live:
            return
        self._place(live)
        self._tell(live.call, live.call, facts)
        live.verbs.extend(verbs)
        self.act(live)
        self._drop_if_over(live)

    def tell(self, call_id: str, event: ev.Event) -> bool:
        """Put an event into a call's inbox; False if the call is not live here."""
        live = self._live.get(call_id)
        if live is None:
            return False
        if len(live.inbox) >= INBOX_BOUND:
            log.error("inbox full, event dropped", call=call_id, event_type=type(event).__name__)
            return True
        if isinstance(event, ev.Sent) and not live.inbox and not live.working:
            live.call = decide(live.flow, live.call, event).call  # worth knowing, not worth a unit of its own
        else:
            self._post(live, Letter(event))
        return True

    async def ask(self, call_id: str, event: ev.Event, check: Callable[[Call], Any] | None = None) -> tuple[Call, Any]:
        """Put a client's wish into the inbox and wait for the call after it.

        ``check`` sees the call directly before the decision, and its answer is returned too.  Raises KeyError (no such live
        call), Busy, NotSaved."""
        live = self._live[call_id]
        if live.doubt is not None:
            raise NotSaved(str(live.doubt))
        if len(live.inbox) >= INBOX_BOUND:
            raise Busy(call_id)
        letter = Letter(event, asyncio.get_running_loop().create_future(), check, note=current())
        self._post(live, letter)
        assert letter.reply is not None
        return await letter.reply, letter.checked

    async def tell_closed(self, call_id: str, event: ev.Event) -> None:
        """Give an event to a call that may be closed already (a recording was stored).  Raises NotSaved."""
        if call_id not in self._live:
            call = self._lately.pop(call_id, None) or await self._store.get(call_id)
            if call is None:
                return
            self.adopt(call)
        await self.ask(call_id, event)

    # --- the worker

    def _post(self, live: LiveCall, letter: Letter) -> None:
        live.inbox.append(letter)
        if live.working:
            return
        if letter.reply is not None or not is_patient(letter.event):
            self._begin(live)
        elif live.timer is None:
            live.timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._begin, live)

    def _begin(self, live: LiveCall) -> None:
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        if not live.working:
            live.working = True
            with carrying(None):  # it works for others too
                self._tasks.spawn(self._work(live))

    async def _work(self, live: LiveCall) -> None:
        tries = 0
        try:
            while live.inbox:
                letters = [live.inbox.popleft() for _ in range(len(live.inbox))]
                if live.gone:
                    self._refuse(letters, LeaseLost("its node was let go of"))
                    continue
                if await self._unit(live, letters):
                    tries = 0
                    continue
                live.inbox.extendleft(letter for letter in reversed(letters) if letter.reply is None or not letter.reply.done())
                await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
        finally:
            live.working = False
            self._drop_if_over(live)

    async def _unit(self, live: LiveCall, letters: list[Letter]) -> bool:
        before, call = live.call, live.call
        verbs: list[Verb] = []
        facts: list[Fact] = []
        notes: list[Note] = []
        durable, follower = False, None
        for letter in letters:
            decision = self._decide(live, call, letter)
            if decision is None:
                continue
            durable = durable or (decision.call is not call and not isinstance(letter.event, ev.Sent))
            if letter.note is not None and decision.call is not call:
                notes.append(letter.note)
            call = decision.call
            verbs.extend(decision.verbs)
            facts.extend(decision.facts)
            follower = follower or decision.follower
        if durable:
            call, cleared = clear_to_ring(live, call, verbs, self.ready)
            following = None if follower is None else Unit(follower.call, follower.facts, created=True)
            try:
                await self._store.commit(Unit(call, tuple(facts), notes=tuple(notes), follower=following))
            except LeaseLost as error:
                return await self._reload(live, letters, error)
            except InDoubt as error:
                if not await self._counted(live, call, letters, error):
                    return False
            except NotSaved as error:
                self._refuse(letters, error)
                return False
            live.cleared |= cleared
        live.call, live.flow = call, flow_of(live, call, self._flows)
        self._settled(live, before, letters, verbs, tuple(facts))
        if follower is not None:
            self._follow(follower.call, follower.facts)
        return True

    def _follow(self, call: Call, facts: tuple[Fact, ...] = ()) -> None:
        """The next attempt of a retry plan was written with the end of the one before."""
        if call.id in self._live:
            return
        self.adopt(call)
        self._tell(call, call, facts)
        self.opened(call)

    async def _counted(self, live: LiveCall, call: Call, letters: list[Letter], error: InDoubt) -> bool:
        """Whether a unit in doubt counted after all.  Until that is known, clients are refused and the PBX's word waits."""
        live.doubt = error
        self._refuse([*letters, *live.inbox], error)
        live.inbox = deque(letter for letter in live.inbox if letter.reply is None)
        try:
            return await is_stored(self._store, call)
        finally:
            live.doubt = None

    async def _reload(self, live: LiveCall, letters: list[Letter], error: LeaseLost) -> bool:
        """Our memory of a call is not what is stored: a write of ours counted although we were told otherwise, or another
        process owns the call now.  In the first case the events are decided again from what is stored; in the second the
        call is no longer ours to change."""
        try:
            stored = await self._store.get(live.call.id)
        except Exception as fault:
            log.warning("call not reloaded", call=live.call.id, reason=str(fault))
            self._refuse(letters, error)
            return False
        if live.gone or stored is None or is_same(stored, live.call) or not self.owned(stored.node):
            log.warning("call let go", call=live.call.id, reason=str(error))
            self._refuse(letters, error)
            live.inbox.clear()
            if live.call.status is CallStatus.queued:  # it was not begun: it waits on, or is another process's now
                self.not_begun(live.call.id)
                waits = stored is not None and stored.status is CallStatus.queued
                self.opened(live.call) if waits else self._drop(live.call)
            return True
        before, live.call, live.flow = live.call, stored, flow_of(live, stored, self._flows)
        self._place(live)
        if stored.ended and before.status is CallStatus.queued:
            self._tell(before, stored, ())  # who was about to start it lets go of its places
        if stored.ended and stored.retry is not None and stored.retry.ids:
            following = await self._store.get(stored.retry.ids[0])
            if following is not None and not following.ended:
                self._follow(following)
        return False

    def _decide(self, live: LiveCall, call: Call, letter: Letter) -> Decision | None:
        """One event's decision; an event that breaks the engine is a fault of ours that must not stop the call."""
        try:
            if letter.check is not None:
                letter.checked = letter.check(call)
            return decide(flow_of(live, call, self._flows), call, letter.event)
        except Exception as fault:
            log.exception("event could not be decided", call=call.id, event_type=type(letter.event).__name__)
            if letter.reply is not None and not letter.reply.done():
                letter.reply.set_exception(fault)
            return None

    def _settled(self, live: LiveCall, before: Call, letters: list[Letter], verbs: list[Verb], facts: tuple[Fact, ...]) -> None:
        for letter in letters:
            if letter.reply is not None and not letter.reply.done():
                letter.reply.set_result(live.call)
        if live.call is not before:
            if live.call.node != before.node:
                self._place(live)
            self._tell(before, live.call, facts)
        if verbs and not live.gone:
            live.verbs.extend(verbs)
            self.act(live)

    def _refuse(self, letters: list[Letter], error: NotSaved) -> None:
        log.warning("unit not saved", reason=str(error))
        for letter in letters:
            if letter.reply is not None and not letter.reply.done():
                letter.reply.set_exception(error)

    def _tell(self, before: Call, after: Call, facts: tuple[Fact, ...]) -> None:
        for watcher in self._watchers:
            watcher(before, after, facts)

    def _drop_if_over(self, live: LiveCall) -> None:
        if live.call.ended and not live.inbox and self._live.get(live.call.id) is live:
            self._drop(live.call)
            if any(recording.state == "stopped" for recording in live.call.recordings):
                self._lately[live.call.id] = live.call
                if len(self._lately) > LATELY:
                    self._lately.popitem(last=False)

    async def drain(self) -> None:
        """Wait for the units under way, and those that still wait for company."""
        for live in list(self._live.values()):
            if live.timer is not None:
                self._begin(live)
        await self._tasks.drain()
