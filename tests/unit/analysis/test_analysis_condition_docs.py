"""Every example of docs/conditions.md is run, and the page names every function and every bound."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from coalmine_controller.analysis.conditions import Condition, ConditionError
from coalmine_controller.analysis.conditions.budget import CHARACTERS, MAX_ELEMENTS, MAX_STEPS, MAX_STRING
from coalmine_controller.analysis.conditions.lexer import MAX_TEXT
from coalmine_controller.analysis.conditions.parser import MAX_DEPTH, MAX_NODES, PREDICATES
from coalmine_controller.analysis.conditions.patterns import NEW_PATTERN
from coalmine_controller.analysis.conditions.signatures import SIGNATURES
from coalmine_controller.analysis.values import read_json

_PAGE: Final = (Path(__file__).parents[3] / "docs" / "conditions.md").read_text(encoding="utf-8")
_BOXES: Final = re.findall(r"^```\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
_EXAMPLE: Final = re.compile(r"(?P<condition>.+?)  +of (?P<result>.+?)  +→ (?P<outcome>true|false|error)")


def _examples() -> list[tuple[str, str, str]]:
    found = []
    for line in "".join(_BOXES).splitlines():
        example = _EXAMPLE.fullmatch(line)
        assert example is not None, line
        found.append((example["condition"], example["result"], example["outcome"]))
    return found


@pytest.mark.parametrize(("condition", "result", "outcome"), _examples())
def test_an_example_gives_what_the_page_says(condition: str, result: str, outcome: str) -> None:
    value: Any = read_json(result)
    try:
        found = json.dumps(Condition.parse(condition).holds(value))
    except ConditionError:
        found = "error"
    assert found == outcome


def test_the_page_names_every_function_and_every_bound() -> None:
    words = set(re.findall(r"\w+", _PAGE))
    assert SIGNATURES.keys() | PREDICATES <= words
    for bound in (MAX_NODES, MAX_ELEMENTS, MAX_STEPS, NEW_PATTERN, MAX_DEPTH, CHARACTERS):
        assert f"{bound:,}" in _PAGE
    assert (MAX_TEXT, MAX_STRING) == (64 * 1024, 2 * 1024 * 1024)
    assert "64 KiB" in _PAGE
    assert "2 MiB" in _PAGE
