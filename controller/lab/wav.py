"""Which tones a sound file holds: for tests and the demo."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.lab.phones.ear import FEWEST_WINDOWS, Sound
from controller.lab.phones.sound import HOP, RATE, WINDOW, Detector


def channels(path: Path) -> list[NDArray[np.float32]]:
    """The samples (+-32767) of each channel of an 8 kHz, 16 bit WAV.  Raises ValueError for any other."""
    with wave.open(str(path), "rb") as file:
        if file.getframerate() != RATE or file.getsampwidth() != 2:
            raise ValueError(f"{path.name} is no WAV of 8 kHz and 16 bit")
        count = file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32)
    return [samples[channel::count] for channel in range(count)]


def tones_of(samples: NDArray[np.float32], tones_hz: Sequence[int]) -> list[Sound]:
    """The tones among ``tones_hz`` that sound for 200 ms and more, each stretch with begin and end in seconds of the file."""
    if len(samples) < WINDOW:
        return []
    starts = range(0, len(samples) - WINDOW + 1, HOP)
    found = Detector(tones_hz).find(np.stack([samples[start : start + WINDOW] for start in starts]))
    sounding: dict[int, Sound] = {}
    done: list[Sound] = []
    for start, tones in zip(starts, found, strict=True):
        begin, end = start / RATE, (start + WINDOW) / RATE
        done += [sounding.pop(hz) for hz in [hz for hz in sounding if hz not in tones]]
        for hz in tones:
            sound = sounding.setdefault(hz, Sound(hz, begin, end, 0))
            sound.end, sound.windows = end, sound.windows + 1
    done += sounding.values()
    return sorted((sound for sound in done if sound.windows >= FEWEST_WINDOWS), key=lambda sound: sound.begin)
