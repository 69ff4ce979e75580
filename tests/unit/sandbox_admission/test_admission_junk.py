"""Objects that decoding lets pass and that mean nothing: plugins refuse them or let them pass, and never break."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import pytest
from admission_world import admission, attributes, memory

from coalmine.kube.resources import DEPLOYMENTS, NAMESPACES, NODES, PODS, SERVICES, Object, Resource
from coalmine_sandbox.api.body import decoded
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.kinds import RESOURCE_QUOTAS, Kinds
from coalmine_sandbox.api.schema import builtin, check

POD: Object = {
    "serviceAccountName": "default",
    "tolerations": [{"key": "x", "operator": "Exists", "effect": "NoExecute"}],
    "volumes": [{"name": "h", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}],
    "securityContext": {
        "runAsUser": 0,
        "sysctls": [{"name": "a", "value": "1"}],
        "seLinuxOptions": {"user": "u", "type": "x"},
        "appArmorProfile": {"type": "Unconfined"},
        "seccompProfile": {"type": "Unconfined"},
    },
    "initContainers": [{"name": "i", "image": "x", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}],
    "containers": [
        {
            "name": "c",
            "image": "x",
            "ports": [{"containerPort": 80, "hostPort": 80}],
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}},
            "volumeMounts": [{"name": "e", "mountPath": "/e"}],
            "securityContext": {"privileged": True, "capabilities": {"add": ["A"], "drop": ["ALL"]}},
            "livenessProbe": {"httpGet": {"host": "h", "port": 80}},
            "lifecycle": {"preStop": {"tcpSocket": {"host": "h", "port": 80}}},
        }
    ],
    "overhead": {"cpu": "1"},
}
ABOUT = {"name": "x", "namespace": "default", "annotations": {"a": "b"}, "labels": {"a": "b"}}
LABELS = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "baseline"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
SAMPLES: list[tuple[Resource, Object]] = [
    (PODS, {"metadata": ABOUT, "spec": POD}),
    (DEPLOYMENTS, {"metadata": ABOUT, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}),
    (SERVICES, {"metadata": ABOUT, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}),
    (NAMESPACES, {"metadata": {"name": "x", "labels": LABELS}}),
    (NODES, {"metadata": {"name": "x"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
]
JUNK: tuple[Any, ...] = (None, {}, [], "", "x", 0, -1, True, [None], [{}], {"": None}, {"x": "y"}, "9" * 40)
HARD = {"pods": "9", "requests.cpu": "9", "limits.memory": "1Gi", "count/services": "9", "services.nodeports": "5"}


def variants(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced by each kind of junk, or left out."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield {other: each for other, each in value.items() if other != key}
            for junk in (*JUNK, *variants(part)):
                yield {**value, key: junk}
    elif isinstance(value, list):
        for at, part in enumerate(value):
            for junk in (*JUNK, *variants(part)):
                yield [*value[:at], junk, *value[at + 1 :]]


@pytest.mark.parametrize(("resource", "sample"), SAMPLES, ids=lambda x: getattr(x, "kind", ""))
@pytest.mark.parametrize("labels", [{}, LABELS], ids=["free", "restricted"])
def test_no_plugin_breaks(resource: Resource, sample: Object, labels: dict[str, str]) -> None:
    kind = Kinds().of(resource)
    node = builtin.structure(resource)
    assert kind is not None
    assert node is not None
    store = memory(labels)
    chain = admission(store)
    metadata = {"name": "q", "namespace": "default"}
    status = {"hard": HARD, "used": dict.fromkeys(HARD, "0")}

    async def all_of_them() -> tuple[int, int]:
        passed = refused = 0
        for broken in variants(sample):
            try:
                obj = decoded(kind, copy.deepcopy(broken), "Ignore", [])
                asked = attributes(resource, obj, namespace="default" if resource.namespaced else "")
                result, _ = await chain.mutate(asked)
                # what the schema refuses never comes to validation
                if result is not None and not check.faults(node, result):
                    store.put(RESOURCE_QUOTAS, {"metadata": metadata, "spec": {"hard": HARD}, "status": status})
                    await chain.validate(attributes(resource, result, namespace=asked.namespace))
                passed += 1
            except StatusError:
                refused += 1
        return passed, refused

    passed, refused = asyncio.run(all_of_them())
    assert passed
    assert refused
