"""One table of causes: what FreeSWITCH notes of an ended leg, what that means, and that Asterisk's note means the same."""

import os
import time
from pathlib import Path

import pytest

from controller.core import causes
from controller.core.call import Leg, LegState
from controller.drivers.freeswitch import ended
from controller.drivers.freeswitch.causes import CAUSE_OF_SIP, Q850_OF_SIP

UUID = "8d97d93b-01d6-49a8-9503-594684c9b44c"
LEG, FAR, STEP = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE01", "01JD3Y8Q4ZK5T0M6W9RB2XHCVE02", "01JD3Y8Q4ZK5T0M6W9RB2XHCVE0002"
T = 1_700_000_000_000_000


def note(
    cause: str, q850: int, sip: str, who: str, answered: bool = False, leg: str = FAR, peer: str = LEG, named: str = ""
) -> str:
    up = f"{T + 2_000_000}|{T + 3_000_000}" if answered else "0|0"
    return f"1|{leg}|{peer}|{STEP}||{T}|{T + 1_000_000}|0|{up}|{T + 9_000_000}|{cause}|{q850}|{sip}|{who}|{named}|\n"


def judged(*args: object, **more: object) -> tuple[str, int | None, int | None, str]:
    line = ended.parse(note(*args, **more))  # type: ignore[arg-type]
    assert line is not None
    over = ended.judge(line)
    leg = Leg(FAR, "callee", "+1", "+1", "out", LEG, LegState.ended, answered_at=over.answered_at, sip=over.sip, q850=over.q850,
              why=over.why, joined_at=over.bridged_at)  # fmt: skip
    return over.why, over.sip, over.q850, causes.of_leg(leg)


REFUSALS = [
    (486, "USER_BUSY", 17, 17, "busy"),
    (600, "USER_BUSY", 17, 17, "busy"),
    (603, "CALL_REJECTED", 21, 21, "rejected"),
    (403, "CALL_REJECTED", 21, 21, "rejected"),
    (404, "UNALLOCATED_NUMBER", 1, 1, "invalid_number"),
    (410, "NUMBER_CHANGED", 22, 22, "invalid_number"),
    (484, "INVALID_NUMBER_FORMAT", 28, 28, "invalid_number"),
    (480, "NO_USER_RESPONSE", 18, 19, "no_answer"),
    (408, "RECOVERY_ON_TIMER_EXPIRE", 102, 18, "unreachable"),
    (504, "RECOVERY_ON_TIMER_EXPIRE", 102, 102, "congestion"),
    (500, "NORMAL_TEMPORARY_FAILURE", 41, 38, "congestion"),
    (502, "NETWORK_OUT_OF_ORDER", 38, 27, "congestion"),
    (503, "NORMAL_TEMPORARY_FAILURE", 41, 34, "congestion"),
    (604, "NO_ROUTE_DESTINATION", 3, 1, "invalid_number"),
]


@pytest.mark.parametrize(("status", "cause", "said", "q850", "disposition"), REFUSALS)
def test_a_refusal_is_the_phones_and_its_status_decides(
    status: int, cause: str, said: int, q850: int, disposition: str
) -> None:
    assert judged(cause, said, f"sip:{status}", "recv_refuse") == ("remote", status, q850, disposition)
    assert CAUSE_OF_SIP[status] == cause


def test_a_cause_that_the_far_end_names_itself_is_kept() -> None:
    """A ``Reason: Q.850`` header makes FreeSWITCH say another cause than it makes of the status."""
    assert judged("NORMAL_CIRCUIT_CONGESTION", 34, "sip:480", "recv_refuse") == ("remote", 480, 34, "no_answer")


@pytest.mark.parametrize("cause", ["ALLOTTED_TIMEOUT", "NO_ANSWER", "PROGRESS_TIMEOUT"])
def test_a_ring_timer_is_a_timer(cause: str) -> None:
    assert judged(cause, 16, "", "send_cancel") == ("timer", None, 19, "no_answer")


def test_a_caller_who_leaves_lets_the_far_leg_go() -> None:
    assert judged("ORIGINATOR_CANCEL", 16, "", "send_cancel")[:2] == ("platform", None)


def test_the_end_of_a_talk() -> None:
    assert judged("NORMAL_CLEARING", 16, "sip:200", "recv_bye", True) == ("remote", 200, 16, "completed")
    assert judged("NORMAL_CLEARING", 16, "", "send_bye", True) == ("platform", 200, 16, "completed")
    assert judged("ALLOTTED_TIMEOUT", 16, "", "send_bye", True) == ("limit", 200, 16, "completed")
    assert judged("MANAGER_REQUEST", 16, "", "send_bye", True)[0] == "platform"


def test_the_limit_is_the_far_legs_and_the_near_one_only_takes_its_cause_over() -> None:
    assert judged("ALLOTTED_TIMEOUT", 16, "", "send_bye", True, leg=LEG, peer="")[:3] == ("platform", 200, 16)


