"""`patchbay policy`: what may be dialled, how often, when and for how much; the kill switch; why a call would be refused."""

from collections.abc import Mapping
from typing import Any

import click

from controller.cli.common import USAGE, Api, Ended, connected, print_json, print_table, show

SETTINGS = ("calls_per_callee_24h", "hours", "minutes_per_day", "spend_per_day", "allow_kinds", "short_calls")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KINDS = ("premium", "shared_cost", "satellite", "personal", "own")
for_tenant = click.option("--tenant", metavar="ID", help="Another tenant's; for operators.")


@click.group("policy")
def command() -> None:
    """What may be dialled: limits, calling hours, the kill switch, and why a call would be refused."""


@command.command("show")
@for_tenant
@connected
def show_policy(api: Api, tenant: str | None) -> None:
    """The policy in force, and what was used today."""
    _shown(api, api.send("GET", "/v1/policy", tenant=tenant))


@command.command("set")
@for_tenant
@click.option("--calls-per-callee", metavar="N|none", help="How often one callee may be called in 24 hours.")
@click.option("--hours", metavar="08:00-21:00|always", help="Calling hours, by the callee's own clock.")
@click.option("--days", metavar="mon-fri", help="Days of the calling hours: one, or from one to another [all].")
@click.option("--minutes-per-day", metavar="N|none", help="How many minutes may be talked on a day (UTC).")
@click.option("--spend-per-day", metavar="AMOUNT|none", help="What may be spent on a day, by the rate table.")
@click.option("--allow-kind", "kinds", multiple=True, type=click.Choice((*KINDS, "none")), help="Kinds of number to allow.")
@click.option("--reset", multiple=True, type=click.Choice(SETTINGS), help="Have it as the installation has it again.")
@connected
def change(api: Api, tenant: str | None, **given: Any) -> None:
    """Change the policy; what is not named stays as it is."""
    wanted = _changes(given)
    if not wanted:
        raise Ended("name what is to be changed; see --help", USAGE)
    _shown(api, api.send("PATCH", "/v1/policy", wanted, tenant=tenant))


@command.command()
@for_tenant
@click.option("--everyone", is_flag=True, help="Stop all tenants; for operators.")
@click.option("--end-calls", is_flag=True, help="End live calls too.")
@click.option("--reason", help="Why, for people.")
@connected
def stop(api: Api, tenant: str | None, everyone: bool, end_calls: bool, reason: str | None) -> None:
    """The kill switch: nothing is dialled any more, from this moment on."""
    wanted = {"everyone": everyone, "end_calls": end_calls, "reason": reason}
    _shown(api, api.send("POST", "/v1/policy/stop", wanted, tenant=tenant))


@command.command()
@for_tenant
@click.option("--everyone", is_flag=True, help="Take back the stop of all tenants; for operators.")
@connected
def go(api: Api, tenant: str | None, everyone: bool) -> None:
    """Take the stop back."""
    _shown(api, api.send("POST", "/v1/policy/go", {"everyone": everyone}, tenant=tenant))


@command.command()
@click.argument("shown", metavar="FROM")
@click.argument("to", metavar="TO")
@click.option("--at", metavar="TIME", help="At another time, such as 2026-01-31T22:00:00Z.")
@for_tenant
@connected
def explain(api: Api, shown: str, to: str, at: str | None, tenant: str | None) -> None:
    """What would happen if TO were called and shown FROM, rule by rule.  Nothing is called."""
    said = api.send("POST", "/v1/policy/explain", {"from": shown, "to": to, "at": at, "tenant": tenant})
    if api.as_json:
        print_json(said)
    else:
        print_table(("rule", "verdict", "code", "why"), ([_cell(rule, name) for name in COLUMNS] for rule in said["rules"]))
        click.echo("allowed" if said["allowed"] else f"refused: {said['code']} (rule {said['rule']}): {said['why']}")
        if said["code"] == "outside_calling_hours" and said["opens_at"]:
            click.echo(f"within the calling hours from {said['opens_at']} on")


COLUMNS = ("rule", "verdict", "code", "why")


def _cell(rule: Mapping[str, Any], name: str) -> str:
    return "" if name == "code" and rule["verdict"] == "ok" else str(rule[name])


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for option, name, kind in (
        ("calls_per_callee", "calls_per_callee_24h", int),
        ("minutes_per_day", "minutes_per_day", int),
        ("spend_per_day", "spend_per_day", float),
    ):
        if given[option] is not None:
            wanted[name] = _number(option, given[option], kind)
    if given["hours"] is not None:
        wanted["hours"] = _hours(given["hours"], given["days"])
    elif given["days"] is not None:
        raise Ended("--days belongs to --hours", USAGE)
    if given["kinds"]:
        wanted["allow_kinds"] = [kind for kind in given["kinds"] if kind != "none"]
    if given["reset"]:
        wanted["reset"] = list(given["reset"])
    return wanted


def _number(option: str, text: str, kind: type[int] | type[float]) -> int | float | None:
    if text == "none":
        return None
    try:
        return kind(text)
    except ValueError:
        raise Ended(f"--{option.replace('_', '-')}: write a number, or none", USAGE) from None


def _hours(text: str, days: str | None) -> dict[str, Any] | None:
    if text == "always" and days is None:
        return None
    first, _, last = ("00:00-24:00" if text == "always" else text).partition("-")
    begin, _, end = (days or "mon-sun").partition("-")
    if begin not in DAYS or (end or begin) not in DAYS:
        raise Ended("--days: write mon, tue, wed, thu, fri, sat or sun, or two of them like mon-fri", USAGE)
    chosen = DAYS[DAYS.index(begin) : DAYS.index(end or begin) + 1]
    return {"open": first, "close": last, "days": list(chosen)}


def _shown(api: Api, policy: Mapping[str, Any]) -> None:
    stopped, today, currency = policy["stopped"], policy["today"], " " + (policy["currency"] or "")
    show(
        api,
        policy,
        {
            "tenant": policy["tenant"],
            "dialling": "on" if stopped is None else _stopped(stopped),
            "calls per callee": _or_none(policy["calls_per_callee_24h"], " in 24 h"),
            "calling hours": _told(policy["hours"]),
            "minutes per day": f"{_or_none(policy['minutes_per_day'])}; used today: {today['minutes']}",
            "spend per day": f"{_or_none(policy['spend_per_day'], currency)}; spent today: {today['spend'] or 0}{currency}",
            "kinds allowed": ", ".join(policy["allow_kinds"]) or "none",
            "set by the tenant": ", ".join(policy["own"]) or "nothing",
        },
    )


def _stopped(stopped: Mapping[str, Any]) -> str:
    whose = "of everyone" if stopped["everyone"] else "of this tenant"
    return f"STOPPED {whose} since {stopped['since']}" + (f": {stopped['reason']}" if stopped["reason"] else "")


def _told(hours: Mapping[str, Any] | None) -> str:
    if hours is None:
        return "always"
    return f"{hours['open']} to {hours['close']} by the callee's clock, {', '.join(hours['days'])}"


def _or_none(value: Any, unit: str = "") -> str:
    return "no limit" if value is None else f"{value}{unit}"
