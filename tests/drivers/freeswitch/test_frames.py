"""The stream is cut into the same frames however it arrives, and nothing in a value ends a line."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.drivers.freeswitch import events
from controller.drivers.freeswitch.frames import LONGEST_HEAD, BadFrame, Frame, Framer
from tests.drivers.freeswitch import tape
from tests.drivers.freeswitch.fake_esl import event, frame

TAPES = sorted(path.name.removesuffix(".jsonl.gz") for path in tape.FOLDER.glob("*.jsonl.gz"))


def test_there_are_tapes() -> None:
    assert len(TAPES) >= 15


@pytest.mark.parametrize("name", TAPES)
def test_a_tape_is_whole_frames_of_known_kinds(name: str) -> None:
    framer = Framer()
    frames = framer.feed(tape.stream(name))
    assert not framer._buffer, "nothing is left over"
    assert {one.kind for one in frames} <= {
        "auth/request", "command/reply", "api/response", "text/event-json", "text/event-plain", "text/disconnect-notice",
    }  # fmt: skip
    for one in frames:
        if one.kind == "text/event-json":
            assert isinstance(json.loads(one.body.decode("utf-8", "replace")), dict)


@pytest.mark.parametrize("name", TAPES)
def test_a_tape_gives_the_same_frames_in_pieces_of_any_size(name: str) -> None:
    stream, whole = tape.stream(name), tape.frames(name)
    for seed in range(20):
        chance, framer, at = random.Random(seed), Framer(), 0
        frames: list[Frame] = []
        while at < len(stream):
            size = chance.choice([1, 7, 100, 4096, 65536])
            frames += framer.feed(stream[at : at + size])
            at += size
        assert frames == whole


def test_a_sample_gives_the_same_frames_cut_at_each_of_its_bytes() -> None:
    """Log-in, replies, and the first events of a call."""
    stream = tape.stream("resync")[:24_000]
    whole = Framer().feed(stream)
    assert len(whole) > 8
    for cut in range(len(stream)):
        framer = Framer()
        assert [*framer.feed(stream[:cut]), *framer.feed(stream[cut:])] == whole


@pytest.mark.parametrize(
    "nonsense",
    [
        b"Content-Length: x\n\n",
        b"Content-Length: -1\n\n",
        b"Content-Length: 1e9\n\n",
        b"Content-Length: 9999999999\n\n",
        b"Content-Length: \xd9\xa3\n\n",
        b"x" * (LONGEST_HEAD + 1),
    ],
)
def test_what_makes_no_sense_is_refused(nonsense: bytes) -> None:
    with pytest.raises(BadFrame):
        Framer().feed(nonsense)


values = st.text(max_size=80) | st.sampled_from(
    ["x%0AContent-Length: 5", "%0A%0A", "\n\nContent-Type: auth/request\n\n", "%", "%%0", "%zz"]
)


@given(values)
def test_a_value_in_a_reply_is_no_other_header(value: str) -> None:
    """It is encoded once by FreeSWITCH where it stands in a header; the lines are split before that is undone."""
    encoded = "".join(char if char.isalnum() else "".join(f"%{byte:02X}" for byte in char.encode()) for char in value)
    (one,) = Framer().feed(f"Content-Type: command/reply\nReply-Text: +OK <{encoded}>\n\n".encode())
    assert (one.kind, one.body) == ("command/reply", b"")
    assert one.reply == f"+OK <{value}>"


@given(st.lists(values, max_size=5))
def test_events_with_any_values_stay_one_frame_each(texts: list[str]) -> None:
    stream = b"".join(event("DTMF", variable_sip_from_display=text) for text in texts) + frame("command/reply", reply="+OK")
    frames = Framer().feed(stream)
    assert [one.kind for one in frames] == ["text/event-json"] * len(texts) + ["command/reply"]
    assert all(events.decode(one.body).name == "DTMF" for one in frames[:-1])


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_it_fail_in_another_way(data: bytes) -> None:
    try:
        Framer().feed(data)
    except BadFrame:
        pass


def test_the_tapes_hold_no_secret_and_no_path_of_the_machine_that_made_them() -> None:
    for name in TAPES:
        text = "".join([*tape.read(name), *tape.read(name, "C")])
        for word in ("/tmp/", "/root", "/opt/", "a-password", str(Path.home())):
            assert word not in text, (name, word)
