"""The contract of every PBX (``tests/contract``), kept by the one in memory too: so it stays honest.

Left out is what only sound, SIP or keys at a real phone can prove.
"""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import LoopTimers
from controller.lab.options import TRUNK
from controller.lab.phones import table
from tests.contract import test_closes, test_connect, test_dial, test_held, test_resync
from tests.contract.node import Node

MODULES = (test_dial, test_connect, test_closes, test_held, test_resync)
ONLY_A_REAL_PHONE_CAN_PROVE = (
    "test_its_phone_shows_the_display_number_and_nothing_else",
    "test_both_talk_and_hear_each_other",
    "test_each_phone_sees_its_display_number_and_nothing_of_the_other",
    "test_a_far_phone_that_names_itself_is_not_passed_on",
    "test_the_limit_is_of_the_talk_and_not_of_what_the_caller_hears_before_it",
    "test_an_answer_that_nobody_heard_is_told_with_its_true_time_before_the_leg_is_held",
    "test_the_last_minute_tone_is_heard_by_whom_it_is_for",
    "test_the_recording_notice_is_heard_by_whom_it_is_for",
    "test_the_far_phone_hangs_up_during_the_notice_and_the_near_one_need_not_hear_it_to_the_end",
    "test_announcements_are_for_the_far_phone_alone_and_come_before_the_bridge",
    "test_the_near_phone_hears_the_far_phones_early_media",
    "test_the_near_phone_hears_music_while_it_waits",
    "test_the_near_phone_hears_ringback_while_it_waits",
    "test_prompts_are_played_in_order",
    "test_a_key_interrupts_the_prompt_and_is_the_answer",
    "test_several_keys_up_to_the_most",
    "test_a_stop_key_ends_the_input_and_is_no_part_of_it",
    "test_without_a_stop_key_the_hash_is_a_key",
    "test_the_pause_between_keys_ends_the_input",
    "test_too_few_keys_are_a_timeout",
    "test_no_key_is_a_timeout",
    "test_a_prompt_without_barge_in_is_played_to_its_end",
    "test_a_key_outside_of_an_ask_is_told",
    "test_two_held_legs_are_joined_and_held_again_when_they_part",
    "test_a_leg_taken_out_of_its_bridge_is_held_and_the_other_is_let_go",
    "test_a_leg_taken_out_of_its_bridge_is_held_all_the_same",
    "test_a_muted_leg_is_not_heard_and_hears_on",
    "test_a_whisper_is_heard_by_one_side_alone",
    "test_the_bridge_goes_on_after_a_whisper",
    "test_a_bridged_call_talks_on_and_is_seen_by_the_next_controller",
    "test_a_prompt_that_was_cut_short_by_nobody_is_told_as_done",
    "test_keys_that_were_pressed_while_nobody_listened_are_not_lost",
    "test_a_leg_without_a_controller_is_told_to_wait",
    "test_a_pbx_that_was_killed_comes_back_as_another_and_has_no_legs",
)
NO_CALL_COMES_IN = ("test_to_ring_or_answer_a_leg_that_we_dialled_changes_nothing",)
"""The simulator dials only, so it refuses these verbs."""
LEFT_OUT = (*ONLY_A_REAL_PHONE_CAN_PROVE, *NO_CALL_COMES_IN)
KNOWN = {name: test for module in MODULES for name, test in vars(module).items() if name.startswith("test_")}
assert not set(LEFT_OUT) - KNOWN.keys(), "a test of the contract has another name now"
globals().update({name: test for name, test in KNOWN.items() if name not in LEFT_OUT})

PACE = 10.0
"""The exchange's time goes so many times as fast as ours."""
SILENCE_MS = 6_400
"""64 T1 of the lab: how long the silence of a phone is waited for."""
PROMPTS = ("connecting", "please-hold", "recorded", "goodbye", "press-1", "beep", "last-minute")
Q850 = {486: 17, 603: 21, 404: 1, 480: 19, 503: 34, 500: 38, 403: 21, 600: 17, 408: 18, 410: 22, 484: 28, 604: 1}


def phone(known: table.Phone) -> Phone:
    """A phone of the lab as the simulator has it."""
    talk_ms = None if known.talk_s is None else round(known.talk_s * 1000)
    if known.silent:
        return Phone("silent_drop")
    if known.status != 200:
        wait_ms = round((known.ring_s or 0) * 1000)
        return Phone("refuse", wait_ms, refuse=(known.status, Q850[known.status]))
    if known.ring_s is None:
        return Phone("no_answer", 10)
    if known.early:
        return Phone("early_media", 10, round(known.ring_s * 1000))
    says_ms = None if known.says_s is None else round(known.says_s * 1000)
    return Phone("answer", 10, 10 + round(known.ring_s * 1000), talk_ms, says=says_ms)


class Phones:
    """What the lab's phones would have noted of each call."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def calls(self, number: str, since: float) -> list[dict[str, Any]]:
        """The calls of a phone, oldest first."""
        return [
            {
                "ended_at": line.at / 1000 if (line := self._exchange.lines.get(leg)) else None,
                "ended_by": "phone" if line and line.why == "remote" else "pbx",
                "answered_at": None,
            }
            for leg, rung in self._exchange.numbers.items()
            if rung == number
        ]

    def wait_for(self, enough: Callable[[list[Any]], bool], number: str, since: float, within_s: float) -> list[Any]:
        """The calls of a phone, once there are enough.  Runs in a thread."""
        deadline = time.monotonic() + within_s
        while not enough(calls := self.calls(number, since)):
            assert time.monotonic() < deadline, "the phone was not called so"
            time.sleep(0.01)
        return calls


class Lab:
    """As much of a lab as the contract asks for."""

    def __init__(self, exchange: Exchange) -> None:
        self.phones = Phones(exchange)

    def number(self, behaviour: str) -> str:
        """The first phone that behaves so."""
        return next(known.number for known in table.ALL_PHONES if known.behaviour == behaviour)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node whose link is up."""
    phones = {known.number: phone(known) for known in table.ALL_PHONES if known.status in (200, *Q850)}
    timers = LoopTimers(time.time_ns() // 1_000_000, PACE)
    exchange = Exchange(timers, phones, prompts=PROMPTS, trunks=(TRUNK,), silence_ms=SILENCE_MS)
    lab: Any = Lab(exchange)

    async def open_pbx() -> Simulator:
        return Simulator(exchange)

    node = Node(lab, open_pbx)
    await node.come()
    yield node
    if not node.listening:
        await node.come()
    left = await node.pbx.alive()
    await node.leave()
    assert not left, f"legs left behind: {left}"
