"""A call that comes in is handed over unanswered: what can be done to it before the answer, and how it ends."""

import asyncio
import time

import pytest

from controller.core import events as ev
from controller.core import ids
from controller.core.verbs import Answer, Ask, Connect, Hangup, Play, Ring
from controller.lab.options import TRUNK
from controller.lab.phones.client import Call
from tests.contract.node import Node, Talk
from tests.lab.far_end import SHOWN_TO_A, SHOWN_TO_B, A, B, C, everything_in, heard, shown_in


class Visit(Talk):
    """A phone that calls us; its leg is ``near``."""

    async def come(self, number: str = A, called: str = SHOWN_TO_B) -> ev.LegArrived:
        self.number = number
        await asyncio.to_thread(self.node.lab.phones.place, number, called)
        arrived = await self.node.expect(ev.LegArrived)
        self.id = ids.call_of(arrived.leg)
        self.near, self.far = arrived.leg, ids.leg_id(self.id, 2)
        return arrived

    async def at_phone(self, there: object = None) -> Call:
        """What the calling phone saw, once ``there(call)``."""
        return await self.seen(self.number, there or (lambda call: bool(call["ended_at"])))  # type: ignore[arg-type]


@pytest.fixture
def visit(node: Node) -> Visit:
    return Visit(node)


def answers(call: Call) -> list[str]:
    """The statuses that the calling phone was sent for its INVITE, in order, without 100."""
    found = [message["start"].split(" ")[1] for message in call["received"] if message["start"].startswith("SIP/2.0")]
    return [status for status in found if status != "100"]


async def test_who_calls_whom_over_which_trunk_is_told_and_the_phone_hears_nothing_yet(visit: Visit) -> None:
    arrived = await visit.come()
    assert (arrived.caller, arrived.called, arrived.trunk) == (A, SHOWN_TO_B, TRUNK)
    assert ids.is_leg_id(arrived.leg)
    assert answers(await visit.at_phone(bool)) == []
    await visit.end()


@pytest.mark.parametrize(("cause", "status"), [(17, 486), (1, 404), (21, 403), (19, 480), (34, 503)])
async def test_it_is_refused_unanswered(visit: Visit, cause: int, status: int) -> None:
    await visit.come()
    await visit.do(Hangup, visit.near, cause=cause)
    ended = await visit.node.expect(ev.LegEnded, visit.near)
    assert ended.why == "platform"
    assert ended.answered_at is None
    assert answers(await visit.at_phone(lambda call: bool(answers(call)))) == [str(status)]


async def test_it_rings_and_is_not_answered(visit: Visit) -> None:
    await visit.come()
    await visit.do(Ring, visit.near)
    assert answers(await visit.at_phone(lambda call: bool(answers(call)))) == ["180"]
    seen = (await visit.alive())[visit.near]
    assert seen.held
    await visit.end()


async def test_the_caller_rings_until_the_other_side_answers_and_then_the_two_talk(visit: Visit) -> None:
    await visit.come()
    await visit.do(Ring, visit.near)
    await visit.connect(B, display=SHOWN_TO_A)
    joined = await visit.node.expect(ev.LegsJoined, visit.near, other=visit.far)
    near, far = await visit.node.expect(ev.LegAnswered, visit.near), await visit.node.expect(ev.LegAnswered, visit.far)
    assert far.at <= joined.at
    assert near.at >= far.at
    call = await visit.at_phone(lambda call: heard(call, 1300) > 0.3)
    called = await visit.seen(B, lambda call: heard(call, 1000) > 0.3)
    assert answers(call)[-1] == "200"
    assert set(answers(call)[:-1]) == {"180"}
    assert shown_in(called) == SHOWN_TO_A
    assert A[1:] not in everything_in(called)
    assert B[1:] not in everything_in(call)
    await visit.end(visit.near, visit.far)


async def test_early_media_of_the_other_side_passes(visit: Visit) -> None:
    number = visit.node.lab.number("early_media")
    await visit.come()
    await visit.connect(number)
    await visit.node.expect(ev.LegsJoined, visit.near)
    call = await visit.at_phone(lambda call: bool(call["answered_at"]))
    assert "183" in answers(call)
    early = sum(min(sound["end"], call["answered_at"]) - sound["begin"] for sound in call["heard"] if sound["hz"] == 1900)
    assert early > 0.5
    await visit.end(visit.near, visit.far)


