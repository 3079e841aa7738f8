"""From settings to terms: what a tenant has set itself over what the installation gives everybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from controller.config_policy import CallingHours, Policy, PolicyTerms
from controller.core.policy import WEEK, Hours, Prefixes, Terms
from controller.core.policy_state import Kept
from controller.core.rates import MICRO, Rate, Rates

FIELDS = tuple(PolicyTerms.model_fields)


class NotCountable(Exception):
    """A cap on what may be spent, and no rate table: it would count zero."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's policy, ready to be asked.  ``chosen``: all settings in force, ``own``: those that it has set itself."""

    kept: Kept
    chosen: PolicyTerms
    own: frozenset[str]
    terms: Terms


def chosen(policy: Policy, own: Mapping[str, Any]) -> PolicyTerms:
    """The settings in force.  Raises NotCountable, and ValueError for what is stored and is none of ours."""
    given = {name: getattr(policy, name) for name in FIELDS} | dict(own)
    try:
        found = PolicyTerms.model_validate(given)
    except ValidationError as error:
        raise ValueError(f"a stored policy cannot be read: {error.error_count()} faults") from None
    if found.spend_per_day is not None and not policy.rates:
        raise NotCountable("spend_per_day needs the installation's rate table (policy.rates), else it would count zero")
    return found


def tenant(policy: Policy, kept: Kept) -> Tenant:
    """The tenant's policy.  Raises NotCountable, ValueError."""
    found = chosen(policy, kept.settings)
    terms = Terms(
        allow=Prefixes((*policy.allow, *kept.allow)),
        block=Prefixes(kept.block),
        do_not_call=kept.dnc,
        allow_kinds=frozenset(found.allow_kinds),
        hours=hours(found.hours),
        callee_24h=found.calls_per_callee_24h,
        minutes=found.minutes_per_day,
        spend=None if found.spend_per_day is None else int(found.spend_per_day * MICRO),
    )
    return Tenant(kept, found, frozenset(kept.settings), terms)


def hours(given: CallingHours | None) -> Hours | None:
    """Calling hours as the rules take them."""
    if given is None:
        return None
    return Hours(_minute(given.open), _minute(given.close), frozenset(WEEK.index(day) for day in given.days))


def _minute(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)


def rates(policy: Policy) -> Rates:
    """The rate table."""
    return Rates(Rate(row.prefix, int(row.per_minute * MICRO), row.first_s, row.step_s) for row in policy.rates)
