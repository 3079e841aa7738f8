"""A world in which controllers live and die: one exchange, one database, a customer who wants calls, and time that jumps."""

import asyncio
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from controller.core.call import Call
from controller.core.facts import Fact
from controller.core.flow import Flow
from controller.core.ids import call_of
from controller.core.verbs import LookUp
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.noise import QUIET, Noise, Rates
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import LoopTimers
from controller.ports import NotSaved
from controller.services.calls import Calls
from controller.services.conductor import Conductor
from controller.services.desk import Desk
from controller.services.flows import FlowBook
from controller.services.inbox import Busy
from controller.services.limits import Limits
from controller.services.lookups import Answer, LookUps
from controller.services.resync import lost
from controller.services.scheduler import NoRoute, Place, Scheduler
from controller.store.database import Database
from tests.core.story import CALLBACK
from tests.core.test_properties import KEYED, MENU
from tests.crash.points import Fate, MortalLink, MortalStore, mortal_batches
from tests.crash.warp import WarpClock

NODE = "pbx1"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TROUBLE_S, PATIENCE_S = 120.0, 1200.0
"""Virtual seconds after the last call was asked for in which trouble goes on, and within which all must have ended."""
LINGERS_S = 6.0
AFTERWARDS_S = 90.0
"""Virtual seconds for a leg that nobody wants any more to be found and hung up."""


def _phones() -> dict[str, Phone]:
    behaviours: list[Phone] = [
        *(Phone("answer", 60 + 40 * n, 300 + 500 * n, talk_ms=2_000 + 3_000 * n) for n in range(6)),
        *(Phone("answer", answer_after_ms=400 * n) for n in range(1, 9)),
        *(Phone("keys", keys=keys, talk_ms=30_000) for keys in ("1", "2", "42", "")),
        Phone("no_answer"),
        Phone("busy"),
        Phone("reject", ring_after_ms=700),
        Phone("not_found"),
        Phone("refuse", refuse=(503, 34)),
        Phone("hangup_early"),
        Phone("early_media", 200, 3_000, talk_ms=8_000),
        Phone("silent_drop"),
    ]
    return {f"+141555501{number:02d}": phone for number, phone in enumerate(behaviours)}


PHONES = _phones()
FLOWS = {walks.name: walks for walks in (CALLBACK, replace(MENU, name="menu"), replace(KEYED, name="keyed"))}
TRIES = 3
"""Of one call in the flow ``keyed``."""


class Book(FlowBook):
    """The flows of this world, as they are parsed already."""

    def latest(self, name: str) -> Flow:
        return FLOWS[name]

    def version(self, name: str, version: str) -> Flow:
        return FLOWS[name]


