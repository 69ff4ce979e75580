"""The table of facts in docs/native-controller.md is that of the conformance tests, no more and no less.

Needs no lab. ``UPDATE_GOLDEN=1`` writes the page anew from the tests' docstrings.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

_FOLDER = Path(__file__).parent
_PAGE = _FOLDER.parents[2] / "docs" / "native-controller.md"

_HEAD = """\
# The native controllers: what the design leans on

Coalmine works beside the Deployment controller, the ReplicaSet controller and the API server as they are. What
it leans on is not documented everywhere, and may change with a release of Kubernetes. So each fact is
a test, run against a real control plane by `make test-cluster`; a test that fails on a new release names what to
think about anew. The tests use the API alone, so that the same ones can judge a sandbox.

This page is made from the tests' docstrings (`UPDATE_GOLDEN=1`), and a test sees that it stays so. The tests are in
[tests/cluster/conformance](../tests/cluster/conformance).
"""


def modules() -> list[Path]:
    return sorted(path for path in _FOLDER.glob("test_conformance_*.py") if path != Path(__file__))


def facts(path: Path) -> list[tuple[str, str, str]]:
    """(test, fact, what leans on it) of each test of a module."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            parts = re.split(r"\n\s*\n", ast.get_docstring(node) or "", maxsplit=1)
            assert len(parts) == 2, f"{node.name}: its docstring is to say the fact, and then what leans on it"
            fact, leans = (" ".join(part.split()) for part in parts)
            found.append((node.name, fact, leans))
    return found


def page() -> str:
    lines = [_HEAD]
    for path in modules():
        title = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0].rstrip(".")
        lines += [f"## {title}", "", f"In [{path.name}](../tests/cluster/conformance/{path.name}).", ""]
        lines += ["| Fact | What leans on it | Test |", "|---|---|---|"]
        for test, fact, leans in facts(path):
            cells = [cell.replace("|", "\\|") for cell in (fact, leans)]
            lines.append(f"| {cells[0]} | {cells[1]} | `{test}` |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_has_every_fact() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        _PAGE.write_text(page())
    assert _PAGE.read_text() == page(), "make it anew with UPDATE_GOLDEN=1"


def test_each_test_is_named_once() -> None:
    names = [test for path in modules() for test, _, _ in facts(path)]
    assert len(names) == len(set(names))
