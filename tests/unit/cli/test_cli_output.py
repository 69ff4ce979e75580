"""`-o json` and `-o yaml`: the same keys wherever something is shown. And small habits of kubectl's users."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cli_objects as make
import pytest
import yaml
from cli_api import Api, Cli

from coalmine.model.rollout import Phase
from coalmine_cli import program
from coalmine_cli.call import DONE

Objects = list[dict[str, Any]]


def shown(objects: Objects, folder: Path, *argv: str) -> str:
    async def main() -> str:
        api = Api()
        api.put(*copy.deepcopy(objects))
        async with api.served():
            cli = Cli(api, folder, lambda: make.NOW)
            await cli.run(*program.translated(argv))
            return cli.out.getvalue() + cli.err.getvalue()

    return asyncio.run(main())


RUNNING = [make.deployment("2.0", hold=make.print_of("2.0")), make.rollout(make.AT_20)]
ABORTED = [
    make.deployment("2.0", hold=make.print_of("2.0")),
    make.rollout(replace(make.AT_20, phase=Phase.DEGRADED, aborted_at=make.NOW)),
]
OLD = make.replica_set("1.0", 5, 600, number=1)
WRITTEN = ["name", "namespace", "action", "changed", "message"]


@pytest.mark.parametrize(
    ("objects", "argv", "keys"),
    [
        (
            make.paused().objects,
            ["get", "rollout", "colorapi"],
            [
                "name",
                "namespace",
                "phase",
                "message",
                "strategy",
                "step",
                "setWeight",
                "actualWeight",
                "images",
                "replicas",
                "tree",
            ],
        ),
        (make.healthy_first().objects, ["status", "colorapi"], ["name", "namespace", "phase", "message"]),
        (RUNNING, ["set", "image", "colorapi", "*=app:9"], WRITTEN),
        (RUNNING, ["promote", "colorapi"], WRITTEN),
        (RUNNING, ["pause", "colorapi"], WRITTEN),
        (RUNNING, ["abort", "colorapi"], WRITTEN),
        (ABORTED, ["retry", "colorapi"], WRITTEN),
        ([*RUNNING, OLD], ["undo", "colorapi", "--to-revision", "1"], WRITTEN),
        ([make.deployment()], ["restart", "colorapi"], WRITTEN),
        ([], ["version"], ["version"]),
        ([], ["list", "rollouts"], ["items"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) and value and isinstance(value[0], str) else "",
)
def test_documents(objects: Objects, argv: list[str], keys: list[str], tmp_path: Path) -> None:
    as_json = json.JSONDecoder().raw_decode(shown(objects, tmp_path, *argv, "-o", "json"))[0]
    assert list(as_json) == keys
    as_yaml = next(yaml.safe_load_all(shown(objects, tmp_path, *argv, "-o", "yaml").partition("\ncoalmine:")[0]))
    stamp = re.compile(r"\d{4}-\d\d-\d\dT[^\"]*")
    assert stamp.sub("", json.dumps(as_yaml)) == stamp.sub("", json.dumps(as_json)), "and in the same order"


def test_what_is_followed_is_a_document_for_each_change(tmp_path: Path) -> None:
    text = shown(make.healthy_first().objects, tmp_path, "status", "colorapi", "-o", "yaml")
    assert text.startswith("---\nname: colorapi\n")


@pytest.mark.parametrize(
    "argv",
    [
        ["get", "ro", "colorapi"],
        ["get", "rollouts", "colorapi"],
        ["get", "rollout", "rollout/colorapi"],
        ["get", "rollout", "deployment.apps/colorapi"],
        ["get", "rollout", "rollout.coalmine.dev/colorapi"],
        ["-n", "default", "get", "rollout", "colorapi"],
        ["get", "-n", "default", "rollout", "colorapi"],
        ["get", "rollout", "colorapi", "-n", "default"],
        ["--no-color", "get", "rollout", "colorapi", "--context", "here"],
    ],
    ids=" ".join,
)
def test_what_users_of_kubectl_and_argo_write(argv: list[str], tmp_path: Path) -> None:
    golden = Path(__file__).parent / "golden" / "paused.txt"
    assert shown(make.paused().objects, tmp_path, *argv) == golden.read_text()


def test_a_name_of_another_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.parser("coalmine").parse_args(["abort", "pod/colorapi"])
    assert "'pod/colorapi' is no Deployment: write NAME, or deployment/NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["retry", "rollout", "colorapi"], ["retry", "colorapi"]),
        (
            ["-n", "shop", "retry", "rollout", "colorapi", "-o", "json"],
            ["-n", "shop", "retry", "colorapi", "-o", "json"],
        ),
        (["retry", "rollout"], ["retry", "rollout"]),
        (["retry", "rollout", "-n", "shop"], ["retry", "rollout", "-n", "shop"]),
        (["abort", "retry"], ["abort", "retry"]),
    ],
)
def test_retry_as_argo_spells_it(argv: list[str], words: list[str]) -> None:
    assert program.translated(argv) == words


def verbs() -> list[list[str]]:
    from coalmine_cli.command_tree import tree

    return [list(c.path) for c in tree(program.parser("coalmine")).walk() if c.path and not c.children]


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
@pytest.mark.parametrize("prog", ["coalmine", "kubectl coalmine"])
def test_every_verb_takes_the_global_flags_and_names_the_program(
    verb: list[str], prog: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.parser(prog).parse_args([*verb, "--help"])
    assert ended.value.code == DONE
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {prog} {' '.join(verb)} ")
    for flag in ("--namespace", "--context", "--kubeconfig", "--no-color"):
        assert flag in text


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_the_page_about_the_command_line_tells_every_verb(verb: list[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    assert f"`{' '.join(verb)}" in page


def test_the_page_and_the_help_tell_the_same_exit_codes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    epilog = program.parser("coalmine").epilog or ""
    for code in (0, 1, 2, 130):
        assert f"\n| {code} | " in page
        assert f"\n  {code} " in epilog
