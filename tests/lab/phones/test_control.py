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


@pytest.mark.parametrize(("what", "method"), [("answer", ANSWER), ("reject", REJECT)])
async def test_a_phone_is_told_to_pick_up_once_it_has_said_that_it_rings(what: str, method: str) -> None:
    desk, board = control.Control(), Board()
    told = await order(what, board, desk)
    assert board.told == []
    board.note("SIP/2.0 180 Ringing", True)
    desk.changed()
    await told
    assert board.told == [(method, CALL)]


async def test_a_phone_is_told_to_let_go_once_its_answer_is_acknowledged() -> None:
    desk, board = control.Control(), Board()
    board.note("SIP/2.0 180 Ringing", True)
    board.note("SIP/2.0 200 OK", True)
    told = await order("hang_up", board, desk)
    assert board.told == []
    board.note("ACK sip:x SIP/2.0", False, "1 ACK")
    desk.changed()
    await told
    assert board.told == [(HANG_UP, CALL)]


@pytest.mark.parametrize("method", ["UPDATE", "INFO", "INVITE"])
async def test_a_phone_is_told_nothing_between_a_request_and_its_answer(method: str) -> None:
    desk, board = control.Control(), Board()
    board.note("SIP/2.0 180 Ringing", True)
    board.note("LABANSWER sip:x SIP/2.0", False, "1 LABANSWER")  # what the lab told it is answered by no response
    board.note(f"{method} sip:x SIP/2.0", False, f"2 {method}")
    told = await order("reject", board, desk)
    assert board.told == []
    board.note("SIP/2.0 200 OK", True, f"2 {method}")
    board.note("ACK sip:x SIP/2.0", False, "2 ACK")
    desk.changed()
    await told
    assert board.told == [(REJECT, CALL)]


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
