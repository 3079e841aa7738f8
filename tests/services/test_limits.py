"""Limits: never more at once or per second than allowed, and no place is ever leaked."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.services.limits import Limit, Limits


def test_a_rate_lets_a_burst_through_and_then_one_per_interval() -> None:
    limit = Limit(rate=2, most=100)
    started = 0
    while limit.wait(0.0) == 0:
        limit.take(str(started))
        started += 1
    assert started == 2
    assert limit.wait(0.0) == 0.5
    assert limit.wait(0.25) == 0.25
    assert limit.wait(0.5) == 0


def test_a_slow_rate_still_lets_one_call_start() -> None:
    limit = Limit(rate=0.1, most=5)
    assert limit.wait(100.0) == 0
    limit.take("one")
    wait = limit.wait(100.0)
    assert wait is not None
    assert round(wait) == 10


def test_when_all_places_are_taken_only_an_end_helps() -> None:
    limits = Limits({"trunk:a": (1000.0, 1)}, (1000.0, 10))
    names = ("tenant:x", "trunk:a")
    assert limits.wait(names, 0.0) == 0
    limits.take("call", names)
    assert limits.wait(names, 1000.0) is None
    assert limits.give_back("call")
    assert limits.wait(names, 1000.0) == 0


def test_giving_back_twice_frees_one_place_only() -> None:
    limits = Limits({}, (1000.0, 2))
    limits.take("one", ("tenant:x",))
    limits.take("two", ("tenant:x",))
    assert limits.give_back("one")
    assert not limits.give_back("one")
    assert limits.live("tenant:x") == 1


def test_a_tenant_has_bounds_of_its_own_until_they_are_taken_back() -> None:
    limits = Limits({"trunk:a": (9.0, 9)}, (1000.0, 3))
    limits.take("old", ("tenant:x",))
    limits.own("tenant", {"x": (2.0, 1), "y": (None, 2)})
    assert [(limits.limit(f"tenant:{t}").rate, limits.limit(f"tenant:{t}").most) for t in "xyz"] == [
        (2.0, 1), (1000.0, 2), (1000.0, 3),
    ]  # fmt: skip
    assert limits.wait(("tenant:x",), 0.0) is None, "who lives keeps its place, and no other gets one"
    limits.own("tenant", {"y": (5.0, None)})
    assert [(limits.limit(f"tenant:{t}").rate, limits.limit(f"tenant:{t}").most) for t in "xyz"] == [
        (1000.0, 3), (5.0, 3), (1000.0, 3),
    ]  # fmt: skip
    assert limits.wait(("tenant:x",), 1.0) == 0
    assert (limits.limit("trunk:a").rate, limits.limit("trunk:a").most) == (9.0, 9)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.floats(0.5, 50))
def test_over_any_stretch_of_time_no_more_starts_than_rate_and_burst_allow(pauses: list[float], rate: float) -> None:
    limit, now, started = Limit(rate, 10**9), 0.0, 0
    for number, pause in enumerate(pauses):
        now += pause
        while limit.wait(now) == 0:
            limit.take(f"{number}-{started}")
            started += 1
    assert started <= max(1.0, rate) + rate * now + 1e-6


class Places(RuleBasedStateMachine):
    """Random starts, ends, doubled ends and restarts: the number held is always that of the calls that live."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, tuple[str, ...]] = {}
        self.number = 0
        self.now = 0.0
        self.limits = self.fresh()

    def fresh(self) -> Limits:
        return Limits({"trunk:a": (1e6, 3), "trunk:b": (1e6, 2)}, (1e6, 4))

    @rule(tenant=st.sampled_from("xyz"), trunks=st.sets(st.sampled_from("ab"), min_size=1))
    def start(self, tenant: str, trunks: set[str]) -> None:
        self.now += 1
        names = (f"tenant:{tenant}", *(f"trunk:{trunk}" for trunk in sorted(trunks)))
        if self.limits.wait(names, self.now) == 0:
            self.number += 1
            self.limits.take(str(self.number), names)
            self.live[str(self.number)] = names

    @precondition(lambda self: self.live)
    @rule(data=st.data(), times=st.integers(1, 3))
    def end(self, data: st.DataObject, times: int) -> None:
        call = data.draw(st.sampled_from(sorted(self.live)))
        for _ in range(times):
            self.limits.give_back(call)
        del self.live[call]

    @rule()
    def restart(self) -> None:
        self.limits = self.fresh()
        for call, names in self.live.items():
            self.limits.hold(call, names)

    @invariant()
    def held_is_what_lives(self) -> None:
        for name, most in (("trunk:a", 3), ("trunk:b", 2), ("tenant:x", 4), ("tenant:y", 4)):
            held = sum(name in names for names in self.live.values())
            assert self.limits.live(name) == held
            assert held <= most


TestPlaces = Places.TestCase
