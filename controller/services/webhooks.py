"""Webhooks: every fact reaches every endpoint of its tenant, in order per call, at least once, with a stable id.

What happens to bindings, agents and nodes goes the same way: each is a stream like a call.

Hot path: what a unit committed is put into the lanes of the tenant's endpoints and goes out at once, without a look into the
database.  The cursors that follow are saved twice a second, all in one transaction.  Cold path: what an earlier process left,
what failed and is due again, and what did not fit into memory is read by its cursor.  A crash between a delivery and the saving
of its cursor means that the same facts are delivered again, in order, with the same ids.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from controller.config import Webhooks as Settings
from controller.core.call import Call
from controller.core.facts import Fact
from controller.core.status import status_endpoint
from controller.envelope import encode
from controller.ports import Backlog, Clock, Endpoint, EndpointState, Live, NotSaved, Stream, WebhookStore
from controller.services.journal import NOBODY
from controller.services.tasks import Tasks
from controller.services.webhooks_guard import Guard, Resolve, parse, target_of
from controller.services.webhooks_http import Client
from controller.services.webhooks_lanes import Budget, Found, Letter
from controller.services.webhooks_outlet import Outlet

log = structlog.get_logger(__name__)

SAVE_S = 0.5
"""How often cursors are saved: what a crash delivers again."""
SAVE_ROWS = 500
LOOK_S = 0.1
"""How often we see whether a try is due."""
NET_MS = 30_000
"""How often each endpoint's cursors are looked at when nothing said so."""
SCAN = 50
"""Calls that one look takes from the database."""
UNPRODUCTIVE_MS = 1_000
KEEP_S = 30.0
"""How often endpoints are read again, and old cursors forgotten."""
FORGET_ROWS = 1_000
FORGET_ROUNDS = 20
FAULT_S = 1.0
REPLAY_WITHIN_S = 30.0
"""How long a replay waits for requests under way: longer than one may take."""
STOP_S = 2.0
"""How long requests under way may take when we stop."""
DAY_MS = 86_400_000


