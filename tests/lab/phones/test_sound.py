"""Sound: G.711 as ITU-T says, tones found where they are and nowhere else."""

import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import assets
from controller.lab import prompts
from controller.lab.phones.ear import FEWEST_WINDOWS
from controller.lab.phones.sound import FRAME, WINDOW, Detector, decode, encode, tone, tone_frame
from controller.lab.phones.table import ALL_PHONES
from controller.lab.wav import tones_of

KNOWN = sorted({phone.tone_hz for phone in ALL_PHONES} | set(prompts.tones().values()))


def test_code_words_stand_for_the_levels_of_g711() -> None:
    # ITU-T G.711 table 2a: code word and decoder output, in units of 1/8192 of full scale, here times 4
    assert decode(bytes([0x80, 0x8F, 0x90, 0xA0, 0xFF])).tolist() == [32124.0, 16764.0, 15996.0, 7932.0, 0.0]
    assert decode(bytes([0x00, 0x0F, 0x10, 0x20, 0x7F])).tolist() == [-32124.0, -16764.0, -15996.0, -7932.0, 0.0]


@given(st.binary(min_size=1, max_size=64))
def test_encoding_what_was_decoded_gives_the_same_levels(words: bytes) -> None:
    assert decode(encode(decode(words))).tolist() == decode(words).tolist()


@given(st.lists(st.floats(-40000, 40000), min_size=1, max_size=50))
def test_encoding_takes_the_nearest_level(samples: list[float]) -> None:
    levels = decode(bytes(range(256)))
    for sample, level in zip(samples, decode(encode(np.array(samples))), strict=True):
        assert abs(sample - level) == pytest.approx(np.abs(levels - sample).min(), abs=0.01)


@pytest.mark.parametrize("hz", KNOWN)
def test_each_known_tone_is_found_and_no_other(hz: int) -> None:
    window = decode(tone_frame(hz) * (WINDOW // FRAME))[None]
    assert Detector(KNOWN).find(window) == [(hz,)]


def test_two_tones_at_once_are_both_found() -> None:
    mixed = (decode(tone_frame(1000) * 5) + decode(tone_frame(2250) * 5) / 2)[None]
    assert Detector(KNOWN).find(mixed) == [(1000, 2250)]


def test_silence_and_noise_hold_no_tone() -> None:
    noise = np.random.default_rng(7).normal(0, 4000, (50, WINDOW))
    assert Detector(KNOWN).find(noise) == [()] * 50
    assert Detector(KNOWN).find(np.zeros((1, WINDOW))) == [()]


def test_a_tone_that_does_not_fit_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="1010 Hz"):
        tone_frame(1010)


@pytest.mark.parametrize("name", prompts.prompts())
def test_no_spoken_prompt_is_taken_for_a_tone(name: str) -> None:
    with wave.open(str(assets.dialplans() / "prompts" / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, 1)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32)
    assert tones_of(decode(encode(samples)), KNOWN) == []


def test_a_stretch_is_told_with_its_begin_and_end() -> None:
    samples = np.concatenate([np.zeros(8000), tone(1300, 0.5), np.zeros(4000)])
    (sound,) = tones_of(samples.astype(np.float32), KNOWN)
    assert sound.hz == 1300
    assert (sound.begin, sound.end) == (pytest.approx(1.0, abs=0.06), pytest.approx(1.5, abs=0.06))
    assert sound.windows >= FEWEST_WINDOWS


def test_the_tones_of_prompts_and_phones_differ() -> None:
    spoken = list(prompts.tones().values())
    assert len(set(spoken)) == len(spoken)
    assert min(spoken) > max(phone.tone_hz for phone in ALL_PHONES)
