"""The only place where ports meet adapters: one ``Patchbay`` is one running controller."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import structlog

from controller import assets
from controller.api.app import create_app
from controller.api.first import first_key
from controller.api.house import House, Measure
from controller.api.ids import new_id
from controller.config import Node, Settings, Trunk
from controller.core.call import Call
from controller.core.flow import parse
from controller.core.notation import ROUTE
from controller.listening import Server, http_config, listening
from controller.measures import of_policy, of_questions
from controller.ports import Clock, Live, Pbx, Spool
from controller.services.abandoned import Abandoned
from controller.services.agents import Agents
from controller.services.arrivals import Arrivals
from controller.services.asking import Asker
from controller.services.bindings import Bindings
from controller.services.bulletin import Bulletin
from controller.services.calls import Calls
from controller.services.claims import Claims
from controller.services.clock import SystemClock
from controller.services.conductor import NodeState
from controller.services.desk import Desk
from controller.services.feed import Feed
from controller.services.fleet import Fleet
from controller.services.flows import FlowBook, read_folder
from controller.services.journal import Journal
from controller.services.last_agents import LastAgents
from controller.services.limits import Limits
from controller.services.lookups import LookUps
from controller.services.masked import MaskedCalls
from controller.services.memories import Memories
from controller.services.ownership import NodeOwner, is_dead_here
from controller.services.policy import Policy
from controller.services.presence import tell_presence
from controller.services.prompts import Prompts
from controller.services.recordings import Recordings
from controller.services.robots import Robots
from controller.services.routed import RoutedCalls
from controller.services.routing import Routing, legs_of
from controller.services.scheduler import Scheduler
from controller.services.spool import DiskSpool
from controller.services.tally import Tally
from controller.services.tasks import Tasks
from controller.services.trunks import Trunks
from controller.services.upkeep import upkeep
from controller.services.webhooks import Webhooks
from controller.store.database import Database

log = structlog.get_logger(__name__)

STOP_S = 5


@dataclass(slots=True)
class Patchbay:
    """One controller: the house that the API goes into, and the owners of the nodes."""

    house: House
    calls: Calls
    scheduler: Scheduler
    owners: dict[str, NodeOwner]
    recordings: Recordings
    tally: Tally
    memories: Memories
    agents: Agents
    claims: Claims
    asker: Asker
    abandoned: Abandoned
    bulletin: Bulletin
    tasks: Tasks = field(default_factory=Tasks)

    async def start(self) -> None:
        """Take up what waits in the database, and begin."""
        database = self.house.database
        self.tasks.spawn(tell_presence(database.leases))
        await self.house.trunks.refresh()
        await self.house.fleet.refresh()  # what waits may have its way over what was added at run time
        queued = await database.calls.all_queued()
        await self.house.policy.start(queued)
        self.scheduler.restore(queued, [])
        await self.house.fleet.start()
        self.tasks.spawn(self.house.fleet.run())
        self.tasks.spawn(self.house.trunks.run())
        self.tasks.spawn(self.abandoned.run())
        self.tasks.spawn(self.scheduler.run())
        self.tasks.spawn(self.house.webhooks.run())
        self.tasks.spawn(self.recordings.run())
        self.tasks.spawn(self.memories.run())
        self.tasks.spawn(self.agents.run())
        self.tasks.spawn(self.claims.run())
        self.tasks.spawn(self.asker.run())
        self.tasks.spawn(self.house.bindings.run())
        self.tasks.spawn(self.house.journal.run())
        self.tasks.spawn(self.bulletin.run())
        self.tasks.spawn(self.house.policy.run())
        keep, db = self.house.settings.retention, database
        days = keep.timeline_days, keep.audit_days
        self.tasks.spawn(upkeep(db.retention, db.idempotency, db.wrong_keys, db.last_agents, db.audit, *days, self.house.clock))

    async def stop(self) -> None:
        """Let go of the nodes; calls go on without us."""
        self.tasks.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.tasks.drain(), STOP_S)
        await self.house.journal.flush()
        await self.bulletin.flush()
        await self.house.database.close()


OpenPbx = Callable[[Node, Sequence[Trunk], Clock], Awaitable[Pbx]]


async def open_pbx(node: Node, trunks: Sequence[Trunk], clock: Clock) -> Pbx:
    """The driver for a node's kind.  ``trunks``: all there are; it may change while the driver has it."""
    if node.kind == "freeswitch":
        from controller.drivers.freeswitch.pbx import FreeSwitchPbx

        return await FreeSwitchPbx.open(node, trunks, clock)
    from controller.drivers.asterisk.pbx import AsteriskPbx

    return await AsteriskPbx.open(node, trunks, clock)


