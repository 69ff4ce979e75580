"""`undo` and `restart`: which template is written, what is left alone, and what is said."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cli_objects as make
import pytest
from cli_api import Api, Cli

from coalmine.model import names
from coalmine_cli import undo
from coalmine_cli.call import DONE, REFUSED, USAGE
from coalmine_cli.restart import RESTARTED_AT
from coalmine_cli.template import consequence

Objects = list[dict[str, Any]]


def told(
    objects: Objects, folder: Path, *argv: str, meanwhile: Callable[[Api], None] | None = None
) -> tuple[int, str, str, Api]:
    result: list[Any] = []

    async def main() -> None:
        api = Api()
        api.put(*copy.deepcopy(objects))
        if meanwhile is not None:
            api.meanwhile = lambda: meanwhile(api)
        async with api.served():
            cli = Cli(api, folder, lambda: make.NOW)
            result.extend([await cli.run(*argv), cli.out.getvalue(), cli.err.getvalue(), api])

    asyncio.run(main())
    code, out, err, api = result
    return code, out, err, api


def deployed(api: Api) -> dict[str, Any]:
    return api.objects["deployments", "colorapi"]


def held(version: str = "3.0", stable: str = "2.0", **keys: str) -> Objects:
    """`version` is held above `stable`; 1.0 is an earlier revision, the canary's ReplicaSet is hidden."""
    canary = make.replica_set(version, 1, 12)
    canary["metadata"]["annotations"][names.REVISION] = "9"  # it was one before it was hidden
    deployment = make.deployment(version, hold=make.print_of(version), stable=make.print_of(stable), **keys)
    deployment["spec"]["paused"] = True
    return [
        deployment,
        make.replica_set("1.0", 0, 600, number=1),
        make.replica_set("2.0", 5, 500, number=2),
        canary,
    ]


def settled() -> Objects:
    return [
        make.deployment("3.0", stable=make.print_of("3.0")),
        make.replica_set("1.0", 0, 600, number=1),
        make.replica_set("2.0", 0, 500, number=2),
        make.replica_set("3.0", 5, 400, number=3),
    ]


def reverted() -> Objects:
    """Back at 1.0, whose ReplicaSet got a new number."""
    objects = settled()
    objects[0] = make.deployment("1.0", stable=make.print_of("1.0"))
    objects[1]["metadata"]["annotations"][names.REVISION] = "4"
    return objects


@pytest.mark.parametrize(
    ("objects", "flags", "version", "number"),
    [
        (held(), [], "2.0", 2),  # not 9, which is hidden, nor 1, which is older than stable
        (held(failed=make.print_of("3.0")), [], "2.0", 2),
        (held(stable="1.0"), [], "1.0", 1),
        (held(), ["--to-revision", "1"], "1.0", 1),
        (held(), ["--to-revision=0"], "2.0", 2),
        (settled(), [], "2.0", 2),
        (settled(), ["--to-revision", "1"], "1.0", 1),
        (reverted(), [], "3.0", 3),
    ],
)
def test_the_template_of_a_revision_is_written(
    objects: Objects, flags: list[str], version: str, number: int, tmp_path: Path
) -> None:
    before = copy.deepcopy(objects[0])
    code, out, err, api = told(objects, tmp_path, "undo", "colorapi", *flags)
    assert (code, err) == (DONE, "")
    after = deployed(api)
    assert after["spec"]["template"] == make.template(version), "without the hash"
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"], "the user's stay"
    assert {k: v for k, v in after["spec"].items() if k != "template"} == {
        k: v for k, v in before["spec"].items() if k != "template"
    }
    first = f"deployment.apps/colorapi rolled back to revision {number} (particule/simplecolorapi:{version})"
    assert out.splitlines()[0] == first


def webhook(api: Api, **keys: str | None) -> None:
    """What the webhook would make of the write."""
    annotations = deployed(api)["metadata"]["annotations"]
    for key, value in keys.items():
        annotations[f"{names.GROUP}/{key}"] = value
        if value is None:
            del annotations[f"{names.GROUP}/{key}"]
    deployed(api)["spec"]["paused"] = "hold" in keys and keys["hold"] is not None


