"""Where the files that are no Python lie: beside the code in a checkout, under their wheel names after `pip install`."""

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def _folder(in_checkout: str, in_wheel: str) -> Path:
    for name in (in_checkout, in_wheel):
        folder = _ROOT / name
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"neither {in_checkout}/ nor {in_wheel}/ in {_ROOT}: Patchbay is not completely installed")


def dialplans() -> Path:
    """The folder with `flows/`, `prompts/` and a folder per PBX."""
    return _folder("dialplans", "patchbay_dialplans")


def pbx_config() -> Path:
    """The folder with the configuration templates of each PBX."""
    return _folder("pbx-config", "patchbay_pbx_config")


def prompts(own: Path | None = None) -> Path:
    """The folder with a node's prompts: its own, or that of those that ship."""
    return own or dialplans() / "prompts"
