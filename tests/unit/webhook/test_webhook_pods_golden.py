"""What injection makes of the pods that people have: a golden file for each, native and classic; and docs/pods.md names
every one of them. UPDATE_GOLDEN=1 writes the files anew.

A golden file holds the pod that came in and what was changed, not what the sidecar's container is: that is in
golden/pod-*.yaml.
"""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.model import names
from coalmine_webhook.pod import decide_pod
from coalmine_webhook.review import Allowed, Review
from coalmine_webhook.sidecar import Kind, Settings

GOLDEN = Path(__file__).parent / "golden" / "pods"
DOCUMENT = Path(__file__).parents[3] / "docs" / "pods.md"
OWNERS = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "Job": "batch/v1"}


def app(**fields: Any) -> dict[str, Any]:
    return {"name": "app", "image": "app:1", "ports": [{"name": "web", "containerPort": 8080}], **fields}


def pod(*containers: dict[str, Any], owner: str | None = "ReplicaSet", **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"generateName": "web-abc-", "labels": {"app": "web", names.SIDECAR_LABEL: "true"}}
    if owner is not None:
        reference = {"apiVersion": OWNERS[owner], "kind": owner, "name": "web-abc", "uid": "u", "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": list(containers), **spec}}


def port(number: int, **fields: Any) -> dict[str, Any]:
    return {"containerPort": number, **fields}


WEB = port(8080, name="web")
GET_BY_NAME = {"httpGet": {"path": "/healthz", "port": "web"}}
QUANTITIES = {"cpu": "500m", "memory": "128Mi"}
GUARANTEED = {"requests": QUANTITIES, "limits": QUANTITIES}
CONFIG = {"name": "config", "configMap": {"name": "settings"}}
TOKEN = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "x"}}]}}

