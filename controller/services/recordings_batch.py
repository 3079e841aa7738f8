"""Many recordings in one go: what is done in a thread is done for all that are ready, and their folders reach the disk once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.ports import StoredRecording
from controller.services import wav
from controller.services.disk import sync_folder

Outcome = StoredRecording | Exception
"""What became of a file: stored, or why not (``wav.NothingRecorded``, ``wav.Broken``, OSError)."""


@dataclass(frozen=True, slots=True)
class Job:
    """``source``, which must have ``size`` bytes before and after, is to become ``target``; no source: is it there already?

    ``fetched``: the source is our own copy and goes when the job is over."""

    source: Path | None
    target: Path
    size: int = 0
    fetched: bool = False


def store_all(jobs: Sequence[Job]) -> list[Outcome]:
    """Write the files, durably; one that fails takes no other along.  Blocks."""
    outcomes: list[Outcome] = [_store(job) for job in jobs]
    written = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, StoredRecording)]
    for folder in {jobs[number].target.parent for number in written}:
        try:
            sync_folder(folder)
        except OSError as error:
            for number in written:
                if jobs[number].target.parent == folder:
                    outcomes[number] = error
    return outcomes


def _store(job: Job) -> Outcome:
    try:
        if job.source is None:
            return wav.stored(job.target)
        stored = wav.store(job.source, job.target, durable_name=False)
        if job.source.stat().st_size != job.size:
            raise OSError("the file still grows")
        return stored
    except FileNotFoundError as error:
        return wav.NothingRecorded() if job.source is None else error
    except (wav.NothingRecorded, wav.Broken, OSError) as error:
        return error
    finally:
        if job.fetched and job.source is not None:
            job.source.unlink(missing_ok=True)
