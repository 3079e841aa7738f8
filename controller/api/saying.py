"""Prompts that a request names: whether they are there is said when they are asked for, not when a caller waits."""

from collections.abc import Mapping

from controller.api.house import House
from controller.api.problems import Problem

SHOWN = 30
"""How many of those that are there an error names."""


async def check_prompts(house: House, named: Mapping[str, str | None]) -> None:
    """``named``: the prompt in each field, if any.  Raises Problem for one that no node has."""
    missing = await house.prompts.missing(named.values())
    if missing is None:
        return
    field = next(field for field, name in named.items() if name == missing)
    there = sorted(house.prompts.known)
    some = ", ".join(there[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
    cure = f"no node has a prompt of this name: put its .wav into their prompts folder, or name one of {some}"
    raise Problem("invalid_request", cure, field)
