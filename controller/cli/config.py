"""`patchbay config`: check the configuration file, and render the PBX's own from it."""

from pathlib import Path

import click

from controller.cli.common import FAILED, USAGE, Ended, print_json
from controller.cli.local import configured
from controller.config import Node, Settings
from controller.rendering import NotRenderable, render

SECRET_MODE = 0o640


@click.group("config")
def command() -> None:
    """The configuration file, and the PBX's configuration made from it."""


@command.command()
@configured
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def check(settings: Settings, as_json: bool) -> None:
    """Is the file in order?  Says what is configured, and what is missing for calls."""
    missing = list(_missing(settings))
    if as_json:
        nodes, trunks = [node.name for node in settings.nodes], [trunk.name for trunk in settings.trunks]
        print_json({"ok": True, "nodes": nodes, "trunks": trunks, "warnings": missing})
        return
    click.echo(f"in order: {len(settings.nodes)} nodes, {len(settings.trunks)} trunks")
    for warning in missing:
        click.echo(f"but: {warning}")


def _missing(settings: Settings) -> list[str]:
    found = []
    if not settings.nodes:
        found.append("there is no node: add `nodes:`, or nothing can be called")
    if not settings.trunks:
        found.append("there is no trunk: add `trunks:`, or no number can be reached")
    for node in settings.nodes:
        try:
            render(settings, node)
        except NotRenderable as error:
            found.append(f"{error}; `patchbay config render` refuses it")
    for trunk in settings.trunks:
        unknown = set(trunk.nodes) - {node.name for node in settings.nodes}
        found += [f"trunk {trunk.name} names the node {name}, which there is not" for name in sorted(unknown)]
    return found


@command.command("render")
@configured
@click.option("--node", "name", metavar="NAME", help="The node [the only one].")
@click.option("--output", "-o", type=click.Path(file_okay=False, path_type=Path), help="Write the files into this folder.")
@click.option("--no-database", is_flag=True, help="Leave out the nodes and trunks that were added at run time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: file names to text.")
def render_files(settings: Settings, name: str | None, output: Path | None, no_database: bool, as_json: bool) -> None:
    """The PBX's configuration files for a node: printed, or written into a folder.  They bear secrets.

    Nodes and trunks that were added at run time are read from the database."""
    if not no_database:
        from controller.cli.added import with_added

        settings = with_added(settings)
    try:
        files = render(settings, _node(settings, name))
    except NotRenderable as error:
        raise Ended(str(error), FAILED) from None
    if output is not None:
        _write(files, output)
    if as_json:
        print_json({"files": sorted(files), "folder": str(output)} if output else {"files": files})
    elif output is None:
        for file_name, text in sorted(files.items()):
            click.echo(f"<!-- {file_name} -->\n{text}" if file_name.endswith(".xml") else f";;; {file_name}\n{text}")
    else:
        click.echo(f"{len(files)} files in {output}; next: copy them to the PBX's configuration folder and reload it")


def _node(settings: Settings, name: str | None) -> Node:
    found = [node for node in settings.nodes if name in (None, node.name)]
    if len(found) != 1:
        raise Ended(f"name one of the nodes with --node: {', '.join(node.name for node in settings.nodes) or 'none'}", USAGE)
    return found[0]


def _write(files: dict[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            target = folder / name
            target.touch(mode=SECRET_MODE)
            target.chmod(SECRET_MODE)
            target.write_text(text)
    except OSError as error:
        raise Ended(f"{folder} cannot be written: {error.strerror}") from None
