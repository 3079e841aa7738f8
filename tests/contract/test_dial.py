"""Dial: a new leg, held once it is answered; what its phone says becomes its end."""

import asyncio

import pytest

from controller.core import events as ev
from controller.core.verbs import Dial, Hangup
from controller.lab.options import TRUNK
from controller.ports import VerbRefused
from tests.contract.node import Node
from tests.lab.far_end import SHOWN_TO_A, A, everything_in, shown_in


async def test_a_phone_that_answers_rings_is_answered_and_held(node: Node) -> None:
    talk = node.talk()
    await talk.dial(A)
    ringing = await node.expect(ev.LegRinging, talk.near)
    answered = await node.expect(ev.LegAnswered, talk.near)
    held = await node.expect(ev.LegHeld, talk.near)
    assert (held.step, held.result) == ("", "")
    assert talk.since * 1000 - 1 <= ringing.at <= answered.at <= held.at + 1
    await talk.end()
    call = await talk.over(A)
    assert call["ended_by"] == "pbx"


async def test_its_phone_shows_the_display_number_and_nothing_else(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await talk.end()
    call = await talk.over(A)
    assert shown_in(call) == SHOWN_TO_A
    assert call["headers"]["From"].split("<")[0].strip(' "') in ("", SHOWN_TO_A)
    assert not {"P-Asserted-Identity", "Remote-Party-ID", "Diversion"} & set(call["headers"])
    assert talk.id not in everything_in(call)


CAUSES = [
    ("busy", 486, 17),
    ("reject", 603, 21),
    ("not_found", 404, 1),
    ("unavailable", 480, 19),
    ("congestion", 503, 34),
    ("server_error", 500, 38),
    ("forbidden", 403, 21),
]


@pytest.mark.parametrize(("behaviour", "sip", "q850"), CAUSES)
async def test_a_refusal_is_the_phones_own_and_keeps_its_status(node: Node, behaviour: str, sip: int, q850: int) -> None:
    talk = node.talk()
    await talk.dial(node.lab.number(behaviour))
    ended = await node.expect(ev.LegEnded, talk.near)
    assert (ended.sip, ended.q850, ended.why) == (sip, q850, "remote")
    assert ended.answered_at is None
    assert not node.heard_of(talk.near, ev.LegHeld, ev.LegAnswered)


async def test_nobody_answers_until_the_ring_timer_strikes(node: Node) -> None:
    talk = node.talk()
    await talk.dial(node.lab.number("no_answer"), ring_s=2)
    ringing = await node.expect(ev.LegRinging, talk.near)
    ended = await node.expect(ev.LegEnded, talk.near)
    assert (ended.why, ended.sip, ended.q850) == ("timer", None, 19)
    assert 1500 <= ended.at - ringing.at <= 5000
    assert (await talk.over(node.lab.number("no_answer")))["ended_by"] == "pbx"


async def test_a_phone_that_says_nothing_at_all_ends_as_408(node: Node) -> None:
    talk = node.talk()
    await talk.dial(node.lab.number("silent_drop"), ring_s=20)
    ended = await node.expect(ev.LegEnded, talk.near)
    assert (ended.why, ended.sip) == ("remote", 408)
    assert not node.heard_of(talk.near, ev.LegRinging)


async def test_the_ring_timer_comes_before_the_silence_is_over(node: Node) -> None:
    talk = node.talk()
    await talk.dial(node.lab.number("silent_drop"), ring_s=1)
    ended = await node.expect(ev.LegEnded, talk.near)
    assert (ended.why, ended.sip) == ("timer", None)


async def test_early_media_is_told(node: Node) -> None:
    talk = node.talk()
    await talk.dial(node.lab.number("early_media"))
    early = await node.expect(ev.EarlyMedia, talk.near)
    answered = await node.expect(ev.LegAnswered, talk.near)
    assert early.at < answered.at
    await node.expect(ev.LegHeld, talk.near)
    await talk.end()


async def test_a_phone_that_hangs_up_while_held_ends_its_leg_by_itself(node: Node) -> None:
    talk = node.talk()
    await talk.hold(node.lab.number("hangup_early"))
    ended = await node.expect(ev.LegEnded, talk.near)
    assert (ended.why, ended.q850, ended.sip) == ("remote", 16, 200)
    assert ended.answered_at is not None
    assert ended.answered_at < ended.at


@pytest.mark.parametrize("wait_s", [0.0, 0.001, 0.003, 0.01, 0.1, 0.3])
async def test_a_hangup_is_never_lost_however_early(node: Node, wait_s: float) -> None:
    talk = node.talk()
    number = node.lab.number("no_answer")
    dialling = asyncio.create_task(talk.dial(number, ring_s=20))
    await asyncio.sleep(wait_s)  # the race itself: the hang-up overtakes the dial, or not
    await talk.do(Hangup, talk.near)
    await dialling
    ended = await node.expect(ev.LegEnded, talk.near)
    assert ended.why == "platform"
    assert await talk.alive() == {}


async def test_a_hangup_of_an_answered_leg_is_ours(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await talk.do(Hangup, talk.near)
    ended = await node.expect(ev.LegEnded, talk.near)
    assert (ended.why, ended.q850) == ("platform", 16)


async def test_a_hangup_of_a_leg_that_is_not_there_is_no_error(node: Node) -> None:
    talk = node.talk()
    await talk.do(Hangup, talk.near)
    await talk.do(Hangup, talk.far)


async def test_one_dial_rings_once_however_often_it_is_asked_for(node: Node) -> None:
    talk = node.talk()
    dial = await talk.dial(A)
    await node.pbx.do(dial)
    await node.expect(ev.LegHeld, talk.near)
    await node.pbx.do(dial)
    await talk.end()
    await node.pbx.do(dial)
    await talk.over(A)
    assert talk.rang(A) == 1


async def test_a_trunk_that_the_node_does_not_have_is_refused(node: Node) -> None:
    talk = node.talk()
    with pytest.raises(VerbRefused) as refused:
        await talk.dial(A, trunk="nowhere")
    assert refused.value.disposition == "failed"
    assert talk.rang(A) == 0


@pytest.mark.parametrize(
    "number", ["", "abc", "1@evil", "+1415\r\nAction: Hangup", "1${EXTEN}", "1&2", "1,2", "1/2", "1;2", "%0A1"]
)
async def test_what_is_no_number_is_refused_before_anything_is_sent(node: Node, number: str) -> None:
    talk = node.talk()
    for dial in (
        Dial(talk.verb_id(), talk.near, number=number, trunk=TRUNK, display=SHOWN_TO_A, ring_s=5),
        Dial(talk.verb_id(), talk.near, number=A, trunk=TRUNK, display=number, ring_s=5),
    ):
        with pytest.raises(VerbRefused):
            await node.pbx.do(dial)
    assert await talk.alive() == {}
