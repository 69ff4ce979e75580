"""What was found, where, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from coalmine_cli.linting.manifests import Manifest
from coalmine_cli.linting.positions import line_of


class Severity(StrEnum):
    """An error is refused by the cluster, or would not do what it says; a warning may be meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one field; kind and name are "" for a file that cannot be read."""

    file: str
    line: int
    severity: Severity
    message: str
    kind: str = ""
    name: str = ""
    path: str = ""

    @property
    def text(self) -> str:
        """As compilers print it, so that editors find the line."""
        about = f"{self.kind} {self.name}: " if self.kind else ""
        return f"{self.file}:{self.line}: {self.severity.value}: {about}{self.message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "severity": self.severity.value,
            "kind": self.kind,
            "name": self.name,
            "path": self.path,
            "message": self.message,
        }


def found(manifest: Manifest, severity: Severity, path: str, message: str) -> Finding:
    """A finding about the field at `path`; the message is the whole sentence."""
    metadata = manifest.object.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    kind = str(manifest.object.get("kind", ""))
    return Finding(
        manifest.file,
        line_of(manifest.node, path),
        severity,
        message,
        kind,
        name if isinstance(name, str) else "",
        path,
    )
