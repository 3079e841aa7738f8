"""The check of the house's rules finds what it is there to find."""

from pathlib import Path

import pytest

from tests.check import house


def tree(root: Path, **files: str) -> list[house.Source]:
    """A source tree with these files; ``__`` in a name stands for a folder."""
    for name, text in files.items():
        path = root / "controller" / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return house.sources(root, "controller")


def test_this_house_keeps_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main(Path(__file__).resolve().parents[2]) == 0, capsys.readouterr().err
    assert "test:code" in capsys.readouterr().out


def test_a_file_of_350_lines_passes_and_one_more_does_not(tmp_path: Path) -> None:
    files = tree(tmp_path, a="x = 1\n" * 350, b="x = 1\n" * 351)
    assert house.too_long(files) == ["controller/b.py:1: 351 lines, at most 350"]


def test_a_function_of_60_lines_passes_and_one_more_does_not(tmp_path: Path) -> None:
    files = tree(tmp_path, a="def f():\n" + " x = 1\n" * 59, b="import x\n@x.y\nasync def g():\n" + " x = 1\n" * 59)
    assert house.too_long(files) == ["controller/b.py:3: g has 61 lines, at most 60"]


def test_generated_migrations_are_exempt(tmp_path: Path) -> None:
    assert tree(tmp_path, store__migrations__versions__m1="x = 1\n" * 999) == []


def test_cycles_are_found_and_type_checking_imports_are_none(tmp_path: Path) -> None:
    files = tree(
        tmp_path,
        a="from controller import b",
        b="from controller.c import x",
        c="try:\n import controller.a\nexcept ImportError: pass",
        d="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n from controller import e",
        e="from . import d",
        f="def later():\n from controller import g",
        g="import controller.f",
    )
    assert house.cycles(files) == ["import cycle: controller.a -> controller.b -> controller.c"]


@pytest.mark.parametrize(
    "bad", ["import time", "from random import random", "import numpy", "from controller.ports import Pbx"]
)
def test_core_imports_nothing_impure(tmp_path: Path, bad: str) -> None:
    files = tree(
        tmp_path, core__a="import re\nfrom dataclasses import dataclass\nfrom controller.core import b\n" + bad, other=bad
    )
    assert {fault.partition(":")[0] for fault in house.impure(files)} == {"controller/core/a.py"}
