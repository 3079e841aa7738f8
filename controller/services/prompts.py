"""Which prompts there are: the sound files in the folders of the nodes, as far as they can be seen from here."""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

LOOK_WITHIN_S = 2.0
ENDING = ".wav"


class Prompts:
    """``folders``: those of all nodes.  One that is not on this machine may hold anything.

    What was there once is taken to be there still: then no disk is asked, and of a file that was taken away since the PBX says
    so itself."""

    def __init__(self, folders: Callable[[], Iterable[Path]]) -> None:
        self._folders = folders
        self.known: frozenset[str] = frozenset()

    async def missing(self, names: Iterable[str | None]) -> str | None:
        """The first of these that no node has; None if there is none, or nobody can say."""
        wanted = [name for name in names if name and name not in self.known]
        if not wanted:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_WITHIN_S):
                found = await asyncio.to_thread(_names, list(self._folders()))
            if found is not None:
                self.known = found
                return next((name for name in wanted if name not in found), None)
        return None


def _names(folders: Iterable[Path]) -> frozenset[str] | None:
    """All names in these folders; None where one cannot be seen, or there is none."""
    found: set[str] = set()
    for folder in set(folders):
        try:
            found.update(name.removesuffix(ENDING) for name in os.listdir(folder) if name.endswith(ENDING))
        except OSError:
            return None
    return frozenset(found) or None
