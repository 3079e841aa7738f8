"""The wheel holds all that a checkout does: `pip install` elsewhere can still render configuration and open a lab."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"controller": "controller", "dialplans": "patchbay_dialplans", "pbx-config": "patchbay_pbx_config"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of a wheel built from a copy of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in (*FOLDERS, "cli.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(copy),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_every_package_is_named_in_setup_cfg() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    named = set(settings["options"]["packages"].split())
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "controller").rglob("__init__.py")}
    assert named == there | {"patchbay_dialplans", "patchbay_pbx_config"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_folder_is_in_the_wheel(unpacked: Path, folder: str) -> None:
    def files(top: Path) -> set[str]:
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and path.parent.name != "__pycache__"}

    assert files(ROOT / folder) - files(unpacked / FOLDERS[folder]) == set()


def test_what_is_installed_finds_its_assets_and_its_command(unpacked: Path, tmp_path: Path) -> None:
    words = "from controller import assets; from cli import main; print(assets.dialplans()); print(assets.pbx_config())"
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-c", words]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == [str(unpacked / "patchbay_dialplans"), str(unpacked / "patchbay_pbx_config")]
    script = unpacked / "controller" / "lab" / "asterisk-root.sh"
    assert script.read_text().startswith("#!/bin/bash")
