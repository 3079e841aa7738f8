"""Settings of the policy: what may be dialled, when, how often, and for how much.  A part of ``config``."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from controller.core.policy import Kind


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Prefix = Annotated[str, Field(strict=True, pattern=r"^\+[0-9]{0,15}$")]
Clock = Annotated[str, Field(strict=True, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class CallingHours(_Part):
    """When callees may be called, by their own clocks.  ``00:00`` to ``24:00`` on all days: always."""

    open: Clock = "08:00"
    close: Clock = "21:00"
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.open >= self.close or not self.days:
            raise ValueError("`open` must be before `close`, and there must be a day; quote the times")
        return self


class ShortCalls(_Part):
    """Raise an alarm when so many calls within ``within_s`` were over less than ``shorter_than_s`` after the answer."""

    shorter_than_s: Annotated[int, Field(ge=1, le=60)] = 4
    count: Annotated[int, Field(ge=2, le=10_000)] = 20
    within_s: Annotated[int, Field(ge=10, le=86_400)] = 300


class RateRow(_Part):
    """What numbers with this prefix cost.  ``first_s`` are always paid for, then each begun ``step_s``."""

    prefix: Prefix
    per_minute: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=6)]
    currency: Annotated[str, Field(strict=True, pattern=r"^[A-Z]{3}$")]
    first_s: Annotated[int, Field(ge=1, le=600)] = 60
    step_s: Annotated[int, Field(ge=1, le=600)] = 60


class PolicyTerms(_Part):
    """What a tenant may dial; each tenant can set these for itself.  ``calls_per_callee_24h``, ``minutes_per_day``,
    ``spend_per_day``, ``hours``, ``short_calls``: null for no such limit.  A day is one of UTC."""

    calls_per_callee_24h: Annotated[int, Field(ge=0, le=1_000_000)] | None = 3
    hours: CallingHours | None = CallingHours()
    minutes_per_day: Annotated[int, Field(ge=0, le=100_000_000)] | None = None
    spend_per_day: Annotated[Decimal, Field(ge=0, le=100_000_000, decimal_places=6)] | None = None
    allow_kinds: tuple[Kind, ...] = ()
    short_calls: ShortCalls | None = ShortCalls()


class Policy(PolicyTerms):
    """The same for tenants that set nothing.  ``allow``: prefixes that every tenant may call; ``rates``: what calls cost, in
    one currency: without them nothing can be counted, and a cap on what may be spent is refused."""

    allow: tuple[Prefix, ...] = ()
    rates: tuple[RateRow, ...] = ()

    @field_validator("rates")
    @classmethod
    def _one_currency(cls, rates: tuple[RateRow, ...]) -> tuple[RateRow, ...]:
        if len({row.currency for row in rates}) > 1 or len({row.prefix for row in rates}) < len(rates):
            raise ValueError("all rates must be in one currency, and each prefix may come once")
        return rates

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.spend_per_day is not None and not self.rates:
            raise ValueError(
                "policy.spend_per_day needs policy.rates, else it would count zero: add a rate table, or take it out"
            )
        return self
