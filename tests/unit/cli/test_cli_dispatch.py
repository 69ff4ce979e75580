"""The entry point: components get their arguments, and nothing that they do not need is imported."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from coalmine_cli import __main__ as entry


def loaded(code: str) -> set[str]:
    """The modules that are loaded after `code` in a process of its own."""
    program = f"{code}\nimport sys; print(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(result.stdout.split())


HEAVY = {"rich", "aiohttp", "kubernetes", "yaml", "prometheus_client", "cryptography"}


def test_the_entry_point_alone_imports_nothing() -> None:
    modules = loaded("import coalmine_cli.__main__")
    assert not modules & (HEAVY | {"argparse", "asyncio", "logging", "coalmine"})


def test_light_verbs_import_no_client() -> None:
    assert not loaded("from coalmine_cli import program; program.parser('coalmine')") & HEAVY


@pytest.mark.parametrize("name", ["proxy", "webhook", "controller", "demo"])
def test_a_component_gets_what_follows_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[object] = []
    module = types.ModuleType("component")

    def main(argv: list[str], environ: dict[str, str]) -> int:
        got.append((argv, environ))
        return 7

    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "component", module)
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setattr(entry, "COMPONENTS", {name: "component"})
    assert entry.main([name, "--listen-port", "1"], {"A": "b"}) == 7
    assert got == [(["--listen-port", "1"], {"A": "b"})]


def test_a_component_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(entry, "COMPONENTS", {"proxy": "nowhere.at.all"})
    assert entry.main(["proxy"], {}) == 1
    assert capsys.readouterr().err == "coalmine: this installation has no proxy: install the whole distribution\n"


def test_version_runs_through_the_entry_point(capsys: pytest.CaptureFixture[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "coalmine_cli", "version"], check=True, capture_output=True, text=True
    )
    assert result.stdout.startswith("coalmine 0.")
