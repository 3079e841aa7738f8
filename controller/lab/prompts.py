"""The prompts of `dialplans/prompts/prompts.yaml` as sound files: tones that can be told apart by ear, or speech."""

import shlex
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import yaml

from controller import assets

TONE_S = 0.6
RATE = 8000


def prompts() -> dict[str, dict[str, Any]]:
    """The table: by name, `tone_hz` and either `say` or `sound`."""
    table: dict[str, dict[str, Any]] = yaml.safe_load((assets.prompts() / "prompts.yaml").read_text())
    return table


def tones() -> dict[str, int]:
    """The tone (Hz) that stands for each prompt."""
    return {name: prompt["tone_hz"] for name, prompt in prompts().items()}


def write_tones(folder: Path) -> None:
    """Each prompt as its tone, TONE_S long."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, hz in tones().items():
        write_tone(folder / f"{name}.wav", hz, TONE_S)


def write_tone(path: Path, hz: int, seconds: float) -> None:
    """A tone as a sound file."""
    from controller.lab.phones.sound import tone  # numpy takes a tenth of a second to load: only who makes tones pays for it

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone(hz, seconds).astype("<i2").tobytes())


def write_speech(folder: Path) -> None:
    """Each prompt as speech by espeak-ng or sound by sox.  Raises OSError, CalledProcessError when they fail."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = ["-r", str(RATE), "-c", "1", "-b", "16"]
    for name, prompt in prompts().items():
        target = str(folder / f"{name}.wav")
        if "say" not in prompt:
            subprocess.run(["sox", "-n", *shape, target, *shlex.split(prompt["sound"])], check=True, timeout=60)
            continue
        with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
            speak = ["espeak-ng", "-v", "en-us+f3", "-s", "150", "-w", spoken.name, prompt["say"]]
            subprocess.run(speak, check=True, timeout=60)
            subprocess.run(
                ["sox", spoken.name, *shape, target, "gain", "-n", "-6", "pad", "0.1", "0.1"], check=True, timeout=60
            )


if __name__ == "__main__":
    write_speech(Path(sys.argv[1]) if len(sys.argv) > 1 else assets.prompts())
