"""`list rollouts`: its screens as golden files, what belongs on it, and how it is followed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cli_objects as make
import pytest
import yaml
from cli_api import Api, Cli

from coalmine.model import names
from coalmine.model.rollout import Phase
from coalmine_cli.call import DONE, REFUSED
from coalmine_cli.fit import columns
from coalmine_cli.overview import headings as of
from coalmine_cli.overview import overview, row
from coalmine_cli.table import Cell, Column, lines
from coalmine_cli.terminal import plain

GOLDEN = Path(__file__).parent / "golden"
Objects = list[dict[str, Any]]


def renamed(objects: Objects, name: str, namespace: str) -> Objects:
    """The Deployment and the Rollout of a story under another name."""
    text = json.dumps(objects[:2]).replace('"colorapi"', f'"{name}"')
    text = text.replace('"default"', f'"{namespace}"').replace("-uid", f"-uid-{name}")
    made: Objects = json.loads(text)
    made[0]["metadata"]["labels"] = {names.ROLLOUT_LABEL: names.LABEL_TRUE}
    return made


def labelled(objects: Objects) -> Objects:
    return renamed(objects, "colorapi", "default")


FLEET = [
    *labelled(make.paused().objects),
    *renamed(make.degraded().objects, "checkout-with-a-rather-long-name", "default"),
    *renamed(make.progressing().objects, "cart", "default"),
    *renamed(make.healthy_first().objects, "web", "shop"),
]


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{name} changed: if that is meant, run with UPDATE_GOLDEN=1"


def on(objects: Objects, folder: Path, test: Callable[[Api, Cli], Awaitable[None]], *, width: int = 0) -> None:
    """Run `test` against an API server that holds `objects`; with a `width`, on a terminal."""

    async def main() -> None:
        api = Api()
        api.put(*json.loads(json.dumps(objects)))
        async with api.served():
            cli = Cli(api, folder, lambda: make.NOW, tty=width > 0)
            cli.terminal = replace(cli.terminal, columns=lambda: width)
            await test(api, cli)

    asyncio.run(main())


def told(objects: Objects, folder: Path, *argv: str, width: int = 0) -> tuple[int, str, str]:
    result: list[Any] = []

    async def test(api: Api, cli: Cli) -> None:
        result.extend([await cli.run(*argv), cli.out.getvalue(), cli.err.getvalue()])

    on(objects, folder, test, width=width)
    code, out, err = result
    return code, out, err


@pytest.mark.parametrize(
    ("golden", "argv", "width"),
    [
        ("list.txt", [], 0),
        ("list-all-namespaces.txt", ["-A"], 0),
        ("list-wide.txt", ["-o", "wide"], 0),
        ("list-80.txt", [], 80),
        ("list-60.txt", ["-A"], 60),
        ("list-all.json", ["-A", "-o", "json"], 0),
        ("list-name.txt", ["-A", "-o", "name"], 0),
    ],
)
def test_screen(golden: str, argv: list[str], width: int, tmp_path: Path) -> None:
    code, out, err = told(FLEET, tmp_path, "list", "rollouts", *argv, width=width)
    assert (code, err) == (DONE, "")
    assert not width or max(columns(line) for line in out.splitlines()) <= width
    check(golden, out)


def test_yaml_says_what_json_says(tmp_path: Path) -> None:
    _, as_json, _ = told(FLEET, tmp_path, "list", "rollouts", "-A", "-o", "json")
    _, as_yaml, _ = told(FLEET, tmp_path, "list", "rollouts", "-A", "-o", "yaml")
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


@pytest.mark.parametrize("alias", ["ro", "rollout"])
def test_other_spellings_of_argo(alias: str, tmp_path: Path) -> None:
    assert told(FLEET, tmp_path, "list", alias)[1] == told(FLEET, tmp_path, "list", "rollouts")[1]


def test_nothing_to_list(tmp_path: Path) -> None:
    code, out, err = told([], tmp_path, "list", "rollouts")
    assert (code, out) == (DONE, "")
    assert err == (
        "coalmine: there are no rollouts in namespace default: annotate a Deployment with coalmine.dev/canary; "
        "-A looks in all namespaces\n"
    )
    code, out, _ = told([], tmp_path, "list", "rollouts", "-A", "-o", "json")
    assert (code, json.loads(out)) == (DONE, {"items": []})


def test_kinds_that_are_not_installed(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        api.missing.add("rollouts")
        assert await cli.run("list", "rollouts", "-A") == REFUSED
        assert "does not know Coalmine's kinds" in cli.err.getvalue()

    on(FLEET, tmp_path, test)


def test_one_status_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    fleet = json.loads(json.dumps(FLEET))
    fleet[1]["status"]["phase"] = "Exalted"
    code, out, err = told(fleet, tmp_path, "list", "rollouts", "-o", "name")
    assert code == REFUSED
    assert out.splitlines() == ["rollout.coalmine.dev/cart", "rollout.coalmine.dev/checkout-with-a-rather-long-name"]
    assert err.startswith("coalmine: the status of the Rollout colorapi cannot be read by this version")


# --- what belongs on it --------------------------------------------------------------------


def seen(deployments: Objects, rollouts: Objects) -> list[tuple[str, Phase, str]]:
    views, troubles = overview(deployments, rollouts)
    assert not troubles
    return [(v.name, v.phase, v.message) for v in views]


def test_a_rollout_that_is_still_to_be_made() -> None:
    waiting = "waiting for the controller to make the Rollout"
    assert seen([make.deployment()], []) == [("colorapi", Phase.PROGRESSING, waiting)]


def test_a_deployment_that_asks_for_none() -> None:
    plain_one = make.deployment()
    del plain_one["metadata"]["annotations"][names.CANARY]
    assert seen([plain_one, make.deployment(canary="off")], []) == []


def test_a_status_older_than_the_last_change_is_not_told_as_the_present_one() -> None:
    (one,) = seen([make.deployment("2.0", generation=4)], [make.rollout(make.HEALTHY)])
    assert one[1:] == (Phase.PROGRESSING, "waiting for the controller to see the latest change")


def test_a_rollout_whose_deployment_is_not_seen() -> None:
    assert seen([], [make.rollout(make.HEALTHY)]) == [("colorapi", Phase.HEALTHY, make.HEALTHY.message)]


# --- followed ------------------------------------------------------------------------------


async def end(task: asyncio.Task[int]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_watch_writes_a_line_for_each_change(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("list", "rollouts", "-w"))
        first = await cli.out.shows(lambda text: text.count("\n") == 4)
        await api.watched("rollouts")
        await api.watched("deployments")
        rollout = api.objects["rollouts", "colorapi"]
        api.put(json.loads(json.dumps(rollout)))  # a new resourceVersion, and nothing to see
        api.put(rollout | {"status": rollout["status"] | {"step": 2, "phase": "Progressing", "message": "going on"}})
        second = await cli.out.shows(lambda text: text.count("\n") == 5)
        line = second.removeprefix(first).rstrip("\n")
        assert line.split() == ["colorapi", "Canary", "◌", "Progressing", "2/4", "20", "6/6", "5", "1", "6"]
        assert line.index("Canary") == first.index("STRATEGY"), "below its heading"
        api.remove("deployments", "colorapi")
        api.remove("rollouts", "colorapi")
        assert "the rollout colorapi in namespace default is gone" in await cli.err.shows(lambda text: "gone" in text)
        await end(watching)

    on(FLEET, tmp_path, test)


def test_watch_as_json_lines(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("list", "rollouts", "-w", "-o", "json"))
        await cli.out.shows(lambda text: text.count("\n") == 1)
        await api.watched("rollouts")
        await api.watched("deployments")
        api.remove("deployments", "colorapi")
        api.remove("rollouts", "colorapi")
        lines = (await cli.out.shows(lambda text: text.count("deleted") == 1 and text.endswith("}\n"))).splitlines()
        assert json.loads(lines[0])["phase"] == "Paused"
        assert json.loads(lines[-1]) == {"name": "colorapi", "namespace": "default", "deleted": True}
        await end(watching)

    on(labelled(make.paused().objects), tmp_path, test)


def test_watch_redraws_a_terminal(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("list", "rollouts", "-w"))
        await cli.out.shows(lambda text: "॥ Paused" in text)
        await api.watched("rollouts")
        await api.watched("deployments")
        api.down = True
        api.cut()
        await cli.out.shows(lambda text: "down" in text)
        api.down = False
        api.put(*labelled(make.promoted().objects))
        await cli.out.shows(lambda text: "✔ Healthy" in text)
        await end(watching)
        assert cli.out.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is back"

    on(labelled(make.paused().objects), tmp_path, test, width=100)


# --- the table -----------------------------------------------------------------------------


def test_every_width_keeps_a_line_for_each_rollout() -> None:
    deployments, rollouts = ([o for o in FLEET if o["kind"] == kind] for kind in ("Deployment", "Rollout"))
    rows = [row(v, namespaces=True, wide=False) for v in overview(deployments, rollouts)[0]]
    headings = of(namespaces=True, wide=False)
    whole = plain(lines(headings, rows)).splitlines()
    for width in range(20, 160):
        shown = plain(lines(headings, rows, width)).splitlines()
        assert len(shown) == len(whole)
        assert max(columns(line) for line in shown) <= width
    assert plain(lines(headings, rows, 200)).splitlines() == whole


def test_what_others_wrote_is_not_acted_on() -> None:
    text = plain(lines([Column("NAME")], [[Cell("evil\x1b[2J\r\nname")]]))
    assert text == "NAME\nevil?[2J??name"
