"""What is told to a phone waits until the phone can hear it."""

import asyncio
from typing import Any, cast

import pytest

from controller.lab.phones import control
from controller.lab.phones.book import Book
from controller.lab.phones.scenario import ANSWER, HANG_UP, REJECT
from controller.lab.phones.switchboard import Switchboard
from controller.lab.phones.table import PHONES
from controller.lab.phones.trace import parse

CALL = "1@pbx"
NUMBER = next(phone.number for phone in PHONES if phone.behaviour == "no_answer")


class Board:
    """Notes what it is told to tell."""

    def __init__(self) -> None:
        self.book = Book(PHONES)
        self.told: list[tuple[str, str]] = []
        self.note("INVITE sip:x SIP/2.0", False)

    def note(self, start: str, sent: bool, cseq: str = "1 INVITE") -> None:
        """A message of the call."""
        head = f"{start}\nCall-ID: {CALL}\nCSeq: {cseq}\nFrom: <sip:1@pbx>\nTo: <sip:{NUMBER}@lab>\n\n"
        self.book.take(parse(1.0, sent, head))

    def tell(self, method: str, call_id: str) -> None:
        """Note it."""
        self.told.append((method, call_id))


async def order(what: str, board: Board, desk: control.Control) -> "asyncio.Task[dict[str, Any]]":
    """The order, begun and as far as it comes by itself."""
    task = asyncio.create_task(desk.obey(cast(Switchboard, board), {"do": what, "call_id": CALL}))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


RINGS = ("SIP/2.0 180 Ringing", True, "1 INVITE")
ANSWERS = ("SIP/2.0 200 OK", True, "1 INVITE")
TOLD = (f"{ANSWER} sip:x SIP/2.0", False, f"1 {ANSWER}")  # what the lab told it is answered by no response


@pytest.mark.parametrize(("what", "method", "before", "then"), [
    ("answer", ANSWER, [], [RINGS]),
    ("reject", REJECT, [], [RINGS]),
    ("hang_up", HANG_UP, [RINGS, TOLD, ANSWERS], [("ACK sip:x SIP/2.0", False, "1 ACK")]),
    ("reject", REJECT, [RINGS, ("UPDATE sip:x SIP/2.0", False, "2 UPDATE")], [("SIP/2.0 200 OK", True, "2 UPDATE")]),
    ("reject", REJECT, [RINGS, ("INFO sip:x SIP/2.0", False, "2 INFO")], [("SIP/2.0 200 OK", True, "2 INFO")]),
    ("hang_up", HANG_UP, [RINGS, ANSWERS, ("ACK sip:x SIP/2.0", False, "1 ACK"), ("INVITE sip:x SIP/2.0", False, "2 INVITE")],
     [("SIP/2.0 200 OK", True, "2 INVITE"), ("ACK sip:x SIP/2.0", False, "2 ACK")]),
])  # fmt: skip
async def test_a_phone_is_told_nothing_between_a_message_and_its_answer(
    what: str, method: str, before: list[tuple[str, bool, str]], then: list[tuple[str, bool, str]]
) -> None:
    desk, board = control.Control(), Board()
    for message in before:
        board.note(*message)
    told = await order(what, board, desk)
    for message in then:
        assert board.told == []
        board.note(*message)
    desk.changed()
    await told
    assert board.told == [(method, CALL)]


async def test_a_phone_that_rings_is_told_to_let_go_at_once() -> None:
    desk, board = control.Control(), Board()
    board.note("SIP/2.0 183 Session Progress", True)
    await (await order("hang_up", board, desk))
    assert board.told == [(HANG_UP, CALL)]


async def test_one_that_never_rings_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SETTLED_WITHIN_S", 0.01)
    desk, board = control.Control(), Board()
    await (await order("answer", board, desk))
    assert board.told == [(ANSWER, CALL)]
