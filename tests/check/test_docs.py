"""The docs do not promise what is not there: links lead somewhere, commands exist, the example configuration loads."""

import re
from pathlib import Path

import click
import pytest

from cli import COMMANDS, main
from controller.config import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "pbx-config").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    context = click.Context(main)
    for words in re.findall(r"\bpatchbay ((?:[a-z-]+ ?){1,2})", page.read_text()):
        name, *more = words.split()
        if name not in COMMANDS:
            continue  # prose
        command = main.get_command(context, name)
        assert command is not None
        if more and isinstance(command, click.Group):
            assert more[0] in command.commands, f"patchbay {words}"


def test_every_command_loads_and_helps() -> None:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.get_help(click.Context(command, info_name=name)), name


def test_the_configuration_in_start_loads(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "start.md").read_text()
    (block,) = [part for part in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE) if "nodes:" in part]
    path = tmp_path / "patchbay.yaml"
    path.write_text("".join(line[4:] + "\n" for line in block.splitlines()))
    assert load(path).nodes[0].name == "pbx1"