@pytest.mark.parametrize(
    ("objects", "flags", "becomes", "sentence"),
    [
        (held(), [], {"hold": None}, "the template is the stable one again: nothing is held"),
        (
            settled(),
            [],
            {"hold": make.print_of("2.0")},
            "Coalmine holds particule/simplecolorapi:2.0: it is brought up as a canary first; follow it with "
            "`coalmine get rollout colorapi -w`",
        ),
        (settled(), [], {}, "a native rolling update is under way"),
    ],
)
def test_what_happens_next_is_said(
    objects: Objects, flags: list[str], becomes: dict[str, str | None], sentence: str, tmp_path: Path
) -> None:
    """The webhook's part is played on what the API server stores."""

    async def main() -> str:
        api = Api()
        api.put(*copy.deepcopy(objects))
        stored = api._json_patch

        def admit(found: dict[str, Any], patch: list[dict[str, Any]]) -> Any:
            stored(found, patch)
            webhook(api, **becomes)
            from aiohttp import web

            return web.json_response(deployed(api))

        api._json_patch = admit  # type: ignore[method-assign]
        async with api.served():
            cli = Cli(api, tmp_path, lambda: make.NOW)
            assert await cli.run("undo", "colorapi", *flags) == DONE
            return cli.out.getvalue()

    assert asyncio.run(main()).splitlines()[1] == sentence


@pytest.mark.parametrize(
    ("objects", "flags", "sentence"),
    [
        (settled(), ["--to-revision", "7"], "the Deployment colorapi has no revision 7; there are: 3, 2, 1"),
        (held(), ["--to-revision", "9"], "the Deployment colorapi has no revision 9; there are: 2, 1"),
        (
            [make.deployment("1.0"), make.replica_set("1.0", 5, 9, number=1)],
            [],
            "the Deployment colorapi has no earlier revision; see `kubectl rollout history`; "
            "spec.revisionHistoryLimit says how many are kept",
        ),
        (
            held(stable="1.0")[:1],
            [],
            "no ReplicaSet of colorapi has the stable template any more; "
            "set its images again, or name a revision: --to-revision N",
        ),
        ([], [], "there is no Deployment colorapi in namespace default; name another, or a namespace: -n"),
    ],
)
def test_undo_refuses(objects: Objects, flags: list[str], sentence: str, tmp_path: Path) -> None:
    code, out, err, api = told(objects, tmp_path, "undo", "colorapi", *flags)
    assert (code, out, err) == (REFUSED, "", f"coalmine: {sentence}\n")
    if objects:
        assert deployed(api)["spec"] == objects[0]["spec"]


def test_undo_to_what_is_there_writes_nothing(tmp_path: Path) -> None:
    code, out, _, api = told(settled(), tmp_path, "undo", "colorapi", "--to-revision", "3", "-o", "json")
    assert code == DONE
    assert json.loads(out)["changed"] is False
    assert deployed(api)["metadata"]["resourceVersion"] == "101"


def test_a_revision_from_before_the_sidecars_is_no_other_version() -> None:
    """Opting in stamps the template: revision 1 differs from 2 by that alone."""
    unstamped = make.replica_set("1.0", 0, 600, number=1)
    del unstamped["spec"]["template"]["metadata"]["labels"][names.SIDECAR_LABEL]
    older = make.replica_set("3.0", 0, 700, number=2)
    stamped = make.replica_set("1.0", 5, 500, number=3)
    stamped["metadata"]["uid"] = "set-stamped"
    assert undo.choose(make.deployment("1.0"), [unstamped, older, stamped], 0).number == 2


def test_a_status_that_was_written_meanwhile_is_no_obstacle(tmp_path: Path) -> None:
    times: list[int] = []

    def controller(api: Api) -> None:
        times.append(1)
        if len(times) < 3:
            api.put(copy.deepcopy(deployed(api)) | {"status": {"observedGeneration": len(times)}})

    code, _, _, api = told(held(), tmp_path, "undo", "colorapi", meanwhile=controller)
    assert code == DONE
    assert len(times) == 3
    assert deployed(api)["spec"]["template"] == make.template("2.0")