PODS: dict[str, dict[str, Any]] = {
    "one-port": pod(app()),
    "several-ports": pod(app(ports=[WEB, port(9090, name="metrics"), port(9091)])),
    "several-named-ports-none-usual": pod(app(ports=[port(1, name="a"), port(2, name="b")])),
    "no-named-port": pod(app(ports=[port(8080)])),
    "udp-of-the-same-name": pod(app(ports=[WEB, port(8080, name="web", protocol="UDP")])),
    "same-name-in-two-containers": pod(
        app(), {"name": "b", "image": "b", "ports": [port(6000, name="web")], "livenessProbe": GET_BY_NAME}
    ),
    "ports-that-collide": pod(app(), {"name": "agent", "image": "a", "ports": [port(17080), port(17083)]}),
    "host-port-on-the-taken-port": pod(app(ports=[port(8080, name="web", hostPort=80)])),
    "init-container": pod(app(), initContainers=[{"name": "migrate", "image": "m"}]),
    "native-sidecar": pod(app(), initContainers=[{"name": "log", "image": "l", "restartPolicy": "Always"}]),
    "init-containers-of-both-kinds": pod(
        app(),
        initContainers=[
            {"name": "migrate", "image": "m"},
            {"name": "log", "image": "l", "restartPolicy": "Always"},
            {"name": "warm", "image": "w"},
        ],
    ),
    "port-of-a-native-sidecar": pod(
        {"name": "app", "image": "a"},
        initContainers=[{"name": "front", "image": "f", "restartPolicy": "Always", "ports": [WEB]}],
    ),
    "other-sidecar": pod(app(), {"name": "envoy", "image": "e", "ports": [port(15001)]}),
    "probe-http-by-name": pod(app(livenessProbe=GET_BY_NAME, readinessProbe=GET_BY_NAME)),
    "probe-http-by-number": pod(app(readinessProbe={"httpGet": {"path": "/", "port": 8080}})),
    "probe-http-of-another-port": pod(
        app(ports=[WEB, port(9090, name="metrics")], livenessProbe={"httpGet": {"path": "/", "port": "metrics"}})
    ),
    "probe-tcp": pod(app(readinessProbe={"tcpSocket": {"port": "web"}}, livenessProbe={"tcpSocket": {"port": 8080}})),
    "probe-grpc": pod(app(readinessProbe={"grpc": {"port": 8080, "service": "x"}})),
    "probe-exec": pod(app(readinessProbe={"exec": {"command": ["true"]}})),
    "probe-startup": pod(app(startupProbe={**GET_BY_NAME, "failureThreshold": 30})),
    "lifecycle-hooks": pod(
        app(lifecycle={"postStart": GET_BY_NAME, "preStop": {"httpGet": {"path": "/drain", "port": "web"}}})
    ),
    "lifecycle-sleep": pod(app(lifecycle={"preStop": {"sleep": {"seconds": 5}}})),
    "loopback-only": pod(app(args=["--listen", "127.0.0.1:8080"])),
    "host-network": pod(app(), hostNetwork=True),
    "windows": pod(app(), os={"name": "windows"}),
    "windows-by-node-selector": pod(app(), nodeSelector={"kubernetes.io/os": "windows"}),
    "linux-by-name": pod(app(), os={"name": "linux"}, nodeSelector={"kubernetes.io/os": "linux"}),
    "bare": pod(app(), owner=None),
    "of-a-job": pod(app(), owner="Job", restartPolicy="Never"),
    "of-a-statefulset": pod(app(), owner="StatefulSet"),
    "shared-process-namespace": pod(app(), shareProcessNamespace=True),
    "runs-as-root": pod(app(), securityContext={"runAsUser": 0}),
    "must-not-run-as-root": pod(app(), securityContext={"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 2000}),
    "volumes": pod(app(volumeMounts=[{"name": "config", "mountPath": "/c"}]), volumes=[CONFIG, TOKEN]),
    "volume-named-as-ours": pod(app(), volumes=[{"name": names.KEYS_VOLUME, "emptyDir": {}}]),
    "container-named-as-ours": pod(app(), {"name": names.SIDECAR_CONTAINER, "image": "x"}),
    "no-service-account-token": pod(app(), automountServiceAccountToken=False),
    "guaranteed": pod(app(resources=GUARANTEED)),
    "resources-of-a-limit-range": pod(app(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}})),
    "spread": pod(
        app(),
        topologySpreadConstraints=[
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
            | {"labelSelector": {"matchLabels": {"app": "web"}}}
        ],
    ),
    "short-grace": pod(app(), terminationGracePeriodSeconds=1),
}
OWNER = {"metadata": {"name": "web-abc", "annotations": {}}}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("name", PODS)
def test_golden(name: str, kind: Kind, apply: Any) -> None:
    came = PODS[name]
    before = copy.deepcopy(came)
    settings = Settings("coalmine:test", kind)

    def decide(one: dict[str, Any]) -> Any:
        return decide_pod(Review("1", "CREATE", "", "shop", "web-abc-", "rs", False, one, None), OWNER, settings)

    stored = apply(came, decide(came))
    assert came == before
    assert decide(stored) == Allowed(), "a second pass changes more"
    if stored["metadata"].get("annotations", {}).get(names.SKIPPED):
        assert stored["spec"] == before["spec"], "what gets no sidecar is let be"
    text = yaml.safe_dump({"came": came, "stored": shortened(stored)}, sort_keys=False, width=120)
    file = GOLDEN / f"{name}-{kind}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert file.read_text() == text


def shortened(stored: dict[str, Any]) -> dict[str, Any]:
    """The pod with our container cut down to its name, arguments and ports."""
    stored = copy.deepcopy(stored)
    if names.INJECTED not in stored["metadata"].get("annotations", {}):
        return stored
    for key in ("initContainers", "containers"):
        for one in stored["spec"].get(key) or ():
            if one["name"] == names.SIDECAR_CONTAINER:
                kept = {k: one[k] for k in ("name", "args", "ports", "restartPolicy") if k in one}
                one.clear()
                one.update(kept)
    return stored


def test_no_file_is_left_over() -> None:
    assert {f.stem for f in GOLDEN.glob("*.yaml")} == {f"{name}-{kind}" for name in PODS for kind in Kind}


def test_the_document_tells_of_each() -> None:
    told = re.findall(r"^\| `([a-z0-9-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert told == list(PODS)


def test_the_document_says_which_get_no_sidecar(apply: Any) -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| .* \| (.*?) \|$", DOCUMENT.read_text(), re.MULTILINE))
    for name, came in PODS.items():
        outcome = decide_pod(
            Review("1", "CREATE", "", "shop", "web-abc-", "rs", False, came, None), OWNER, Settings("coalmine:test")
        )
        skipped = apply(came, outcome)["metadata"]["annotations"].get(names.SKIPPED)
        assert rows[name].startswith(f"none: `{skipped}`" if skipped else "yes"), name
