"""Files of a batch: each has its own fate, and none counts as stored before its folder is on the disk."""

import errno
import os
from pathlib import Path

import pytest

from controller.ports import StoredRecording
from controller.services import wav
from controller.services.recordings_batch import Job, store_all

AUDIO = b"\1\2\3\4" * 100


def job(folder: Path, name: str, audio: bytes | None = AUDIO, **changes: object) -> Job:
    source = folder / f"{name}.raw"
    if audio is not None:
        source.write_bytes(audio)
    given = {"source": source, "target": folder / "out" / f"{name}.wav", "size": len(audio or b"")} | changes
    return Job(**given)  # type: ignore[arg-type]


def test_one_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    outcomes = store_all(
        [
            job(tmp_path, "good"),
            job(tmp_path, "gone", audio=None),
            job(tmp_path, "empty", audio=b""),
            job(tmp_path, "grown", size=4),
            job(tmp_path, "also good"),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [
        StoredRecording,
        FileNotFoundError,
        wav.NothingRecorded,
        OSError,
        StoredRecording,
    ]


def test_what_is_there_already_is_found(tmp_path: Path) -> None:
    [first] = store_all([job(tmp_path, "a")])
    assert store_all([job(tmp_path, "a", source=None), job(tmp_path, "b", source=None)])[0] == first
    assert isinstance(store_all([job(tmp_path, "b", source=None)])[0], wav.NothingRecorded)


def test_a_fetched_copy_goes_in_any_case(tmp_path: Path) -> None:
    store_all([job(tmp_path, "a", fetched=True), job(tmp_path, "b", audio=b"", fetched=True)])
    assert list(tmp_path.glob("*.raw")) == []


def test_a_folder_that_does_not_reach_the_disk_undoes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync_folder(folder: Path) -> None:
        if folder.name == "bad":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("controller.services.recordings_batch.sync_folder", sync_folder)
    outcomes = store_all(
        [job(tmp_path, "a"), job(tmp_path, "b", target=tmp_path / "bad" / "b.wav"), job(tmp_path, "c", audio=b"")]
    )
    assert [type(outcome) for outcome in outcomes] == [StoredRecording, OSError, wav.NothingRecorded]