def test_a_template_that_was_written_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def colleague(api: Api) -> None:
        changed = copy.deepcopy(deployed(api))
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = "hotfix"
        api.put(changed)

    code, _, err, api = told(held(), tmp_path, "undo", "colorapi", meanwhile=colleague)
    assert code == REFUSED
    assert err == "coalmine: somebody changed the template of colorapi meanwhile; look at it and try again\n"
    assert deployed(api)["spec"]["template"]["spec"]["containers"][0]["image"] == "hotfix"


@pytest.mark.parametrize("changed", [{names.HOLD: None}, {names.STABLE: make.print_of("3.0")}])
def test_what_was_handed_over_meanwhile_is_not_taken_back(changed: dict[str, str | None], tmp_path: Path) -> None:
    """The stable template that was chosen is an old one by now: it would be a new canary."""
    code, _, err, api = told(held(), tmp_path, "undo", "colorapi", meanwhile=lambda api: annotate(api, changed))
    assert code == REFUSED
    assert err == "coalmine: a rollout of colorapi began or ended meanwhile; look at it and try again\n"
    assert deployed(api)["spec"]["template"] == make.template("3.0")


def annotate(api: Api, keys: dict[str, str | None]) -> None:
    changed = copy.deepcopy(deployed(api))
    both = {**changed["metadata"]["annotations"], **keys}
    changed["metadata"]["annotations"] = {k: v for k, v in both.items() if v is not None}
    api.put(changed)


@pytest.mark.parametrize("number", ["-1", "two", "1" * 19, "²"])
def test_no_revision(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    from coalmine_cli import program

    with pytest.raises(SystemExit) as ended:
        program.parser("coalmine").parse_args(["undo", "colorapi", "--to-revision", number])
    assert ended.value.code == USAGE


# --- restart -------------------------------------------------------------------------------


@pytest.mark.parametrize("objects", [settled(), held()], ids=["settled", "held"])
def test_restart_stamps_the_template(objects: Objects, tmp_path: Path) -> None:
    objects[0]["spec"]["template"]["metadata"]["annotations"] = {"mine": "stays"}
    code, out, _, api = told(objects, tmp_path, "restart", "deployment/colorapi")
    assert code == DONE
    template = deployed(api)["spec"]["template"]
    assert template["metadata"]["annotations"] == {"mine": "stays", RESTARTED_AT: "2023-11-14T22:13:20.000000Z"}
    assert template["spec"] == objects[0]["spec"]["template"]["spec"]
    assert out.startswith("deployment.apps/colorapi restarted\n")


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        (
            held(failed=make.print_of("3.0")),
            "the canary of colorapi was aborted, and a restart would bring up the same version once more; "
            "`coalmine retry colorapi` does so too; to restart stable, go back to it first: `coalmine undo colorapi`",
        ),
    ],
)
def test_restart_refuses(objects: Objects, sentence: str, tmp_path: Path) -> None:
    code, _, err, api = told(objects, tmp_path, "restart", "colorapi")
    assert (code, err) == (REFUSED, f"coalmine: {sentence}\n")
    assert deployed(api)["spec"] == objects[0]["spec"]


@pytest.mark.parametrize(
    ("before", "gives_up"),
    [
        (make.deployment("2.0"), False),
        (make.deployment("3.0", hold=make.print_of("3.0")), True),
        (make.deployment("3.0", hold=make.print_of("3.0"), failed=make.print_of("2.0")), True),
        (make.deployment("3.0", hold=make.print_of("3.0"), failed=make.print_of("3.0")), False),
    ],
    ids=["stable", "held", "held after a failed one", "taken back"],
)
def test_a_canary_that_was_under_way_is_given_up(before: dict[str, Any], gives_up: bool) -> None:
    after = make.deployment("4.0", hold=make.print_of("4.0"))
    assert consequence(before, after).endswith("; the canary before it is given up") is gives_up
