"""`coalmine sandbox up|status|down` as a person uses it, with a program of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, SERVICES
from coalmine.kube.verbs import APPLY
from coalmine.model import names
from coalmine_sandbox.keep import family

pytestmark = pytest.mark.cluster

PROGRAM = """
import http.server, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer((sys.argv[1], 8080), Handler).serve_forever()
"""
IMAGES = """
images:
- name: "mine/hello:*"
  command: ["{python}", "{folder}/hello.py", "{pod.ip}", "hello from {image.tag}"]
"""
LABELS = {"app": "hello"}
DEPLOYMENT = {
    "apiVersion": DEPLOYMENTS.api_version,
    "kind": DEPLOYMENTS.kind,
    "metadata": {
        "name": "hello",
        "annotations": {names.CANARY: "steps: [{setWeight: 50}, {pause: {}}]\nscaleDownDelaySeconds: 1"},
    },
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "containers": [
                    {
                        "name": "hello",
                        "image": "mine/hello:1",
                        "ports": [{"name": "web", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1},
                    }
                ]
            },
        },
    },
}
SERVICE = {
    "apiVersion": SERVICES.api_version,
    "kind": SERVICES.kind,
    "metadata": {"name": "hello"},
    "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "web"}]},
}


@dataclass(frozen=True)
class Person:
    """Somebody at a shell, with a sandbox in a directory of their own."""

    state: Path

    def sandbox(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.coalmine("sandbox", verb, "--state", str(self.state), *arguments)

    def coalmine(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(self.state / "admin.kubeconfig")}
        command = [sys.executable, "-m", "coalmine_cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sandbox("status", "-o", "json").stdout)
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        async def work() -> None:
            async with await Client.connect(str(self.state / "admin.kubeconfig")) as client:
                for obj, resource in zip(objects, (DEPLOYMENTS, SERVICES), strict=True):
                    query = {"fieldManager": "me"}
                    await client.patch(resource, "default", obj["metadata"]["name"], obj, kind=APPLY, query=query)

        asyncio.run(work())

    def hello(self) -> str:
        """What the Service answers."""
        address = next(s["address"] for s in self.status()["services"] if s["name"] == "hello")
        with urllib.request.urlopen(f"http://{address}/") as answer:
            return str(answer.read().decode())


def until(condition: Callable[[], Any]) -> Any:
    """The first true answer; pytest's time limit ends a wait in vain."""
    while not (answer := condition()):
        time.sleep(0.1)
    return answer


@pytest.fixture
def person(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Person]:
    if request.config.getoption("--control-plane") == "real":
        pytest.skip("it is the sandbox that stands")
    person = Person(tmp_path / "state")
    yield person
    person.sandbox("down")


def test_a_program_of_ones_own(person: Person, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(textwrap.dedent(PROGRAM))
    images = tmp_path / "images.yaml"
    images.write_text(IMAGES)

    started = person.sandbox("up", "--empty", "--images", str(images))
    assert started.returncode == 0, started.stderr
    assert f"export KUBECONFIG={person.state}/admin.kubeconfig" in started.stdout
    again = person.sandbox("up", "--images", str(images))
    assert (again.returncode, "is up already" in again.stderr) == (1, True)

    person.apply(DEPLOYMENT, SERVICE)
    assert person.coalmine("status", "hello").returncode == 0
    assert person.hello() == "hello from 1"

    assert "canary first" in person.coalmine("set", "image", "hello", "hello=mine/hello:2").stdout
    until(lambda: "Paused" in person.coalmine("status", "hello", "--no-watch").stdout)

    # the control plane comes back with its objects, and the rollout goes on
    plane = next(c for c in person.status()["components"] if c["name"] == "control-plane")
    os.kill(plane["pid"], signal.SIGKILL)
    until(lambda: next(c["restarts"] for c in person.status()["components"] if c["name"] == "control-plane"))
    until(lambda: person.coalmine("promote", "hello").returncode == 0)
    assert person.coalmine("status", "hello").returncode == 0
    assert person.hello() == "hello from 2"
    status = until(lambda: (found := person.status())["whole"] and found)
    assert {"name": "hello", "namespace": "default", "ready": 2, "desired": 2, "images": ["mine/hello:2"]} in status[
        "deployments"
    ]

    assert person.sandbox("down").returncode == 0
    assert not person.state.exists()
    assert family.marked(person.state) == []
    assert person.sandbox("status").returncode == 1


def test_what_killed_processes_leave_is_no_obstacle(person: Person) -> None:
    assert person.sandbox("up", "--empty").returncode == 0
    marked = family.marked(person.state)
    components = [one["pid"] for one in person.status()["components"]]
    keeper = json.loads((person.state / "lock").read_text())["keeper"]
    family.kill([keeper, *marked, *components])
    until(lambda: person.sandbox("status").returncode == 1)
    assert person.sandbox("up", "--empty").returncode == 0
    assert person.status()["whole"]
    # nothing in the directory is taken for the new sandbox's
    assert all(one["restarts"] == 0 for one in person.status()["components"])


def test_a_directory_with_something_in_it_is_not_taken(person: Person) -> None:
    person.state.mkdir()
    (person.state / "thesis.tex").touch()
    refused = person.sandbox("up")
    assert (refused.returncode, "is no empty directory" in refused.stderr) == (1, True)
    assert person.sandbox("down").returncode == 0
    assert (person.state / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("images: [{name: x, comand: [y]}]", "images[0].comand"),
        ("images: [{command: [y]}]", "images[0].name"),
        ("images: [{name: x, command: y}]", "images[0].command"),
        ("image: []", "there is no list of images"),
        ("{", "cannot be read"),
    ],
)
def test_a_wrong_images_file(person: Person, tmp_path: Path, text: str, told: str) -> None:
    images = tmp_path / "images.yaml"
    images.write_text(text)
    refused = person.sandbox("up", "--images", str(images))
    assert refused.returncode == 1
    assert str(images) in refused.stderr
    assert told in refused.stderr
    assert not person.state.exists()
