"""The Helm chart and the kustomize base are the same objects, and each value does what it says."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests.generate import values
from manifests.generate.base import CONTAINER, CONTROLLER, POD, WEBHOOK, Object, at, find, image_entry, load, put
from manifests.generate.chart import KEPT

MANIFESTS = Path(__file__).parents[3] / "manifests"
CHART = MANIFESTS / "chart"
BASE = load(MANIFESTS / "base")


def given(**more: Any) -> Object:
    """The chart's values; `more` are dotted names, written with two underscores."""
    found: Object = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, value in more.items():
        put(found, tuple(name.split("__")), value)
    return found


# --- what Helm makes of the few actions that the chart has -----------------------------------

_INNER = re.compile(
    r"(?:\n *)?\{\{- (?P<kind>if|with|range) \.Values\.(?P<name>[\w.]+) \}\}"
    r"(?P<body>(?:(?!\{\{- (?:if|with|range)).)*?)"
    r"(?:\{\{- else if .*?)?(?:\n *)?\{\{- end \}\}",
    re.DOTALL,
)
_TERNARY = re.compile(r"\{\{ if \.Values\.([\w.]+) \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}")
_VALUE = re.compile(r"\{\{ toJson \.Values\.([\w.]+) \}\}")


def render(chosen: Object) -> list[Object]:
    """A small part of Helm, enough for this chart: no Helm is needed to compare."""

    def value(name: str) -> Any:
        return at(chosen, name.split("."))

    def inner(match: re.Match[str]) -> str:
        found = value(match["name"])
        items = found if match["kind"] == "range" else [found] if found else []
        return "".join(match["body"].replace("{{ toJson . }}", json.dumps(item)) for item in items)

    objects: list[Object] = []
    image = chosen["image"]
    name = f"{image['repository']}@{image['digest']}" if image["digest"] else f"{image['repository']}:{image['tag']}"
    for file in sorted((CHART / "templates").glob("*.yaml")):
        text = file.read_text()
        text = _TERNARY.sub(lambda match: match[2] if value(match[1]) else match[3], text)
        text = _INNER.sub(inner, text)
        text = _VALUE.sub(lambda match: json.dumps(value(match[1])), text)
        text = text.replace('{{ include "coalmine.image" . }}', name).replace('{{ "{{" }}', "{{")
        objects += [each for each in yaml.safe_load_all(text) if each]
    return objects


def helm() -> str | None:
    """Helm itself, from $HELM or the path."""
    return os.environ.get("HELM") or shutil.which("helm")


def by_helm(tmp_path: Path, chosen: Object) -> list[Object]:
    program = helm()
    if program is None:
        pytest.skip("there is no helm on this machine: name one with $HELM")
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(chosen))
    command = [program, "template", "coalmine", str(CHART), "--namespace", "coalmine-system", "--values", str(file)]
    done = subprocess.run([*command, "--kube-version", "1.36.0"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def normal(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """By kind and name; what is empty and what is not there are the same to Kubernetes."""
    found = {}
    for each in copy.deepcopy(objects):
        kept = each["metadata"].get("annotations", {}).pop(KEPT, None)
        assert kept is None or each["kind"] == "CustomResourceDefinition"
        if not each["metadata"].get("annotations", True):
            del each["metadata"]["annotations"]
        if each["kind"] == "Deployment":
            pod = at(each, POD)
            for field in ("imagePullSecrets", "nodeSelector", "tolerations"):
                if not pod.get(field, True):
                    del pod[field]
            # what the API server sets where an image has a tag
            if pod["containers"][0].get("imagePullPolicy") == "IfNotPresent":
                del pod["containers"][0]["imagePullPolicy"]
        found[each["kind"], each["metadata"]["name"]] = each
    assert len(found) == len(objects)
    return found


def rendered(how: str, tmp_path: Path, chosen: Object) -> list[Object]:
    return by_helm(tmp_path, chosen) if how == "helm" else render(chosen)


RENDERERS = pytest.mark.parametrize("how", ["ours", "helm"])


@RENDERERS
def test_with_its_default_values_it_is_the_base(how: str, tmp_path: Path) -> None:
    assert normal(rendered(how, tmp_path, given(namespace__create=True))) == normal(BASE)
    without = normal(rendered(how, tmp_path, given()))
    assert without == {key: each for key, each in normal(BASE).items() if key[0] != "Namespace"}


def test_its_values_are_the_defaults() -> None:
    assert given() == values.defaults(BASE)


CHANGED: dict[str, Any] = {
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "mine"}],
    "replicas": 3,
    # mappings are merged by Helm: each entry that the default has is here
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "system", "operator": "Exists"}],
    "affinity": None,
    "priorityClassName": "",
}