async def build(settings: Settings, open_pbx: OpenPbx = open_pbx) -> Patchbay:
    """Put a controller together.  Nothing runs yet."""
    clock = SystemClock()
    database = await Database.open(settings.database.url, migrate=True, is_dead=is_dead_here)
    flows = await _flows(settings, database, clock)
    calls, feed, webhooks = Calls(database.calls, flows), Feed(), Webhooks(database.webhooks, settings.webhooks, clock)
    publish = database.agents.publish = partial(_publish, feed, webhooks)
    spools: dict[str, Spool] = {}
    recordings = Recordings(database.recordings, spools, settings.recordings.folder, calls.tell_closed, clock)
    owners: dict[str, NodeOwner] = {}
    limits, queue = _limits(settings), settings.queue
    trunks, dialled = Trunks(database.trunks, settings.trunks), _dialled(flows)
    routing = Routing(
        lambda: fleet.nodes(), trunks.known, dialled,
        lambda name: fleet.usable(name), lambda name: limits.live(f"node:{name}"), trunks.draining,
    )  # fmt: skip
    scheduler = Scheduler(calls, limits, routing, clock, queue.bound, queue.tenant_bound, queue.tenant_calls_per_second)
    desk = Desk(calls, scheduler, flows, routing, clock)
    arrivals, lookups = Arrivals(calls, flows, routing.on, scheduler.hold), LookUps(routing.on, clock)

    def owner_of(node: Node) -> NodeOwner:
        opened = partial(open_pbx, node, trunks.known, clock)
        owners[node.name] = _owner(node, database, calls, scheduler, clock, opened, arrivals, lambda *told: fleet.heard(*told))
        owners[node.name].allowed = lambda call, verb: policy.allowed(call, verb)
        owners[node.name].look_up = lookups
        return owners[node.name]

    def joined(node: Node) -> None:
        spools[node.name] = DiskSpool(node.spool)
        limits.bound(f"node:{node.name}", UNPACED, node.capacity)

    memories = Memories(database.memories, clock)
    agents = Agents(database.agents, database.calls, calls, scheduler, clock)
    claims, last = _claims(database, calls, clock, agents, arrivals)
    fleet = Fleet(database.nodes, owner_of, joined, owners.pop, scheduler.look)
    desk.node_states = lambda: fleet.statuses(lambda name: limits.live(f"node:{name}"))
    calls.act, calls.ready, calls.owned = fleet.act, fleet.ready, fleet.owned
    tally, journal, asker = Tally(), Journal(database.audit, clock, new_id), Asker(settings.webhooks, clock)
    bulletin, prompts = Bulletin(database.streams, clock, publish), _prompts(fleet)
    fleet.told = partial(_node_told, bulletin, journal)
    policy = Policy(database.policies, settings.policy, dialled, clock, journal, _is_shared(settings))
    masked = _masked(settings, database, clock, policy, journal, lookups)
    robots = Robots(database.agents, database.calls, last, claims.claim, flows, desk, policy.check, clock)
    routed = RoutedCalls(masked, database.routes, claims.claim, asker, flows, prompts, clock)
    _asked(arrivals, lookups, routed, robots, memories)
    policy.end_call, policy.live = desk.end, lambda: [call for name in owners for call in calls.of_node(name)]
    scheduler.may_start, policy.tell, policy.book.limited = policy.may_start, calls.tell_closed, partial(limits.own, "tenant")
    trunks.changed = partial(_trunks_changed, trunks, limits, routing, scheduler)
    for node in settings.nodes:
        fleet.join(node)
    calls.watch(feed.committed, webhooks.committed, recordings.committed, tally.committed, policy.committed)
    house = House(
        settings, clock, database, desk, flows, feed, webhooks, fleet, journal, policy, settings.recordings.folder,
        lambda: _measures(patchbay), bindings=Bindings(database.bindings, clock, publish), agents=agents, last_agents=last,
        trunks=trunks, prompts=prompts,
    )  # fmt: skip
    gone = Abandoned(database.calls, database.leases, calls, clock, owners, partial(scheduler.restore, []))
    patchbay = Patchbay(house, calls, scheduler, owners, recordings, tally, memories, agents, claims, asker, gone, bulletin)
    return patchbay


