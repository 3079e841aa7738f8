"""What a PBX does without a controller, and tells to the next one."""

import asyncio
import time

from controller.core import events as ev
from controller.core.call import LegState
from controller.core.verbs import Ask, Hangup, Play
from controller.ports import Unreachable
from tests.contract.node import Node
from tests.lab.far_end import A, B, heard

TRUE_MS = 500  # of what two tell of one moment, on a busy machine
AT_ONCE_S = 4.0  # before any time-out of a driver strikes


async def test_a_bridged_call_talks_on_and_is_seen_by_the_next_controller(node: Node) -> None:
    talk = node.talk()
    connect = await talk.bridged(A, B)
    joined = next(e for e in node.said if isinstance(e, ev.LegsJoined) and e.leg == talk.near)
    await node.leave()
    await talk.seen(A, lambda call: heard(call, node.lab.tone(B)) > 1.5)
    await node.come()
    near, far = (seen := await talk.alive())[talk.near], seen[talk.far]
    assert (near.bridged, far.bridged) == (talk.far, talk.near)
    assert (near.step, near.result, near.held) == (connect.id, "", False)
    assert near.state is far.state is LegState.answered
    assert near.since is not None
    assert abs(near.since / 1000 - talk.since) < 30
    told = [seen.joined for seen in (near, far) if seen.joined is not None]
    assert told, "neither leg knows since when they talk"
    assert max(abs(at - joined.at) for at in told) < TRUE_MS
    await talk.end(talk.near, talk.far)


async def test_a_call_that_ends_while_nobody_listens_has_its_true_times(node: Node) -> None:
    talk = node.talk()
    connect = await talk.bridged(A, node.lab.number("hangup_early"))
    joined = next(e for e in node.said if isinstance(e, ev.LegsJoined) and e.leg == talk.near)
    answered = next(e for e in node.said if isinstance(e, ev.LegAnswered) and e.leg == talk.far)
    await node.leave()
    call = await talk.over(node.lab.number("hangup_early"))
    await node.come()
    held = await node.expect(ev.LegHeld, talk.near, step=connect.id)
    assert held.result == "parted"
    gone = await node.pbx.gone([talk.near, talk.far])
    assert list(gone) == [talk.far]
    ended = gone[talk.far]
    assert (ended.why, ended.q850, ended.sip) == ("remote", 16, 200)
    assert abs(ended.at - call["ended_at"] * 1000) < TRUE_MS
    assert abs((ended.answered_at or 0) - answered.at) < TRUE_MS
    assert abs((ended.bridged_at or 0) - joined.at) < TRUE_MS
    await talk.end()


async def test_the_answer_before_a_notice_has_its_true_time_too(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B, notice="recorded", notice_to="both", announce=("connecting",))
    answered = await node.expect(ev.LegAnswered, talk.far)
    await talk.end(talk.near, talk.far)
    ended = (await node.pbx.gone([talk.far]))[talk.far]
    assert abs((ended.answered_at or 0) - answered.at) < TRUE_MS
    assert (ended.bridged_at or 0) - answered.at > 1000


