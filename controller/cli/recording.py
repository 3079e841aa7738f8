"""`patchbay recording`: look at, download and verify recordings."""

import hashlib
from pathlib import Path
from typing import Any

import click
import httpx2

from controller.cli.common import FAILED, Api, Ended, connected, limited, show, show_list
from controller.cli.given import period


@click.group("recording")
def command() -> None:
    """Recordings: list, download, verify."""


@command.command("list")
@click.option("--call", "call_id", metavar="ID")
@click.option("--status", metavar="STATUS", help="recording, paused, stopped, stored or failed.")
@period
@limited
@connected
def list_all(api: Api, limit: int, **where: Any) -> None:
    """Recordings, the newest first."""
    show_list(
        api,
        api.items("/v1/recordings", limit, **where),
        {
            "id": lambda item: item["id"],
            "status": lambda item: item["status"],
            "started": lambda item: item["started_at"],
            "seconds": lambda item: item["duration_s"],
            "bytes": lambda item: item["size"],
            "call": lambda item: item["call_id"],
        },
    )


@command.command()
@click.argument("recording_id")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file [RECORDING_ID.wav].")
@connected
def get(api: Api, recording_id: str, output: Path | None) -> None:
    """Download a recording; its checksum is verified."""
    recording = api.send("GET", f"/v1/recordings/{recording_id}")
    target = output or Path(recording["id"] + ".wav")
    partial = target.with_name(target.name + ".part")
    try:
        with partial.open("wb") as file:
            digest = _download(api, recording, file.write)
        _compare(recording, digest, "the download")
        partial.replace(target)
    except OSError as error:
        raise Ended(f"{target} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    show(api, {**recording, "file": str(target)}, {"file": target, "sha256": digest, "seconds": recording["duration_s"]})


@command.command()
@click.argument("recording_id")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@connected
def verify(api: Api, recording_id: str, file: Path | None) -> None:
    """Compare FILE, or the stored audio itself, with the checksum taken when it was stored."""
    recording = api.send("GET", f"/v1/recordings/{recording_id}")
    if file is not None:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    else:
        digest = _download(api, recording, lambda _chunk: None)
    _compare(recording, digest, str(file) if file else "the stored audio")
    show(api, {"id": recording["id"], "sha256": digest, "ok": True}, {"ok": digest})


def _download(api: Api, recording: dict[str, Any], keep: Any) -> str:
    """Feed the audio to ``keep`` and return its SHA-256.  Raises Ended."""
    digest = hashlib.sha256()
    if recording["status"] != "stored":
        raise Ended(f"it is not stored: {recording['status']}")
    try:
        with api.stream(recording["links"]["media"]) as answer:
            if answer.status_code != 200:
                raise Ended(f"the audio cannot be had: HTTP {answer.status_code}", 3 if answer.status_code == 404 else FAILED)
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                keep(chunk)
    except httpx2.HTTPError as error:
        raise api.unreachable(error) from None
    return digest.hexdigest()


def _compare(recording: dict[str, Any], digest: str, what: str) -> None:
    if digest != recording["sha256"]:
        raise Ended(f"{what} does not have the checksum that was taken when it was stored ({recording['sha256']})")
