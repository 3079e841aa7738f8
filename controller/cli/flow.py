"""`patchbay flow`: check and draw the graphs that calls walk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from controller import assets
from controller.cli.common import FAILED, USAGE, Ended, print_json
from controller.core.flow import Flow, FlowInvalid, Node, parse
from controller.core.notation import END
from controller.services.flows import read


@click.group("flow")
def command() -> None:
    """The graphs that calls walk: check them, draw them."""


@command.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check flow FILES (or folders; without any, the flows that ship): each fault with file, node and cure."""
    faults, checked = [], 0
    for path in _all(files or (assets.dialplans() / "flows",)):
        checked += 1
        try:
            parse(read(path))
        except FlowInvalid as invalid:
            faults += [{"file": str(path), "node": p.node, "what": p.what, "cure": p.cure} for p in invalid.problems]
    if not checked:
        raise Ended("there is no *.yaml file there", USAGE)
    if as_json:
        print_json({"ok": not faults, "checked": checked, "problems": faults})
    for fault in () if as_json else faults:
        place = f"node {fault['node']}" if fault["node"] else "the file as a whole"
        click.echo(f"{fault['file']}: {place}: {fault['what']}\n    cure: {fault['cure']}")
    if faults:
        raise Ended(f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in {checked} files", FAILED)
    if not as_json:
        click.echo(f"{checked} flow{'s are' if checked > 1 else ' is'} in order")


@command.command()
@click.argument("flow")
@click.option("--format", "kind", type=click.Choice(["text", "mermaid", "dot"]), default="text", show_default=True)
def draw(flow: str, kind: str) -> None:
    """A picture of FLOW: a file, or the name of a flow that ships."""
    path = Path(flow)
    if not path.suffix and "/" not in flow:
        path = assets.dialplans() / "flows" / f"{flow}.yaml"
    if not path.is_file():
        raise Ended(f"there is no flow {flow}", 3)
    try:
        drawn = parse(read(path))
    except FlowInvalid as invalid:
        raise Ended(f"{path}: {invalid}") from None
    click.echo("\n".join(DRAW[kind](drawn)))


def _all(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.yaml")) if path.is_dir() else [path]


def _edges(node: Node) -> dict[str, list[str]]:
    """The next nodes, each with the outcomes that lead there, in the order of the file."""
    found: dict[str, list[str]] = {}
    for outcome, following in node.edges.items():
        found.setdefault(following, []).append(outcome)
    return found


def _title(node: Node) -> str:
    return f"{node.name}: {node.kind} {node.subject}"


def _text(flow: Flow) -> Iterator[str]:
    """Indented by the way that first leads to a node; a node that was drawn before is only named."""
    yield f"{flow.name} ({flow.version}), needs {', '.join(flow.needs) or 'nothing'}"
    drawn: set[str] = set()

    def branch(name: str, lead: str, indent: str) -> Iterator[str]:
        node = flow.nodes.get(name)
        if node is None or name in drawn:
            yield f"{indent}{lead}{name}{'' if name == END else ' (above)'}"
            return
        drawn.add(name)
        yield f"{indent}{lead}{_title(node)}"
        for following, outcomes in _edges(node).items():
            yield from branch(following, f"{' | '.join(outcomes)} -> ", indent + "  ")

    yield from branch(flow.start, "", "")


def _mermaid(flow: Flow) -> Iterator[str]:
    yield "flowchart TD"
    for name, node in flow.nodes.items():
        yield f"  n_{_word(name)}[{_quoted(_title(node))}]"
    yield f"  n_{END}(({END}))"
    for name, node in flow.nodes.items():
        for following, outcomes in _edges(node).items():
            yield f"  n_{_word(name)} -->|{_quoted(', '.join(outcomes))}| n_{_word(following)}"


def _dot(flow: Flow) -> Iterator[str]:
    yield f"digraph {_quoted(flow.name)} {{"
    for name, node in flow.nodes.items():
        yield f"  {_quoted(name)} [shape=box label={_quoted(_title(node))}];"
    for name, node in flow.nodes.items():
        for following, outcomes in _edges(node).items():
            yield f"  {_quoted(name)} -> {_quoted(following)} [label={_quoted(', '.join(outcomes))}];"
    yield "}"


def _word(name: str) -> str:
    return name.replace("-", "_")


def _quoted(text: Any) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', "'") + '"'


DRAW = {"text": _text, "mermaid": _mermaid, "dot": _dot}
