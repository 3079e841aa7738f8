"""OP1 at the far end: two real Asterisks behind one API, of which one comes, is lost, is found, is drained and goes.

The second is added over the API while the first carries calls, and its AMI goes through a proxy that can be cut.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from controller.store.nodes import DRAINED_MS
from tests.lab.far_end import B, C, Lab
from tests.lab.receiver import Receiver
from tests.lab.second import LOST_AFTER_S, NAME, SecondAsterisk
from tests.lab.stage import Stage, numbers_in_logs
from tests.lab.story import Story

FIRST = "asterisk-1"
NOTICED_WITHIN_S = 12.0
Tell = Callable[[str], Story]


class Pair(Stage):
    """A stage with two PBXes, of which the second is a row."""

    def __init__(self, lab: Lab, receiver: Receiver, second: SecondAsterisk) -> None:
        super().__init__(lab, receiver)
        self.second = second

    def node(self, name: str) -> dict[str, Any]:
        """What the API says of a PBX."""
        found: dict[str, Any] = self.get(f"/v1/nodes/{name}")
        return found

    def until_node_is(self, name: str, state: str, within_s: float = NOTICED_WITHIN_S) -> None:
        """Until the API says so of a PBX."""
        deadline = time.monotonic() + within_s
        while (found := self.node(name))["state"] != state:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)  # it is what a client sees that counts here, and a client asks

    def drain(self, name: str, on: bool = True) -> None:
        """No new calls for a PBX, or again."""
        assert self.ask("PATCH", f"/v1/nodes/{name}", {"state": "draining" if on else "up"})[0] == 200

    def until_second_is_empty(self) -> None:
        """Until the second PBX has no channel any more."""
        deadline = time.monotonic() + NOTICED_WITHIN_S
        while self.second.channels():
            assert time.monotonic() < deadline, self.second.asterisk.ctl("core show channels concise")
            time.sleep(0.05)  # nothing says when a channel's thread has ended


def all_nodes(settings: dict[str, Any]) -> None:
    """The trunk is on every node, also on those that come later."""
    for trunk in settings["trunks"]:
        trunk["nodes"] = []


@pytest.fixture(scope="module")
def pair(short_folder: Path, pbx_kind: str) -> Iterator[Pair]:
    if pbx_kind != "asterisk":
        pytest.skip("two Asterisks; tests/lab/test_both.py has one PBX of each kind")
    with (
        Lab(short_folder / "nodes", "asterisk", owner=os.getpid()) as lab,
        Receiver() as receiver,
        SecondAsterisk(lab) as second,
    ):
        lab.configure(all_nodes)
        stage = Pair(lab, receiver, second)
        status, answer = stage.patiently("POST", "/v1/nodes", second.document)
        assert (status, answer["added"]) == (201, True)
        stage.until_node_is(NAME, "up")
        yield stage
        stage.assert_nothing_is_left()
        stage.until_second_is_empty()
        assert numbers_in_logs(lab.folder, stage.numbers()) == []
        told = "".join(path.read_text(errors="replace") for path in lab.folder.rglob("*.log") if path.is_file())
        assert not any(word in told for word in second.secret_words)


@pytest.fixture
def tell(pair: Pair) -> Iterator[Tell]:
    """Makes stories, by name."""
    with ExitStack() as stories:
        yield lambda name: stories.enter_context(Story(pair, name))


@pytest.fixture
def on_second(pair: Pair) -> Iterator[None]:
    """Only the second PBX takes calls meanwhile."""
    pair.until_node_is(NAME, "up")
    pair.drain(FIRST)
    yield
    pair.drain(FIRST, on=False)


def nodes_of(story: Story) -> set[str]:
    """The nodes that carry the legs of a call."""
    return {leg["node"] for leg in story.stage.get(f"/v1/callbacks/{story.id}")["legs"]}


def test_calls_go_to_both_and_each_has_its_legs_on_one(pair: Pair, tell: Tell) -> None:
    stories = [tell(f"call {number}").begin(record=number == 0) for number in range(6)]
    for story in stories:
        story.talk()
    carriers = [nodes_of(story) for story in stories]
    assert {len(nodes) for nodes in carriers} == {1}
    assert {node for nodes in carriers for node in nodes} == {FIRST, NAME}
    assert pair.second.channels() == 2 * carriers.count({NAME})
    for story in stories:
        story.hang_up("callee")
        assert story.ended().outcome == ("completed", "callee")
    assert stories[0].until("recording.stored")["data"]["duration_s"] > 0


@pytest.mark.usefixtures("on_second")
def test_a_recording_of_an_added_node_is_stored(tell: Tell) -> None:
    story = tell("recorded").begin(record=True)
    story.talk()
    assert nodes_of(story) == {NAME}
    story.hears("callee", story.lab.tone(story.numbers["caller"]), 1.0)
    story.hang_up("caller")
    assert story.ended().outcome == ("completed", "caller")
    assert story.until("recording.stored")["data"]["duration_s"] > 0.5


@pytest.mark.usefixtures("on_second")
def test_a_node_that_cannot_be_reached_loses_its_calls_truthfully_and_hangs_up_what_is_left_when_found(
    pair: Pair, tell: Tell
) -> None:
    talking = tell("talking").begin()
    talking.talk()
    ringing = tell("ringing").begin(callee=pair.lab.number("no_answer"))
    ringing.until("call.leg.ringing", "callee")
    pair.second.proxy.cut()
    try:
        pair.until_node_is(NAME, "down")
        waiting = tell("waiting").begin(caller=C)
        assert waiting.status() == "queued"
        pair.until_node_is(NAME, "lost", NOTICED_WITHIN_S + LOST_AFTER_S)
        for story in (talking, ringing):
            told = story.until("call.ended")
            assert (told["data"]["disposition"], told["data"]["hangup_by"]) == ("lost", "platform"), story.name
        assert pair.second.channels() == 4  # the parties go on talking, which nobody can hear from here
        assert talking.invited("callee")["ended_at"] is None
        pair.drain(FIRST, on=False)
        waiting.talk()
        assert nodes_of(waiting) == {FIRST}
    finally:
        pair.second.proxy.heal()
    pair.until_node_is(NAME, "up", 20)
    for story in (talking, ringing):
        end = story.ended()
        assert end.outcome == ("lost", "platform")
        assert end.ended_by("callee") == "pbx"
        assert end.ended_by("caller") == "pbx"
    pair.until_second_is_empty()
    waiting.hang_up("callee")
    assert waiting.ended().outcome == ("completed", "callee")


@pytest.mark.usefixtures("on_second")
def test_a_short_cut_loses_nothing(pair: Pair, tell: Tell) -> None:
    story = tell("short cut").begin()
    story.talk()
    pair.second.proxy.cut()
    pair.second.proxy.heal()
    story.hears("callee", story.lab.tone(story.numbers["caller"]), 1.0, after=time.time())
    story.hang_up("callee")
    assert story.ended().outcome == ("completed", "callee")


@pytest.mark.usefixtures("on_second")
def test_a_node_that_dies_for_good_ends_its_calls_and_the_queue_goes_elsewhere(pair: Pair, tell: Tell) -> None:
    talking = tell("talking").begin(callee=B)
    talking.talk()
    pair.second.asterisk.kill()
    pair.until_node_is(NAME, "down")
    waiting = tell("waiting").begin(caller=C)
    assert waiting.status() == "queued"
    pair.until_node_is(NAME, "lost", NOTICED_WITHIN_S + LOST_AFTER_S)
    assert talking.ended(hung=True).outcome == ("lost", "platform")
    pair.drain(FIRST, on=False)
    waiting.talk()
    assert nodes_of(waiting) == {FIRST}
    waiting.hang_up("caller")
    assert waiting.ended().outcome == ("completed", "caller")
    for leg in ("caller", "callee"):  # phones that nobody told
        talking.phones.hang_up(talking.invited(leg)["call_id"])
    pair.second.asterisk.start()
    pair.until_node_is(NAME, "up", 30)
    again = tell("again")
    pair.drain(FIRST)
    again.begin().talk()
    assert nodes_of(again) == {NAME}
    again.hang_up("callee")
    assert again.ended().outcome == ("completed", "callee")


def test_a_drained_node_keeps_its_calls_and_goes_when_they_are_over(pair: Pair, tell: Tell) -> None:
    pair.until_node_is(NAME, "up")
    pair.drain(FIRST)
    old = tell("old").begin()
    old.talk()
    pair.drain(FIRST, on=False)
    pair.drain(NAME)
    drained_at = time.monotonic()
    young = [tell(f"young {number}").begin(caller=C) for number in range(3)]
    for story in young:
        story.talk()
    assert [nodes_of(story) for story in (old, *young)] == [{NAME}, {FIRST}, {FIRST}, {FIRST}]
    for story in young:
        story.hang_up("callee")
        assert story.ended().outcome == ("completed", "callee")
    time.sleep(max(0.0, drained_at + DRAINED_MS / 1000 + 0.1 - time.monotonic()))  # the law: so long a drain must have lasted
    status, answer = pair.ask("DELETE", f"/v1/nodes/{NAME}")
    assert (status, answer["detail"]) == (409, "it has live calls")
    old.hang_up("caller")
    assert old.ended().outcome == ("completed", "caller")
    assert pair.ask("DELETE", f"/v1/nodes/{NAME}")[0] == 204
    assert [node["name"] for node in pair.get("/v1/nodes")["items"]] == [FIRST]
    log = pair.get(f"/v1/audit?target={NAME}")["items"]
    assert {entry["action"] for entry in log} == {"POST /v1/nodes", "PATCH /v1/nodes/{name}", "DELETE /v1/nodes/{name}"}
    told = [entry["action"] for entry in pair.get(f"/v1/audit?installation=true&target={NAME}")["items"]]
    assert {"node.up", "node.down", "node.lost"} <= set(told)
