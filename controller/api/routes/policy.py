"""``/v1/policy``: what may be dialled, how often, when and for how much; kill switches; and what each rule says of a call."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from controller.api.fields import In, Name, Text, with_plus
from controller.api.here import Asked, ReadPolicy, WritePolicy
from controller.api.paging import Time
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.config_policy import CallingHours, ShortCalls
from controller.core.policy import Code, Kind
from controller.core.policy_state import EVERYONE, Stop
from controller.core.rates import MICRO
from controller.services import numbering
from controller.services.policy_counts import DAY_MS
from controller.services.policy_terms import FIELDS, NotCountable, chosen
from controller.times import or_none, parse, rfc3339

router = APIRouter(prefix="/v1/policy", tags=["policy"], route_class=Route)

Whose = Annotated[Name | None, Query(description="For operators: another tenant's.")]
Setting = Literal["calls_per_callee_24h", "hours", "minutes_per_day", "spend_per_day", "allow_kinds", "short_calls"]


class PolicyChange(In):
    """What is given is changed.  Null for no such limit; what is named in `reset` is again as the installation has it."""

    calls_per_callee_24h: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    hours: CallingHours | None = Field(None, description="By the callee's own clock; null: always.")
    minutes_per_day: Annotated[int, Field(ge=0, le=100_000_000)] | None = None
    spend_per_day: Annotated[float, Field(ge=0, le=100_000_000)] | None = None
    allow_kinds: list[Kind] = Field(default_factory=list, description="Kinds of number that are refused otherwise.")
    short_calls: ShortCalls | None = None
    reset: list[Setting] = Field(default_factory=list)


class StoppedOut(Out):
    """A kill switch that is on."""

    since: str
    everyone: bool
    end_calls: bool
    reason: str | None


class TodayOut(Out):
    """What was used since midnight (UTC)."""

    minutes: float
    spend: float | None
    ends_at: str


class PolicyOut(Out):
    """The policy in force.  `own`: what the tenant has set itself; the rest is the installation's."""

    tenant: str
    calls_per_callee_24h: int | None
    hours: CallingHours | None
    minutes_per_day: int | None
    spend_per_day: float | None
    currency: str | None = Field(description="Of the installation's rate table; null without one: spending cannot be capped.")
    allow_kinds: list[Kind]
    short_calls: ShortCalls | None
    own: list[Setting]
    stopped: StoppedOut | None
    today: TodayOut


class NewStop(In):
    """Stop all dialling, from this moment on.  `end_calls`: end live calls too.  `everyone`: of all tenants; for operators."""

    end_calls: bool = False
    everyone: bool = False
    reason: Text | None = None


class Going(In):
    """Take a stop back."""

    everyone: bool = False


Dialled = Annotated[str, BeforeValidator(with_plus), StringConstraints(pattern=r"^\+?[0-9]{1,20}$")]


