"""A trunk that is added while the controller runs: once the PBX is rendered anew and has reloaded, phones are rung over it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.far_end import A, Lab
from tests.lab.receiver import Receiver
from tests.lab.stage import Stage
from tests.lab.story import WITHIN_S, Story

DOMAIN = "late.example.org"
"""What the phones see in `From` of a call over the added trunk, and of no other."""
RELOAD = {"asterisk": ("module reload res_pjsip.so",), "freeswitch": ("reloadxml", "sofia profile patchbay rescan")}
KNOWN = {"asterisk": ("pjsip show endpoint late", "from_domain"), "freeswitch": ("sofia status gateway late", "late")}


@pytest.fixture(scope="module")
def own(short_folder: Path, pbx_kind: str) -> Iterator[Stage]:
    """A lab of its own: its PBX is given another configuration."""
    with Lab(short_folder / "trunks", pbx_kind, owner=os.getpid()) as lab, Receiver() as receiver:
        stage = Stage(lab, receiver)
        yield stage
        stage.assert_nothing_is_left()


def rendered(stage: Stage) -> dict[str, str]:
    """The PBX's configuration as `patchbay config render` has it now."""
    command = [Path(sys.executable).with_name("patchbay"), "config", "render", "--node", stage.lab.node, "--json"]
    told = subprocess.run([*command, "--config", "patchbay.yaml"], cwd=stage.lab.folder, capture_output=True, check=True)
    files: dict[str, str] = json.loads(told.stdout)["files"]
    return files


def reload(stage: Stage) -> None:
    """Give the PBX that configuration, and wait until it has taken it."""
    folder = stage.lab.folder / stage.lab.kind / ("conf" if stage.lab.kind == "freeswitch" else "etc")
    for name, text in rendered(stage).items():
        (folder / name).write_text(text)
    (console,) = stage.lab.consoles
    for command in RELOAD[stage.lab.kind]:
        console.ask(command)
    command, word = KNOWN[stage.lab.kind]
    deadline = time.monotonic() + WITHIN_S
    while word not in console.ask(command):
        assert time.monotonic() < deadline, "the PBX does not know the trunk"
        time.sleep(0.1)  # nothing says when it has reloaded


def domains(story: Story) -> dict[str, bool]:
    """Which phone of a story was called over the added trunk."""
    return {leg: DOMAIN in story.invited(leg)["headers"]["From"] for leg in ("caller", "callee")}


def test_an_added_trunk_carries_calls_once_the_pbx_knows_it(own: Stage) -> None:
    before = rendered(own)
    sip: dict[str, Any] = {"host": "127.0.0.1", "port": own.lab.description["ports"]["phones_sip"], "from_domain": DOMAIN}
    late = {"name": "late", "prefixes": [A], "kinds": [own.lab.kind], "concurrent": 5, "sip": {**sip, "codecs": ["ulaw"]}}
    status, answer = own.patiently("POST", "/v1/trunks", late)
    assert (status, answer["added"]) == (201, True)
    with ExitStack() as stories:
        unknown = stories.enter_context(Story(own, "not rendered yet")).begin()
        assert unknown.until("call.ended")["data"]["disposition"] == "failed"
        assert rendered(own) != before
        reload(own)
        both = stories.enter_context(Story(own, "over both trunks")).begin()
        both.talk()
        assert domains(both) == {"caller": True, "callee": False}
        assert own.ask("PATCH", "/v1/trunks/late", {"state": "draining"})[1]["state"] == "draining"
        other = stories.enter_context(Story(own, "over the old one")).begin()
        other.talk()
        assert domains(other) == {"caller": False, "callee": False}
        for story in (both, other):
            assert story.cancel()[0]
            story.until("cdr.created")
