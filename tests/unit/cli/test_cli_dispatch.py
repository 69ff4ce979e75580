"""The entry point: components get their arguments, and nothing that they do not need is imported."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_in_a_sentence() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "coalmine_cli", "version"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (result.returncode, result.stderr) == (
        1,
        "coalmine: standard output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_reason_to_fail(closed: str) -> None:
    command = f'"$0" -m coalmine_cli version {closed}'
    result = subprocess.run(["/bin/sh", "-c", command, sys.executable], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("coalmine 0.") is (" >&-" not in f" {closed}")


def test_ctrl_c_while_a_verb_is_still_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "_verb", interrupted)
    assert entry.main(["version"], {}) == 130
