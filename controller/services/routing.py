"""Where a call may go: the nodes that are up, and on each the trunk with the longest prefix of every number in the call."""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import lru_cache

from controller.config import Node, Trunk
from controller.core.call import Call
from controller.core.flow import Flow
from controller.services.scheduler import NoRoute, Place

DIALLING = ("dial", "connect")


class Routing:
    """Implements ``scheduler.Router`` over the trunks and the state of the nodes.

    ``draining``: the trunks that get no new calls; whoever changes these or ``trunks`` says so by ``forget``."""

    def __init__(
        self,
        nodes: Callable[[], Sequence[Node]],
        trunks: Sequence[Trunk],
        legs: Callable[[str, str], tuple[str, ...]],
        usable: Callable[[str], bool],
        load: Callable[[str], int],
        draining: Set[str] = frozenset(),
    ) -> None:
        self._nodes, self._trunks, self._legs, self._usable, self._load = nodes, trunks, legs, usable, load
        self._draining = draining
        self._trunk_for = lru_cache(maxsize=20_000)(self._find)

    def forget(self) -> None:
        """The trunks are others now."""
        self._trunk_for.cache_clear()

    def __call__(self, call: Call) -> list[Place]:
        """The places for this call, the node with the most room first.  Raises NoRoute when no node could reach a number.

        All legs of a call live on one node, so each number must be reached from there."""
        numbers = self._numbers(call)
        able, blocked = [], ""
        for node in self._nodes():
            routes = {leg: self._trunk_for(number, node.name, node.kind) for leg, number in numbers.items()}
            missing = [leg for leg, trunk in routes.items() if not trunk]
            if missing:
                blocked = missing[0]
            else:
                able.append((node, routes))
        if not able and blocked:
            raise NoRoute(blocked)
        usable = [(node, Place(node.name, routes)) for node, routes in able if self._usable(node.name) and self._open(routes)]
        if len(usable) > 1:
            usable.sort(key=lambda found: self._load(found[0].name) / found[0].capacity)
        return [place for _, place in usable]

    def on(self, call: Call, node: str) -> Mapping[str, str] | None:
        """The trunk of each leg that the call dials, from this node; None when a number cannot be reached from there now."""
        kind = next((known.kind for known in self._nodes() if known.name == node), "")
        routes = {leg: self._trunk_for(number, node, kind) for leg, number in self._numbers(call).items()}
        return None if "" in routes.values() or not self._open(routes) else routes

    def _open(self, routes: Mapping[str, str]) -> bool:
        return not self._draining or self._draining.isdisjoint(routes.values())

    def _numbers(self, call: Call) -> Mapping[str, str]:
        legs = self._legs(call.flow, call.flow_version) if "transfer" not in call.vars else ("transfer",)
        return {leg: str(call.vars[leg]) for leg in legs if leg in call.vars}

    def _find(self, number: str, node: str, kind: str) -> str:
        """The trunk with the longest prefix; one that drains only where no other leads there."""
        best, rank = "", (False, -1)
        for trunk in self._trunks:
            for prefix in trunk.prefixes if trunk.serves(node, kind) else ():
                mine = (trunk.name not in self._draining, len(prefix))
                if mine > rank and number.startswith(prefix):
                    best, rank = trunk.name, mine
        return best


def legs_of(flow: Flow) -> tuple[str, ...]:
    """The legs that a flow dials, which are also the variables with their numbers."""
    return tuple(dict.fromkeys(str(node.subject) for node in flow.nodes.values() if node.kind in DIALLING))