async def test_it_is_refused_as_we_say_whatever_the_other_side_said(visit: Visit) -> None:
    await visit.come()
    connect = await visit.connect(visit.node.lab.number("busy"))
    done = await visit.node.expect(ev.VerbDone, visit.near, verb=connect.id)
    assert done.result == "unanswered"
    assert (await visit.node.expect(ev.LegEnded, visit.far)).sip == 486
    await visit.do(Hangup, visit.near, cause=1)
    ended = await visit.node.expect(ev.LegEnded, visit.near)
    assert (ended.why, ended.answered_at) == ("platform", None)
    assert answers(await visit.at_phone())[-1] == "404"


async def test_a_prompt_is_heard_before_the_answer(visit: Visit) -> None:
    await visit.come()
    play = await visit.do(Play, visit.near, prompts=("not-available",))
    assert (await visit.node.expect(ev.VerbDone, visit.near, verb=play.id)).result == "done"
    await visit.do(Hangup, visit.near, cause=1)
    call = await visit.at_phone(lambda call: len(answers(call)) > 1)
    assert answers(call) == ["183", "404"]
    assert heard(call, 2200) > 0.5
    assert (await visit.node.expect(ev.LegEnded, visit.near)).answered_at is None


async def test_it_is_answered_and_asked_for_a_key(visit: Visit) -> None:
    number = visit.node.lab.number("answer")
    await visit.come(number)
    answer = await visit.do(Answer, visit.near)
    assert (await visit.node.expect(ev.VerbDone, visit.near, verb=answer.id)).result == "done"
    assert (await visit.node.expect(ev.LegAnswered, visit.near)).at
    ask = await visit.do(Ask, visit.near, prompts=("press-1",))
    call = await visit.at_phone(lambda call: heard(call, 2300) > 0.2)
    await asyncio.to_thread(visit.node.lab.phones.press, call["call_id"], "7")
    done = await visit.node.expect(ev.VerbDone, visit.near, verb=ask.id)
    assert (done.result, done.data) == ("digits", "7")
    await visit.end()


async def test_a_caller_who_lets_go_before_the_answer_has_canceled(visit: Visit) -> None:
    await visit.come()
    await visit.do(Ring, visit.near)
    await visit.connect(visit.node.lab.number("no_answer"))
    await visit.node.expect(ev.LegRinging, visit.far)
    call = await visit.at_phone(lambda call: bool(answers(call)))
    await asyncio.to_thread(visit.node.lab.phones.hang_up, call["call_id"])
    near, far = await visit.node.expect(ev.LegEnded, visit.near), await visit.node.expect(ev.LegEnded, visit.far)
    assert (near.why, near.answered_at) == ("remote", None)
    assert far.answered_at is None
    assert answers(await visit.at_phone(lambda call: "487" in answers(call)))[-1] == "487"


async def test_the_ends_of_a_talk_are_told_with_their_times_even_if_nobody_listened(visit: Visit) -> None:
    await visit.come()
    connect: Connect = await visit.connect(B)
    await visit.node.expect(ev.LegsJoined, visit.near, other=visit.far)
    call = await visit.at_phone(lambda call: heard(call, 1300) > 0.3)
    await visit.node.leave()
    await asyncio.to_thread(visit.node.lab.phones.hang_up, call["call_id"])
    await visit.at_phone()
    await visit.over(B)
    await visit.node.come()
    assert await visit.alive() == {}
    gone = await visit.node.pbx.gone((visit.near, visit.far))
    assert gone[visit.near].why == "remote"
    answered = gone[visit.near].answered_at
    assert answered is not None
    assert abs(answered / 1000 - call["answered_at"]) < 1
    assert connect.far == visit.far


async def test_a_leg_that_came_in_while_nobody_listened_rings_and_is_handed_over_later(visit: Visit) -> None:
    await visit.node.leave()
    visit.number = C
    since = time.time()
    await asyncio.to_thread(visit.node.lab.phones.place, C, SHOWN_TO_B)
    visit.since = since
    call = await visit.at_phone(lambda call: bool(answers(call)))
    assert answers(call)[0] == "180"
    await visit.node.come()
    arrived = await visit.node.expect(ev.LegArrived)
    assert arrived.caller == C
    visit.near = arrived.leg
    visit.id = ids.call_of(arrived.leg)
    await visit.end()


async def test_a_leg_that_was_handed_over_is_handed_over_again_under_its_id_after_a_crash(visit: Visit) -> None:
    first = await visit.come()
    await visit.node.leave()
    await visit.node.come()
    again = await visit.node.expect(ev.LegArrived, first.leg)
    assert (again.caller, again.called) == (first.caller, first.called)
    seen = (await visit.alive())[first.leg]
    assert seen.held
    await visit.end()
