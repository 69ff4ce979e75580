"""Environment, command line and downward API."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from coalmine.kube.resources import Object
from coalmine.model.quantities import divide, parse
from coalmine_sandbox.node.environment import MissingError, PodFacts, command_line, expand, field_value, variables_of

POD: Object = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web", "a/b": 'say "hi"'},
        "annotations": {"note": "two\nlines"},
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "robot",
        "containers": [
            {"name": "main", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}},
            {"name": "other"},
        ],
    },
}
OBJECTS = {
    ("ConfigMap", "settings"): {"kind": "ConfigMap", "data": {"A": "1", "B": "2"}},
    ("Secret", "password"): {"kind": "Secret", "data": {"P": base64.b64encode(b"s3").decode(), "raw": "/w=="}},
}


def facts() -> PodFacts:
    return PodFacts(POD, "10.244.0.7", "10.97.0.10", {"cpu": "64", "memory": "1Gi"}, lambda k, n: OBJECTS.get((k, n)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, ["image", "cmd"]),
        ({"args": ["-v", "$(A)"]}, ["image", "cmd", "-v", "1"]),
        ({"command": ["sh"]}, ["sh"]),
        ({"command": ["sh"], "args": ["-c", "$$(A)"]}, ["sh", "-c", "$(A)"]),
    ],
)
def test_command_line(container: Object, expected: list[str]) -> None:
    assert command_line(container, ("image", "cmd"), {"A": "1"}) == expected


def test_variables_in_order() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "password"}, "prefix": "DB_"}],
        "env": [
            {"name": "A", "value": "own"},
            {"name": "SEEN", "value": "$(A) $(B) $(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "NOTHING", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "password", "key": "P"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
    }
    assert variables_of(container, facts(), {"PATH": "/bin"}) == {
        "PATH": "/bin",
        "A": "own",
        "B": "2",
        "DB_P": "s3",
        "SEEN": "own 2 $(LATER)",
        "LATER": "x",
        "KEY": "s3",
        "IP": "10.244.0.7",
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}, "configmap 'no' not found"),
        ({"valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}}, "ConfigMap settings has no key k"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}, "fieldPath spec.nope is not known"),
        ({"valueFrom": {"magic": {}}}, "this valueFrom is not known"),
    ],
)
def test_missing_is_told(entry: Object, said: str) -> None:
    with pytest.raises(MissingError, match=said):
        variables_of({"env": [{"name": "X", **entry}]}, facts(), {})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['note']", "two\nlines"),
        ("metadata.labels", 'a/b="say \\"hi\\""\napp="web"'),
        ("metadata.annotations", 'note="two\\nlines"'),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "10.97.0.10"),
        ("status.podIPs", "10.244.0.7"),
    ],
)
def test_fields(path: str, expected: str) -> None:
    assert field_value(path, facts()) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "requests.cpu"}, "0"),
        ({"resource": "limits.cpu", "containerName": "other"}, "64"),
    ],
)
def test_resources(reference: dict[str, Any], expected: str) -> None:
    container = POD["spec"]["containers"][0]
    variables = variables_of(
        {**container, "env": [{"name": "R", "valueFrom": {"resourceFieldRef": reference}}]}, facts(), {}
    )
    assert variables["R"] == expected


@pytest.mark.parametrize(
    ("text", "divisor", "expected"),
    [
        ("1", "0", 1),
        ("0.5", "", 1),
        ("1e3", "1", 1000),
        ("1Gi", "1Mi", 1024),
        ("100n", "1", 1),
        ("2k", "1", 2000),
        ("0", "1", 0),
    ],
)
def test_divide_rounds_up(text: str, divisor: str, expected: int) -> None:
    assert divide(text, divisor) == expected


@pytest.mark.parametrize("text", ["", "1x", "Mi", "1 Mi", "--1", "1e"])
def test_bad_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse(text)
