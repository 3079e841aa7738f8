"""Faults: the PBX dies, or cannot be reached."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lab.doomed import Doomed
from tests.lab.far_end import A
from tests.lab.story import TRUE_MS, Story, off_ms
from tests.lab.test_callback_hangups import callee_dialing, callee_ringing, caller_dialing, caller_ringing

NOTICED_WITHIN_S = 10.0


@pytest.fixture
def tell(doomed: Doomed) -> Iterator[Callable[[str], Story]]:
    """Makes stories, by name."""
    with ExitStack() as stories:
        yield lambda name: stories.enter_context(doomed.story(name))


def test_calls_die_with_the_pbx_and_those_that_wait_go_on_with_the_next(doomed: Doomed, tell: Callable[[str], Story]) -> None:
    talking, recorded = tell("talking").begin(), tell("recorded").begin(record=True)
    ringing = {phase: tell(phase.__name__) for phase in (caller_dialing, caller_ringing, callee_dialing, callee_ringing)}
    for story in (talking, recorded):
        story.talk()
    for phase, story in ringing.items():
        phase(story)
    recorded.hears("callee", doomed.lab.tone(A), 1.0)
    boot = doomed.node()["boot"]
    with doomed.without(doomed.lab.kind):
        doomed.until_node_is("down", NOTICED_WITHIN_S)
        queued = [tell(f"waits {number}").begin() for number in (1, 2, 3)]
        assert [story.status() for story in queued] == ["queued"] * 3
    doomed.until_node_is("up", 20)
    assert doomed.node()["boot"] != boot
    for story in (talking, recorded):
        end = story.ended(hung=True)
        assert end.outcome == ("lost", "platform")
        assert end.leg("callee")[2] == "lost"
        assert end.record["bridged_at"]
    for story in ringing.values():
        end = story.ended(hung=True)
        assert end.outcome == ("lost", "platform"), story.name
    for story in queued:
        story.talk()
        story.hang_up("callee")
        assert story.ended().outcome == ("completed", "callee")
    stored = recorded.until("recording.stored")
    assert stored["data"]["duration_s"] > 0.5
    for story in (talking, recorded):
        for leg in ("caller", "callee"):
            story.phones.hang_up(story.invited(leg)["call_id"])
    doomed.assert_nothing_is_left()


def test_a_link_that_falls_silent_is_noticed_and_what_happened_meanwhile_is_told_truly(
    doomed: Doomed, tell: Callable[[str], Story]
) -> None:
    ended, on, ringing = tell("ended meanwhile").begin(), tell("goes on").begin(), tell("answered meanwhile")
    for story in (ended, on):
        story.talk()
    callee_ringing(ringing)
    doomed.proxy.cut()
    try:
        assert doomed.until_node_is("down", NOTICED_WITHIN_S) < NOTICED_WITHIN_S
        ended.hang_up("caller")
        ringing.answer("callee")
        ringing.hears("callee", doomed.lab.tone(A))
        queued = tell("posted meanwhile").begin()
        assert queued.status() == "queued"
        assert queued.calls("caller") == []
        assert on.status() == "bridged"
    finally:
        doomed.proxy.heal()
    doomed.until_node_is("up", 20)
    end = ended.ended()
    assert end.outcome == ("completed", "caller")
    assert off_ms(end.legs["caller"]["ended_at"], end.at_phone["caller"]["ended_at"]) < TRUE_MS
    for story in (on, ringing, queued):
        story.talk()
        story.hears("caller", doomed.lab.tone(story.numbers["callee"]))
        story.hang_up("callee")
        assert story.ended().outcome == ("completed", "callee"), story.name
    doomed.assert_nothing_is_left()


def test_a_node_that_is_drained_keeps_its_calls_and_gets_no_more(doomed: Doomed, tell: Callable[[str], Story]) -> None:
    talking = tell("talking").begin()
    talking.talk()
    assert doomed.ask("PATCH", f"/v1/nodes/{doomed.lab.node}", {"state": "draining"})[0] == 200
    waits = tell("waits").begin()
    assert doomed.node()["state"] == "draining"
    talking.hang_up("caller")
    assert talking.ended().outcome == ("completed", "caller")
    assert (waits.status(), waits.calls("caller")) == ("queued", [])
    assert doomed.ask("PATCH", f"/v1/nodes/{doomed.lab.node}", {"state": "up"})[0] == 200
    waits.talk()
    waits.hang_up("callee")
    assert waits.ended().outcome == ("completed", "callee")


@pytest.mark.parametrize("unless", ["", "ringing", "answered"])
def test_a_call_that_waits_can_be_canceled(doomed: Doomed, tell: Callable[[str], Story], unless: str) -> None:
    assert doomed.ask("PATCH", f"/v1/nodes/{doomed.lab.node}", {"state": "draining"})[0] == 200
    try:
        stories = [tell(f"waits {number}").begin() for number in (1, 2)]
        shown = [doomed.get(f"/v1/callbacks/{story.id}") for story in stories]
        assert [call["queue_position"] for call in shown] == [1, 2]
        assert all(call["estimated_start"] for call in shown)
        assert stories[0].cancel(unless) == (True, [], None)
        end = stories[0].ended()
        assert end.outcome == ("canceled", "platform")
        assert end.record["legs"] == []
        assert doomed.get(f"/v1/callbacks/{stories[1].id}")["queue_position"] == 1
        assert stories[1].cancel() == (True, [], None)
        stories[1].ended()
    finally:
        doomed.ask("PATCH", f"/v1/nodes/{doomed.lab.node}", {"state": "up"})
    assert [story.calls("caller") for story in stories] == [[], []]