async def test_a_near_phone_that_hangs_up_while_nobody_listens_ends_both(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(node.lab.number("hangup_late"), B)
    await node.leave()
    await talk.over(B)
    await node.come()
    assert await talk.alive() == {}
    gone = await node.pbx.gone([talk.near, talk.far])
    assert {leg: ended.why for leg, ended in gone.items()} == {talk.near: "remote", talk.far: "platform"}


async def test_a_far_phone_that_is_busy_while_nobody_listens_is_told_by_the_held_leg(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("reject_late")
    await talk.hold(A)
    connect = await talk.connect(number)
    await node.leave()
    await talk.over(number)
    await node.come()
    held = await node.expect(ev.LegHeld, talk.near, step=connect.id)
    assert held.result == "unanswered"
    ended = (await node.pbx.gone([talk.far]))[talk.far]
    assert (ended.why, ended.sip, ended.q850) == ("remote", 603, 21)
    await node.pbx.do(connect)
    assert (await node.expect(ev.VerbDone, talk.near, verb=connect.id)).result == "unanswered"
    assert talk.rang(number) == 1, "the same Connect never rings again, whoever asks"
    await talk.end()


async def test_a_phone_that_rings_goes_on_ringing_and_is_held_by_the_next_controller(node: Node) -> None:
    talk = node.talk()
    await talk.dial(node.lab.number("answer_late"))
    await node.expect(ev.LegRinging, talk.near)
    await node.leave()
    await node.come()
    assert (await talk.alive())[talk.near].state is LegState.ringing
    await node.expect(ev.LegAnswered, talk.near)
    await node.expect(ev.LegHeld, talk.near)
    await talk.end()


async def test_an_answer_that_nobody_heard_is_told_with_its_true_time_before_the_leg_is_held(node: Node) -> None:
    talk, number = node.talk(), node.lab.number("answer_late")
    await talk.dial(number)
    await node.expect(ev.LegRinging, talk.near)
    await node.leave()
    call = await talk.seen(number, lambda call: heard(call, node.lab.prompt("one-moment")) > 0.2)  # it is held, and alone
    await node.come()
    await node.expect(ev.LegHeld, talk.near)
    answered, held = node.heard_of(talk.near, ev.LegAnswered, ev.LegHeld)[:2]
    assert (type(answered), type(held)) == (ev.LegAnswered, ev.LegHeld)
    assert abs(answered.at - call["answered_at"] * 1000) < TRUE_MS
    assert held.at - answered.at > 1000
    await talk.end()


async def test_a_held_leg_knocks_again_until_somebody_listens(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await node.leave()
    await node.come()
    held = await node.expect(ev.LegHeld, talk.near)
    assert held.step == ""
    assert (await talk.alive())[talk.near].held
    await talk.end()


async def test_a_prompt_that_was_cut_short_by_nobody_is_told_as_done(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    play = await talk.do(Play, talk.near, prompts=("connecting", "connecting", "connecting"))
    await node.leave()
    await node.come()
    assert (await node.expect(ev.LegHeld, talk.near, step=play.id)).result == "done"
    await talk.end()
    assert 1.0 < heard(await talk.over(A), node.lab.prompt("connecting")) < 2.6


async def test_keys_that_were_pressed_while_nobody_listened_are_not_lost(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    ask = await talk.do(Ask, talk.near, prompts=("press-1",), most=2, next_s=1.0)
    call = await talk.seen(A, lambda call: heard(call, node.lab.prompt("press-1")) > 0.2)
    await node.leave()
    node.lab.phones.press(call["call_id"], "42")
    await node.come()
    done = await node.expect(ev.VerbDone, talk.near, verb=ask.id)
    assert (done.result, done.data) == ("digits", "42")
    await talk.end()


async def test_a_leg_without_a_controller_is_told_to_wait(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await node.leave()
    await talk.seen(A, lambda call: heard(call, node.lab.prompt("one-moment")) > 0.3)
    await node.come()
    await node.expect(ev.LegHeld, talk.near)
    await talk.end()


async def test_while_the_link_is_down_everything_is_unreachable_at_once(node: Node) -> None:
    talk = node.talk()
    await node.leave()
    for work in (node.pbx.do(Hangup(talk.verb_id(), talk.near)), node.pbx.alive()):
        begin = time.monotonic()
        try:
            await work
        except Unreachable:
            assert time.monotonic() - begin < AT_ONCE_S
        else:
            raise AssertionError("it must not be possible")


async def test_a_pbx_that_was_killed_comes_back_as_another_and_has_no_legs(node: Node) -> None:
    first = next(e for e in node.said if isinstance(e, ev.LinkUp))
    talk = node.talk()
    await talk.bridged(A, B)
    await asyncio.to_thread(node.lab.kill, "asterisk")
    await node.expect(ev.LinkDown)
    await asyncio.to_thread(node.lab.restart, "asterisk")
    second = await node.expect(ev.LinkUp)
    assert second.boot != first.boot
    assert await talk.alive() == {}
    again = node.talk()
    await again.bridged(A, B)
    await again.end(again.near, again.far)
