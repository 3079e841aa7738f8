"""Connect: the far leg is dialled and bridged by the PBX, and every way in which that ends."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.verbs import Hangup, Play
from controller.ports import VerbRefused
from tests.contract.node import Node, Talk
from tests.contract.test_dial import CAUSES
from tests.lab.far_end import SHOWN_TO_A, SHOWN_TO_B, A, B, everything_in, heard, methods_in, shown_in


async def test_both_talk_and_hear_each_other(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    tone_a, tone_b = node.lab.tone(A), node.lab.tone(B)
    await talk.seen(A, lambda call: heard(call, tone_b) > 0.5)
    await talk.seen(B, lambda call: heard(call, tone_a) > 0.5)
    ringing = await node.expect(ev.LegRinging, talk.far)
    answered = await node.expect(ev.LegAnswered, talk.far)
    assert ringing.at <= answered.at
    await talk.end(talk.near, talk.far)


async def test_each_phone_sees_its_display_number_and_nothing_of_the_other(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.end(talk.near, talk.far)
    near, far = await talk.over(A), await talk.over(B)
    assert (shown_in(near), shown_in(far)) == (SHOWN_TO_A, SHOWN_TO_B)
    assert B.lstrip("+") not in everything_in(near)
    assert A.lstrip("+") not in everything_in(far)
    assert SHOWN_TO_A.lstrip("+") not in everything_in(far)
    assert "INVITE" not in methods_in(near)[1:], "a re-INVITE would tell the near phone who is connected"


async def test_a_far_phone_that_names_itself_is_not_passed_on(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("tells_identity")
    await talk.bridged(A, number)
    await talk.end(talk.near, talk.far)
    near = await talk.over(A)
    assert "Real Name" not in everything_in(near)
    assert number.lstrip("+") not in everything_in(near)


async def _unanswered(node: Node, talk: Talk, number: str, **more: Any) -> ev.LegEnded:
    """A Connect that comes to nothing: the near leg is free again for the next verb."""
    await talk.hold(A)
    connect = await talk.connect(number, **more)
    done = await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    assert done.result == "unanswered"
    ended = await node.expect(ev.LegEnded, talk.far)
    assert not node.heard_of(talk.far, ev.LegAnswered, ev.LegsJoined)
    assert (await talk.alive())[talk.near].held
    await talk.end()
    return ended


@pytest.mark.parametrize(("behaviour", "sip", "q850"), CAUSES)
async def test_a_refusal_of_the_far_phone_keeps_its_status(node: Node, behaviour: str, sip: int, q850: int) -> None:
    ended = await _unanswered(node, node.talk(), node.lab.number(behaviour))
    assert (ended.sip, ended.q850, ended.why) == (sip, q850, "remote")


async def test_the_far_phone_rings_until_the_ring_timer_strikes(node: Node) -> None:
    talk = node.talk()
    ended = await _unanswered(node, talk, node.lab.number("no_answer"), ring_s=2)
    assert (ended.why, ended.sip, ended.q850) == ("timer", None, 19)
    assert (await talk.over(node.lab.number("no_answer")))["ended_by"] == "pbx"


async def test_a_far_phone_that_says_nothing_ends_as_408(node: Node) -> None:
    ended = await _unanswered(node, node.talk(), node.lab.number("silent_drop"), ring_s=20)
    assert (ended.why, ended.sip) == ("remote", 408)


async def test_the_far_phone_hangs_up(node: Node) -> None:
    talk = node.talk()
    connect = await talk.bridged(A, node.lab.number("hangup_early"))
    done = await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    ended = await node.expect(ev.LegEnded, talk.far)
    await node.expect(ev.LegsParted, talk.near, other=talk.far)
    assert done.result == "parted"
    assert (ended.why, ended.q850) == ("remote", 16)
    assert ended.answered_at is not None
    assert ended.bridged_at is not None
    assert ended.answered_at <= ended.bridged_at < ended.at
    await talk.end()


async def test_the_near_phone_hangs_up(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(node.lab.number("hangup_late"), B)
    near = await node.expect(ev.LegEnded, talk.near)
    far = await node.expect(ev.LegEnded, talk.far)
    assert (near.why, far.why) == ("remote", "platform")
    assert (await talk.over(B))["ended_by"] == "pbx"


async def test_the_near_phone_hangs_up_while_the_far_one_rings(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("no_answer")
    await talk.hold(node.lab.number("hangup_late"))
    await talk.connect(number)
    await node.expect(ev.LegRinging, talk.far)
    near = await node.expect(ev.LegEnded, talk.near)
    far = await node.expect(ev.LegEnded, talk.far)
    assert (near.why, far.why) == ("remote", "platform")
    assert far.answered_at is None
    assert (await talk.over(number))["ended_by"] == "pbx"


async def test_after_the_far_phone_hung_up_the_near_one_may_still_hang_up_itself(node: Node) -> None:
    """Who ended the first bridge must not be taken for who ended the near leg."""
    talk = node.talk()
    connect = await talk.bridged(node.lab.number("hangup_late"), node.lab.number("hangup_early"))
    await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    assert (await node.expect(ev.LegEnded, talk.far)).why == "remote"
    assert (await node.expect(ev.LegEnded, talk.near)).why == "remote"


async def test_we_hang_up_while_the_far_phone_rings(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("no_answer")
    await talk.hold(A)
    connect = await talk.connect(number)
    await node.expect(ev.LegRinging, talk.far)
    await talk.do(Hangup, talk.far)
    assert (await node.expect(ev.LegEnded, talk.far)).why == "platform"
    assert (await node.expect(ev.VerbDone, talk.near, verb=connect.id)).result == "unanswered"
    await talk.end()


async def test_we_hang_up_both_while_they_talk(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.do(Hangup, talk.near)
    await talk.do(Hangup, talk.far)
    assert (await node.expect(ev.LegEnded, talk.near)).why == "platform"
    assert (await node.expect(ev.LegEnded, talk.far)).why == "platform"


async def test_the_far_phone_hangs_up_while_it_hears_the_announcement(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("hangup_early")
    await talk.hold(A)
    connect = await talk.connect(number, announce=("long-please-hold",))
    done = await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    ended = await node.expect(ev.LegEnded, talk.far)
    assert (done.result, ended.why) == ("unanswered", "remote")
    assert ended.bridged_at is None
    await talk.end()


async def test_the_far_phone_hangs_up_during_the_notice_and_the_near_one_need_not_hear_it_to_the_end(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    connect = await talk.connect(B, notice="long-recorded", notice_to="both")
    call = await talk.seen(B, lambda call: heard(call, node.lab.prompt("recorded")) > 0.2)
    await talk.seen(A, lambda call: heard(call, node.lab.prompt("recorded")) > 0.2)
    node.lab.phones.hang_up(call["call_id"])
    assert (await node.expect(ev.VerbDone, talk.near, verb=connect.id)).result == "unanswered"
    play = await talk.do(Play, talk.near, prompts=("please-hold",))
    assert (await node.expect(ev.VerbDone, talk.near, verb=play.id)).result == "done"
    await talk.end()
    assert heard((await talk.over(A)), node.lab.prompt("please-hold")) > 0.4


async def test_the_limit_ends_the_bridge_and_the_near_leg_is_free_again(node: Node) -> None:
    talk = node.talk()
    connect = await talk.bridged(A, B, limit_s=2)
    done = await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    ended = await node.expect(ev.LegEnded, talk.far)
    assert (done.result, ended.why) == ("parted", "limit")
    assert ended.bridged_at is not None
    assert 1500 <= ended.at - ended.bridged_at <= 5000
    await talk.end()


async def test_the_limit_is_of_the_talk_and_not_of_what_the_caller_hears_before_it(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B, limit_s=1, notice="long-recorded", notice_to="caller")
    ended = await node.expect(ev.LegEnded, talk.far)
    assert ended.why == "limit"
    assert ended.bridged_at is not None
    assert ended.answered_at is not None
    assert ended.bridged_at - ended.answered_at > 3000
    assert 900 <= ended.at - ended.bridged_at <= 5000
    await talk.end()


@pytest.mark.parametrize(("to", "near", "far"), [("both", 1, 1), ("caller", 1, 0), ("callee", 0, 1), ("none", 0, 0)])
async def test_the_last_minute_tone_is_heard_by_whom_it_is_for(node: Node, to: str, near: int, far: int) -> None:
    talk = node.talk()
    await talk.bridged(A, B, limit_s=4, warn="last-minute", warn_s=2, warn_to=to)
    ended = await node.expect(ev.LegEnded, talk.far)
    assert ended.why == "limit"
    await talk.end()
    tone = node.lab.prompt("last-minute")
    assert (heard(await talk.over(A), tone) > 0.2) == bool(near)
    assert (heard(await talk.over(B), tone) > 0.2) == bool(far)


@pytest.mark.parametrize(("to", "near", "far"), [("both", 1, 1), ("caller", 1, 0), ("callee", 0, 1), ("none", 0, 0)])
async def test_the_recording_notice_is_heard_by_whom_it_is_for(node: Node, to: str, near: int, far: int) -> None:
    talk = node.talk()
    await talk.bridged(A, B, notice="recorded", notice_to=to)
    await talk.end(talk.near, talk.far)
    tone = node.lab.prompt("recorded")
    assert (heard(await talk.over(A), tone) > 0.3) == bool(near)
    assert (heard(await talk.over(B), tone) > 0.3) == bool(far)


async def test_announcements_are_for_the_far_phone_alone_and_come_before_the_bridge(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B, announce=("connecting", "please-hold"))
    await talk.seen(B, lambda call: heard(call, node.lab.tone(A)) > 0.3)
    await talk.end(talk.near, talk.far)
    near, far = await talk.over(A), await talk.over(B)
    order = [sound["hz"] for sound in far["heard"]]
    expected = [node.lab.prompt("connecting"), node.lab.prompt("please-hold"), node.lab.tone(A)]
    assert [hz for hz in order if hz in expected] == expected
    assert not heard(near, node.lab.prompt("connecting"))


async def test_the_near_phone_hears_the_far_phones_early_media(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("early_media")
    await talk.hold(A)
    await talk.connect(number)
    await node.expect(ev.EarlyMedia, talk.far)
    call = await talk.seen(A, lambda call: heard(call, node.lab.tone(number)) > 0.5)
    assert not node.heard_of(talk.far, ev.LegAnswered) or call["heard"]
    await node.expect(ev.LegsJoined, talk.near)
    await talk.end(talk.near, talk.far)


async def test_the_near_phone_hears_music_while_it_waits(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await talk.connect(node.lab.number("no_answer"), wait="music")
    await talk.seen(A, lambda call: heard(call, node.lab.prompt("music")) > 0.5)
    await talk.end(talk.near, talk.far)


@pytest.mark.parametrize("wait", ["early_media", "ringback"])
async def test_the_near_phone_hears_ringback_while_it_waits(node: Node, wait: str) -> None:
    talk = node.talk()
    await talk.hold(A)
    await talk.connect(node.lab.number("no_answer"), wait=wait)
    before = (await talk.seen(A, lambda call: call["packets_in"] > 0))["packets_in"]
    await talk.seen(A, lambda call: call["packets_in"] > before + 25)
    await talk.end(talk.near, talk.far)


async def test_one_connect_rings_once_however_often_it_is_asked_for(node: Node) -> None:
    talk = node.talk()
    number = node.lab.number("hangup_early")
    connect = await talk.bridged(A, number)
    await node.pbx.do(connect)
    await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    await node.pbx.do(connect)
    again = await node.expect(ev.VerbDone, talk.near, verb=connect.id)
    assert again.result == "parted"
    assert talk.rang(number) == 1
    await talk.end()


async def test_a_leg_may_be_connected_again_and_again(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    first = await talk.connect(node.lab.number("busy"))
    assert (await node.expect(ev.VerbDone, talk.near, verb=first.id)).result == "unanswered"
    await talk.connect(B, far=f"{talk.id}03")
    await node.expect(ev.LegsJoined, talk.near, other=f"{talk.id}03")
    await talk.end(talk.near, f"{talk.id}03")


async def test_a_leg_that_is_not_held_cannot_be_connected(node: Node) -> None:
    talk = node.talk()
    with pytest.raises(VerbRefused):
        await talk.connect(B)
    assert talk.rang(B) == 0


async def test_a_far_trunk_that_the_node_does_not_have_is_refused(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    with pytest.raises(VerbRefused):
        await talk.connect(B, trunk="nowhere")
    assert (await talk.alive())[talk.near].held
    await talk.end()
