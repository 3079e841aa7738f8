"""A PBX's spool on a disk of this machine."""

import asyncio
import os
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from controller.ports import SpoolFile
from controller.services.disk import CHUNK, replacing

_NAME = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}[0-9]{4}\.(raw|wav)", re.ASCII)
"""A recording's id (``core.ids``) and how the PBX wrote it."""


SUFFIXES = (".raw", ".wav")


class DiskSpool:
    """Implements ``ports.Spool`` for a folder.  What is no recording of ours is not seen and not touched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def list(self, recordings: Sequence[str] | None = None) -> Iterable[SpoolFile]:
        """The recordings in the folder: all, or those with one of these ids.  Raises OSError."""
        return await asyncio.to_thread(self._list, None if recordings is None else list(recordings))

    def _list(self, recordings: Sequence[str] | None) -> Sequence[SpoolFile]:
        with os.scandir(self._folder) as entries:  # also tells a folder that is away from one that lacks a file
            if recordings is None:
                names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
            else:
                names = [name for recording in recordings for suffix in SUFFIXES if _NAME.fullmatch(name := recording + suffix)]
        found = []
        for name in names:
            try:
                about = os.lstat(self._folder / name)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode):
                found.append(SpoolFile(name, about.st_size, about.st_mtime_ns // 1_000_000))
        return found

    def local(self, name: str) -> Path | None:
        """Where the file lies.  Raises ValueError for a name that is none of ours."""
        return self._path(name)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError("this is no recording's name")
        return self._folder / name

    async def fetch(self, name: str, to: Path) -> None:
        """Copy a file, durably.  Raises FileNotFoundError, OSError."""
        await asyncio.to_thread(_copy, self._path(name), to)

    async def delete(self, *names: str) -> None:
        """Remove files; one that is not there is no error.  Raises OSError."""
        await asyncio.to_thread(_remove, [self._path(name) for name in names])


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file, replacing(target) as out:
        shutil.copyfileobj(file, out, CHUNK)