@RENDERERS
@pytest.mark.parametrize("choice", values.CHOICES, ids=lambda choice: choice.name)
def test_a_value_changes_its_field_and_nothing_else(how: str, choice: values.Choice, tmp_path: Path) -> None:
    new = CHANGED[choice.name.rpartition(".")[2]]
    found = normal(rendered(how, tmp_path, given(**{choice.name.replace(".", "__"): new})))
    wanted = normal(rendered("ours", tmp_path, given()))
    for where in choice.objects:
        put(wanted[where], choice.path, new)
    assert found == wanted


@RENDERERS
def test_the_image(how: str, tmp_path: Path) -> None:
    image = {"repository": "registry.example/c", "tag": "1", "digest": "sha256:" + "a" * 64}
    for chosen, name in (
        ({**image, "digest": ""}, "registry.example/c:1"),
        (image, f"registry.example/c@{image['digest']}"),
    ):
        objects = rendered(how, tmp_path, given(image=chosen))
        for where in (WEBHOOK, CONTROLLER):
            assert at(find(objects, where), CONTAINER)["image"] == name
        assert image_entry(at(find(objects, WEBHOOK), CONTAINER))["value"] == name


@RENDERERS
def test_options(how: str, tmp_path: Path) -> None:
    chosen = given(
        sidecar__kind="classic",
        sidecar__cpuRequest="10m",
        sidecar__memoryLimit="256Mi",
        webhook__extraArgs=["--log-level", "debug"],
        controller__extraArgs=["--key-age", "30"],
    )
    objects = rendered(how, tmp_path, chosen)
    webhook = at(find(BASE, WEBHOOK), CONTAINER)["args"]
    more = ["--sidecar-cpu-request", "10m", "--sidecar-memory-limit", "256Mi", "--log-level", "debug"]
    assert at(find(objects, WEBHOOK), CONTAINER)["args"] == [*webhook[:-1], "classic", *more]
    controller = at(find(BASE, CONTROLLER), CONTAINER)["args"]
    assert at(find(objects, CONTROLLER), CONTAINER)["args"] == [*controller, "--key-age", "30"]


@RENDERERS
def test_the_kinds_may_be_left_out_or_let_go(how: str, tmp_path: Path) -> None:
    for chosen, kinds in ((given(crds__install=False), 0), (given(crds__keep=False), 4)):
        found = [each for each in rendered(how, tmp_path, chosen) if each["kind"] == "CustomResourceDefinition"]
        assert len(found) == kinds
        assert not any(KEPT in (each["metadata"].get("annotations") or {}) for each in found)
    kept = [e for e in rendered(how, tmp_path, given()) if KEPT in e["metadata"].get("annotations", {})]
    assert len(kept) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--namespace", "elsewhere"], "install into the namespace coalmine-system"),
        (["--namespace", "coalmine-system", "--set", "webhook.replica=3"], "replica"),
        (["--namespace", "coalmine-system", "--set", "webhook.replicas=many"], "replicas"),
    ],
)
def test_what_helm_refuses(options: list[str], said: str) -> None:
    program = helm()
    if program is None:
        pytest.skip("there is no helm on this machine: name one with $HELM")
    command = [program, "template", "c", str(CHART), "--kube-version", "1.36.0", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
