"""What the API needs from the rest of the controller; ``wiring`` fills it in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from controller.config import Settings
from controller.ports import Clock
from controller.services.agents import Agents
from controller.services.bindings import Bindings
from controller.services.desk import Desk
from controller.services.feed import Feed
from controller.services.fleet import Fleet
from controller.services.flows import FlowBook
from controller.services.journal import Journal
from controller.services.last_agents import LastAgents
from controller.services.policy import Policy
from controller.services.prompts import Prompts
from controller.services.trunks import Trunks
from controller.services.webhooks import Webhooks
from controller.store.database import Database


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of ``/metrics``.  ``labels`` never hold a number, a tenant's name or an id."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


Measures = Callable[[], Iterable[Measure]]


@dataclass(frozen=True, slots=True)
class House:
    """The rooms that the API goes into.  ``recordings``: the folder with stored audio; ``measures``: asked at each scrape."""

    settings: Settings
    clock: Clock
    database: Database
    desk: Desk
    flows: FlowBook
    feed: Feed
    webhooks: Webhooks
    fleet: Fleet
    journal: Journal
    policy: Policy
    recordings: Path
    measures: Measures = tuple
    bindings: Bindings = field(kw_only=True)
    agents: Agents = field(kw_only=True)
    last_agents: LastAgents = field(kw_only=True)
    trunks: Trunks = field(kw_only=True)
    prompts: Prompts = field(kw_only=True)
