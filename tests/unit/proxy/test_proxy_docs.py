"""The page about the proxy names the test that shows each rule: those tests must be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "proxy.md").read_text()
FOLDERS = [ROOT / "tests" / "unit" / "proxy", ROOT / "tests" / "unit" / "proxy_conformance"]


def found(name: str) -> Path | None:
    return next((folder / name for folder in FOLDERS if (folder / name).exists()), None)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(cases_\w+\.py|test_\w+\.py::\w+)`", PAGE))))
def test_what_it_names_exists(name: str) -> None:
    file, _, function = name.partition("::")
    path = found(file)
    assert path is not None
    assert not function or f"def {function}(" in path.read_text()


def test_every_line_of_the_checklist_is_there() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| \d+ ", line)]
    assert {int(row.split()[1]) for row in rows} == set(range(1, 14))
