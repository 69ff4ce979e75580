"""Writes what is generated below manifests/: the CustomResourceDefinitions, and the Helm chart.

    python -m manifests.generate [--check]

Run by ``make manifests``. With ``--check`` nothing is written: it ends with 1 when a file is not as it would be.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from manifests.generate import base, chart, definitions

MANIFESTS: Final = Path(__file__).resolve().parents[1]


def crds() -> dict[Path, str]:
    """The CustomResourceDefinitions, by their paths below manifests/."""
    return {Path("crds") / name: text for name, text in definitions.files().items()}


def files() -> dict[Path, str]:
    """Every generated file, by its path below manifests/. The chart is made of the base, and so of the kinds as they
    are written there."""
    objects = base.load(MANIFESTS / "base")
    return crds() | {Path("chart") / name: text for name, text in chart.files(objects).items()}


def stale(root: Path = MANIFESTS) -> list[str]:
    """The generated files that are not as they would be, and those in the chart that nobody generates."""
    wanted = files()
    wrong = [str(p) for p, text in wanted.items() if not (root / p).exists() or (root / p).read_text() != text]
    there = {path.relative_to(root) for path in (root / "chart").rglob("*") if path.is_file()}
    return sorted([*wrong, *(str(path) for path in there - wanted.keys())])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m manifests.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 when something would change")
    if parser.parse_args().check:
        for name in stale():
            print(f"manifests/{name} is not what its source says: run `make manifests`", file=sys.stderr)
        return int(bool(stale()))
    _write(crds())
    _write(files())
    return 0


def _write(found: dict[Path, str]) -> None:
    for path, text in found.items():
        target = MANIFESTS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
