"""The flows in use: read from YAML files, checked, kept by version so that a running call ends as it began."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from controller.core.flow import Flow, FlowInvalid, Problem, parse


class FlowBook:
    """Flows by name (the latest) and by version."""

    def __init__(self, kept: Mapping[tuple[str, str], Flow] | None = None) -> None:
        self._latest: dict[str, Flow] = {}
        self._versions: dict[tuple[str, str], Flow] = dict(kept or {})
        self._documents: dict[str, Any] = {}

    def add(self, document: Any) -> Flow:
        """Make this document its flow's latest version.  Raises FlowInvalid."""
        flow = parse(document)
        self._latest[flow.name] = flow
        self._versions[flow.name, flow.version] = flow
        self._documents[flow.name] = document
        return flow

    def latest(self, name: str) -> Flow:
        """The version for new calls.  Raises KeyError."""
        return self._latest[name]

    def version(self, name: str, version: str) -> Flow:
        """The version that a call began with.  Raises KeyError."""
        return self._versions[name, version]

    def document(self, name: str) -> Any:
        """The latest version as it was written.  Raises KeyError."""
        return self._documents[name]

    def names(self) -> list[str]:
        """All flows."""
        return sorted(self._latest)


def read(path: Path) -> Any:
    """The document in a flow file.  Raises FlowInvalid naming the file, and the line where YAML itself is broken."""
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FlowInvalid(path.name, [Problem("", f"this is no YAML: {error}", "mend it there")]) from None


def read_folder(folder: Path) -> list[Any]:
    """All flow documents of a folder, by name of file.  Raises FlowInvalid."""
    return [read(path) for path in sorted(folder.glob("*.yaml"))]
