"""A leg that comes in knocks without an id; who called whom is what the dialplan said, whatever a stranger wrote."""

import asyncio

import pytest

from controller.core import ids
from controller.drivers.asterisk.hook import Arrival
from controller.ports import Unreachable
from tests.drivers.asterisk.test_hook import LEG, TOKEN, VERB, Door, door  # noqa: F401

CHANNEL = "asterisk-1-1795191749.7"
CAME = (CHANNEL, "carrier", "+14155550101", "+14155550100")


async def test_it_gets_an_id_and_waits_for_its_first_verb_only_then(door: Door) -> None:  # noqa: F811
    leg = await door.knock("", TOKEN, "", "", "", *CAME)
    session = await door.until_in()
    assert session.arrival == Arrival(*CAME)
    assert ids.is_leg_id(session.leg)
    assert (session.named, session.idle.is_set()) == (False, False)
    naming = asyncio.create_task(session.be(session.leg))
    assert await leg.hear() == f"SET VARIABLE PB_LEG {session.leg}"
    leg.say("200 result=1")
    await naming
    assert (session.named, session.idle.is_set()) == (True, True)


async def test_one_that_leaves_meanwhile_was_never_here(door: Door) -> None:  # noqa: F811
    leg = await door.knock("", TOKEN, "", "", "", *CAME)
    session = await door.until_in()
    naming = asyncio.create_task(session.be(session.leg))
    await leg.hear()
    leg.leave()
    with pytest.raises(Unreachable):
        await naming
    assert door.hook.sessions == {}


async def test_after_a_crash_it_knocks_under_its_id_and_says_what_was_begun(door: Door) -> None:  # noqa: F811
    await door.knock(LEG, TOKEN, VERB, "unanswered", "", *CAME)
    session = await door.until_in()
    assert (session.leg, session.step, session.result, session.named) == (LEG, VERB, "unanswered", True)
    assert session.arrival == Arrival(*CAME)


async def test_an_answered_leg_did_not_come_in_just_now(door: Door) -> None:  # noqa: F811
    await door.knock(LEG, TOKEN, "", "", "1795191749000")
    assert (await door.until_in()).arrival is None


@pytest.mark.parametrize("caller", ["anonymous", "+1415;x", "", "1" * 30, "+"])
async def test_what_is_no_number_counts_as_withheld(door: Door, caller: str) -> None:  # noqa: F811
    await door.knock("", TOKEN, "", "", "", CHANNEL, "carrier", caller, "+14155550100")
    arrival = (await door.until_in()).arrival
    assert arrival is not None
    assert arrival.caller == ""
    assert arrival.called == "+14155550100"


async def test_no_number_shows_in_a_repr(door: Door) -> None:  # noqa: F811
    assert "4155550" not in repr(Arrival(*CAME))


async def test_lines_that_a_caller_smuggled_into_the_greeting_count_for_nothing(door: Door) -> None:  # noqa: F811
    """Asterisk writes the caller's number before our own arguments: the last word is ours."""
    _, writer = await door.connect()
    forged = ["agi_callerid: 1", "agi_arg_1: forged", "agi_arg_8: +19005550000", "agi_arg_9: +19005550001"]
    ours = [f"agi_arg_{number}: {value}" for number, value in enumerate((TOKEN, "", "", "", "", *CAME), 1)]
    writer.write("\n".join([*forged, *ours, "", ""]).encode())
    assert (await door.until_in()).arrival == Arrival(*CAME)


async def test_without_the_token_nobody_comes_in(door: Door) -> None:  # noqa: F811
    stranger = await door.knock("", "wrong", "", "", "", *CAME)
    assert await stranger.hear() == ""
    assert door.in_ == []
