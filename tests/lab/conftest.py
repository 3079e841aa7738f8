"""Fixtures of the far-end tests: `lab` is the whole (PBX, phones, controller), `rig` a bare Asterisk with phones."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.lab.doomed", "tests.lab.searched", "tests.lab.stage", "tests.lab.story")

from tests.lab.doomed import Doomed, impatient  # noqa: E402
from tests.lab.far_end import Lab  # noqa: E402  (asserts of helpers say what they saw only if asked before the import)
from tests.lab.proxy import Proxy  # noqa: E402
from tests.lab.receiver import Receiver  # noqa: E402
from tests.lab.rig import Rig  # noqa: E402
from tests.lab.searched import check_run  # noqa: E402
from tests.lab.stage import Stage  # noqa: E402
from tests.lab.together import Crowd, is_story, parameters_of  # noqa: E402


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder with a short path that the PBX's own user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def lab(short_folder: Path, pbx_kind: str) -> Iterator[Lab]:
    """One lab for all tests of this run; its prompts are tones.  It ends with us, whatever happens to us."""
    with Lab(short_folder / "lab", pbx_kind, owner=os.getpid()) as running:
        yield running


@pytest.fixture(scope="session")
def rig(short_folder: Path) -> Iterator[Rig]:
    """An Asterisk with a plain dialplan of the tests' own, and the phones."""
    with Rig(short_folder / "rig") as running:
        yield running


@pytest.fixture(scope="session")
def stage(lab: Lab) -> Iterator[Stage]:
    """The lab with a receiver of all its facts."""
    with Receiver() as receiver:
        stage = Stage(lab, receiver)
        yield stage
        check_run(stage)


@pytest.fixture(scope="module")
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    """The selected stories of this module, all begun; when they are over nothing of them may be left."""
    items = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    mortal = any(is_story(item) and "death" in parameters_of(item) for item in items)
    stage: Stage = request.getfixturevalue("doomed" if mortal else "stage")
    crowd = Crowd(stage, items)
    yield crowd
    crowd.wait()
    stage.assert_nothing_is_left()


@pytest.fixture(scope="session")
def doomed(short_folder: Path, pbx_kind: str) -> Iterator[Doomed]:
    """A lab of its own for faults: the way to its PBX is a proxy that can be cut, and webhooks are tried again soon."""
    with (
        Lab(short_folder / "doomed", pbx_kind, owner=os.getpid()) as lab,
        Receiver() as receiver,
        Proxy(lab.control_port) as proxy,
    ):
        lab.configure(lambda settings: impatient(settings, proxy.port))
        stage = Doomed(lab, receiver, proxy)
        yield stage
        check_run(stage)
