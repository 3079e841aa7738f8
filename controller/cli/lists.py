"""`patchbay list`: what may be called (allow), what may not (block), and who wants not to be called (dnc)."""

from pathlib import Path

import click

from controller.cli.common import USAGE, Api, Ended, connected, limited, show, show_list

NAMES = click.Choice(("allow", "block", "dnc"))


@click.group("list")
def command() -> None:
    """Lists of numbers: allow, block, and dnc (do not call)."""


@command.command()
@click.argument("name", type=NAMES)
@click.argument("number")
@click.option("--note", help="Why it is there, for people.")
@connected
def add(api: Api, name: str, number: str, note: str | None) -> None:
    """Add a number; on allow and block the beginning of one stands for all that begin so."""
    made = api.send("POST", f"/v1/lists/{name}", {"number": number, "note": note})
    show(api, made, {"id": made["id"], "list": name, "number": made["number"]})


@command.command("import")
@click.argument("name", type=NAMES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@connected
def import_file(api: Api, name: str, file: Path) -> None:
    """Add the numbers in a file, one per line; those that are there already are passed over."""
    added = there = 0
    for place, line in enumerate(file.read_text().splitlines(), 1):
        number = line.partition("#")[0].strip()
        if not number:
            continue
        try:
            api.send("POST", f"/v1/lists/{name}", {"number": number})
            added += 1
        except Ended as ended:
            if (ended.problem or {}).get("code") != "number_conflict":
                raise Ended(f"{file}, line {place}: {ended.message}; {added} were added before", ended.exit_code) from None
            there += 1
    show(api, {"list": name, "added": added, "there": there}, {"added": added, "there already": there})


@command.command("show")
@click.argument("name", type=NAMES)
@click.option("--number", metavar="NUMBER", help="This entry only.")
@limited
@connected
def show_all(api: Api, name: str, number: str | None, limit: int) -> None:
    """The entries of a list, the newest first."""
    columns = {name: lambda item, name=name: item[name] for name in ("id", "number", "note", "created_at")}
    show_list(api, api.items(f"/v1/lists/{name}", limit, number=number), columns)


@command.command()
@click.argument("name", type=NAMES)
@click.argument("entry", metavar="ID|NUMBER")
@connected
def remove(api: Api, name: str, entry: str) -> None:
    """Take an entry off, by its id or its number."""
    found = entry
    if not entry.startswith("lst_"):
        if not entry.startswith("+"):
            raise Ended("write the entry's id, or its number with the +", USAGE)
        items = list(api.items(f"/v1/lists/{name}", 1, number=entry))
        found = items[0]["id"] if items else "lst_0"
    api.send("DELETE", f"/v1/lists/{name}/{found}")
    show(api, {"id": found, "removed": True}, {"removed": found})
