"""`patchbay number`: the numbers that you own."""

import re
from typing import Any

import click

from controller.cli.common import Api, connected, limited, show, show_list


@click.group("number")
def command() -> None:
    """The numbers that you own: nothing else may be shown. An X also stands between people."""


@command.command()
@click.argument("number")
@click.option("--x", "is_x", is_flag=True, help="An X number, which bindings may use.")
@click.option("--pool", metavar="NAME", help="Where it may be chosen from: name or id of a pool.")
@click.option("--area", metavar="TEXT", help="Your own name for its area.")
@connected
def add(api: Api, number: str, is_x: bool, pool: str | None, area: str | None) -> None:
    """Add a number that your trunk lets you show, or leads to you."""
    body: dict[str, Any] = {"number": number}
    if is_x or pool or area:
        body |= {"kind": "x", **({"pool": _pool(api, pool)} if pool else {}), **({"area": area} if area else {})}
    made = api.send("POST", "/v1/numbers", body)
    show(api, made, {"id": made["id"], "number": made["number"], "kind": made["kind"]})


def _pool(api: Api, name: str) -> str:
    """The id of a pool that may be given by its name."""
    named = {pool["name"]: pool["id"] for pool in api.items("/v1/pools", None)}
    return str(named.get(name, name))


@command.command("list")
@click.option("--kind", type=click.Choice(["display", "x"]))
@limited
@connected
def list_all(api: Api, limit: int, kind: str | None) -> None:
    """Your numbers."""
    columns = {
        "id": lambda item: item["id"],
        "number": lambda item: item["number"],
        "kind": lambda item: item["kind"],
        "state": lambda item: item["state"],
        "since": lambda item: item["created_at"],
    }
    show_list(api, api.items("/v1/numbers", limit, kind=kind), columns)


@command.command()
@click.argument("number_id")
@click.argument("state", type=click.Choice(["active", "locked", "frozen"]))
@connected
def state(api: Api, number_id: str, state: str) -> None:
    """Lock an X (no longer chosen), freeze it (nothing goes through it), or make it active again."""
    changed = api.send("PATCH", f"/v1/numbers/{number_id}", {"state": state})
    show(api, changed, {"id": changed["id"], "state": changed["state"]})


@command.command()
@click.argument("number_id")
@click.option("--ask", "url", metavar="URL", help="Who is asked, call by call.")
@click.option("--extension", metavar="DIGITS", help="What the caller keys in first, so many digits: 4, or 2-6.")
@click.option("--extension-prompt", metavar="NAME", help="What asks for it (extension).")
@click.option("--timeout-ms", type=int, metavar="MS", help="How long the answer may take (700).")
@click.option("--window", "window_s", type=int, metavar="SECONDS", help="How far back the caller's calls count.")
@click.option("--connect", metavar="NUMBER", help="Without an answer: ring this number.")
@click.option("--agent", metavar="ID", help="Without an answer: ring this agent.")
@click.option("--flow", metavar="NAME", help="Without an answer: this flow.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable of the flow; may be repeated.")
@click.option("--prompt", metavar="NAME", help="Without an answer: this prompt, and the end.")
@click.option("--reject", metavar="WORD", help="Without an answer: refused with this (unreachable).")
@click.option("--off", is_flag=True, help="No route: who is in no binding is refused.")
@connected
def route(api: Api, number_id: str, off: bool, **said: Any) -> None:
    """What becomes of calls to an X that no binding takes: ask a URL (X mode), or always the same."""
    given = {name: said.pop(name) for name in ("url", "timeout_ms", "window_s")}
    given |= {"extension": _extension(said.pop("extension"), said.pop("extension_prompt")), "answer": _answer(said)}
    wanted = None if off else {name: value for name, value in given.items() if value is not None}
    if wanted == {}:
        raise click.UsageError("say what: --ask, or one of --connect, --agent, --flow, --prompt, --reject, or --off")
    changed = api.send("PATCH", f"/v1/numbers/{number_id}", {"route": wanted})
    shown = changed["route"] or {"url": None, "answer": {"action": "off"}}
    show(api, changed, {"id": changed["id"], "asks": shown["url"] or "-", "else": shown["answer"]["action"]})


def _extension(digits: str | None, prompt: str | None) -> dict[str, Any] | None:
    """What is asked for first, from the options."""
    if digits is None:
        if prompt is not None:
            raise click.UsageError("--extension-prompt goes with --extension")
        return None
    found = re.fullmatch(r"([0-9]{1,2})(?:-([0-9]{1,2}))?", digits, re.ASCII)
    if found is None:
        raise click.UsageError("--extension is a count of digits: 4, or 2-6")
    return {"least": int(found[1]), "most": int(found[2] or found[1]), **({"prompt": prompt} if prompt else {})}


def _answer(said: dict[str, Any]) -> dict[str, Any] | None:
    """The answer that holds beforehand, from the options."""
    pairs = said.pop("pairs")
    given = {name: value for name, value in said.items() if value is not None}
    if len(given) > 1 or (pairs and "flow" not in given):
        raise click.UsageError("one of --connect, --agent, --flow (with --set), --prompt, --reject")
    if "flow" in given:
        variables = dict(pair.partition("=")[::2] for pair in pairs)
        return {"action": "menu", "flow": given["flow"], "variables": variables}
    kinds = {"connect": ("connect", "to"), "agent": ("connect", "agent"), "prompt": ("announce", "prompt")}
    kinds["reject"] = ("reject", "with")
    for name, value in given.items():
        action, key = kinds[name]
        return {"action": action, key: value}
    return None


@command.command("last-agent")
@click.argument("number_id")
@click.argument("customer")
@click.option("--forget", is_flag=True, help="Forget it: who calls again reaches whoever is next.")
@connected
def last_agent(api: Api, number_id: str, customer: str, forget: bool) -> None:
    """The agent to whom a customer spoke last by an X, and who is reached again."""
    found = api.send("DELETE" if forget else "GET", f"/v1/numbers/{number_id}/last-agent", customer=customer)
    if forget:
        show(api, {"id": number_id, "forgotten": True}, {"forgotten": number_id})
    else:
        show(api, found, {name: found[name] for name in ("agent_id", "call_id", "at", "expires_at")})


@command.command()
@click.argument("number_id")
@connected
def remove(api: Api, number_id: str) -> None:
    """Never show this number again."""
    api.send("DELETE", f"/v1/numbers/{number_id}")
    show(api, {"id": number_id, "removed": True}, {"removed": number_id})
