"""WAV files: true headers, whole frames, read back by a reader that is not ours."""

import hashlib
import io
import os
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.services import wav
from controller.services.wav import Broken, NothingRecorded, Samples, header


def raw(folder: Path, data: bytes) -> Path:
    path = folder / "recording.raw"
    path.write_bytes(data)
    return path


@given(st.binary(min_size=4, max_size=4000))
def test_raw_samples_become_a_file_that_others_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("wav")
    stored = wav.store(raw(folder, data), folder / "out.wav")
    whole = data[: len(data) // 4 * 4]
    with wave.open(str(folder / "out.wav")) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (2, 2, 8000)
        assert read.readframes(read.getnframes()) == whole
    written = (folder / "out.wav").read_bytes()
    assert stored.size == len(written)
    assert stored.sha256 == hashlib.sha256(written).hexdigest()
    assert stored.duration_ms == len(whole) * 1000 // 32_000
    assert wav.stored(folder / "out.wav") == stored


@pytest.mark.parametrize("data", [b"", b"abc"])
def test_nothing_recorded_is_told_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NothingRecorded):
        wav.store(raw(tmp_path, data), tmp_path / "deep" / "out.wav")
    assert not (tmp_path / "deep").exists()


def made(data: bytes, rate: int = 8000, channels: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as write:
        write.setnchannels(channels)
        write.setsampwidth(2)
        write.setframerate(rate)
        write.writeframes(data)
    return file.getvalue()


@pytest.mark.parametrize(("rate", "channels"), [(8000, 2), (16000, 2), (8000, 1)])
def test_a_finished_wav_keeps_its_samples_and_rate(tmp_path: Path, rate: int, channels: int) -> None:
    samples = os.urandom(rate * channels * 2)
    (tmp_path / "in.wav").write_bytes(made(samples, rate, channels))
    stored = wav.store(tmp_path / "in.wav", tmp_path / "out.wav")
    assert stored.duration_ms == 1000
    with wave.open(str(tmp_path / "out.wav")) as read:
        assert (read.getframerate(), read.getnchannels()) == (rate, channels)
        assert read.readframes(rate) == samples


@pytest.mark.parametrize("said", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_whose_writer_was_killed_is_stored_as_far_as_it_goes(tmp_path: Path, said: int) -> None:
    finished = made(b"\1\2\3\4" * 100)
    cut = finished[:40] + struct.pack("<I", said) + finished[44:] + b"\7"
    (tmp_path / "in.wav").write_bytes(cut)
    wav.store(tmp_path / "in.wav", tmp_path / "out.wav")
    with wave.open(str(tmp_path / "out.wav")) as read:
        assert read.readframes(1000) == b"\1\2\3\4" * 100


def test_chunks_that_we_do_not_know_are_passed_over(tmp_path: Path) -> None:
    finished = made(b"\1\2\3\4" * 10)
    odd = finished[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + finished[36:]
    (tmp_path / "in.wav").write_bytes(odd)
    assert wav.store(tmp_path / "in.wav", tmp_path / "out.wav").size == wav.HEADER + 40


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 100,
        header(Samples(44, 8)).replace(b"data", b"junk") + b"x" * 8,
        header(Samples(44, 8)).replace(b"fmt ", b"junk") + b"x" * 8,
        header(Samples(44, 8)).replace(b"\x10\0data", b"\x08\0data") + b"x" * 8,
        header(Samples(44, 8, channels=6)) + b"x" * 12,
    ],
)
def test_what_is_no_wav_is_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.wav").write_bytes(content)
    with pytest.raises(Broken):
        wav.store(tmp_path / "in.wav", tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


@given(st.binary(max_size=200))
def test_no_file_makes_the_reader_fail_in_another_way(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("wav")
    (folder / "in.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + content)
    try:
        wav.store(folder / "in.wav", folder / "out.wav")
    except (Broken, NothingRecorded):
        assert not (folder / "out.wav").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"12345678")
    (tmp_path / "recording.raw").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        wav.store(tmp_path / "recording.raw", tmp_path / "out.wav")


def test_an_earlier_file_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    wav.store(raw(tmp_path, b"12345678"), tmp_path / "out.wav")
    before = (tmp_path / "out.wav").read_bytes()
    with pytest.raises(NothingRecorded):
        wav.store(raw(tmp_path, b""), tmp_path / "out.wav")
    assert (tmp_path / "out.wav").read_bytes() == before
