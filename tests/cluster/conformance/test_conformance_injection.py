"""Injection: how a Service finds the sidecar's port, and what the API server lets an injected pod be."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from conformance_app import App
from conformance_webhook import ours, registered

from coalmine.kube.resources import ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES, Object, annotations_of
from coalmine.kube.verbs import ApiError
from coalmine.model.names import INJECTED, LABEL_TRUE, PROXY_PORT, SIDECAR_CONTAINER, SIDECAR_LABEL
from coalmine_sandbox.lab import IMAGE
from coalmine_webhook.patch import members
from coalmine_webhook.pod import decide_pod
from coalmine_webhook.review import Allowed, Outcome, Patched, Review
from coalmine_webhook.sidecar import Settings

pytestmark = pytest.mark.cluster

#: Answers what is sent on a connection with the port that it listens on.
SERVE = textwrap.dedent(
    """
    import os, socket
    number = int(os.environ["PORT"])
    listener = socket.create_server((os.environ["IP"], number))
    while True:
        connection, _ = listener.accept()
        try:
            connection.recv(1)
            connection.sendall(b"%d" % number)
        except OSError:
            pass  # a probe does not stay for the answer
        connection.close()
    """
)


def serving(name: str, port: Object, **fields: Any) -> Object:
    """A container that listens on a port."""
    env = [
        {"name": "PORT", "value": str(port["containerPort"])},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    args = ["-S", "-c", SERVE]
    return {"name": name, "image": "python:3", "args": args, "env": env, "ports": [port], **fields}


def listens(port: Object) -> Object:
    """A probe that asks whether the port is listened on."""
    return {"tcpSocket": {"port": port["containerPort"]}, "periodSeconds": 1}


def pod(name: str, app_port: Object, sidecar_port: Object | None = None) -> Object:
    """A pod of the Service, with a native sidecar if it is given a port."""
    container = serving("app", app_port, readinessProbe=listens(app_port))
    spec: Object = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    if sidecar_port is not None:
        started = {"restartPolicy": "Always", "startupProbe": listens(sidecar_port)}
        spec["initContainers"] = [serving("sidecar", sidecar_port, **started)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "app"}}, "spec": spec}


async def serve(app: App, *pods: Object) -> dict[str, int]:
    """Make pods behind a Service with a named targetPort; the port of each address once all are endpoints."""
    spec = {"selector": {"app": "app"}, "ports": [{"port": 80, "targetPort": "web"}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    await app.lab.client.create(SERVICES, app.namespace, service)
    for one in pods:
        await app.lab.client.create(PODS, app.namespace, one)
    found: dict[str, int] = {}

    async def all_ready() -> bool:
        found.clear()
        slices, _ = await app.lab.client.list(ENDPOINT_SLICES, app.namespace)
        for one in slices:
            for port in one.get("ports") or ():
                ready = [e for e in one.get("endpoints") or () if e["conditions"]["ready"]]
                found.update((address, port["port"]) for e in ready for address in e["addresses"])
        return len(found) == len(pods)

    await app.lab.until(all_ready, f"{len(pods)} endpoints are ready")
    return found


async def address(app: App, name: str) -> str:
    return str((await app.lab.client.get(PODS, app.namespace, name))["status"]["podIP"])


async def answer(app: App) -> str:
    """What one connection to the Service says."""
    reader, writer = await app.lab.open_connection(f"web.{app.namespace}", 80)
    try:
        writer.write(b"?")
        return (await reader.read()).decode()
    finally:
        writer.close()


async def test_a_named_target_port_reaches_a_native_sidecar_beside_a_plain_pod(app: App) -> None:
    """A Service's named targetPort reaches, in each pod, the container that has the name, a native sidecar included.

    Capture without privileges: pods with and without a sidecar stand behind one Service, which is not changed.
    """
    plain = pod("plain", {"name": "web", "containerPort": 5000})
    injected = pod("injected", {"containerPort": 5000}, {"name": "web", "containerPort": PROXY_PORT})
    found = await serve(app, plain, injected)
    assert found == {await address(app, "plain"): 5000, await address(app, "injected"): PROXY_PORT}
    seen: set[str] = set()

    async def both() -> bool:
        seen.add(await answer(app))
        return len(seen) == 2

    await app.lab.until(both, "both pods answer")
    assert seen == {"5000", str(PROXY_PORT)}


async def test_with_the_name_on_both_the_application_is_reached(app: App) -> None:
    """Where the application's port keeps the name, the Service reaches the application, not the sidecar.

    Why injection takes the name off the application's port.
    """
    both = pod("both", {"name": "web", "containerPort": 5000}, {"name": "web", "containerPort": PROXY_PORT})
    assert await serve(app, both) == {await address(app, "both"): 5000}


def restricted(**security: Any) -> Object:
    """An application's pod under the restricted standard, with our stamp, as a ReplicaSet makes it.

    For dry runs: a stored one would go, as there is no such ReplicaSet.
    """
    context = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        **security,
    }
    port = {"name": "web", "containerPort": 5000}
    made = pod("one", port)
    made["metadata"]["labels"] = {SIDECAR_LABEL: LABEL_TRUE}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "one", "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    made["spec"]["containers"][0] |= {
        "securityContext": context,
        "readinessProbe": {"httpGet": {"path": "/", "port": "web"}},
    }
    return made


async def test_restricted_pod_security_admits_an_injected_pod(app: App, tmp_path: Path) -> None:
    """Where the restricted standard is enforced, an injected pod is admitted if the application alone would be.

    The sidecar needs no privilege; the standard is checked after injection.
    """
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await app.lab.client.patch(NAMESPACES, None, app.namespace, enforce)
    path = f"{PODS.path(app.namespace)}?dryRun=All"
    async with registered(app, tmp_path, pod=ours("pods")) as webhook:
        webhook.answer("/pod", lambda review: decide_pod(review, None, Settings(IMAGE)))

        async def enforced() -> bool:
            with pytest.raises(ApiError) as refused:
                await app.lab.client.raw("POST", path, restricted(runAsNonRoot=False, runAsUser=0))
            return refused.value.status == 403

        await app.lab.until(enforced, "the standard is enforced")
        admitted = await app.lab.client.raw("POST", path, restricted())
    assert INJECTED in annotations_of(admitted)
    (sidecar,) = admitted["spec"]["initContainers"]
    assert sidecar["name"] == SIDECAR_CONTAINER
    assert sidecar["restartPolicy"] == "Always"
    (application,) = admitted["spec"]["containers"]
    assert application["ports"] == [{"containerPort": 5000, "protocol": "TCP"}]
    assert application["readinessProbe"]["httpGet"]["port"] == 5000


def labelled(review: Review) -> Outcome:
    """Another webhook, which adds a label."""
    assert review.object is not None
    operations = members(review.object["metadata"]["labels"], {"later": "yes"}, "metadata", "labels")
    return Patched(operations) if operations else Allowed()


async def test_injection_is_the_same_on_a_second_pass(app: App, tmp_path: Path) -> None:
    """With reinvocationPolicy IfNeeded a pod that a later webhook changed is shown again, sidecar and all.

    Injection finds its own work and changes nothing.
    """
    entries = {"pod": ours("pods"), "later": ours("pods")}
    async with registered(app, tmp_path, **entries) as webhook:
        webhook.answer("/pod", lambda review: decide_pod(review, None, Settings(IMAGE)))
        webhook.answer("/later", labelled)
        path = f"{PODS.path(app.namespace)}?dryRun=All"
        admitted = await app.lab.client.raw("POST", path, restricted())
        assert len(webhook.reviews["/pod"]) == 2
    assert [c["name"] for c in admitted["spec"]["initContainers"]] == [SIDECAR_CONTAINER]
