"""The policy's word on a request that wants something dialled, as a problem with a stable code."""

from collections.abc import Callable

from controller.api.house import House
from controller.api.problems import Problem
from controller.services.policy import Forbidden

DIALLING = (
    "caller_id_not_owned", "self_call", "destination_blocked", "emergency_blocked", "do_not_call", "outside_calling_hours",
    "frequency_exceeded", "quota_exceeded",
)  # fmt: skip
"""What a route that dials may answer with, beside ``suspended``."""
LATELY = ("caller_id_not_owned", "destination_blocked", "suspended")
"""What another controller may have changed a moment ago: a refusal is only given after a look at the database."""


async def permit(house: House, check: Callable[[], None]) -> None:
    """Pass if ``check`` does.  Raises Problem where it raises Forbidden; NotSaved while nobody knows what is allowed."""
    try:
        try:
            check()
        except Forbidden as first:
            if first.refusal.code not in LATELY:
                raise
            await house.policy.refresh()
            check()
    except Forbidden as refused:
        house.policy.refused[refused.refusal.code] += 1
        raise problem(refused) from None


def problem(refused: Forbidden) -> Problem:
    """The refusal as it goes out: `rule` names which of the rules with this code it was."""
    headers = None if refused.retry_after_s is None else {"Retry-After": str(refused.retry_after_s)}
    return Problem(refused.refusal.code, refused.refusal.why, refused.param or None, headers, rule=refused.refusal.rule)
