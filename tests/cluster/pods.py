"""Pods and requests as the tests of node and Services write them: what they share."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from coalmine.kube.resources import PODS, Object, Resource
from coalmine_sandbox.lab import EXAMPLES, Lab, read

JOBS = Resource("batch/v1", "Job", "jobs")
COLORAPI = EXAMPLES / "colorapi" / "manifests"


def colorapi(replicas: int = 5, release: str = "1.0") -> Object:
    """The article's Deployment without Coalmine's annotation."""
    (deployment,) = read(COLORAPI / "deployment.yaml")
    deployment["metadata"].pop("annotations")
    deployment["spec"]["replicas"] = replicas
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = f"particule/simplecolorapi:{release}"
    # endpoints are taken out while it still answers
    pod["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 1}}}
    return deployment


def pod(name: str, spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def python(name: str, program: str, **fields: Any) -> Object:
    """A container that runs a Python program."""
    return {"name": name, "image": "python:3", "args": ["-u", "-c", textwrap.dedent(program)], **fields}


SLEEP = "import time\nwhile True: time.sleep(60)"


async def get(lab: Lab, host: str, port: int = 80, *, path: str = "/") -> Object:
    """One request on a connection of its own."""
    reader, writer = await lab.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


async def rolled_out(lab: Lab, namespace: str, name: str = "colorapi") -> None:
    code, out, err = await lab.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=60s")
    assert code == 0, out + err


async def pod_where(lab: Lab, namespace: str, name: str, condition: Any, what: str) -> Object:
    async def found() -> Object | None:
        one = await lab.client.find(PODS, namespace, name)
        return one if one is not None and condition(one) else None

    return dict(await lab.until(found, f"pod {name}: {what}"))


def container_status(one: Object, name: str) -> Object:
    status = one.get("status") or {}
    every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return next((dict(s) for s in every if s["name"] == name), {})


def ready(one: Object) -> bool:
    conditions = (one.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
