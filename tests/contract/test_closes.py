"""A Connect that closes: when the two part, the PBX hangs up the near leg by itself, with a controller or without."""

import pytest

from controller.core import events as ev
from controller.core.verbs import Part, Play
from tests.contract.node import Node, Talk
from tests.lab.far_end import A, B, C, heard

SAME_MOMENT_MS = 50
"""Each leg writes its end down by itself, and the PBX may come to the near one's first."""


def _never_held_again(node: Node, talk: Talk) -> bool:
    """The near leg said that it was held once, when it had answered."""
    return len(node.heard_of(talk.near, ev.LegHeld)) == 1


async def test_the_far_phone_hangs_up_and_the_pbx_lets_the_near_one_go(node: Node) -> None:
    talk = node.talk()
    connect = await talk.bridged(A, node.lab.number("hangup_early"), closes=True)
    far = await node.expect(ev.LegEnded, talk.far)
    near = await node.expect(ev.LegEnded, talk.near)
    assert (far.why, near.why) == ("remote", "platform")
    assert near.q850 == 16
    assert near.at > far.at - SAME_MOMENT_MS
    assert _never_held_again(node, talk)
    assert not [e for e in node.heard_of(talk.near, ev.VerbDone) if isinstance(e, ev.VerbDone) and e.verb == connect.id]
    assert (await talk.over(A))["ended_by"] == "pbx"


async def test_after_the_limit_both_phones_are_let_go(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B, limit_s=2, closes=True)
    far = await node.expect(ev.LegEnded, talk.far)
    near = await node.expect(ev.LegEnded, talk.near)
    assert far.why == "limit"
    assert near.why == "platform"
    assert far.bridged_at is not None
    assert 1500 <= far.at - far.bridged_at <= 5000
    assert _never_held_again(node, talk)
    assert {(await talk.over(phone))["ended_by"] for phone in (A, B)} == {"pbx"}


async def test_the_near_phone_hangs_up_and_that_is_its_own_end(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(node.lab.number("hangup_late"), B, closes=True)
    near = await node.expect(ev.LegEnded, talk.near)
    far = await node.expect(ev.LegEnded, talk.far)
    assert (near.why, far.why) == ("remote", "platform")


@pytest.mark.parametrize("behaviour", ["busy", "not_found"])
async def test_a_far_phone_that_refuses_leaves_the_near_one_held(node: Node, behaviour: str) -> None:
    talk = node.talk()
    await talk.hold(A)
    connect = await talk.connect(node.lab.number(behaviour), closes=True)
    assert (await node.expect(ev.VerbDone, talk.near, verb=connect.id)).result == "unanswered"
    play = await talk.do(Play, talk.near, prompts=("please-hold",))
    assert (await node.expect(ev.VerbDone, talk.near, verb=play.id)).result == "done"
    await talk.end()


async def test_a_leg_taken_out_of_its_bridge_is_held_all_the_same(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B, closes=True)
    await talk.do(Part, talk.near)
    assert (await node.expect(ev.LegEnded, talk.far)).why == "platform"
    await node.expect(ev.LegHeld, talk.near)
    await talk.connect(C, far=f"{talk.id}03", closes=True)
    await node.expect(ev.LegsJoined, talk.near, other=f"{talk.id}03")
    await talk.seen(C, lambda call: heard(call, node.lab.tone(A)) > 0.3)
    await talk.end(f"{talk.id}03")
    assert (await node.expect(ev.LegEnded, talk.near)).why == "platform"


async def test_one_that_closes_may_follow_one_that_does_not(node: Node) -> None:
    talk = node.talk()
    first = await talk.bridged(A, node.lab.number("hangup_early"))
    assert (await node.expect(ev.VerbDone, talk.near, verb=first.id)).result == "parted"
    await talk.connect(node.lab.number("hangup_early"), far=f"{talk.id}03", closes=True)
    await node.expect(ev.LegsJoined, talk.near, other=f"{talk.id}03")
    assert (await node.expect(ev.LegEnded, talk.near)).why == "platform"


async def test_nobody_listens_and_both_ends_are_told_later_with_their_times(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("hangup_early")
    await talk.bridged(A, number, closes=True)
    await node.leave()
    far, near = await talk.over(number), await talk.over(A)
    assert near["ended_by"] == "pbx"
    assert 0 <= near["ended_at"] - far["ended_at"] < 3  # before anybody would have said "one moment"
    await node.come()
    assert await talk.alive() == {}
    gone = await node.pbx.gone([talk.near, talk.far])
    assert {leg: ended.why for leg, ended in gone.items()} == {talk.near: "platform", talk.far: "remote"}
    assert gone[talk.far].bridged_at is not None
