"""The command as a process of its own, against a running house."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.house import Standing, standing


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one document."""
        return json.loads(self.out)


Run = Callable[..., Awaitable[Ran]]


async def run_command(*words: object, cwd: Path | None = None, **environment: str) -> Ran:
    """`patchbay WORDS`, with these variables of the environment beside PATH and HOME."""
    script = Path(sys.executable).with_name("patchbay")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        script, *(str(word) for word in words), cwd=cwd, env={**kept, "COLUMNS": "200", **environment},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    """It stands for the whole session."""
    async with standing(tmp_path_factory.mktemp("cli")) as here:
        yield here


@pytest_asyncio.fixture(loop_scope="session")
async def shared(kept: Standing) -> Standing:
    """A running house for all of these tests."""
    await kept.awake()
    return kept


@pytest_asyncio.fixture(loop_scope="session")
async def run(shared: Standing) -> Run:
    """A command that knows the house's address and key."""

    async def command(*words: object, **environment: str) -> Ran:
        return await run_command(
            *words, cwd=shared.folder, **{"PATCHBAY_API": shared.base, "PATCHBAY_API_KEY": shared.key, **environment}
        )

    return command