class Webhooks:
    """Delivers for all endpoints of all tenants in this process."""

    def __init__(
        self,
        store: WebhookStore,
        settings: Settings,
        clock: Clock,
        resolve: Resolve | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._guard = Guard(settings.allow_private, resolve)
        self._client = Client(self._guard, settings.connect_timeout_s, settings.read_timeout_s, settings.ca_file)
        self._outlets: dict[str, Outlet] = {}
        self._of_tenant: dict[str, tuple[Outlet, ...]] = {}
        self._budget = budget or Budget()
        self._tasks = Tasks()
        self._saving = asyncio.Lock()
        self._reloading = asyncio.Lock()

    # --- the hot path

    def committed(self, _before: Call, after: Call, facts: Sequence[Fact]) -> None:
        """A unit was committed (a watcher of ``Calls``)."""
        outlets = self._of_tenant.get(after.tenant)
        if facts and (outlets or after.status_url is not None):
            letters, types, over = _letters(after, facts), tuple([fact.type for fact in facts]), _over(after)
            for outlet in outlets or ():
                outlet.offer(after.id, letters, types, over)
            if after.status_url is not None:
                self._tell_status(after, after.status_url, letters, types, over)

    def told(self, live: Live) -> None:
        """A fact of another stream was committed: its first one goes out at once, a later one by way of its cursor."""
        fact = live.fact
        wanting = [outlet for outlet in self._of_tenant.get(live.tenant, ()) if outlet.wants(fact.type)]
        if wanting:
            letter = Letter(fact.sequence, "evt_" + fact.id, encode(fact, live.reference, live.metadata))
            for outlet in wanting:
                outlet.offer(fact.call, (letter,), (fact.type,), over=True)

    def _tell_status(self, call: Call, url: str, letters: tuple[Letter, ...], types: tuple[str, ...], over: bool) -> None:
        outlet = self._outlets.get(status_endpoint(call.tenant, url))
        if outlet is not None and outlet.active:
            outlet.offer(call.id, letters, types, over, target_of(url))

    # --- life

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_every(KEEP_S, self._keep))
                group.create_task(_every(LOOK_S, self._look))
                group.create_task(_every(SAVE_S, self._save))
        finally:
            await self._stop()

    async def _stop(self) -> None:
        """Begin nothing, let requests under way end, save what was delivered."""
        for outlet in self._outlets.values():
            outlet.held = True
            outlet.dismiss()
        try:
            async with asyncio.timeout(STOP_S):
                await self._tasks.drain()
        except TimeoutError:
            self._tasks.cancel()
            await self._tasks.drain()
        try:
            await self._save()
        except NotSaved as error:
            log.warning("cursors not saved at the end, some webhooks will be repeated", reason=str(error))
        self._client.close()

    async def _keep(self) -> None:
        self._client.sweep()
        for outlet in self._outlets.values():
            outlet.dismiss()
        await self.reload()
        before = self._clock.now() - self._settings.keep_days * DAY_MS
        for _ in range(FORGET_ROUNDS):
            if await self._store.forget_cursors(before, FORGET_ROWS) < FORGET_ROWS:
                break

    # --- endpoints

    async def reload(self) -> None:
        """Read the endpoints again: to be called when one was added, changed or removed."""
        async with self._reloading:
            endpoints = {endpoint.id: endpoint for endpoint in await self._store.endpoints()}
            for endpoint in endpoints.values():
                self._adopt(endpoint)
            for outlet in list(self._outlets.values()):
                known = endpoints.get(outlet.endpoint.id)
                if known is None or known.state != "on":
                    self._retire(outlet)
            self._index()

    def _adopt(self, endpoint: Endpoint) -> None:
        outlet = self._outlets.get(endpoint.id)
        try:
            if outlet is None:
                if endpoint.state == "on":
                    self._outlets[endpoint.id] = Outlet(
                        endpoint, self._settings, self._client.post, self._clock, self._budget, self._tasks, self._verdict
                    )
            else:
                if outlet.endpoint != endpoint:
                    outlet.update(endpoint)
                if endpoint.state == "on" and not outlet.active:
                    outlet.revive()
        except ValueError as fault:
            log.error("endpoint cannot be delivered to", endpoint=endpoint.id, reason=str(fault))

    def _retire(self, outlet: Outlet) -> None:
        """No more deliveries; once its lanes are saved it is forgotten."""
        outlet.active = False
        outlet.dismiss()
        outlet.lanes.leave()
        if not len(outlet.lanes):
            del self._outlets[outlet.endpoint.id]

    def _index(self) -> None:
        of_tenant: dict[str, tuple[Outlet, ...]] = {}
        for outlet in self._outlets.values():
            if outlet.active and outlet.endpoint.kind == "subscribed":
                for tenant in (outlet.endpoint.tenant, *((NOBODY,) if outlet.endpoint.operator else ())):
                    of_tenant[tenant] = (*of_tenant.get(tenant, ()), outlet)
        self._of_tenant = of_tenant

    def _verdict(self, outlet: Outlet, state: EndpointState, reason: str) -> None:
        """An endpoint is gone (410) or dead."""
        log.warning("webhook endpoint " + state, endpoint=outlet.endpoint.id, reason=reason)
        outlet.active = False
        self._index()
        self._tasks.spawn(self._set_state(outlet.endpoint.id, state, reason))

    async def _set_state(self, endpoint: str, state: EndpointState, reason: str) -> None:
        while True:
            try:
                await self._store.set_endpoint(endpoint, state, reason, self._clock.now())
                break
            except NotSaved:
                await asyncio.sleep(SAVE_S)
        await self.reload()

    async def check_url(self, url: str) -> None:
        """Raises Forbidden when a tenant may not have this URL called; a host that is not known yet is let pass."""
        target = parse(url)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._guard.addresses(target)
        except OSError:
            pass

    # --- the cold path

    async def _look(self) -> None:
        now = self._clock.now()
        for outlet in list(self._outlets.values()):
            if outlet.active and not outlet.held and max(outlet.lanes.scan_at, outlet.scan_floor) <= now:
                await self._scan(outlet, now)

    async def _scan(self, outlet: Outlet, now: int) -> None:
        """Take up an endpoint's cursors that are due."""
        outlet.scan_floor = now + UNPRODUCTIVE_MS
        found: list[Backlog] = []
        limit, next_at = outlet.lanes.begin_scan(SCAN), now
        try:
            found = await self._store.backlog(outlet.endpoint.id, now, limit) if limit else []
            next_at = now + NET_MS if len(found) < limit else now
        finally:
            if outlet.lanes.end_scan([_found(outlet, item) for item in found], next_at):
                outlet.scan_floor = now
        outlet.kick()

    async def replay(self, endpoint: str, call: str | None = None, since: int | None = None, until: int | None = None) -> int:
        """Deliver again, from the first fact of each call with ``since`` <= at < ``until`` (ms); answers how many calls.

        Raises NotSaved."""
        outlet, now = self._outlets.get(endpoint), self._clock.now()
        which = (call, since, until, now - self._settings.keep_days * DAY_MS)
        if outlet is None:
            return await self._store.replay(endpoint, now, *which)
        async with outlet.replaying:  # one at a time: each lets the deliveries go on when it is done
            outlet.held = True
            try:
                async with asyncio.timeout(REPLAY_WITHIN_S):
                    while not outlet.lanes.leave(call):
                        outlet.turned.clear()
                        await outlet.turned.wait()
                await self._save()
                return await self._store.replay(endpoint, self._clock.now(), *which)
            except TimeoutError:
                raise NotSaved("deliveries under way do not come to an end") from None
            finally:
                outlet.held = False
                outlet.lanes.scan_at = outlet.scan_floor = 0
                outlet.kick()

    # --- cursors

    async def _save(self) -> None:
        async with self._saving:
            outlets = list(self._outlets.values())
            cursors = [cursor for outlet in outlets for cursor in outlet.lanes.changes()]
            try:
                for start in range(0, len(cursors), SAVE_ROWS):
                    await self._store.save_cursors(cursors[start : start + SAVE_ROWS])
            except BaseException:
                for outlet in outlets:
                    outlet.lanes.unsaved()
                raise
            for outlet in outlets:
                outlet.lanes.saved()

    def stats(self) -> dict[str, int]:
        """For the metrics: tries since the start, and what is in memory."""
        outlets = self._outlets.values()
        return {
            "delivered": sum(outlet.sent for outlet in outlets),
            "failed": sum(outlet.refused for outlet in outlets),
            "endpoints": len(outlets),
            "calls_in_memory": sum(len(outlet.lanes) for outlet in outlets),
            "calls_at_work": sum(outlet.lanes.working for outlet in outlets),
        }


def _over(of: Call | Stream) -> bool:
    """True when no more facts are expected: of a stream that is no call never for sure, so none is waited for."""
    return isinstance(of, Stream) or (of.ended and all(recording.state != "stopped" for recording in of.recordings))


def _letters(of: Call | Stream, facts: Sequence[Fact]) -> tuple[Letter, ...]:
    return tuple(Letter(fact.sequence, "evt_" + fact.id, encode(fact, of.reference, of.metadata)) for fact in facts)


def _found(outlet: Outlet, item: Backlog) -> Found:
    letters = outlet.wanted(_letters(item.of, item.facts), tuple(fact.type for fact in item.facts))
    url = item.of.status_url if isinstance(item.of, Call) and outlet.endpoint.kind == "status" else None
    target = None if url is None else target_of(url)
    return Found(item.cursor, letters, _over(item.of), item.facts[-1].sequence < item.of.sequence, target)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work`` again and again; a database that is away is no reason to end."""
    while True:
        try:
            await work()
        except NotSaved as error:
            log.warning("webhooks wait for the database", reason=str(error))
            await asyncio.sleep(FAULT_S)
        except Exception:
            log.exception("webhooks: a round failed")
            await asyncio.sleep(FAULT_S)
        await asyncio.sleep(seconds)