def _prompts(fleet: Fleet) -> Prompts:
    """Those of all nodes."""
    return Prompts(lambda: [assets.prompts(node.prompts) for node in fleet.nodes()])


def _dialled(flows: FlowBook) -> Callable[[str, str], tuple[str, ...]]:
    """The legs that a flow of this name and version dials; an empty version is the latest."""
    legs = lru_cache(maxsize=1000)(lambda name, version: legs_of(flows.version(name, version)))
    return lambda flow, version: legs(flow, version or flows.latest(flow).version)


async def _flows(settings: Settings, database: Database, clock: SystemClock) -> FlowBook:
    """The flows that ship, those of the settings' folder over them, and every version that a call may still walk."""
    kept = {(stored.name, stored.version): parse(stored.body) for stored in await database.flows.all()}
    book = FlowBook(kept)
    folders = [assets.dialplans() / "flows", *([settings.flows] if settings.flows else [])]
    for document in (document for folder in folders for document in read_folder(folder)):
        flow = book.add(document)
        if (flow.name, flow.version) not in kept:
            await database.flows.put(flow.name, flow.version, document, clock.now())
    return book


def _masked(settings: Settings, db: Database, clock: Clock, policy: Policy, journal: Journal, lookups: LookUps) -> MaskedCalls:
    guards = settings.masking.wrong_keys.guards
    masked = MaskedCalls(db.bindings, db.wrong_keys, clock, policy.book.blocks, guards, journal.later)
    lookups.books["bindings"] = masked.keyed
    return masked


def _claims(db: Database, calls: Calls, clock: Clock, agents: Agents, arrivals: Arrivals) -> tuple[Claims, LastAgents]:
    """Who claims agents for calls that come in, and who knows to whom customers spoke."""
    claims = Claims(db.agents, db.calls, calls, clock, agents.look)
    arrivals.let_go = claims.let_go
    return claims, LastAgents(db.agents, db.routes, db.last_agents, clock)


def _asked(arrivals: Arrivals, lookups: LookUps, routed: RoutedCalls, robots: Robots, memories: Memories) -> None:
    """Who is asked what becomes of a call that comes in, and what flows look up."""
    arrivals.ask(routed, *memories.resolvers)
    lookups.books |= {**robots.books, ROUTE: routed.keyed}


def _is_shared(settings: Settings) -> bool:
    """Whether other controllers may work on the same database."""
    return not settings.database.url.startswith("sqlite:")


def _limits(settings: Settings) -> Limits:
    bounds = {f"trunk:{trunk.name}": (trunk.calls_per_second, trunk.concurrent) for trunk in settings.trunks}
    return Limits(bounds, (settings.queue.tenant_calls_per_second, settings.queue.tenant_concurrent))


def _trunks_changed(trunks: Trunks, limits: Limits, routing: Routing, scheduler: Scheduler) -> None:
    """Calls may go other ways now, those that wait too."""
    for trunk in trunks.known:
        limits.bound(f"trunk:{trunk.name}", trunk.calls_per_second, trunk.concurrent)
    routing.forget()
    scheduler.look()


UNPACED = 10_000.0
"""Calls per second of a node that has no pace of its own: its trunks have."""


def _publish(feed: Feed, webhooks: Webhooks, live: Live) -> None:
    """What was committed of a binding, an agent or a node goes to who listens, and to the endpoints."""
    feed.publish(live)
    webhooks.told(live)