class Question(In):
    """A call that might be made: `to` is rung and shown `from`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    shown: Dialled = Field(alias="from", examples=["+14155550100"])
    to: Dialled = Field(examples=["+14155550102"])
    at: Time | None = Field(None, description="When; now if it is left out.")
    tenant: Name | None = Field(None, description="For operators: another tenant's call.")


class RuleOut(Out):
    """What one rule says."""

    rule: str
    code: Code
    verdict: Literal["ok", "refused"]
    why: str


class ExplainOut(Out):
    """What would happen, and why: every rule in its order.  The first that refuses gives `code`; null: the call is made."""

    allowed: bool
    code: Code | None
    rule: str | None
    why: str | None
    at: str
    time_zones: list[str]
    opens_at: str | None = Field(description="From when on it is within the calling hours; null: not within eight days.")
    rules: list[RuleOut]


async def _tenant(asked: Asked, tenant: str | None) -> str:
    """Whose policy: one's own, or for operators any tenant's.  Raises Problem."""
    if tenant is None or tenant == asked.tenant:
        return asked.tenant
    if not asked.who.may("operator") or await asked.house.database.tenants.get(tenant) is None:
        raise Problem("not_found", "there is no such tenant")
    return tenant


def _view(asked: Asked, tenant: str) -> dict[str, Any]:
    policy, now = asked.house.policy, asked.house.clock.now()
    mine, stop = policy.book.of(tenant), policy.book.stop_of(tenant)
    used, table = policy.counts.used(tenant, now), policy.settings.rates
    shown = mine.chosen.model_dump(mode="json")
    spend = mine.chosen.spend_per_day
    return {
        **shown,
        "tenant": tenant,
        "spend_per_day": None if spend is None else float(spend),
        "currency": table[0].currency if table else None,
        "own": sorted(mine.own),
        "stopped": None if stop is None else _stopped(stop, policy.book.of(EVERYONE).kept.stop is stop),
        "today": {
            "minutes": round(used.talked_ms / 60_000, 2),
            "spend": used.spent / MICRO if table else None,
            "ends_at": rfc3339((now // DAY_MS + 1) * DAY_MS),
        },
    }


def _stopped(stop: Stop, everyone: bool) -> dict[str, Any]:
    return {"since": rfc3339(stop.since), "everyone": everyone, "end_calls": stop.end_calls, "reason": stop.reason or None}


@router.get("", response_model=PolicyOut, responses=documented("not_found"))
async def show(asked: ReadPolicy, tenant: Whose = None) -> Response:
    """The policy in force, and what was used today."""
    return Json(_view(asked, await _tenant(asked, tenant)))


@router.patch("", response_model=PolicyOut, responses=documented("not_found", "suspended"))
async def change(new: PolicyChange, asked: WritePolicy, tenant: Whose = None) -> Response:
    """Change the policy.  It counts from now on, for calls that wait too."""
    whose, policy = await _tenant(asked, tenant), asked.house.policy
    given = new.model_fields_set - {"reset"}
    values = {name: value for name, value in new.model_dump(mode="json").items() if name in given}
    if new.spend_per_day is not None:
        values["spend_per_day"] = str(Decimal(str(new.spend_per_day)).quantize(Decimal("0.000001")))
    reset = frozenset(new.reset)
    kept = {name: value for name, value in policy.book.of(whose).kept.settings.items() if name not in reset}
    try:
        chosen(policy.settings, {**kept, **values})
    except NotCountable as error:
        raise Problem("invalid_request", str(error), "spend_per_day") from None
    await asked.house.database.policies.change(whose, values, reset)
    await policy.changed()
    return Json(_view(asked, whose))


@router.post("/stop", response_model=PolicyOut, responses=documented("not_found"))
async def stop(new: NewStop, asked: WritePolicy, tenant: Whose = None) -> Response:
    """The kill switch.  Calls that wait end `blocked` when their turn comes; live calls go on unless `end_calls`."""
    whose = await _target(asked, tenant, new.everyone)
    wanted = Stop(asked.house.clock.now(), new.end_calls, new.reason or "")
    await asked.house.database.policies.stop(whose, wanted)
    await asked.house.policy.changed()
    return Json(_view(asked, asked.tenant if new.everyone else whose))


@router.post("/go", response_model=PolicyOut, responses=documented("not_found"))
async def go(new: Going, asked: WritePolicy, tenant: Whose = None) -> Response:
    """Take one's own stop back, or that of everyone; the other stays as it is."""
    whose = await _target(asked, tenant, new.everyone)
    await asked.house.database.policies.stop(whose, None)
    await asked.house.policy.changed()
    return Json(_view(asked, asked.tenant if new.everyone else whose))


async def _target(asked: Asked, tenant: str | None, everyone: bool) -> str:
    if not everyone:
        return await _tenant(asked, tenant)
    if not asked.who.may("operator"):
        raise Problem("forbidden", "this API key does not have the scope operator", "everyone")
    return EVERYONE


@router.get("/explain", response_model=ExplainOut, responses=documented("not_found"))
async def ask(query: Annotated[Question, Query()], asked: ReadPolicy) -> Response:
    """What would happen to a call."""
    return await _explain(query, asked)


@router.post("/explain", response_model=ExplainOut, responses=documented("not_found"))
async def explain(question: Question, asked: ReadPolicy) -> Response:
    """The same with a body."""
    return await _explain(question, asked)


async def _explain(question: Question, asked: Asked) -> Response:
    tenant, policy = await _tenant(asked, question.tenant), asked.house.policy
    at = asked.house.clock.now() if question.at is None else parse(question.at)
    said = policy.explain(tenant, question.shown, question.to, at)
    rules = [
        {"rule": rule.name, "code": rule.code, "verdict": "ok" if why is None else "refused", "why": why or rule.asks}
        for rule, why in said
    ]
    leads = asked.house.desk.leads(question.to)
    way = "a trunk leads to the number" if leads else "no trunk leads to the number: `patchbay trunk list`"
    rules.append({"rule": "route", "code": "destination_blocked", "verdict": "ok" if leads else "refused", "why": way})
    first = next((rule for rule in rules if rule["verdict"] == "refused"), None)
    return Json(
        {
            "allowed": first is None,
            **{name: first[name] if first else None for name in ("code", "rule", "why")},
            "at": rfc3339(at),
            "time_zones": list(numbering.about(question.to).zones),
            "opens_at": or_none(policy.opens_at(tenant, question.to, at)),
            "rules": rules,
        }
    )


assert set(FIELDS) == set(PolicyChange.model_fields) - {"reset"}