ROUGH = Rates(twice=0.05, late=0.05, never=0.004, lost_before=0.01, lost_after=0.01)


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it gets.  ``death``: chance per point; ``trouble_s``: mean virtual seconds between cuts, restarts and deaths;
    ``losses``: how many of these are a PBX that stays away for so long that its calls are given up."""

    death: float = 0.015
    disk_full: float = 0.01
    trouble_s: float = 6.0
    restarts: float = 0.15
    losses: float = 0.0
    noise: Rates = ROUGH


CALM = Weather(0.0, 0.0, 1e9, 0.0, QUIET)


@dataclass(slots=True)
class Controller:
    """One controller while it lives."""

    fate: Fate
    database: Database
    calls: Calls
    desk: Desk
    conductor: Conductor
    link: Simulator


@dataclass(slots=True)
class World:
    """Everything that outlives a controller, and what was seen from outside."""

    folder: Path
    template: Path
    seed: int
    wanted: int
    weather: Weather
    random: Random = field(init=False)
    exchange: Exchange = field(init=False)
    controller: Controller | None = None
    accepted: set[str] = field(default_factory=set)
    told: list[Fact] = field(default_factory=list)
    died_at: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    quiet: bool = False
    asked_at: float = 0.0
    overdue: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    wrong: dict[str, set[str]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The database file."""
        return self.folder / "patchbay.db"

    async def run(self) -> None:
        """Until all calls that were wanted have ended, or should have."""
        self.random = Random(self.seed)
        shutil.copy(self.template, self.path)
        self.exchange = Exchange(LoopTimers(WarpClock().now()), PHONES)
        done = False
        while not done:
            done = await self._one_life()

    async def _one_life(self) -> bool:
        weather = self.weather
        chance, full = (0.0, 0.0) if self.quiet else (weather.death, weather.disk_full)
        fate = Fate(Random(self.random.random()), chance, self.died_at, full)
        with mortal_batches(fate):
            controller = self.controller = await self._born(fate)
            work = asyncio.create_task(self._live(controller))
            death = asyncio.create_task(fate.died.wait())
            await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
            done = work.done() and not fate.dead
            if done:
                work.result()
            fate.dead = True
            await controller.link.close()
            await _end_all_tasks(work)
            await controller.database.close()
        return done

    async def _born(self, fate: Fate) -> Controller:
        clock = WarpClock()
        database = await Database.open(f"sqlite:///{self.path}", migrate=False)
        store: Any = MortalStore(database.calls, fate)
        book = Book()
        calls = Calls(store, book)
        rates = QUIET if self.quiet else self.weather.noise
        link = Simulator(self.exchange, NODE, Noise(rates, self.random.getrandbits(32)))
        lookups = LookUps(lambda _call, _node: {"callee": "carrier"}, clock)
        lookups.books["bindings"] = partial(self._look_up, fate)
        conductor = Conductor(
            MortalLink(link, fate), calls, clock, changed=lambda _node, _state: scheduler.look(), look_up=lookups
        )
        limits = Limits({f"node:{NODE}": (10_000.0, 40)}, (200.0, 1000))

        def router(call: Call) -> list[Place]:
            routes = dict.fromkeys(("caller", "callee", "transfer"), "carrier")
            return [Place(NODE, routes)] if conductor.state.state == "up" else []

        scheduler = Scheduler(calls, limits, router, clock, 10_000, 10_000, 100.0)
        desk = Desk(calls, scheduler, book, router, clock)
        calls.act = conductor.act
        calls.ready = lambda _node: conductor.ready
        calls.watch(lambda _before, _after, facts: self.told.extend(facts))
        live = await database.calls.live(NODE)
        for call in live:
            calls.adopt(call)
        scheduler.restore(await database.calls.queued(10_000), live)
        conducting, scheduling = asyncio.create_task(conductor.run()), asyncio.create_task(scheduler.run())
        for task in (conducting, scheduling):
            task.add_done_callback(_must_not_end)
        return Controller(fate, database, calls, desk, conductor, link)

    async def _look_up(self, fate: Fate, call: Call, verb: LookUp) -> Answer:
        """A book, which answers one question always alike, sometimes too late, and notes wrong keys by question."""
        fate.point("before a look-up")
        chance = Random(verb.id + verb.keys)
        await asyncio.sleep(chance.choice([0.0, 0.01, 0.5, 5.0]))
        if chance.random() < 0.1:
            raise NotSaved("the database is away")
        answer = Answer("found", {"callee": chance.choice(sorted(PHONES))})
        if chance.random() < 0.5:
            self.wrong.setdefault(call.id, set()).add(verb.id)
            answer = Answer("wrong")
        fate.point("after a look-up")
        return answer

    # --- what happens in a life

    async def _live(self, controller: Controller) -> None:
        """The customer's calls and the weather, until nothing is left to do; then a while for what should not be there."""
        weather = asyncio.create_task(self._trouble(controller))
        looking = asyncio.create_task(self._look_for_orphans(controller))
        looking.add_done_callback(_must_not_end)
        await self._customer(controller)
        loop = asyncio.get_running_loop()
        self.asked_at = self.asked_at or loop.time()
        while len(controller.calls) and loop.time() < self.asked_at + PATIENCE_S:
            if loop.time() > self.asked_at + TROUBLE_S:
                controller.fate.chance = controller.fate.disk_full = 0.0
            await asyncio.sleep(0.5)
        if not self.quiet:
            self.quiet = True
            self.overdue = [call.id for call in controller.calls.of_node(NODE)]
            weather.cancel()
            controller.fate.die("at the end")  # whoever comes next finds out what is missing
            return
        await asyncio.sleep(AFTERWARDS_S)

    async def _trouble(self, controller: Controller) -> None:
        draw = self.random
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(draw.expovariate(1 / self.weather.trouble_s))
            if self.asked_at and loop.time() > self.asked_at + TROUBLE_S:
                return
            drawn = draw.random()
            if draw.random() < self.weather.losses:
                self.troubles["loss"] += 1
                await self._lose(controller)
                continue
            kind = "restart" if drawn < self.weather.restarts else "cut" if drawn < 0.6 else "sudden death"
            self.troubles[kind] += 1
            if kind == "restart":
                controller.link.restart()
            elif kind == "cut":
                controller.link.cut(for_ms=draw.choice([50, 500, 5_000]))
            else:
                controller.fate.die(kind)

    async def _look_for_orphans(self, controller: Controller) -> None:
        """Legs that live on for ``LINGERS_S`` although their call is over and the PBX could be told so all the time."""
        looks: dict[str, int] = {}
        while True:
            await asyncio.sleep(LINGERS_S / 3)
            ready = controller.conductor.ready and not controller.fate.dead
            over = {leg for leg in self.exchange.channels if controller.calls.get(call_of(leg)) is None} if ready else set()
            looks = {leg: looks.get(leg, 0) + 1 for leg in over}
            self.left |= {leg for leg, times in looks.items() if times > 3}

    async def _lose(self, controller: Controller) -> None:
        """The PBX stays away for longer than its grace: its calls are given up as an owner does it; then it comes back."""
        controller.link.cut("lost", for_ms=20_000)
        for _ in range(20):
            await asyncio.sleep(0.5)
            if controller.conductor.state.state == "up":  # a cut before this one was over
                return
        for _ in range(4):
            for call in controller.calls.of_node(NODE):
                for event in lost(call, WarpClock().now()):
                    controller.calls.tell(call.id, event)
            await asyncio.sleep(0.5)

    async def _customer(self, controller: Controller) -> None:
        while self.asked < self.wanted:
            self.asked += 1
            call = self._wish()
            with suppress(NotSaved):
                await controller.desk.open(call)
                self.accepted.add(call.id)
            await asyncio.sleep(self.random.expovariate(2.0))
            await self._meddle(controller)

    async def _meddle(self, controller: Controller) -> None:
        """Cancel or act, now and then."""
        draw = self.random
        if draw.random() > 0.3 or not self.accepted:
            return
        recent = draw.choice(sorted(self.accepted)[-8:])
        with suppress(NotSaved, KeyError, Busy, NoRoute):
            if draw.random() < 0.4:
                await controller.desk.cancel(recent, draw.choice(["", "ringing", "answered"]))
                return
            action = draw.choice(["hangup", "mute", "record", "pause_recording", "stop_recording", "transfer", "transfer"])
            to = {"to": draw.choice(sorted(PHONES)), "display": "+14155550199"}
            await controller.desk.act(recent, action, "", to if action == "transfer" else {})

    def _wish(self) -> Call:
        draw = self.random
        number = f"{self.asked:06d}" + "".join(draw.choices(ALPHABET, k=20))
        flow = FLOWS[draw.choice([CALLBACK.name, CALLBACK.name, CALLBACK.name, "menu", "keyed"])]
        asked = [number for number, phone in PHONES.items() if phone.keys]
        variables = {
            "caller": draw.choice(asked if flow.name == "keyed" else sorted(PHONES)),
            "callee": draw.choice(sorted(PHONES)),
            "caller_display": "+14155550198",
            "callee_display": "+14155550199",
            "x": draw.choice([None, "+14155550199"]),
            "record": draw.random() < 0.5,
            "max_duration_s": draw.choice([5, 60]),
            "ring_timeout_s": {"caller": draw.choice([10, 45]), "callee": draw.choice([10, 45])},
        }
        return Call(number, "main", "callback", flow.name, flow.version, WarpClock().now(), vars=variables)


async def _end_all_tasks(work: asyncio.Task[None]) -> None:
    """Cancel whatever the dead controller still does, until it has ended, and take note of how."""
    mine = asyncio.current_task()
    tasks = {work, *(task for task in asyncio.all_tasks() if task is not mine)}
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1)
    await asyncio.gather(*tasks, return_exceptions=True)


def _must_not_end(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None and type(fault).__name__ != "Killed":
        asyncio.get_running_loop().call_exception_handler({"message": "a service ended", "exception": fault})
