"""WAV files of recordings: 16-bit PCM, a channel per party (left what the leg said, right what it heard).

Asterisk's MixMonitor leaves bare interleaved samples (option ``D``: raw only), FreeSWITCH a WAV whose header is only right if
it came to close the file.  Both become a file with a true header, as long as what was recorded.
Format: "Multimedia Programming Interface and Data Specifications 1.0" (Microsoft, IBM, 1991), chapter 3.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from controller.ports import StoredRecording
from controller.services.disk import CHUNK, replacing

HEADER = 44
FRAME = 4
"""Bytes of one sample of each of the two channels."""
LONGEST = 0xFFFFFFFF - HEADER
"""Bytes of samples that the format's 32-bit sizes can say: 37 hours."""


class NothingRecorded(Exception):
    """The file holds no sample."""


class Broken(ValueError):
    """The file is none that we can read; the message says why."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Where samples lie in a file.  ``start`` and ``size`` in bytes, ``rate`` in frames a second."""

    start: int
    size: int
    rate: int = 8000
    channels: int = 2

    @property
    def duration_ms(self) -> int:
        """Length in ms."""
        return self.size * 1000 // (self.rate * self.channels * 2)


def header(samples: Samples) -> bytes:
    """The 44 bytes before the samples."""
    frame = samples.channels * 2
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", HEADER - 8 + samples.size, b"WAVE",
        b"fmt ", 16, 1, samples.channels, samples.rate, samples.rate * frame, frame, 16,
        b"data", samples.size,
    )  # fmt: skip


def samples_of(file: BinaryIO, raw: bool) -> Samples:
    """Where the samples of an open file lie, whole frames only.  Raises NothingRecorded, Broken."""
    length = os.fstat(file.fileno()).st_size
    found = Samples(0, length) if raw else _in_wav(file, length)
    frame = found.channels * 2
    size = min(found.size, LONGEST)
    size -= size % frame
    if size <= 0:
        raise NothingRecorded
    return Samples(found.start, size, found.rate, found.channels)


def _in_wav(file: BinaryIO, length: int) -> Samples:
    """A WAV's samples.  A data size of 0, or beyond the end, is that of a file that was never closed: all there is counts."""
    if length <= HEADER:
        raise NothingRecorded
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise Broken("it is no WAV file")
    rate = channels = 0
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        here = file.tell()
        if chunk[:4] == b"data":
            if not channels:
                raise Broken("it has no format before its samples")
            left = length - here
            return Samples(here, size if 0 < size <= left else left, rate, channels)
        if chunk[:4] == b"fmt ":
            kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", file.read(16).ljust(16, b"\0"))
            if kind not in (1, 0xFFFE) or bits != 16 or channels not in (1, 2) or not rate:
                raise Broken("its samples are not 16-bit PCM")
        file.seek(here + size + size % 2)
    raise Broken("it has no samples")


def store(source: Path, target: Path, durable_name: bool = True) -> StoredRecording:
    """Write the samples of ``source`` (``.raw`` or ``.wav``) as ``target``, durably (see ``disk.replacing``).  Blocks.

    Raises FileNotFoundError, NothingRecorded, Broken, OSError (disk full ...); then ``target`` is as it was."""
    with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        samples = samples_of(file, source.suffix == ".raw")
        file.seek(samples.start)
        summed = hashlib.sha256()
        with replacing(target, durable_name) as out:
            head = header(samples)
            summed.update(head)
            out.write(head)
            left = samples.size
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                summed.update(chunk)
                out.write(chunk)
            if left:
                raise OSError("the recording shrank while it was read")
    return StoredRecording(samples.duration_ms, HEADER + samples.size, summed.hexdigest())


def stored(path: Path) -> StoredRecording:
    """What a file that ``store`` made is.  Blocks.  Raises OSError, Broken, NothingRecorded."""
    with path.open("rb") as file:
        samples = samples_of(file, raw=False)
    return StoredRecording(samples.duration_ms, path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> str:
    """The checksum of a file, hex.  Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
