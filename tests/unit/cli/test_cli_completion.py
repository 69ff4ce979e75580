"""Completion: the bash script is asked in a real bash, the others where their shell is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coalmine_cli.command_tree import Command, tree
from coalmine_cli.completion_scripts import script
from coalmine_cli.program import parser

GOLDEN = Path(__file__).parent / "golden"
SHELLS = ("bash", "zsh", "fish", "kubectl")
BASH = shutil.which("bash")
#: Stands for the program at the Tab key: it knows two rollouts, and notes down how it was asked.
STUB = """#!/bin/sh
printf "%s\\n" "$*" >> "$ASKED"
echo rollout.coalmine.dev/colorapi
echo rollout.coalmine.dev/cart
"""


def made(shell: str) -> str:
    return script(shell, tree(parser("coalmine")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stub = tmp_path / "bin" / "coalmine"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    return tmp_path


def ran(folder: Path, *argv: str, text: str = "") -> str:
    environ = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "ASKED": str(folder / "asked"),
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=environ, input=text, cwd=folder)
    assert not done.stderr
    return done.stdout


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of `words`."""
    (folder / "script").write_text(made("bash"))
    line = """
        source ./script
        COMP_WORDS=(coalmine "$@"); COMP_CWORD=$#
        _coalmine
        [ ${#COMPREPLY[@]} = 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
    """
    assert BASH is not None
    return ran(folder, BASH, "-u", "-c", line, "bash", *words).splitlines()


CASES = [
    (["pro"], ["promote"]),
    (["li"], ["list", "lint"]),
    (["get", ""], ["rollout"]),
    (["list", "r"], ["rollouts"]),
    (["set", ""], ["image"]),
    (["-n", "shop", "g"], ["get"]),
    (["--namespace=shop", "g"], ["get"]),
    (["get", "rollout", ""], ["colorapi", "cart"]),
    (["get", "ro", "col"], ["colorapi"]),
    (["get", "rollout", "colorapi", ""], []),
    (["set", "image", "c"], ["colorapi", "cart"]),
    (["set", "image", "colorapi", ""], []),
    (["promote", "--full", "ca"], ["cart"]),
    (["promote", "colorapi", "--f"], ["--full"]),
    (["abort", "-o", ""], ["text", "json", "yaml"]),
    (["list", "rollouts", "-o", "w"], ["wide"]),
    (["list", "rollouts", "--output", "n"], ["name"]),
    (["list", "rollouts", "--al"], ["--all-namespaces"]),
    (["status", "colorapi", "-t", ""], []),
    (["status", "colorapi", "--no"], ["--no-color", "--no-watch"]),
    (["completion", "z"], ["zsh"]),
    (["vers"], ["version"]),
    (["nonsense", ""], []),
]


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize(("words", "offered"), CASES, ids=lambda value: " ".join(value))
def test_bash(words: list[str], offered: list[str], folder: Path) -> None:
    assert completed(folder, *words) == offered


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes_files_where_files_belong(folder: Path) -> None:
    (folder / "deployment.yaml").touch()
    assert completed(folder, "lint", "-f", "dep") == ["deployment.yaml"]
    assert completed(folder, "get", "rollout", "--kubeconfig", "dep") == ["deployment.yaml"]


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_names_are_asked_for_where_the_words_point_to(folder: Path) -> None:
    completed(folder, "-n", "shop", "get", "rollout", "--context", "there", "")
    assert (folder / "asked").read_text() == "-n shop --context there list rollouts -o name\n"
    completed(folder, "get", "")
    completed(folder, "--context", "")
    assert (folder / "asked").read_text().count("\n") == 1, "nothing else asks a cluster"


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_a_name_is_never_run(folder: Path) -> None:
    (folder / "bin" / "coalmine").write_text("#!/bin/sh\necho 'rollout/$(touch harm)`touch harm`'\n")
    assert completed(folder, "abort", "") == ["$(touch harm)`touch harm`"]
    assert not (folder / "harm").exists()


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "answer"),
    [(["get", ""], "rollout\n:4\n"), (["abort", "co"], "colorapi\n:4\n"), (["lint", "-f", ""], ":0\n")],
    ids=["verb", "name", "file"],
)
def test_what_kubectl_asks(words: list[str], answer: str, folder: Path) -> None:
    program = folder / "kubectl_complete-coalmine"
    program.write_text(made("kubectl"))
    assert BASH is not None
    assert ran(folder, BASH, str(program), *words) == answer


@pytest.mark.parametrize("shell", SHELLS)
def test_syntax(shell: str, folder: Path) -> None:
    program = shutil.which("bash" if shell == "kubectl" else shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    (folder / "script").write_text(made(shell))
    ran(folder, program, "-n", "script")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
@pytest.mark.parametrize(("words", "offered"), [c for c in CASES if c[1]], ids=lambda value: " ".join(value))
def test_fish(words: list[str], offered: list[str], folder: Path) -> None:
    (folder / "script").write_text(made("fish"))
    line = " ".join(["coalmine", *(w or "''" for w in words)]) if words[-1] else f"coalmine {' '.join(words[:-1])} "
    out = ran(folder, "fish", "--no-config", "-c", f'source script; complete -C "{line}"')
    assert [row.partition("\t")[0] for row in out.splitlines()] == sorted(offered)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize(("words", "offered"), [c for c in CASES if c[1]], ids=lambda value: " ".join(value))
def test_zsh(words: list[str], offered: list[str], folder: Path) -> None:
    """`compadd` answers only inside the line editor: its arguments are looked at instead."""
    (folder / "script").write_text(made("zsh"))
    line = """
        compdef() { }
        source ./script
        compadd() { shift; print -rl -- "$@" }
        words=(coalmine "$@"); CURRENT=$#words
        _coalmine
    """
    out = ran(folder, "zsh", "-f", "-c", line, "zsh", *words).splitlines()
    assert [word for word in out if word.startswith(words[-1])] == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_script(shell: str) -> None:
    path = GOLDEN / f"completion.{shell}"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(made(shell))
    assert made(shell) == path.read_text(), "if that is meant, run with UPDATE_GOLDEN=1"


def test_the_verb_prints_the_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coalmine_cli", "completion", "bash"], check=True, capture_output=True, text=True
    )
    assert "complete -F _coalmine coalmine" in done.stdout
    assert '":0") printf' in done.stdout
    assert " demo" in done.stdout, "components, too"


def test_every_verb_is_in_the_tree() -> None:
    def paths(command: Command) -> set[str]:
        return {" ".join(c.path) for c in command.walk()}

    assert {"list rollouts", "get rollout", "undo", "lint", "set image"} <= paths(tree(parser("coalmine")))
