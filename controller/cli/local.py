"""What the commands share that work on this machine: the configuration file."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.cli.common import USAGE, Ended
from controller.config import ConfigInvalid, load

R = TypeVar("R")

DEFAULTS = ("patchbay.yaml", "/etc/patchbay/patchbay.yaml")


def find_config(given: str | None) -> Path:
    """The configuration file: the one named, else PATCHBAY_CONFIG, else the first of the usual places that is there."""
    named = given or os.environ.get("PATCHBAY_CONFIG")
    if named:
        return Path(named)
    for place in DEFAULTS:
        if Path(place).is_file():
            return Path(place)
    raise Ended(f"no configuration file: name one with --config (looked for {' and '.join(DEFAULTS)})", USAGE)


def configured(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command its ``settings`` and the option that names their file."""

    @click.option("--config", "config", metavar="FILE", help=f"The configuration [PATCHBAY_CONFIG, {', '.join(DEFAULTS)}].")
    @functools.wraps(command)
    def wrapped(*args: Any, config: str | None, **kwargs: Any) -> R:
        try:
            settings = load(find_config(config))
        except ConfigInvalid as invalid:
            raise Ended(str(invalid), USAGE) from None
        return command(*args, settings=settings, **kwargs)

    return wrapped
