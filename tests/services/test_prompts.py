"""Whether a prompt is there, as far as it can be seen from here."""

from pathlib import Path

import pytest

from controller.services import prompts
from controller.services.prompts import Prompts


def folder(path: Path, *names: str) -> Path:
    """A folder with these prompts."""
    path.mkdir()
    for name in names:
        (path / f"{name}.wav").touch()
    return path


async def test_what_any_node_has_is_there(tmp_path: Path) -> None:
    folders = [folder(tmp_path / "one", "beep"), folder(tmp_path / "two", "hello")]
    (tmp_path / "one" / "notes.txt").touch()
    known = Prompts(lambda: folders)
    assert await known.missing(["beep", None, "", "hello"]) is None
    assert await known.missing(["hello", "notes", "other"]) == "notes"


async def test_one_that_is_added_later_is_found(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "beep")
    known = Prompts(lambda: [one])
    assert await known.missing(["hello"]) == "hello"
    (one / "hello.wav").touch()
    assert await known.missing(["hello"]) is None


async def test_of_a_folder_on_another_machine_nobody_can_say(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "beep")
    for folders in ([one, tmp_path / "elsewhere"], [], [folder(tmp_path / "empty")]):
        assert await Prompts(lambda folders=folders: folders).missing(["hello"]) is None  # type: ignore[misc]


async def test_a_disk_that_does_not_answer_holds_no_request_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prompts, "LOOK_WITHIN_S", 0.0)
    assert await Prompts(lambda: [folder(tmp_path / "one", "beep")]).missing(["hello"]) is None


async def test_what_was_seen_is_not_looked_for_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def folders() -> list[Path]:
        asked.append(1)
        return [one]

    one = folder(tmp_path / "one", "beep", "hello")
    known = Prompts(folders)
    for _ in range(5):
        assert await known.missing(["beep", "hello"]) is None
    assert len(asked) == 1
