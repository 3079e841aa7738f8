"""Where a call may go: the nodes that are up, and on each the trunk with the longest prefix of every number in the call."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from controller.config import Node, Trunk
from controller.core.call import Call
from controller.core.flow import Flow
from controller.services.scheduler import NoRoute, Place

DIALLING = ("dial", "connect")


class Routing:
    """Implements ``scheduler.Router`` over the settings and the state of the nodes."""

    def __init__(
        self,
        nodes: Callable[[], Sequence[Node]],
        trunks: Sequence[Trunk],
        legs: Callable[[str, str], tuple[str, ...]],
        usable: Callable[[str], bool],
        load: Callable[[str], int],
    ) -> None:
        self._nodes, self._trunks, self._legs, self._usable, self._load = nodes, trunks, legs, usable, load
        self._trunk_for = lru_cache(maxsize=20_000)(self._find)

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
        usable = [(node, Place(node.name, routes)) for node, routes in able if self._usable(node.name)]
        if len(usable) > 1:
            usable.sort(key=lambda found: self._load(found[0].name) / found[0].capacity)
        return [place for _, place in usable]

    def on(self, call: Call, node: str) -> Mapping[str, str] | None:
        """The trunk of each leg that the call dials, from this node; None when a number cannot be reached from there."""
        kind = next((known.kind for known in self._nodes() if known.name == node), "")
        routes = {leg: self._trunk_for(number, node, kind) for leg, number in self._numbers(call).items()}
        return None if "" in routes.values() else routes

    def _numbers(self, call: Call) -> Mapping[str, str]:
        legs = self._legs(call.flow, call.flow_version) if "transfer" not in call.vars else ("transfer",)
        return {leg: str(call.vars[leg]) for leg in legs if leg in call.vars}

    def _find(self, number: str, node: str, kind: str) -> str:
        best, length = "", -1
        for trunk in self._trunks:
            for prefix in trunk.prefixes if trunk.serves(node, kind) else ():
                if len(prefix) > length and number.startswith(prefix):
                    best, length = trunk.name, len(prefix)
        return best


def legs_of(flow: Flow) -> tuple[str, ...]:
    """The legs that a flow dials, which are also the variables with their numbers."""
    return tuple(dict.fromkeys(str(node.subject) for node in flow.nodes.values() if node.kind in DIALLING))