@pytest.mark.parametrize(
    ("cause", "said", "who", "why", "q850"),
    [
        ("USER_BUSY", 17, "send_refuse", "platform", 17),
        ("NO_ANSWER", 19, "send_refuse", "platform", 19),
        ("INCOMING_CALL_BARRED", 54, "send_refuse", "platform", 21),
        ("ORIGINATOR_CANCEL", 16, "recv_cancel", "remote", 16),
    ],
)
def test_a_leg_that_came_in_and_was_not_answered(cause: str, said: int, who: str, why: str, q850: int) -> None:
    """What it was refused with is no response of its phone's, and no ring timer of ours."""
    line = ended.parse(note(cause, said, "sip:486" if why == "platform" else "sip:487", who, leg=UUID, peer="", named=LEG))
    assert line is not None
    over = ended.judge(line)
    assert (over.leg, over.why, over.sip, over.q850) == (LEG, why, None, q850)


def test_a_leg_that_came_in_is_found_by_its_id(tmp_path: Path) -> None:
    reader, folder = journal(tmp_path)
    talked = note("NORMAL_CLEARING", 16, "", "recv_bye", True, leg=UUID, peer="", named=LEG)
    (folder / "Master.csv").write_text(talked + note("USER_BUSY", 17, "sip:486", "recv_refuse") + talked.replace(LEG, ""))
    found = reader.find([LEG, FAR, UUID])
    assert {leg: (over.why, over.answered_at) for leg, over in found.items()} == {
        LEG: ("remote", T // 1000 + 2000),
        FAR: ("remote", None),
    }


def test_an_invite_that_cannot_even_be_sent_is_the_networks_end() -> None:
    assert judged("NORMAL_TEMPORARY_FAILURE", 41, "sip:503", "") == ("remote", 503, 34, "congestion")


def test_the_times_are_those_of_the_line_and_only_a_far_leg_has_a_bridge_of_its_own() -> None:
    far = ended.parse(note("NORMAL_CLEARING", 16, "", "send_bye", True))
    near = ended.parse(note("NORMAL_CLEARING", 16, "", "send_bye", True, leg=LEG, peer=""))
    assert far is not None
    assert near is not None
    ms = T // 1000
    assert (far.ringing, far.answered, far.bridged, far.ended) == (ms + 1000, ms + 2000, ms + 3000, ms + 9000)
    assert near.bridged is None, "it may have had several, and the last need not be the one that is asked about"


@pytest.mark.parametrize(
    "text", ["", "1|", "2|" + note("X", 1, "", "")[2:], note("X", 1, "", "").replace(FAR, "stranger"), "x" * 500]
)
def test_what_is_no_line_of_ours_is_none(text: str) -> None:
    assert ended.parse(text) is None


@pytest.mark.parametrize("status", sorted(Q850_OF_SIP))
def test_every_status_of_the_one_table_is_in_the_other(status: int) -> None:
    assert status in CAUSE_OF_SIP


def journal(tmp_path: Path) -> tuple[ended.Journal, Path]:
    folder = tmp_path / ended.FOLDER
    folder.mkdir()
    return ended.Journal(tmp_path), folder


def test_ends_are_found_in_the_file_that_is_written_and_in_those_put_aside(tmp_path: Path) -> None:
    reader, folder = journal(tmp_path)
    (folder / "Master.csv").write_text(note("USER_BUSY", 17, "sip:486", "recv_refuse"))
    (folder / "Master.csv.2026-01-01-00-00-00").write_text(note("NORMAL_CLEARING", 16, "", "send_bye", leg=LEG))
    found = reader.find([LEG, FAR, LEG[:-2] + "03"])
    assert {leg: over.why for leg, over in found.items()} == {LEG: "platform", FAR: "remote"}


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert ended.Journal(tmp_path / "nowhere").find([LEG]) == {}


def test_no_more_is_read_than_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended, "READ_AT_MOST", 1000)
    reader, folder = journal(tmp_path)
    old = note("USER_BUSY", 17, "sip:486", "recv_refuse")
    (folder / "Master.csv").write_text(old + "x" * 2000 + "\n" + note("NORMAL_CLEARING", 16, "", "send_bye", leg=LEG))
    assert list(reader.find([LEG, FAR])) == [LEG], "the newest lines are read"


def test_old_files_are_removed_and_the_one_that_is_written_stays(tmp_path: Path) -> None:
    reader, folder = journal(tmp_path)
    names = ["Master.csv", "Master.csv.2020-01-01-00-00-00", "Master.csv.2026-01-01-00-00-00"]
    for name in names:
        (folder / name).write_text("")
    for name in names[:2]:
        os.utime(folder / name, (0, time.time() - ended.KEEP_S - 60))
    reader.tidy()
    assert sorted(path.name for path in folder.iterdir()) == [names[0], names[2]]


def test_a_hundred_thousand_lines_are_read_in_a_second(tmp_path: Path) -> None:
    reader, folder = journal(tmp_path)
    one = note("USER_BUSY", 17, "sip:486", "recv_refuse", leg=LEG[:-2] + "09")
    (folder / "Master.csv").write_text(note("USER_BUSY", 17, "sip:486", "recv_refuse") + one * 100_000)
    begin = time.thread_time()
    assert list(reader.find([FAR])) == [FAR]
    assert time.thread_time() - begin < 4
