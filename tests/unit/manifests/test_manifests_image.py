"""The image: what it holds is locked, is all that its code imports, and runs as the manifests say."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from manifests.generate.base import POD, at, load

from coalmine_webhook import sidecar

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: The source roots whose packages are in the image; the sandbox is left out.
PACKAGES = ("core/coalmine", "webhook/coalmine_webhook", "proxy/coalmine_proxy", "controller/coalmine_controller")
CLI = "cli/coalmine_cli"
#: What the Dockerfile takes out of the command line: without it, `coalmine demo` says what to install.
WITHOUT = ("demo.py", "sandbox.py", "sandbox_screen.py", "stage")


def locked(name: str) -> dict[str, frozenset[str]]:
    """Pinned requirement -> its hashes."""
    found: dict[str, set[str]] = {}
    pin = ""
    for line in (ROOT / name).read_text().splitlines():
        if match := re.match(r"([a-z0-9._-]+==\S+)", line):
            pin = match[1]
        found.setdefault(pin, set()).update(re.findall(r"--hash=(\S+)", line))
    found.pop("", None)
    return {pin: frozenset(hashes) for pin, hashes in found.items()}


def imports(folder: Path) -> Iterator[str]:
    """The modules that a package's code imports, wherever in it, as far as the code is in the image."""
    for file in folder.rglob("*.py"):
        if file.relative_to(folder).parts[0] in WITHOUT:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_its_lock_pins_what_everybody_tests_with() -> None:
    tested, image = locked("requirements.lock"), locked("requirements-image.lock")
    assert image
    assert image.items() <= tested.items()
    assert all(image.values()), "each with its hashes"
    tools = {"mypy", "pytest", "hypothesis", "ruff", "hatchling", "cel-expr-python"}
    assert not {pin.partition("==")[0] for pin in image} & tools


def test_it_has_what_its_code_imports() -> None:
    image = {pin.partition("==")[0] for pin in locked("requirements-image.lock")}
    ours = {Path(path).name for path in (*PACKAGES, CLI)}
    known = packages_distributions()
    modules = {module for path in (*PACKAGES, CLI) for module in imports(ROOT / path)}
    wanted = {module.partition(".")[0] for module in modules}
    assert "coalmine_sandbox" not in wanted
    foreign = wanted - ours - sys.stdlib_module_names
    missing = {m for m in foreign if not {canonical(d) for d in known.get(m, [m])} & image}
    assert missing == set()


def test_what_is_taken_out_is_there() -> None:
    for name in WITHOUT:
        assert f"{CLI.rpartition('/')[2]}/{name}" in DOCKERFILE
        assert (ROOT / CLI / name).exists()
    used = {m for path in (*PACKAGES, CLI) for m in imports(ROOT / path) if m.startswith("kubernetes")}
    assert used == {"kubernetes.aio"}, "of the client library, connecting and credentials"


def test_what_it_copies_is_let_through() -> None:
    rules = (ROOT / ".dockerignore").read_text().split()
    copied = {
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)


def test_it_runs_as_the_manifests_and_sidecars_say() -> None:
    lines = DOCKERFILE.splitlines()
    assert f"USER {sidecar.USER}:{sidecar.USER}" in lines
    assert 'ENTRYPOINT ["coalmine"]' in lines
    for each in load(ROOT / "manifests" / "base"):
        if each["kind"] == "Deployment":
            security = at(each, (*POD, "securityContext"))
            assert (security["runAsUser"], security["runAsGroup"]) == (sidecar.USER, sidecar.USER)
