"""OP1: where a call may go, by trunk, kind and room; all its legs on one node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config import Node, Trunk, on_node
from controller.core.call import Call
from controller.services.routing import Routing
from controller.services.scheduler import NoRoute

A, B = "+14155550101", "+442079460123"
KINDS: dict[str, dict[str, Any]] = {
    "asterisk": {"ami": {"secret": "x"}, "hook": {"token": "x"}},
    "freeswitch": {"esl": {"password": "x"}},
}


def node(name: str, kind: str = "asterisk", capacity: int = 100) -> Node:
    return Node.model_validate({"name": name, "kind": kind, "capacity": capacity, **KINDS[kind]})


def trunk(name: str, **more: Any) -> Trunk:
    return Trunk(name=name, **more)


def call(caller: str = A, callee: str = B, **more: str) -> Call:
    return Call("c", "acme", "callback", "callback", "1", 0, vars={"caller": caller, "callee": callee, **more})


class Fleet:
    """Nodes that come and go, and how many calls each carries."""

    def __init__(self, *nodes: Node, **load: int) -> None:
        self.all, self.load = list(nodes), load
        self.down: set[str] = set()

    def routing(self, *trunks: Trunk) -> Routing:
        def usable(name: str) -> bool:
            return name not in self.down

        return Routing(
            lambda: self.all, trunks, lambda _flow, _version: ("caller", "callee"), usable, lambda n: self.load.get(n, 0)
        )


def test_the_node_with_the_most_room_comes_first() -> None:
    fleet = Fleet(node("small", capacity=10), node("large", capacity=1000), small=2, large=150)
    route = fleet.routing(trunk("carrier"))
    assert [place.node for place in route(call())] == ["large", "small"]
    fleet.load["large"] = 250
    assert [place.node for place in route(call())] == ["small", "large"]


@pytest.mark.parametrize(
    ("more", "served"),
    [
        ({}, {"pbx1", "fs1"}),
        ({"nodes": ("pbx1",)}, {"pbx1"}),
        ({"kinds": ("freeswitch",)}, {"fs1"}),
        ({"nodes": ("pbx1",), "kinds": ("freeswitch",)}, set()),
        ({"nodes": ("pbx1", "fs1"), "kinds": ("asterisk",)}, {"pbx1"}),
    ],
)
def test_a_trunk_is_on_the_nodes_and_kinds_that_it_names_whoever_asks(more: dict[str, Any], served: set[str]) -> None:
    nodes = [node("pbx1"), node("fs1", "freeswitch")]
    carrier = trunk("carrier", **more)
    assert {one.name for one in nodes if carrier.serves(one.name, one.kind)} == served
    assert {one.name for one in nodes if on_node((carrier,), one, "carrier")} == served
    assert not on_node((carrier,), nodes[0], "another")


def test_both_legs_live_on_the_same_node() -> None:
    fleet = Fleet(node("pbx1"), node("pbx2"), node("pbx3"))
    route = fleet.routing(
        trunk("us", prefixes=("+1",), nodes=("pbx1", "pbx2")), trunk("uk", prefixes=("+44",), nodes=("pbx2", "pbx3"))
    )
    assert [(place.node, dict(place.routes)) for place in route(call())] == [("pbx2", {"caller": "us", "callee": "uk"})]
    assert {place.node for place in route(call(A, A))} == {"pbx1", "pbx2"}
    fleet.all = [node("pbx1"), node("pbx3")]
    with pytest.raises(NoRoute):
        route(call())


def test_a_trunk_is_on_the_nodes_of_its_kinds() -> None:
    fleet = Fleet(node("ast"), node("fs", "freeswitch"))
    route = fleet.routing(trunk("any", prefixes=("+1",)), trunk("gateway", prefixes=("+44",), kinds=("freeswitch",)))
    assert [place.node for place in route(call())] == ["fs"]
    assert {place.node for place in route(call(A, A))} == {"ast", "fs"}
    assert route.on(call(), "ast") is None
    assert route.on(call(), "fs") == {"caller": "any", "callee": "gateway"}


def test_a_node_that_comes_carries_calls_and_one_that_is_not_up_does_not() -> None:
    fleet = Fleet(node("pbx1"))
    route = fleet.routing(trunk("carrier"))
    fleet.all.append(node("pbx2"))
    assert {place.node for place in route(call())} == {"pbx1", "pbx2"}
    fleet.down = {"pbx1"}
    assert [place.node for place in route(call())] == ["pbx2"]
    fleet.down = {"pbx1", "pbx2"}
    assert route(call()) == []


def test_a_number_that_no_node_reaches_is_told_even_while_none_is_up() -> None:
    fleet = Fleet(node("pbx1"))
    fleet.down = {"pbx1"}
    with pytest.raises(NoRoute) as refused:
        fleet.routing(trunk("us", prefixes=("+1",)))(call())
    assert refused.value.leg == "callee"


NODES = st.tuples(st.sampled_from(list(KINDS)), st.integers(1, 50), st.integers(0, 60), st.booleans())
TRUNKS = st.tuples(
    st.sampled_from(["", "+", "+1", "+1415", "+44"]), st.sets(st.integers(0, 5)), st.sets(st.sampled_from(list(KINDS)))
)


@given(st.lists(NODES, max_size=6), st.lists(TRUNKS, max_size=4))
def test_every_place_is_up_reaches_every_number_and_the_roomiest_is_first(
    nodes: list[tuple[str, int, int, bool]], trunks: list[tuple[str, set[int], set[str]]]
) -> None:
    fleet = Fleet(*(node(f"n{at}", kind, capacity) for at, (kind, capacity, _, _) in enumerate(nodes)))
    fleet.load = {f"n{at}": load for at, (_, _, load, _) in enumerate(nodes)}
    fleet.down = {f"n{at}" for at, (_, _, _, up) in enumerate(nodes) if not up}
    made = [
        trunk(f"t{at}", prefixes=(prefix,), nodes=tuple(f"n{n}" for n in sorted(on)), kinds=tuple(sorted(kinds)))
        for at, (prefix, on, kinds) in enumerate(trunks)
    ]
    try:
        places = fleet.routing(*made)(call())
    except NoRoute:
        places = []
    known = {one.name: one for one in fleet.all}
    by_name = {one.name: one for one in made}
    for place in places:
        assert place.node not in fleet.down
        for leg, number in (("caller", A), ("callee", B)):
            used = by_name[place.routes[leg]]
            assert not used.nodes or place.node in used.nodes
            assert not used.kinds or known[place.node].kind in used.kinds
            fitting = [one for one in made if number.startswith(one.prefixes[0])]
            fitting = [one for one in fitting if not one.nodes or place.node in one.nodes]
            fitting = [one for one in fitting if not one.kinds or known[place.node].kind in one.kinds]
            assert len(used.prefixes[0]) == max(len(one.prefixes[0]) for one in fitting)
    shares = [fleet.load[place.node] / known[place.node].capacity for place in places]
    assert shares == sorted(shares)
    assert len({place.node for place in places}) == len(places)