def _node_told(bulletin: Bulletin, journal: Journal, event: str, node: str, reason: str, lost: bool) -> None:
    """Operators hear of it at once, and find it in the audit log."""
    bulletin.node(event, node, reason, lost)
    journal.ours("node.lost" if lost else event, node, result="done", reason=reason)


def _owner(
    node: Node,
    database: Database,
    calls: Calls,
    scheduler: Scheduler,
    clock: Clock,
    open_pbx: Callable[[], Awaitable[Pbx]],
    arrivals: Arrivals,
    changed: Callable[[str, NodeState], None],
) -> NodeOwner:
    def adopted(live: list[Call]) -> None:
        scheduler.restore([], live)

    return NodeOwner(
        node.name, database.leases, database.calls, calls, clock, open_pbx, changed, adopted, arrivals.take, node.lost_after_s
    )


def _measures(patchbay: Patchbay) -> Iterable[Measure]:
    """What only the inside knows, for ``/metrics``."""
    yield Measure("patchbay_queue_length", "gauge", "Calls that wait for their start.", len(patchbay.scheduler))
    yield Measure("patchbay_calls_in_memory", "gauge", "Calls that are queued or live here.", len(patchbay.calls))
    yield from _counted(patchbay)
    yield from of_policy(patchbay.house.policy)
    for status in patchbay.house.desk.nodes():
        labels = {"node": status.name, "kind": status.kind}
        yield Measure("patchbay_node_up", "gauge", "1 while the node can be used.", float(status.state == "up"), labels)
        yield Measure("patchbay_node_calls", "gauge", "Live calls on the node.", status.live_calls, labels)
        conductor = patchbay.owners[status.name].conductor
        lag = conductor.lag_p99_s() if conductor else 0.0
        yield Measure("patchbay_event_lag_p99_seconds", "gauge", "How far behind the PBX the last minute was.", lag, labels)


def _counted(patchbay: Patchbay) -> Iterable[Measure]:
    tally, database, stats = patchbay.tally, patchbay.house.database, patchbay.house.webhooks.stats()
    for status, count in sorted(patchbay.calls.by_status().items()):
        yield Measure("patchbay_calls", "gauge", "Calls by status.", count, {"status": status})
    for (kind, disposition), count in sorted(tally.ended.items()):
        labels = {"kind": kind, "disposition": disposition}
        yield Measure("patchbay_calls_ended", "counter", "Calls that have ended here.", count, labels)
    yield Measure("patchbay_units", "counter", "Units that were committed.", tally.units)
    yield Measure("patchbay_facts", "counter", "Facts that were committed.", tally.facts)
    yield Measure("patchbay_units_waiting", "gauge", "Units that wait for their commit.", database.waiting)
    yield Measure("patchbay_recordings_waiting", "gauge", "Recordings that wait to be stored.", len(patchbay.recordings))
    yield from of_questions(patchbay.asker)
    for result in ("delivered", "failed"):
        yield Measure("patchbay_webhook_tries", "counter", "Webhook requests made.", stats[result], {"result": result})
    yield Measure("patchbay_webhook_calls", "gauge", "Calls whose events are on their way.", stats["calls_in_memory"])


@contextlib.asynccontextmanager
async def running(settings: Settings, open_pbx: OpenPbx = open_pbx) -> AsyncIterator[Patchbay]:
    """A controller that runs as long as the block does, without its API."""
    patchbay = await build(settings, open_pbx)
    await patchbay.start()
    try:
        yield patchbay
    finally:
        await patchbay.stop()


async def serve(settings: Settings, announce: Callable[[str], None] = lambda _key: None) -> None:
    """Run a controller with its API until SIGTERM or SIGINT.  ``announce``: told the first key, on an empty database.

    Raises OSError when its address cannot be listened on, before any node is taken over."""
    with listening(settings) as listener:
        async with running(settings) as patchbay:
            house = patchbay.house
            if (key := await first_key(house.database, house.clock.now())) is not None:
                announce(key)
            await Server(http_config(create_app(house), settings)).serve([listener])
            house.feed.close()
