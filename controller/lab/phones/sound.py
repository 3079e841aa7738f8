"""Sound as the phones know it: 8 kHz G.711 mu-law tones, made and found again.

A tone counts as heard in a window when it carries a fair share of all the power there: speech and noise spread theirs.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE = 8000  # samples a second
FRAME = 160  # samples of one RTP packet: 20 ms
WINDOW = 800  # samples looked at: 100 ms tells tones 50 Hz apart
HOP = 400  # samples from one window to the next
PLAYED_AMPLITUDE = 8000.0
_SHARE = 0.12  # of the window's power
_FAINTEST = 150.0  # amplitude, of 32767


def _decode_table() -> NDArray[np.float32]:
    """ITU-T G.711, table 2: what each of the 256 code words stands for."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.float32)


_LINEAR = _decode_table()
_SORTED = np.argsort(_LINEAR, kind="stable")


def decode(ulaw: bytes) -> NDArray[np.float32]:
    """Samples within +-32767 from mu-law bytes."""
    return _LINEAR[np.frombuffer(ulaw, dtype=np.uint8)]


def encode(samples: NDArray[np.floating]) -> bytes:
    """Mu-law bytes, each the code word nearest to its sample."""
    levels = _LINEAR[_SORTED]
    above = np.clip(np.searchsorted(levels, samples), 1, 255)
    nearer_below = samples - levels[above - 1] < levels[above] - samples
    return _SORTED[above - nearer_below].astype(np.uint8).tobytes()


def tone(hz: int, seconds: float) -> NDArray[np.float64]:
    """A sine of ``hz``."""
    at = np.arange(round(seconds * RATE)) / RATE
    return PLAYED_AMPLITUDE * np.sin(2 * math.pi * hz * at)


@cache
def tone_frame(hz: int) -> bytes:
    """One RTP payload of a tone; for a multiple of 50 Hz it may be repeated without a seam."""
    if hz % (RATE // FRAME):
        raise ValueError(f"{hz} Hz is no multiple of {RATE // FRAME} Hz")
    return encode(tone(hz, FRAME / RATE))


class Detector:
    """Finds known tones in windows of sound."""

    def __init__(self, tones_hz: Sequence[int]) -> None:
        self.tones_hz = tuple(tones_hz)
        at = np.arange(WINDOW)[:, None] / RATE
        hann = np.hanning(WINDOW)[:, None]
        self._kernel = hann * np.exp(-2j * math.pi * at * np.array(self.tones_hz)[None, :]) * 2 / hann.sum()

    def amplitudes(self, windows: NDArray[np.floating]) -> NDArray[np.floating]:
        """The amplitude (of 32767) of each tone in each window; ``windows``: one a row, WINDOW samples wide."""
        amplitudes: NDArray[np.floating] = np.abs(windows @ self._kernel)
        return amplitudes

    def find(self, windows: NDArray[np.floating]) -> list[tuple[int, ...]]:
        """The tones (Hz) in each of ``windows``."""
        amplitudes = self.amplitudes(windows)
        power = np.mean(np.square(windows), axis=1)[:, None]
        present = (amplitudes > _FAINTEST) & (np.square(amplitudes) / 2 > _SHARE * power)
        return [tuple(hz for hz, there in zip(self.tones_hz, row, strict=True) if there) for row in present]
