"""One controller, an Asterisk and a FreeSWITCH: a business does not notice which of them carries its call.

Needs a FreeSWITCH, whatever --pbx says; is skipped aloud where none is at hand.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from controller.lab.freeswitch import FreeSwitchFailed, freeswitch_program
from controller.lab.options import NODES, Kind
from tests.lab.far_end import C, Lab
from tests.lab.receiver import Receiver
from tests.lab.stage import Stage, numbers_in_logs
from tests.lab.story import Ended, Story

OTHER: dict[Kind, Kind] = {"asterisk": "freeswitch", "freeswitch": "asterisk"}
Tell = Callable[[str], Story]


@pytest.fixture(scope="module")
def pair(short_folder: Path) -> Iterator[Stage]:
    try:
        freeswitch_program()
    except FreeSwitchFailed as failure:
        pytest.skip(str(failure))
    with Lab(short_folder / "both", "both", owner=os.getpid()) as lab, Receiver() as receiver:
        stage = Stage(lab, receiver)
        yield stage
        stage.assert_nothing_is_left()
        assert numbers_in_logs(lab.folder, stage.numbers()) == []


@pytest.fixture
def tell(pair: Stage) -> Iterator[Tell]:
    """Makes stories, by name."""
    with ExitStack() as stories:
        yield lambda name: stories.enter_context(Story(pair, name))


@pytest.fixture
def only(pair: Stage) -> Iterator[Callable[[Kind], None]]:
    """Lets one PBX alone take calls; afterwards both do."""

    def drain_the_other(kind: Kind) -> None:
        assert pair.ask("PATCH", f"/v1/nodes/{NODES[OTHER[kind]]}", {"state": "draining"})[0] == 200

    yield drain_the_other
    for node in NODES.values():
        assert pair.ask("PATCH", f"/v1/nodes/{node}", {"state": "up"})[0] == 200


def carriers(end: Ended) -> set[str]:
    """The nodes that carried the legs of a call."""
    return {leg["node"] for leg in end.record["legs"]}


def test_the_lab_says_what_there_is(pair: Stage) -> None:
    lab = pair.lab.description
    assert lab["nodes"] == [{"name": name, "kind": kind} for kind, name in NODES.items()]
    assert set(lab["pids"]) == {"controller", "asterisk", "freeswitch", "phones", "keeper"}
    assert {node["name"]: (node["kind"], node["state"]) for node in pair.get("/v1/nodes")["items"]} == {
        name: (kind, "up") for kind, name in NODES.items()
    }


@pytest.mark.parametrize("kind", NODES)
def test_the_same_call_has_the_same_record_on_either(pair: Stage, tell: Tell, only: Callable[[Kind], None], kind: Kind) -> None:
    only(kind)
    talked, refused = tell(f"talked on {kind}"), tell(f"refused on {kind}")
    talked.begin(record=True).talk()
    refused.begin(callee=pair.lab.number("busy"))
    talked.hang_up("callee")
    end, busy = talked.ended(), refused.ended()
    assert carriers(end) == carriers(busy) == {NODES[kind]}
    assert end.outcome == ("completed", "callee")
    assert (end.leg("caller"), end.leg("callee")) == ((200, 16, "platform"), (200, 16, "remote"))
    assert (busy.outcome, busy.leg("callee")) == (("busy", "callee"), (486, 17, "remote"))
    assert busy.prompts("caller") == ["connecting", "not-available"]
    assert talked.until("recording.stored")["data"]["duration_s"] > 0


def test_both_carry_calls_at_once_and_both_legs_of_a_call_are_on_one(tell: Tell) -> None:
    stories = [tell(f"at once {number}").begin() for number in range(8)]
    for story in stories:
        story.talk()
    for story in stories:
        story.hang_up("caller")
    carried = [carriers(story.ended()) for story in stories]
    assert all(len(nodes) == 1 for nodes in carried)
    assert set().union(*carried) == set(NODES.values())


@pytest.mark.parametrize("kind", NODES)
def test_the_death_of_one_costs_the_other_nothing(pair: Stage, tell: Tell, only: Callable[[Kind], None], kind: Kind) -> None:
    on_both: dict[Kind, Story] = {}
    for one in NODES:
        only(one)
        on_both[one] = tell(f"on {one}, {kind} dies").begin()
        on_both[one].talk()
        assert pair.ask("PATCH", f"/v1/nodes/{NODES[OTHER[one]]}", {"state": "up"})[0] == 200
    dead, lives = on_both[kind], on_both[OTHER[kind]]
    pids = pair.lab.description["pids"]
    pair.lab.kill(kind)
    try:
        meanwhile = tell(f"while {kind} is dead").begin()
        meanwhile.talk()
        assert lives.status() == "bridged"
    finally:
        pair.lab.restart(kind)
    assert {name for name, pid in pair.lab.description["pids"].items() if pids[name] != pid} == {kind}
    assert pair.get(f"/v1/nodes/{NODES[kind]}")["state"] == "up"
    lost = dead.ended(hung=True)
    assert lost.outcome == ("lost", "platform")
    assert carriers(lost) == {NODES[kind]}
    for story in (lives, meanwhile):
        story.hang_up("caller")
        end = story.ended()
        assert end.outcome == ("completed", "caller")
        assert carriers(end) == {NODES[OTHER[kind]]}
    for leg in ("caller", "callee"):
        dead.phones.hang_up(dead.invited(leg)["call_id"])


def test_a_phone_reaches_the_first_of_them(pair: Stage) -> None:
    """Nobody knows the number, so it is refused unanswered."""
    since = time.time()
    pair.lab.phones.place(C, "+14155559999")
    (call,) = pair.lab.phones.wait_for(lambda calls: bool(calls and calls[0]["ended_at"]), C, since)
    assert (call["status"], call["direction"]) == (404, "out")
