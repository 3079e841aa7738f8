"""What is done with a held leg, and with legs that talk."""

import asyncio
import itertools

import pytest

from controller.core import events as ev
from controller.core.verbs import Answer, Ask, Detect, Hangup, Join, Mute, Part, Play, Ring, Whisper
from controller.ports import VerbRefused
from tests.contract.node import Node, Talk
from tests.lab.far_end import A, B, C, heard


async def test_prompts_are_played_in_order(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    play = await talk.do(Play, talk.near, prompts=("connecting", "please-hold"))
    assert (await node.expect(ev.VerbDone, talk.near, verb=play.id)).result == "done"
    await talk.end()
    order = [sound["hz"] for sound in (await talk.over(A))["heard"]]
    assert order == [node.lab.prompt("connecting"), node.lab.prompt("please-hold")]


async def test_a_prompt_that_is_not_there_fails(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    play = await talk.do(Play, talk.near, prompts=("no-such-prompt",))
    assert (await node.expect(ev.VerbDone, talk.near, verb=play.id)).result == "failed"
    await talk.end()


@pytest.mark.parametrize("prompt", ["", "../../etc/passwd", "a b", "a,b", "a&b", "${X}", "a\nb", "A"])
async def test_what_is_no_prompts_name_is_refused(node: Node, prompt: str) -> None:
    talk = node.talk()
    await talk.hold(A)
    with pytest.raises(VerbRefused):
        await talk.do(Play, talk.near, prompts=(prompt,))
    await talk.end()


async def test_a_leg_that_hangs_up_during_a_prompt_is_only_ended(node: Node) -> None:
    talk = node.talk()
    await talk.hold(node.lab.number("hangup_early"))
    await talk.do(Play, talk.near, prompts=("connecting",) * 5)
    assert (await node.expect(ev.LegEnded, talk.near)).why == "remote"
    assert not node.heard_of(talk.near, ev.VerbDone)


async def _ask(node: Node, talk: Talk, keys: str, **how: object) -> ev.VerbDone:
    """What comes of an Ask when the phone presses ``keys`` once it hears the prompt."""
    await talk.hold(A)
    ask = await talk.do(Ask, talk.near, prompts=("press-1",), **{"first_s": 2.0, "next_s": 1.0, **how})
    call = await talk.seen(A, lambda call: heard(call, node.lab.prompt("press-1")) > 0.2)
    if keys:
        node.lab.phones.press(call["call_id"], keys)
    done = await node.expect(ev.VerbDone, talk.near, verb=ask.id)
    await talk.end()
    assert not node.heard_of(talk.near, ev.Digit), "keys of an Ask are told by its end alone"
    return done


async def test_a_key_interrupts_the_prompt_and_is_the_answer(node: Node) -> None:
    done = await _ask(node, node.talk(), "1")
    assert (done.result, done.data) == ("digits", "1")


async def test_several_keys_up_to_the_most(node: Node) -> None:
    done = await _ask(node, node.talk(), "1234", most=4)
    assert (done.result, done.data) == ("digits", "1234")


async def test_a_stop_key_ends_the_input_and_is_no_part_of_it(node: Node) -> None:
    done = await _ask(node, node.talk(), "12#", most=9, next_s=5.0)
    assert (done.result, done.data) == ("digits", "12")


async def test_without_a_stop_key_the_hash_is_a_key(node: Node) -> None:
    done = await _ask(node, node.talk(), "1#", most=2, stop="")
    assert (done.result, done.data) == ("digits", "1#")


async def test_the_pause_between_keys_ends_the_input(node: Node) -> None:
    done = await _ask(node, node.talk(), "12", most=9)
    assert (done.result, done.data) == ("digits", "12")


@pytest.mark.parametrize(
    ("behaviour", "who"),
    [("says_hello", "person"), ("greets_long", "machine"), ("answer", "machine"), ("says_nothing", "unknown")],
)
async def test_who_says_a_word_and_waits_is_a_person_and_who_speaks_on_a_machine(node: Node, behaviour: str, who: str) -> None:
    talk = node.talk()
    await talk.hold(node.lab.number(behaviour))
    detect = await talk.do(Detect, talk.near, within_s=6.0)
    done = await node.expect(ev.VerbDone, talk.near, verb=detect.id, within_s=20)
    assert (done.result, done.data) == (who, "")
    assert (await talk.alive())[talk.near].held
    await talk.end()


async def test_who_hangs_up_while_we_listen_is_only_ended(node: Node) -> None:
    talk = node.talk()
    await talk.hold(node.lab.number("hangup_early"))
    await talk.do(Detect, talk.near)
    assert (await node.expect(ev.LegEnded, talk.near)).why == "remote"
    assert not node.heard_of(talk.near, ev.VerbDone)


async def test_too_few_keys_are_a_timeout(node: Node) -> None:
    done = await _ask(node, node.talk(), "1", least=3, most=4)
    assert done.result == "timeout"


async def test_no_key_is_a_timeout(node: Node) -> None:
    done = await _ask(node, node.talk(), "")
    assert (done.result, done.data) == ("timeout", "")


async def test_a_prompt_without_barge_in_is_played_to_its_end(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    ask = await talk.do(Ask, talk.near, prompts=("press-1", "please-hold"), barge=False, first_s=5.0)
    call = await talk.seen(A, lambda call: heard(call, node.lab.prompt("press-1")) > 0.2)
    node.lab.phones.press(call["call_id"], "1")
    await talk.seen(A, lambda call: heard(call, node.lab.prompt("please-hold")) > 0.4)
    await asyncio.sleep(0.5)  # the rest of the prompt
    node.lab.phones.press(call["call_id"], "2")
    done = await node.expect(ev.VerbDone, talk.near, verb=ask.id)
    await talk.end()
    assert (done.result, done.data) == ("digits", "2")


async def test_a_key_outside_of_an_ask_is_told(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    call = await talk.seen(A, lambda call: call["answered_at"] is not None)
    node.lab.phones.press(call["call_id"], "5")
    assert (await node.expect(ev.Digit, talk.near)).digit == "5"
    await talk.end(talk.near, talk.far)


async def _two_held(node: Node) -> tuple[Talk, str]:
    talk = node.talk()
    await talk.hold(A)
    return talk, await talk.hold(B, leg=talk.far)


async def test_two_held_legs_are_joined_and_held_again_when_they_part(node: Node) -> None:
    talk, other = await _two_held(node)
    join = await talk.do(Join, talk.near, other=other)
    await node.expect(ev.LegsJoined, talk.near, other=other)
    await talk.seen(A, lambda call: heard(call, node.lab.tone(B)) > 0.3)
    await talk.seen(B, lambda call: heard(call, node.lab.tone(A)) > 0.3)
    await talk.do(Hangup, other)
    assert (await node.expect(ev.LegEnded, other)).why == "platform"
    assert (await node.expect(ev.VerbDone, talk.near, verb=join.id)).result == "parted"
    assert (await talk.alive())[talk.near].held
    await talk.end()


async def test_the_other_of_two_joined_legs_is_held_again_too(node: Node) -> None:
    talk, other = await _two_held(node)
    await talk.do(Join, talk.near, other=other)
    await node.expect(ev.LegsJoined, talk.near, other=other)
    await talk.do(Hangup, talk.near)
    assert (await node.expect(ev.LegEnded, talk.near)).why == "platform"
    await node.expect(ev.LegHeld, other)
    play = await talk.do(Play, other, prompts=("goodbye",))
    assert (await node.expect(ev.VerbDone, other, verb=play.id)).result == "done"
    await talk.end(other)


async def test_a_leg_taken_out_of_its_bridge_is_held_and_the_other_is_let_go(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.do(Part, talk.near)
    assert (await node.expect(ev.LegEnded, talk.far)).why == "platform"
    await node.expect(ev.LegHeld, talk.near)  # the second: the first was its answer
    assert (await talk.over(B))["ended_by"] == "pbx"
    await talk.connect(C, far=f"{talk.id}03")
    await node.expect(ev.LegsJoined, talk.near, other=f"{talk.id}03")
    await talk.seen(C, lambda call: heard(call, node.lab.tone(A)) > 0.3)
    await talk.seen(A, lambda call: heard(call, node.lab.tone(C)) > 0.3)
    await talk.end(talk.near, f"{talk.id}03")


async def test_a_leg_that_talks_with_nobody_cannot_be_parted_muted_or_whispered_to(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    for verb in (
        Part(talk.verb_id(), talk.near),
        Mute(talk.verb_id(), talk.near, on=True),
        Whisper(talk.verb_id(), talk.near, prompts=("beep",)),
    ):
        with pytest.raises(VerbRefused):
            await node.pbx.do(verb)
    await talk.end()


async def test_a_muted_leg_is_not_heard_and_hears_on(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.seen(B, lambda call: heard(call, node.lab.tone(A)) > 0.3)
    await talk.do(Mute, talk.near, on=True)
    await asyncio.sleep(1.0)  # the silence that is to be seen below
    await talk.do(Mute, talk.near, on=False)
    call = await talk.seen(B, lambda call: _pause(call["heard"], node.lab.tone(A)) > 0.6)
    assert heard(await talk.seen(A, lambda _: True), node.lab.tone(B)) > 1.0
    assert call["ended_at"] is None
    await talk.end(talk.near, talk.far)


def _pause(sounds: list[dict[str, float]], hz: int) -> float:
    """The longest silence (s) between two stretches of a tone."""
    mine = sorted((sound["begin"], sound["end"]) for sound in sounds if sound["hz"] == hz)
    return max((after[0] - before[1] for before, after in itertools.pairwise(mine)), default=0.0)


@pytest.mark.parametrize("side", ["near", "far"])
async def test_a_whisper_is_heard_by_one_side_alone(node: Node, side: str) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    leg, hears, other = (talk.near, A, B) if side == "near" else (talk.far, B, A)
    await talk.do(Whisper, leg, prompts=("long-please-hold",))
    tone = node.lab.prompt("please-hold")
    await talk.seen(hears, lambda call: heard(call, tone) > 0.4)
    await talk.end(talk.near, talk.far)
    assert not heard(await talk.over(other), tone)


async def test_the_bridge_goes_on_after_a_whisper(node: Node) -> None:
    talk = node.talk()
    await talk.bridged(A, B)
    await talk.do(Whisper, talk.near, prompts=("long-please-hold",))
    call = await talk.seen(A, lambda call: heard(call, node.lab.prompt("please-hold")) > 0.4)
    until = call["heard"][-1]["end"]
    tone = node.lab.tone(B)
    await talk.seen(A, lambda call: any(s["hz"] == tone and s["end"] > until + 0.5 for s in call["heard"]))
    await talk.end(talk.near, talk.far)


async def test_to_ring_or_answer_a_leg_that_we_dialled_changes_nothing(node: Node) -> None:
    talk = node.talk()
    await talk.hold(A)
    await talk.do(Ring, talk.near)
    answer = await talk.do(Answer, talk.near)
    assert (await node.expect(ev.VerbDone, talk.near, verb=answer.id)).result == "done"
    assert (await talk.alive())[talk.near].held
    await talk.end()
