"""The set-up: one script for the README, CI and vagrant, quick and quiet when there is nothing to do."""

import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("vagrant/provision/setup.sh", "vagrant/provision/dev.sh", ".ci/run", "controller/lab/asterisk-root.sh")


def test_vagrant_takes_the_vagrantfile(tmp_path: Path) -> None:
    shutil.copy(ROOT / "vagrant" / "Vagrantfile", tmp_path / "Vagrantfile")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VAGRANT_CHECKPOINT_DISABLE": "1"}
    command = ["vagrant", "validate", "--ignore-provider"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_vagrant_and_make_and_ci_run_the_same_script() -> None:
    assert "vagrant/provision/setup.sh --tests" in (ROOT / "vagrant" / "Vagrantfile").read_text()
    assert "vagrant/provision/setup.sh --tests" in (ROOT / "Makefile").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_script_parses_and_may_be_run() -> None:
    for name in SCRIPTS:
        path = ROOT / name
        assert path.stat().st_mode & 0o111, name
        subprocess.run(["bash", "-n", str(path)], check=True, timeout=10)


def test_the_second_asterisk_root_takes_no_time_and_is_readable_by_all() -> None:
    script = ROOT / "controller" / "lab" / "asterisk-root.sh"
    begun = time.monotonic()
    told = subprocess.run([script], capture_output=True, text=True, check=True, timeout=100)
    assert time.monotonic() - begun < 5
    root = Path(told.stdout.strip())
    assert (root / "MANIFEST.sha256").read_text().count("asterisk") >= 2
    assert (root / "asterisk").stat().st_mode & 0o005 == 0o005
