"""An agent who was claimed for a call that is under way: theirs until their leg has ended, or the call.

``vars`` hold the number of the leg, ``agent_id``, and in ``agent_leg`` the leg's name.  With the end of the leg all three go: a
flow that wants to ring the agent again has to claim them again, and without a number it rings nobody.
"""

from collections.abc import Mapping
from typing import Any

AGENT, LEG = "agent_id", "agent_leg"


def claimed(leg: str, agent: str, number: str) -> dict[str, Any]:
    """The variables of a call whose leg of this name is the agent."""
    return {leg: number, AGENT: agent, LEG: leg}


def without(variables: Mapping[str, Any], leg: str) -> Mapping[str, Any]:
    """The variables after a leg of this name has ended; the same ones unless it was the claimed agent's."""
    if variables.get(LEG) != leg:
        return variables
    return {name: value for name, value in variables.items() if name not in (leg, AGENT, LEG)}
