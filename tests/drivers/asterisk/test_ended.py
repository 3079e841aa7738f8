"""Who ended a leg, from what Asterisk wrote down: every line here was written by a real one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.events import LegEnded
from controller.drivers.asterisk import ended

CALL = "01JD3Y8Q4ZK5T0M6W9RB050001"
NEAR, FAR = f"{CALL}01", f"{CALL}02"


def line(rest: str, leg: str = NEAR) -> str:
    return f"1|{leg}|{rest}"


CASES = {
    "near: busy": (NEAR, "|||||1795180501284|17|SIP 486 Busy Here|self", ("remote", 486, 17)),
    "near: not found": (NEAR, "|||||1795180501291|1|SIP 404 Not Found|self", ("remote", 404, 1)),
    "near: unavailable": (NEAR, "|||||1795180501288|19|SIP 480 Temporarily Unavailable|self", ("remote", 480, 19)),
    "near: 408 from afar": (NEAR, "|||||1795180501295|18|SIP 408 Request Timeout|self", ("remote", 408, 18)),
    "near: no response": (NEAR, "|||||1795180507685|18||self", ("remote", 408, 18)),
    "near: ring timer": (NEAR, "|||||1795180503289|19|SIP 180 Ringing|", ("timer", None, 19)),
    "near: ring timer in silence": (NEAR, "|||||1795180504291|19||", ("timer", None, 19)),
    "near: we, while it rang": (NEAR, "|||||1795180501783|16|SIP 180 Ringing|ours", ("platform", None, 16)),
    "near: it hung up": (NEAR, "||1795180501597|||1795180504606|16|SIP 200 OK|self", ("remote", 200, 16)),
    "near: it hung up, without a reason": (NEAR, "||1795180501597|||1795180504606|0|SIP 200 OK|self", ("remote", 200, 16)),
    "near: we": (NEAR, "||1795180501593|||1795180502285|16|SIP 200 OK|ours", ("platform", 200, 16)),
    "near: we, after the far leg left": (
        NEAR,
        "0003|parted|1795180521869|||1795180525408|16|SIP 200 OK|ours",
        ("platform", 200, 16),
    ),
    "near: it, after the far leg left": (
        NEAR,
        "0003|parted|1795180521869|||1795180525408|16|SIP 200 OK|other",
        ("remote", 200, 16),
    ),
    "far: busy": (FAR, "0003||||1795180551874+60000|1795180521880|17|SIP 486 Busy Here|self", ("remote", 486, 17)),
    "far: ring timer": (FAR, "0003||||1795180523861+60000|1795180523866|0|SIP 180 Ringing|", ("timer", None, 19)),
    "far: ring timer in silence": (FAR, "0003||||1795180524862+60000|1795180524864|0||", ("timer", None, 19)),
    "far: no response": (FAR, "0003||||1795180541862+60000|1795180528266|18||self", ("remote", 408, 18)),
    "far: near left while it rang": (
        FAR,
        "0003||||1795180551879+60000|1795180522477|16|SIP 180 Ringing|",
        ("platform", None, 16),
    ),
    "far: near left the talk": (
        FAR,
        "0003||1795180522191|1795180522191|1795180542191+60000|1795180524873|16|SIP 200 OK|other",
        ("platform", 200, 16),
    ),
    "far: it left the talk": (
        FAR,
        "0003||1795180522197|1795180522197|1795180542197+60000|1795180525205|16|SIP 200 OK|self",
        ("remote", 200, 16),
    ),
    "far: limit": (
        FAR,
        "0003||1795180522190|1795180522190|1795180542190+2000|1795180524190|16|SIP 200 OK|",
        ("limit", 200, 16),
    ),
    "far: we": (
        FAR,
        "0003||1795180415430.25|1795180417431|1795180437431+60000|1795180423117|16|SIP 200 OK|ours",
        ("platform", 200, 16),
    ),
    "far: limit, and we were told of it by the near leg first": (
        FAR,
        "0003||1795180522190|1795180522190|1795180542190+2000|1795180524193|16|SIP 200 OK|ours",
        ("limit", 200, 16),
    ),
    "far: it left during the announcement": (
        FAR,
        "0003||1795180522197||1795180541884+60000|1795180523205|16|SIP 200 OK|self",
        ("remote", 200, 16),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_end_is_judged_by_what_asterisk_noted(case: str) -> None:
    leg, rest, expected = CASES[case]
    found = ended.parse(line(rest, leg))
    assert found is not None
    over = ended.judge(found)
    assert (over.why, over.sip, over.q850) == expected


def test_times_are_taken_as_written() -> None:
    found = ended.parse(line("x||1795180415430.25|1795180417431|1795180437431+60000|1795180423117|16|SIP 200 OK|", FAR))
    assert found is not None
    over = ended.judge(found)
    assert (over.at, over.answered_at, over.bridged_at) == (1795180423117, 1795180415430, 1795180417431)


@pytest.mark.parametrize("left", ["0.000", "-0.001", "-0.020"])
def test_a_limit_that_strikes_is_the_limit_to_the_millisecond(left: str) -> None:
    found = ended.parse(line(f"x|||~{left}|1795180437431+60000|1795180423117|16|SIP 200 OK|", FAR))
    assert found is not None
    over = ended.judge(found)
    assert (over.why, over.sip, over.q850) == ("limit", 200, 16)
    assert over.bridged_at is not None


@pytest.mark.parametrize(
    ("noted", "began"),
    [
        ("|~58.500|1795180437431+60000", 1795180421617),
        ("|~-0.002|1795180437431+60000", 1795180363115),
        ("|~0.000|1795180437431+60000", 1795180363117),
        ("|1795180417431~0|1795180437431+60000", 1795180417431),
        ("1795180415430|~60.000|1795180437431+60000", None),
        ("|~0|1795180437431+60000", None),
        ("|~nan|1795180437431+60000", None),
        ("|~1e999|1795180437431+60000", None),
        ("|~58.500|1795180437431", None),
    ],
)
def test_a_bridge_began_when_it_was_noted_or_its_limit_tells(noted: str, began: int | None) -> None:
    """A leg that left while it heard an announcement was never bridged, though Asterisk had set its limit."""
    found = ended.parse(line(f"x||{noted}|1795180423117|16|SIP 200 OK|self", FAR))
    assert found is not None
    assert found.joined == began
    assert ended.judge(found).bridged_at == began


@given(st.text())
def test_what_is_no_line_is_none(text: str) -> None:
    found = ended.parse(text)
    assert found is None or text.startswith("1|")


@pytest.mark.parametrize(
    "text", ["", "1|", "2|" + NEAR + "|" * 10, line("|" * 9), line("|||||x|16||self"), "1|short|" + "|" * 9]
)
def test_a_broken_line_is_none(text: str) -> None:
    assert ended.parse(text) is None


def _write(folder: Path, hour: str, *texts: str) -> None:
    (folder / f"ended-{hour}.log").write_text("".join(text + "\n" for text in texts))


def _text(leg: str, at: int) -> str:
    return line(f"|||||{at}|16|SIP 200 OK|self", leg)


def test_the_journal_finds_ends_over_hours_and_leaves_others_alone(tmp_path: Path) -> None:
    others = [_text(f"01JD3Y8Q4ZK5T0M6W9RB06{n:04d}01", n) for n in range(100)]
    _write(tmp_path, "2026112009", *others, _text(NEAR, 1795180501284))
    _write(tmp_path, "2026112010", *others, _text(FAR, 1795180501285))
    (tmp_path / "ended-x.log").write_text("no file of ours")
    found = ended.Journal(tmp_path).find([NEAR, FAR, f"{CALL}03"])
    assert {leg: over.at for leg, over in found.items()} == {NEAR: 1795180501284, FAR: 1795180501285}
    assert all(isinstance(over, LegEnded) for over in found.values())


def test_a_line_that_is_still_being_written_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "ended-2026112009.log").write_text(_text(NEAR, 1795180501284)[:-6])
    assert ended.Journal(tmp_path).find([NEAR]) == {}


def test_the_journal_reads_no_more_than_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "2026112009", _text(NEAR, 1795180501284), *[_text(FAR, 1795180501285)] * 50)
    monkeypatch.setattr(ended, "READ_AT_MOST", 1000)
    assert list(ended.Journal(tmp_path).find([NEAR, FAR])) == [FAR]


def test_a_spool_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert ended.Journal(tmp_path / "nowhere").find([NEAR]) == {}


def test_old_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "2026112009", _text(NEAR, 1))
    (tmp_path / "recording.raw").write_bytes(b"")
    ended.Journal(tmp_path).tidy()
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(ended, "KEEP_S", -10)
    ended.Journal(tmp_path).tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["recording.raw"]
