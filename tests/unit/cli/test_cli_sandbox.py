"""`sandbox up|status|down`: what is shown of a sandbox, and what is said when there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine_cli import sandbox
from coalmine_cli.sandbox_screen import Deployment, Means, Sandbox, document, lines
from coalmine_sandbox.connect import Place
from coalmine_sandbox.standing import Component, Standing

SHOWN = Sandbox(
    standing=Standing(
        kubeconfig="/s/admin.kubeconfig",
        connect_to="/s/connect-to",
        since=0.0,
        components=(Component("control-plane", 7, 0, "/s/a.log"), Component("node-agent", 8, 1, "/s/b.log")),
    ),
    memory={"control-plane": 70 << 20, "node-agent": 60 << 20},
    services=(Place("colorapi", "default", 80, "127.1.16.9", 8080),),
    deployments=(Deployment("colorapi", "default", 4, 5, ("particule/simplecolorapi:1.0",)),),
)
MEANS = Means(folder=None, kubectl=True, down="coalmine sandbox down")


def text(shown: Sandbox = SHOWN, means: Means = MEANS) -> str:
    return "\n".join(lines(shown, means, 3_725.0))


def test_all_of_it() -> None:
    assert (
        text()
        == """\
The sandbox is up, since 1h2m.

Processes:
  control-plane    70 MB  /s/a.log
  node-agent       60 MB  /s/b.log  started again 1 time

Services:
  colorapi.default  port 80  at 127.1.16.9:8080

Deployments:
  colorapi.default  4 of 5 ready  particule/simplecolorapi:1.0

To use it, in every shell that you need:
  export KUBECONFIG=/s/admin.kubeconfig

Three things to try, each in a shell of its own:
  while sleep 0.1; do curl -s http://127.1.16.9:8080/; echo; done              # what its users get
  coalmine get rollout colorapi -w                                             # what becomes of a release
  kubectl set image deployment/colorapi colorapi=particule/simplecolorapi:2.0  # a good one; 3.0 is a bad one

`coalmine sandbox down` ends it; nothing is left."""
    )


@pytest.mark.parametrize(
    ("shown", "means", "said"),
    [
        (SHOWN, replace(MEANS, folder="/a b/bin"), "  export PATH='/a b/bin':$PATH"),
        (
            SHOWN,
            replace(MEANS, kubectl=False),
            "  coalmine set image colorapi colorapi=particule/simplecolorapi:2.0  #",
        ),
        (replace(SHOWN, deployments=()), MEANS, "  kubectl apply -f FILE  "),
        (replace(SHOWN, deployments=()), replace(MEANS, kubectl=False), "  coalmine lint -f FILE  "),
        (replace(SHOWN, deployments=None), MEANS, "the API server does not answer: see the log of control-plane"),
        (replace(SHOWN, memory={"control-plane": 0, "node-agent": 1}), MEANS, "  control-plane  not running  /s/a.log"),
        (SHOWN, replace(MEANS, down="coalmine sandbox down --state x"), "`coalmine sandbox down --state x` ends it"),
    ],
)
def test_what_depends(shown: Sandbox, means: Means, said: str) -> None:
    assert said in text(shown, means)


@pytest.mark.parametrize(
    ("shown", "whole"),
    [
        (SHOWN, True),
        (replace(SHOWN, deployments=None), False),
        (replace(SHOWN, memory={"control-plane": 1, "node-agent": 0}), False),
    ],
)
def test_whole(shown: Sandbox, whole: bool) -> None:
    assert shown.whole is whole
    assert document(shown)["whole"] is whole


def test_for_programs() -> None:
    found = json.loads(json.dumps(document(SHOWN)))
    assert found["since"] == "1970-01-01T00:00:00+00:00"
    assert found["components"][1] == {
        "name": "node-agent",
        "running": True,
        "pid": 8,
        "restarts": 1,
        "memoryBytes": 60 << 20,
        "log": "/s/b.log",
    }
    assert found["services"] == [{"name": "colorapi", "namespace": "default", "port": 80, "address": "127.1.16.9:8080"}]
    assert found["deployments"][0]["images"] == ["particule/simplecolorapi:1.0"]


def test_none_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--state", str(tmp_path / "s")]
    assert sandbox.main(["status", *where], {}) == 1
    assert capsys.readouterr().out == f"No sandbox is up: `coalmine sandbox up --state {tmp_path}/s` starts one.\n"
    assert sandbox.main(["status", *where, "-o", "json"], {}) == 1
    assert json.loads(capsys.readouterr().out) == {"up": False}
    assert sandbox.main(["down", *where], {}) == 0
    assert capsys.readouterr().out == "There was no sandbox.\n"
    assert not (tmp_path / "s").exists()
