"""Service names as cluster DNS gives them, in a hosts file.

``NAME.NAMESPACE``, ``NAME.NAMESPACE.svc`` and ``NAME.NAMESPACE.svc.cluster.local`` for every Service
with an address, and the bare ``NAME`` for those of one namespace (a pod's own, elsewhere; all pods
share one file here). Written in place, since the file is bind-mounted: in one write, so that a
reader sees whole lines at worst without the last ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_FIRST: Final = "127.0.0.1 localhost\n"


def text(addresses: Mapping[tuple[str, str], str], bare: str = "default") -> str:
    """The file for these addresses by (namespace, name)."""
    lines = [
        f"{address} {' '.join(names(namespace, name, bare))}\n"
        for (namespace, name), address in sorted(addresses.items())
    ]
    return _FIRST + "".join(lines)


def names(namespace: str, name: str, bare: str = "default") -> list[str]:
    """What a Service is called, longest first."""
    full = f"{name}.{namespace}"
    return [f"{full}.svc.cluster.local", f"{full}.svc", full, *([name] if namespace == bare else [])]


def write(file: Path, content: str) -> None:
    """Rewrite the file in place, if it differs."""
    if file.read_text() == content:
        return
    with file.open("r+b") as opened:
        opened.write(content.encode())
        opened.truncate()
