"""The verbs against a small API server: what they write, what they say, how they end."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cli_objects as make
import pytest
from cli_api import Api, Cli

from coalmine.kube.verbs import ApiError
from coalmine.model import names
from coalmine.model.rollout import Phase, Status, Wish
from coalmine_cli import program
from coalmine_cli.call import DONE, INTERRUPTED, REFUSED, USAGE
from coalmine_cli.cluster import sentence
from coalmine_cli.terminal import Terminal

CANARY = Wish(make.print_of("2.0"), 1)


def on(
    objects: list[dict[str, Any]], folder: Path, test: Callable[[Api, Cli], Awaitable[None]], *, tty: bool = False
) -> None:
    """Run `test` against an API server that holds `objects`."""

    async def main() -> None:
        api = Api()
        api.put(*objects)
        async with api.served():
            await test(api, Cli(api, folder, lambda: make.NOW, tty=tty))

    asyncio.run(main())


def told(objects: list[dict[str, Any]], folder: Path, *argv: str) -> tuple[int, str, str, Api]:
    """Run one verb to its end: exit code, both streams, and the API server afterwards."""
    result: list[Any] = []

    async def test(api: Api, cli: Cli) -> None:
        code = await cli.run(*argv)
        result.extend([code, cli.out.getvalue(), cli.err.getvalue(), api])

    on(objects, folder, test)
    code, out, err, api = result
    return code, out, err, api


# --- get rollout ---------------------------------------------------------------------------


def test_get_rollout_gathers_what_belongs_to_it(tmp_path: Path) -> None:
    story = make.degraded()
    foreign = make.replica_set("1.0", 3, 10, number=7)
    foreign["metadata"] |= {"name": "other-1", "uid": "other-1"}
    foreign["metadata"]["ownerReferences"][0]["uid"] = "another-deployment"
    lonely = make.pod("1.0", "lonely", 5)
    lonely["metadata"]["ownerReferences"][0]["uid"] = "other-1"
    strange = make.run("3.0", 9, 5, "Failed", failed=9)
    strange["metadata"]["ownerReferences"][0]["uid"] = "another-rollout"
    code, out, err, _ = told([*story.objects, foreign, lonely, strange], tmp_path, "get", "rollout", "colorapi")
    assert (code, err) == (DONE, "")
    golden = Path(__file__).parent / "golden" / "degraded-after-abort.txt"
    assert out == golden.read_text()


def test_get_rollout_as_json(tmp_path: Path) -> None:
    code, out, _, _ = told(make.degraded().objects, tmp_path, "get", "rollout", "colorapi", "-o", "json")
    assert code == DONE
    assert json.loads(out) == json.loads((Path(__file__).parent / "golden" / "degraded-after-abort.json").read_text())


def test_namespace_of_the_context_holds_unless_another_is_named(tmp_path: Path) -> None:
    objects = make.healthy_first().objects
    missing = "coalmine: there is no Deployment colorapi in namespace {}; name another, or a namespace: -n\n"
    code, _, err, _ = told(objects, tmp_path, "--context", "elsewhere", "get", "rollout", "colorapi")
    assert (code, err) == (REFUSED, missing.format("shop"))
    assert told(objects, tmp_path, "get", "rollout", "colorapi", "--context", "elsewhere", "-n", "default")[0] == DONE
    code, _, err, _ = told(objects, tmp_path, "-n", "mine", "get", "rollout", "colorapi")
    assert (code, err) == (REFUSED, missing.format("mine"))
    assert told(objects, tmp_path, "get", "-n", "default", "rollout", "colorapi")[0] == DONE


def test_watch_writes_a_block_per_visible_change_when_it_is_piped(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("get", "rollout", "colorapi", "-w"))
        await cli.out.shows(lambda text: "◌ Progressing" in text)
        await api.watched("rollouts")
        await api.watched("pods")
        api.put(make.progressing().rollout)  # a new resourceVersion, and nothing to see
        api.put(make.rollout(make.PAUSED))
        first = await cli.out.shows(lambda text: "॥ Paused" in text and text.endswith("2/2\n"))
        assert first.count("Name:  ") == 2
        api.put(make.crashing("2.0", "c7jkf", 11, 1))
        second = await cli.out.shows(lambda text: "✖ CrashLoopBackOff" in text and text.endswith("2/2\n"))
        assert second.count("Name:  ") == 3
        await end(watching)

    on(make.progressing().objects, tmp_path, test)


def test_watch_goes_on_after_the_api_server_went_away_or_forgot(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("get", "rollout", "colorapi", "-w", "-o", "json"))
        await cli.out.shows(lambda text: '"Progressing"' in text)
        await api.watched("rollouts")
        api.down = True
        api.cut()
        assert "coalmine: down" in await cli.err.shows(lambda text: text.endswith("\n"))
        api.down = False
        await api.watched("rollouts")
        api.put(make.rollout(make.PAUSED))
        await cli.out.shows(lambda text: '"Paused"' in text)
        del api.objects["rollouts", "colorapi"]  # while nobody was told
        api.put(make.rollout(replace(make.PAUSED, step=3)))
        api.gone("rollouts")
        lines = (await cli.out.shows(lambda text: '"3/4"' in text and text.endswith("\n"))).splitlines()
        assert [json.loads(line)["step"] for line in lines] == ["0/4", "1/4", "3/4"]
        await end(watching)

    on(make.progressing().objects, tmp_path, test)


def test_watch_ends_when_the_deployment_is_gone(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("get", "rollout", "colorapi", "-w"))
        await cli.out.shows(lambda text: "◌ Progressing" in text)
        await api.watched("deployments")
        await api.watched("rollouts")
        api.remove("rollouts", "colorapi")  # alone it is no end: the controller makes it again
        api.remove("deployments", "colorapi")
        assert await watching == REFUSED
        assert "there is no Deployment colorapi in namespace default" in cli.err.getvalue()

    on(make.progressing().objects, tmp_path, test)


def test_watch_redraws_a_terminal(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        watching = asyncio.create_task(cli.run("get", "rollout", "colorapi", "-w"))
        await cli.out.shows(lambda text: "◌ Progressing" in text)
        await api.watched("rollouts")
        api.put(make.rollout(make.PAUSED))
        await cli.out.shows(lambda text: "॥ Paused" in text)
        await api.watched("pods")
        api.forbidden.add("pods")
        api.gone("pods")
        assert await watching == REFUSED
        assert "pods is forbidden" in cli.err.getvalue()
        assert cli.out.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is back"

    on(make.progressing().objects, tmp_path, test, tty=True)


@pytest.mark.parametrize(
    ("argv", "line", "code"),
    [
        (("get", "rollout", "colorapi", "-w"), b"Name: ", DONE),
        (("status", "colorapi"), b"Paused - ", INTERRUPTED),
    ],
)
def test_ctrl_c(argv: tuple[str, ...], line: bytes, code: int, tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        cli.write_kubeconfig()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "coalmine_cli", "--kubeconfig", str(cli.kubeconfig), *argv),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(line)
        await api.watched("rollouts")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert (process.returncode, err) == (code, b"")

    on(make.paused().objects, tmp_path, test)


async def end(task: asyncio.Task[int]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- what is missing -----------------------------------------------------------------------


def unannotated() -> dict[str, Any]:
    deployment = make.deployment()
    del deployment["metadata"]["annotations"][names.CANARY]
    return deployment


@pytest.mark.parametrize("argv", [("get", "rollout", "colorapi"), ("abort", "colorapi")], ids=" ".join)
@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([], "there is no Deployment colorapi in namespace default; name another, or a namespace: -n"),
        (
            [unannotated()],
            "the Deployment colorapi has no annotation coalmine.dev/canary; "
            "write its steps there to have it rolled out",
        ),
        (
            [make.deployment(canary="off")],
            "the Deployment colorapi has coalmine.dev/canary: off; "
            "follow it with `kubectl rollout status deployment/colorapi`",
        ),
        (
            [make.deployment()],
            "the controller has made no Rollout for the Deployment colorapi yet; look whether coalmine-controller runs",
        ),
        (
            [make.deployment(), make.rollout(Status()) | {"status": {"phase": "Exalted"}}],
            "the status of the Rollout colorapi cannot be read by this version of coalmine (ValueError: 'Exalted' is "
            "not a valid Phase): use the version of the controller",
        ),
    ],
)
def test_what_is_missing_is_said(
    objects: list[dict[str, Any]], sentence: str, argv: tuple[str, ...], tmp_path: Path
) -> None:
    code, out, err, _ = told(objects, tmp_path, *argv)
    assert (code, out, err) == (REFUSED, "", f"coalmine: {sentence}\n")


@pytest.mark.parametrize("argv", [("get", "rollout", "colorapi"), ("status", "colorapi"), ("retry", "colorapi")])
def test_kinds_that_are_not_installed(argv: tuple[str, ...], tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        api.missing |= {"rollouts", "analysisruns"}
        assert await cli.run(*argv) == REFUSED
        assert cli.err.getvalue().startswith("coalmine: the API server does not know Coalmine's kinds: install")

    on([make.deployment()], tmp_path, test)


def test_no_api_server(tmp_path: Path) -> None:
    cli = Cli(Api(), tmp_path, lambda: make.NOW)
    cli.api.url = "http://127.0.0.1:1"
    assert asyncio.run(cli.run("promote", "colorapi")) == REFUSED
    assert cli.err.getvalue() == (
        "coalmine: the API server cannot be reached: 127.0.0.1:1: Connection refused; "
        "check that the cluster runs and is the one that you mean (--context, --kubeconfig)\n"
    )


@pytest.mark.parametrize(
    ("status", "message", "more"),
    [
        (403, 'pods is forbidden: User "u" cannot list', "; ask who runs the cluster for this right, or name another"),
        (403, 'admission webhook "w" denied the request: no', ""),
        (409, "the object has been modified", ""),
    ],
)
def test_what_to_do_without_a_right(status: int, message: str, more: str) -> None:
    told = sentence(ApiError(status, "", message))
    assert told.startswith(message + more)
    assert bool(more) is (told != message)


@pytest.mark.parametrize(
    ("text", "flags", "told"),
    [
        ("", [], "it has not the shape of one"),
        ("text", [], "it has not the shape of one"),
        (
            "{clusters: [], users: [], contexts: []}",
            ["--context", "nope"],
            "it has no context nope; `kubectl config get-contexts` lists those that it has",
        ),
    ],
)
def test_a_kubeconfig_of_no_use(text: str, flags: list[str], told: str, tmp_path: Path) -> None:
    cli = Cli(Api(), tmp_path, lambda: make.NOW)
    cli.write_kubeconfig = lambda: None  # type: ignore[method-assign]
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    assert asyncio.run(cli.run("list", "rollouts", "--kubeconfig", str(file), *flags)) == REFUSED
    assert cli.err.getvalue() == f"coalmine: the kubeconfig cannot be used: {told}\n"


def test_nothing_that_a_terminal_would_act_on_is_told() -> None:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out, err, tty=True, colour=False, columns=lambda: 80)
    terminal.warn("a\x1b[2Jb\nc")
    assert err.getvalue() == "coalmine: a?[2Jb?c\n"


# --- set image -----------------------------------------------------------------------------


def with_sidekick() -> dict[str, Any]:
    deployment = make.deployment()
    spec = deployment["spec"]["template"]["spec"]
    spec["containers"].append({"name": "logger", "image": "logger:1"})
    spec["initContainers"] = [{"name": "migrate", "image": "migrate:1"}]
    return deployment


def images(api: Api) -> dict[str, str]:
    spec = api.objects["deployments", "colorapi"]["spec"]["template"]["spec"]
    return {c["name"]: c["image"] for kind in ("containers", "initContainers") for c in spec.get(kind, [])}


@pytest.mark.parametrize(
    ("pairs", "changed"),
    [
        (["colorapi=app:2.0"], {"colorapi": "app:2.0"}),
        (["*=app:2.0"], {"colorapi": "app:2.0", "logger": "app:2.0"}),
        (["migrate=m:2", "logger=l:2"], {"migrate": "m:2", "logger": "l:2"}),
        (["colorapi=reg:5000/app@sha256:00"], {"colorapi": "reg:5000/app@sha256:00"}),
    ],
)
def test_set_image(pairs: list[str], changed: dict[str, str], tmp_path: Path) -> None:
    before = {"colorapi": "particule/simplecolorapi:1.0", "logger": "logger:1", "migrate": "migrate:1"}
    code, out, _, api = told([with_sidekick()], tmp_path, "set", "image", "colorapi", *pairs)
    assert code == DONE
    assert images(api) == before | changed
    assert out.startswith("deployment.apps/colorapi image updated\n")


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (["web=app:2"], "the Deployment colorapi has no container web; it has colorapi, logger, migrate"),
        (["*=app:2", "logger=l:2"], "two images are given for the container logger; give one"),
    ],
)
def test_set_image_refuses(pairs: list[str], sentence: str, tmp_path: Path) -> None:
    code, _, err, api = told([with_sidekick()], tmp_path, "set", "image", "colorapi", *pairs)
    assert (code, err) == (REFUSED, f"coalmine: {sentence}\n")
    assert images(api)["colorapi"] == "particule/simplecolorapi:1.0"


def test_set_image_that_is_there_writes_nothing(tmp_path: Path) -> None:
    before = make.deployment()
    code, out, _, api = told([before], tmp_path, "set", "image", "colorapi", "*=particule/simplecolorapi:1.0")
    assert (code, out) == (DONE, "deployment.apps/colorapi has these images already: nothing changed\n")
    assert api.objects["deployments", "colorapi"]["metadata"]["resourceVersion"] == "101"


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (make.deployment(), unannotated(), "it has no annotation coalmine.dev/canary, so it is updated natively"),
        (
            make.deployment(),
            make.deployment("2.0", hold=make.print_of("2.0")),
            "Coalmine holds particule/simplecolorapi:2.0: it is brought up as a canary first; follow it with "
            "`coalmine get rollout colorapi -w`",
        ),
        (
            make.deployment(),
            make.deployment("3.0", hold=make.print_of("3.0"), failed=make.print_of("3.0")),
            "particule/simplecolorapi:3.0 is the version whose canary was taken back: it stays held; "
            "`coalmine retry colorapi` tries it again",
        ),
        (
            make.deployment("2.0", hold=make.print_of("2.0")),
            make.deployment("1.0"),
            "the template is the stable one again: nothing is held",
        ),
        (make.deployment(), make.deployment("2.0"), "a native rolling update is under way"),
    ],
)
def test_set_image_tells_what_the_webhook_made_of_it(
    before: dict[str, Any], after: dict[str, Any], sentence: str
) -> None:
    from coalmine_cli.template import consequence

    assert consequence(before, after) == sentence


# --- promote, abort, retry -----------------------------------------------------------------


def spec_of(api: Api) -> dict[str, Any]:
    return dict(api.objects["rollouts", "colorapi"]["spec"])


def canary(status: Status, **spec: Any) -> list[dict[str, Any]]:
    return [make.deployment("2.0", hold=make.print_of("2.0")), make.rollout(status, **spec)]


ABORTED = replace(make.AT_20, phase=Phase.DEGRADED, aborted_at=make.NOW - 5)


@pytest.mark.parametrize(
    ("objects", "argv", "spec"),
    [
        (
            canary(make.PAUSED, paused=CANARY.to_json()),
            ["promote"],
            {"promote": {**CANARY.to_json(), "step": 1, "full": False}},
        ),
        (canary(make.PAUSED), ["promote", "--full"], {"promote": {**CANARY.to_json(), "step": 1, "full": True}}),
        (
            canary(replace(make.PAUSED, step=4), paused=CANARY.to_json()),
            ["promote"],
            {"promote": {**CANARY.to_json(), "step": 4, "full": False}},
        ),
        (
            canary(make.PAUSED, promote={**CANARY.to_json(), "step": 0, "full": True}),
            ["promote"],
            {"promote": {**CANARY.to_json(), "step": 1, "full": False}},
        ),
        (canary(make.AT_20), ["abort"], {"abort": CANARY.to_json()}),
        (canary(make.AT_20), ["pause"], {"paused": CANARY.to_json()}),
        (canary(make.PAUSED, paused=Wish(CANARY.revision, 0).to_json()), ["pause"], {"paused": CANARY.to_json()}),
        (canary(ABORTED), ["retry"], {"retry": CANARY.to_json()}),
        (canary(ABORTED, retry=Wish(CANARY.revision, 0).to_json()), ["retry"], {"retry": CANARY.to_json()}),
    ],
)
def test_a_wish_names_what_the_person_saw(
    objects: list[dict[str, Any]], argv: list[str], spec: dict[str, Any], tmp_path: Path
) -> None:
    code, out, err, api = told(objects, tmp_path, argv[0], "colorapi", *argv[1:])
    assert (code, err) == (DONE, "")
    assert spec_of(api) == spec
    assert out.count("\n") == 1
    assert "particule/simplecolorapi:2.0" in out


@pytest.mark.parametrize(
    ("objects", "verb", "sentence"),
    [
        (
            [make.deployment(), make.rollout(make.HEALTHY)],
            "promote",
            "there is no canary of colorapi to promote: it is Healthy; "
            "one comes up when the Deployment's template changes",
        ),
        (canary(ABORTED), "promote", "the canary of colorapi was aborted; `coalmine retry colorapi` tries it again"),
        (
            canary(replace(make.PAUSED, step=4)),
            "promote",
            "all 4 steps of colorapi are done; follow its end with `coalmine status colorapi`",
        ),
        (
            canary(replace(make.PAUSED, step=4, handover_at=make.NOW)),
            "promote",
            "particule/simplecolorapi:2.0 is being handed over to the Deployment; "
            "nothing is left to promote: it is promoted soon",
        ),
        (
            canary(replace(make.PAUSED, step=4, full_promotion=True)),
            "promote",
            "colorapi is promoted fully already; follow it with `coalmine status colorapi`",
        ),
        (
            canary(ABORTED),
            "abort",
            "the canary of colorapi is aborted already; `coalmine retry colorapi` tries it again",
        ),
        (
            canary(replace(make.AT_20, handover_at=make.NOW)),
            "abort",
            "particule/simplecolorapi:2.0 is being handed over to the Deployment, which is too late to abort; "
            "when it is Healthy, set the earlier image again",
        ),
        (
            canary(ABORTED),
            "pause",
            "the canary of colorapi was aborted: there is nothing to pause; `coalmine retry colorapi` tries it again",
        ),
        (
            canary(replace(make.AT_20, handover_at=make.NOW)),
            "pause",
            "particule/simplecolorapi:2.0 is being handed over to the Deployment, which is too late to pause; "
            "follow its end with `coalmine status colorapi`",
        ),
        (
            canary(make.AT_20, paused=CANARY.to_json()),
            "pause",
            "colorapi is paused already; `coalmine promote colorapi` goes on",
        ),
        (
            [make.deployment(), make.rollout(make.HEALTHY)],
            "pause",
            "there is no canary of colorapi to pause: it is Healthy; "
            "one comes up when the Deployment's template changes",
        ),
        (
            canary(make.PAUSED),
            "retry",
            "the canary of colorapi is not aborted: it is Paused, at step 1/4; "
            "`coalmine abort colorapi` would take it back",
        ),
        (
            canary(ABORTED, retry=CANARY.to_json()),
            "retry",
            "a retry of colorapi is asked for already; look whether coalmine-controller runs if none begins",
        ),
        (
            canary(replace(make.PAUSED, workload_generation=2)),
            "abort",
            "the controller has not seen the latest change of the Deployment colorapi yet; try again in a moment",
        ),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    objects: list[dict[str, Any]], verb: str, sentence: str, tmp_path: Path
) -> None:
    before = objects[1]["spec"]
    code, out, err, api = told(objects, tmp_path, verb, "colorapi")
    assert (code, out, err) == (REFUSED, "", f"coalmine: {sentence}\n")
    assert spec_of(api) == before


# --- status --------------------------------------------------------------------------------


def test_status_waits_for_the_end(tmp_path: Path) -> None:
    async def test(api: Api, cli: Cli) -> None:
        waiting = asyncio.create_task(cli.run("status", "colorapi"))
        await cli.out.shows(lambda text: text.startswith("Progressing - waiting for the controller to see"))
        await api.watched("rollouts")
        api.put(make.rollout(make.AT_20))
        await cli.out.shows(lambda text: "acknowledged" in text)
        api.put(make.rollout(make.HEALTHY))
        assert await waiting == DONE
        assert cli.out.getvalue().splitlines() == [
            "Progressing - waiting for the controller to see the latest change",
            "Progressing - 20 % of the requests go to the canary, acknowledged by all 6 sidecars",
            "Healthy - all 5 pods run the stable template",
        ]

    stale = make.rollout(replace(make.HEALTHY, workload_generation=2))
    on([make.deployment("2.0"), stale], tmp_path, test)


def test_status_of_a_degraded_rollout(tmp_path: Path) -> None:
    code, out, _, _ = told(make.degraded().objects, tmp_path, "status", "colorapi", "-w", "-o", "json")
    assert code == REFUSED
    assert json.loads(out)["phase"] == "Degraded"


@pytest.mark.parametrize("flag", ["--no-watch", "-w=false", "--watch=false"])
def test_status_without_waiting(flag: str, tmp_path: Path) -> None:
    code, out, _, _ = told(make.paused().objects, tmp_path, "status", "colorapi", flag)
    assert (code, out) == (DONE, "Paused - paused at step 1 of 4 for 30 s\n")


def test_status_runs_out_of_time(tmp_path: Path) -> None:
    code, _, err, _ = told(make.paused().objects, tmp_path, "status", "colorapi", "--timeout", "1ms")
    assert code == REFUSED
    assert err == (
        "coalmine: colorapi is still Paused after 0.001 s (paused at step 1 of 4 for 30 s): "
        "look at `coalmine get rollout colorapi`\n"
    )


# --- usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["get"],
        ["get", "rollout"],
        ["set", "image", "colorapi"],
        ["set", "image", "colorapi", "app"],
        ["set", "image", "colorapi", "=app"],
        ["status", "colorapi", "--timeout", "soon"],
        ["status", "colorapi", "-w", "--no-watch"],
        ["frobnicate"],
    ],
)
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = program.run(argv, _terminal(), prog="coalmine", clock=lambda: make.NOW, pause=asyncio.sleep)
    assert code == USAGE
    assert "usage: coalmine" in capsys.readouterr().err


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    code = program.run(["--help"], _terminal(), prog="kubectl coalmine", clock=lambda: make.NOW, pause=asyncio.sleep)
    assert code == DONE
    out = capsys.readouterr().out
    assert "usage: kubectl coalmine" in out
    assert "exit codes:" in out


def _terminal() -> Terminal:
    from io import StringIO

    return Terminal(StringIO(), StringIO(), tty=False, colour=False, columns=lambda: 80)
