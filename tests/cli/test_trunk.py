"""`patchbay trunk` against a running house."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.asyncio(loop_scope="session")
TEXT = """name: uk
prefixes: ["+44"]
kinds: [asterisk]
sip: {host: sip.carrier.example, username: "4711", password: hidden-word}
"""


async def test_a_trunk_is_added_listed_changed_drained_and_kept_while_it_may_have_calls(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "trunk.yaml"
    file.write_text(TEXT)
    added = await run("trunk", "add", file)
    assert (added.code, "config render" in added.out, "hidden-word" in added.out + added.err) == (0, True, False)
    again = await run("trunk", "add", file, "--json")
    assert (again.code, again.json["code"]) == (1, "conflict")
    listed = await run("trunk", "list")
    assert all(word in listed.out for word in ("uk", "+44", "asterisk", "added", "carrier", "configuration"))
    assert [item["name"] for item in (await run("trunk", "list", "--limit", 1, "--json")).json["items"]] == ["carrier"]
    file.write_text('concurrent: 9\nprefixes: ["+44", "+353"]\n')
    changed = await run("trunk", "change", "uk", file, "--json")
    assert (changed.json["concurrent"], changed.json["prefixes"]) == (9, ["+44", "+353"])
    assert (await run("trunk", "show", "uk", "--json")).json == changed.json
    assert "+353" in (await run("trunk", "show", "uk")).out
    assert (await run("trunk", "drain", "uk", "--json")).json["state"] == "draining"
    kept = await run("trunk", "remove", "uk")
    assert (kept.code, "every controller" in kept.err) == (1, True)
    assert (await run("trunk", "drain", "uk", "--undo", "--json")).json["state"] == "up"
    assert "hidden-word" not in (await run("trunk", "list", "--json")).out


async def test_what_cannot_be_is_said_with_its_exit_code(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "trunk.yaml"
    for text, code in (("just words", 2), ("concurrent: 1", 2), ("{", 2), ("name: uk2\nconcurrent: 0", 1)):
        file.write_text(text)
        assert (await run("trunk", "add", file)).code == code, text
    configured = await run("trunk", "drain", "carrier")
    assert (configured.code, "configuration file" in configured.err) == (1, True)
    assert (await run("trunk", "show", "nobody")).code == 3
