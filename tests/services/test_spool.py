"""A spool on this machine's disk, and where stored files lie."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.services import wav
from controller.services.recordings import file_of, verify
from controller.services.spool import DiskSpool
from tests.services.recording_room import AUDIO, recording_of


def test_a_stored_file_is_verified_against_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert verify(path, "0" * 64) == "missing"
    (tmp_path / "a.raw").write_bytes(AUDIO)
    stored = wav.store(tmp_path / "a.raw", path)
    assert verify(path, stored.sha256) == "ok"
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    assert verify(path, stored.sha256) == "changed"


@given(st.integers(0, 253_402_300_799_999), st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=16, max_size=16))
def test_a_file_lies_where_its_day_says(at: int, rest: str) -> None:
    stamp = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(at >> (5 * place)) & 31] for place in reversed(range(10)))
    path = file_of(stamp + rest + "0003")
    assert re.fullmatch(r"\d{4}/\d{2}/\d{2}/rec_[0-9A-Z]{30}\.wav", path)
    if at == 0:
        assert path.startswith("1970/01/01/")


async def test_a_spool_shows_no_links_and_takes_no_other_names(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path)
    name = recording_of(1) + ".raw"
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / name).symlink_to(tmp_path / "secret")
    assert list(await spool.list()) == []
    with pytest.raises(OSError, match="symbolic links"):
        await spool.fetch(name, tmp_path / "out")
    for bad in ["../secret", "secret", name + "/x", "/etc/passwd", "", name[:-4]]:
        with pytest.raises(ValueError, match="no recording"):
            spool.local(bad)
        with pytest.raises(ValueError, match="no recording"):
            await spool.delete(bad)
    with pytest.raises(FileNotFoundError):
        await spool.fetch(recording_of(2) + ".raw", tmp_path / "out")
    await spool.delete(recording_of(2) + ".raw")
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(AUDIO)
    assert [(file.name, file.size) for file in await spool.list()] == [(name, len(AUDIO))]
    await spool.fetch(name, tmp_path / "new" / "out")
    assert (tmp_path / "new" / "out").read_bytes() == AUDIO


async def test_a_spool_is_asked_for_some_recordings_and_knows_no_others(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path)
    first, second = recording_of(1), recording_of(2)
    for recording in (first, second):
        (tmp_path / f"{recording}.raw").write_bytes(AUDIO)
    asked = [first, recording_of(3), "../" + second, ""]
    assert [file.name for file in await spool.list(asked)] == [f"{first}.raw"]
    with pytest.raises(FileNotFoundError):
        await DiskSpool(tmp_path / "away").list([first])
