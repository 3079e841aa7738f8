"""schemathesis against the running API with a key: no fault of ours, nothing that the description does not say.

In `make test` each operation is asked a few dozen times (``EXAMPLES`` drawn beside the worked-out edge cases), in
`make soak` twenty times as often."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.house import Standing, standing

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
EXAMPLES, MANY = 10, 200
WITHIN_S = 300


async def fuzzed(house: Standing, folder: Path, examples: int, seed: int | None = None) -> tuple[int, str]:
    """How schemathesis ended, and what it said last.  Nothing is left out: the PBXes that it makes up are in memory here."""
    tool = Path(sys.executable).with_name("schemathesis")
    run = await asyncio.create_subprocess_exec(
        tool, "run", f"{house.base}/openapi.json", "--header", f"Authorization: Bearer {house.key}", "--checks", CHECKS,
        "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing",
        "--request-timeout", "10", "--no-color", "--generation-database", ":memory:",
        *(("--seed", str(seed)) if seed is not None else ()),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S * examples / EXAMPLES):
            output, _ = await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
    assert run.returncode is not None
    return run.returncode, output.decode()


@pytest.mark.timeout(WITHIN_S + 30)
async def test_the_api_is_as_it_is_described(tmp_path: Path) -> None:
    async with standing(tmp_path) as house:
        code, said = await fuzzed(house, tmp_path, EXAMPLES)
        assert code == 0, said[-6000:]
        assert (await house.http.get("/healthz")).status_code == 200


@pytest.mark.soak
async def test_the_api_is_as_it_is_described_however_often_it_is_asked(tmp_path: Path) -> None:
    async with standing(tmp_path) as house:
        code, said = await fuzzed(house, tmp_path, MANY)
        assert code == 0, said[-6000:]
