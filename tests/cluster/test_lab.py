"""The lab itself: a node that is one in the eyes of the control plane, and Services that work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from coalmine.kube.client import STRATEGIC
from coalmine.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, Object, Resource
from coalmine_sandbox.lab import EXAMPLES, Lab, read

pytestmark = pytest.mark.cluster

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


def test_service_deals_connections_in_turn(lab: Lab, run: Any, namespace: str) -> None:
    program = """
        import http.server, os
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = ('{"pod": "%s"}' % os.environ["HOSTNAME"]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        http.server.ThreadingHTTPServer((os.environ["IP"], 8080), Handler).serve_forever()
    """
    labels = {"app": "echo"}
    container = python(
        "main",
        program,
        env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        ports=[{"name": "web", "containerPort": 8080}],
        readinessProbe={"tcpSocket": {"port": "web"}, "periodSeconds": 1},
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "echo"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "web"}]},
    }

    async def story() -> None:
        await lab.apply([deployment, service], namespace=namespace)
        await rolled_out(lab, namespace, "echo")
        pods = {p["metadata"]["name"] for p in (await lab.client.list(PODS, namespace))[0]}

        async def all_there() -> bool:
            try:
                return {(await get(lab, f"echo.{namespace}"))["pod"] for _ in range(4)} == pods
            except OSError:
                return False

        await lab.until(all_there, "every pod gets connections")
        seen = Counter([str((await get(lab, f"echo.{namespace}.svc.cluster.local"))["pod"]) for _ in range(40)])
        assert seen == Counter(dict.fromkeys(pods, 10))

    run(story())


def test_rolling_update_under_load_loses_nothing(lab: Lab, run: Any, namespace: str) -> None:
    colours: Counter[str] = Counter()
    stop = asyncio.Event()

    async def fresh(host: str) -> None:
        while not stop.is_set():
            colours[str((await get(lab, host))["color"])] += 1
            await asyncio.sleep(0.02)

    async def kept(host: str) -> None:
        """Uses a connection until the server says that it will close it."""
        while not stop.is_set():
            reader, writer = await lab.open_connection(host, 80)
            closing = False
            while not closing and not stop.is_set():
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
                head = await reader.readuntil(b"\r\n\r\n")
                closing = b"Connection: close" in head
                body = json.loads(await reader.readuntil(b"}"))
                assert body["received"] == 1000
                colours[body["color"]] += 1
                await asyncio.sleep(0.02)
            writer.close()

    async def story() -> None:
        await lab.apply([colorapi(replicas=3)], namespace=namespace)
        await lab.apply(COLORAPI / "service.yaml", namespace=namespace)
        await rolled_out(lab, namespace)
        host = f"colorapi.{namespace}"
        async with asyncio.TaskGroup() as group:
            for work in (fresh, kept, kept):
                group.create_task(work(host))
            image = "colorapi=particule/simplecolorapi:2.0"
            assert (await lab.kubectl("-n", namespace, "set", "image", "deployment/colorapi", image)).code == 0
            await rolled_out(lab, namespace)

            async def old_ones_gone() -> bool:
                return len((await lab.client.list(PODS, namespace))[0]) == 3

            await lab.until(old_ones_gone, "the old pods are gone")
            colours.clear()
            await asyncio.sleep(0.5)  # some requests with only new pods there
            stop.set()
        assert set(colours) == {"blue"}

    run(story())


def test_killed_container_is_restarted_and_keeps_its_volume(lab: Lab, run: Any, namespace: str) -> None:
    program = """
        import os, time
        os.open("/var/run/kept/run-%d" % len(os.listdir("/var/run/kept")), os.O_CREAT)
        print(sorted(os.listdir("/var/run/kept")), flush=True)
        while True: time.sleep(60)
    """
    mount = {"volumeMounts": [{"name": "kept", "mountPath": "/var/run/kept"}]}
    spec = {
        "volumes": [{"name": "kept", "emptyDir": {}}],
        "initContainers": [python("sidecar", program, restartPolicy="Always", **mount)],
        "containers": [python("main", SLEEP)],
        "terminationGracePeriodSeconds": 1,
    }

    async def said(text: str) -> bool:
        return text in lab.container_log(namespace, "one", "sidecar")

    async def story() -> None:
        await lab.apply([pod("one", spec)], namespace=namespace)
        await pod_where(lab, namespace, "one", ready, "ready")
        await lab.until(lambda: said("['run-0']"), "the first run has made its file")
        os.kill(lab.container(namespace, "one", "sidecar"), signal.SIGKILL)
        restarted = await pod_where(
            lab,
            namespace,
            "one",
            lambda p: ready(p) and container_status(p, "sidecar").get("restartCount") == 1,
            "its sidecar is restarted",
        )
        last = container_status(restarted, "sidecar")["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (137, "Error")
        assert container_status(restarted, "main")["restartCount"] == 0

        await lab.until(lambda: said("['run-0', 'run-1']"), "the second run sees the first one's file")
        assert not Path("/var/run/kept").exists()

    run(story())


def test_native_sidecar_starts_first_and_ends_last(lab: Lab, run: Any, namespace: str) -> None:
    events = lab.state / f"events-{namespace}"
    say = """
import os
def say(text):
    os.write(os.open("/log/all", os.O_APPEND | os.O_CREAT | os.O_WRONLY), text + b"\\n")
"""
    on_term = """
import signal, time
def end(*_):
    say(b"{name} SIGTERM")
    time.sleep({work})
    say(b"{name} ends")
    raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
"""
    serve = """
import socket
say(b"sidecar starts")
time.sleep(0.5)
say(b"sidecar is up")
listener = socket.create_server(("", 9000))
while True: listener.accept()
"""
    log = {"volumeMounts": [{"name": "log", "mountPath": "/log"}]}

    def hook(name: str) -> Object:
        return {"preStop": {"exec": {"command": ["sh", "-c", f"echo {name} preStop >> /log/all"]}}}

    spec = {
        "volumes": [{"name": "log", "hostPath": {"path": str(events), "type": "DirectoryOrCreate"}}],
        "initContainers": [
            python("first", say + "say(b'first')", **log),
            python(
                "sidecar",
                say + on_term.format(name="sidecar", work=0) + serve,
                restartPolicy="Always",
                lifecycle=hook("sidecar"),
                startupProbe={"tcpSocket": {"port": 9000}, "periodSeconds": 1},
                **log,
            ),
            python("second", say + "say(b'second')", **log),
        ],
        "containers": [
            python(
                "main",
                say + on_term.format(name="main", work=0.5) + "say(b'main starts')\n" + SLEEP,
                lifecycle=hook("main"),
                **log,
            )
        ],
    }

    async def story() -> list[str]:
        await lab.apply([pod("one", spec)], namespace=namespace)
        await pod_where(lab, namespace, "one", ready, "ready")

        async def main_runs() -> bool:
            return "main starts" in (events / "all").read_text()

        await lab.until(main_runs, "main has started")
        code, _, err = await lab.kubectl("-n", namespace, "delete", "pod", "one", "--timeout=30s")
        assert code == 0, err
        return (events / "all").read_text().splitlines()

    lines = run(story())
    assert lines[:5] == ["first", "sidecar starts", "sidecar is up", "second", "main starts"]
    ending = lines[5:]
    assert sorted(ending) == sorted(
        ["sidecar preStop", "main preStop", "main SIGTERM", "main ends", "sidecar SIGTERM", "sidecar ends"]
    )
    in_order = ["main preStop", "main SIGTERM", "main ends", "sidecar SIGTERM", "sidecar ends"]
    assert [line for line in ending if line in in_order] == in_order
    # its hook does not wait for its turn
    assert ending.index("sidecar preStop") < ending.index("main ends")


def test_grace_ends_with_sigkill(lab: Lab, run: Any, namespace: str) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n" + SLEEP

    async def story() -> None:
        await lab.apply([pod("one", {"containers": [python("main", deaf)]})], namespace=namespace)

        async def is_deaf() -> bool:
            return "deaf" in lab.container_log(namespace, "one", "main")

        await lab.until(is_deaf, "it ignores SIGTERM")
        pid = lab.container(namespace, "one", "main")
        assert (await lab.kubectl("-n", namespace, "delete", "pod", "one", "--grace-period=1")).code == 0
        assert not Path(f"/proc/{pid}").exists()

    run(story())


def test_crash_loop_and_unknown_image_are_told(lab: Lab, run: Any, namespace: str) -> None:
    def waits(name: str, *reasons: str) -> Any:
        def check(one: Object) -> bool:
            waiting = (container_status(one, name).get("state") or {}).get("waiting") or {}
            return waiting.get("reason") in reasons

        return check

    async def story() -> None:
        crashing = {"containers": [python("main", "import sys; sys.exit(3)")]}
        missing = {"containers": [{"name": "main", "image": "nowhere/nothing:1"}]}
        await lab.apply([pod("crashing", crashing), pod("missing", missing)], namespace=namespace)
        one = await pod_where(lab, namespace, "crashing", waits("main", "CrashLoopBackOff"), "CrashLoopBackOff")
        assert container_status(one, "main")["lastState"]["terminated"]["exitCode"] == 3
        assert one["status"]["phase"] == "Running"
        assert not ready(one)
        two = await pod_where(lab, namespace, "missing", waits("main", "ImagePullBackOff"), "ImagePullBackOff")
        assert two["status"]["phase"] == "Pending"
        assert "nowhere/nothing:1" in container_status(two, "main")["state"]["waiting"]["message"]

    run(story())


def test_liveness_probe_restarts_and_readiness_takes_out(lab: Lab, run: Any, namespace: str) -> None:
    program = """
        import os, time
        open("/var/probed/alive", "w")
        while True: time.sleep(60)
    """
    spec = {
        "volumes": [{"name": "probed", "emptyDir": {}}],
        "containers": [
            python(
                "main",
                program,
                volumeMounts=[{"name": "probed", "mountPath": "/var/probed"}],
                readinessProbe={"exec": {"command": ["test", "-e", "/var/probed/ready"]}, "periodSeconds": 1},
                # on a busy machine the program may need longer for its first line than liveness allows
                startupProbe={
                    "exec": {"command": ["test", "-e", "/var/probed/alive"]},
                    "periodSeconds": 1,
                    "failureThreshold": 60,
                },
                livenessProbe={
                    "exec": {"command": ["test", "-e", "/var/probed/alive"]},
                    "periodSeconds": 1,
                    "failureThreshold": 2,
                },
            )
        ],
        "terminationGracePeriodSeconds": 1,
    }

    async def story() -> None:
        await lab.apply([pod("one", spec)], namespace=namespace)
        running = await pod_where(lab, namespace, "one", lambda p: container_status(p, "main").get("started"), "runs")
        assert not ready(running)
        (volume,) = (lab.state / "node" / "pods").glob(f"{namespace}_one_*/volumes/probed")
        (volume / "ready").touch()
        await pod_where(lab, namespace, "one", ready, "ready")
        (volume / "ready").unlink()
        await pod_where(lab, namespace, "one", lambda p: not ready(p), "not ready any more")
        (volume / "alive").unlink()
        await pod_where(
            lab, namespace, "one", lambda p: container_status(p, "main")["restartCount"] == 1, "restarted by liveness"
        )

    run(story())


def test_environment_volumes_and_token(lab: Lab, run: Any, namespace: str) -> None:
    program = """
        import json, os, ssl, time, urllib.error, urllib.request
        base = "/var/run/secrets/kubernetes.io/serviceaccount"
        server = "https://%(KUBERNETES_SERVICE_HOST)s:%(KUBERNETES_SERVICE_PORT)s" % os.environ
        request = urllib.request.Request(f"{server}/api/v1/namespaces/{os.environ['NS']}/pods")
        request.add_header("Authorization", "Bearer " + open(f"{base}/token").read())
        try:
            urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{base}/ca.crt"))
        except urllib.error.HTTPError as error:
            message = json.load(error)["message"]
        print(json.dumps({"ip": os.environ["IP"], "uid": os.environ["ID"], "both": os.environ["BOTH"], "api": message}))
        print(open("/etc/labels/labels").read())
        before = None
        while True:
            try:
                text = open("/etc/coalmine/late/key").read()
            except FileNotFoundError:
                text = "nothing"
            if text != before:
                print("late:", text)
                before = text
            time.sleep(0.05)
    """

    def env(name: str, path: str) -> Object:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    spec = {
        "volumes": [
            {"name": "late", "configMap": {"name": "late", "optional": True}},
            {
                "name": "labels",
                "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
            },
        ],
        "containers": [
            python(
                "main",
                program,
                env=[
                    env("IP", "status.podIP"),
                    env("ID", "metadata.uid"),
                    env("NS", "metadata.namespace"),
                    {"name": "BOTH", "value": "$(IP) $$(IP) $(NONE)"},
                ],
                volumeMounts=[
                    {"name": "late", "mountPath": "/etc/coalmine/late"},
                    {"name": "labels", "mountPath": "/etc/labels"},
                ],
            )
        ],
        "terminationGracePeriodSeconds": 1,
    }

    def config(value: str) -> Object:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"key": value}}

    async def story() -> None:
        one = pod("one", spec)
        one["metadata"]["labels"] = {"app": "one"}
        await lab.apply([one], namespace=namespace)

        async def says(text: str) -> None:
            async def said() -> bool:
                return text in lab.container_log(namespace, "one", "main")

            await lab.until(said, f"the container says {text!r}")

        await says("late: nothing")
        told = json.loads(lab.container_log(namespace, "one", "main").splitlines()[0])
        found = await lab.client.get(PODS, namespace, "one")
        address = found["status"]["podIP"]
        assert told["ip"] == address
        assert told["uid"] == found["metadata"]["uid"]
        assert told["both"] == f"{address} $(IP) $(NONE)"
        # RBAC knows who asks, and that it may not
        assert f"system:serviceaccount:{namespace}:default" in told["api"]
        assert 'app="one"' in lab.container_log(namespace, "one", "main")
        await lab.client.create(CONFIG_MAPS, namespace, config("first"))
        await says("late: first")
        await lab.client.replace(CONFIG_MAPS, namespace, config("second"))
        await says("late: second")
        assert not Path("/etc/coalmine").exists()

    run(story())


def test_kubectl_logs(lab: Lab, run: Any, namespace: str) -> None:
    """Of a run that goes on, of the one before it, and the end of them; what has no log is told."""
    program = """
        import os, signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        run = len(os.listdir("/runs"))
        os.mkdir(f"/runs/{run}")
        for line in range(3): print(f"run {run} line {line}", flush=True)
        signal.sigwait([signal.SIGTERM])
        print(f"run {run} ends", flush=True)
    """
    mount = {"volumeMounts": [{"name": "runs", "mountPath": "/runs"}]}
    spec: dict[str, Any] = {
        "volumes": [{"name": "runs", "emptyDir": {}}],
        "containers": [python("main", program, **mount), python("other", "print('other')\n" + SLEEP)],
    }
    once = {"volumes": spec["volumes"], "containers": spec["containers"][:1], "restartPolicy": "Never"}
    unknown = {"containers": [{"name": "main", "image": "nowhere/nothing:1"}]}

    async def logs(name: str, *arguments: str) -> str:
        code, out, err = await lab.kubectl("-n", namespace, "logs", name, *arguments)
        return out if code == 0 else err

    async def story() -> None:
        await lab.apply([pod("one", spec), pod("once", once), pod("unknown", unknown)], namespace=namespace)
        await pod_where(lab, namespace, "one", ready, "ready")

        async def says(text: str, name: str = "one") -> bool:
            return await logs(name, "-c", "main") == text

        first = "run 0 line 0\nrun 0 line 1\nrun 0 line 2\n"
        await lab.until(lambda: says(first), "the first run has printed its lines")
        assert await logs("one", "-c", "main", "--tail=1") == "run 0 line 2\n"
        assert await logs("one", "-c", "main", "--limit-bytes=5") == "run 0"
        stamped = (await logs("one", "-c", "main", "--timestamps", "--since=1h")).splitlines()
        assert [line.partition(" ")[2] for line in stamped] == first.splitlines()
        assert all(datetime.fromisoformat(line.partition(" ")[0][:26] + "+00:00") for line in stamped)
        not_found = 'previous terminated container "main" in pod "one" not found'
        assert not_found in await logs("one", "-c", "main", "--previous")
        assert (await logs("one", "-c", "other")) == "other\n"

        await pod_where(lab, namespace, "once", ready, "ready")
        async with asyncio.TaskGroup() as group:
            followed = group.create_task(logs("once", "-f"))
            await lab.until(lambda: says(first, "once"), "its lines are there; kubectl has had the time to follow")
            os.kill(lab.container(namespace, "once", "main"), signal.SIGTERM)
            assert await followed == first + "run 0 ends\n", "it ends with the run"
        os.kill(lab.container(namespace, "one", "main"), signal.SIGTERM)
        await lab.until(lambda: says(first.replace("run 0", "run 1")), "the second run has printed its lines")
        assert await logs("one", "-c", "main", "--previous") == first + "run 0 ends\n"

        await pod_where(
            lab,
            namespace,
            "unknown",
            lambda p: (
                (container_status(p, "main").get("state") or {}).get("waiting", {}).get("reason", "")
                in ("ErrImagePull", "ImagePullBackOff")
            ),
            "its image is not there",
        )
        assert 'container "main" in pod "unknown" is waiting to start: ' in await logs("unknown")

    run(story())


def test_job_with_sidecar_completes(lab: Lab, run: Any, namespace: str) -> None:
    template = {
        "spec": {
            "restartPolicy": "Never",
            "initContainers": [python("sidecar", SLEEP, restartPolicy="Always")],
            "containers": [python("main", "print('done')")],
            "terminationGracePeriodSeconds": 1,
        }
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "one"},
        "spec": {"template": template, "backoffLimit": 0},
    }

    async def story() -> None:
        await lab.apply([job], namespace=namespace)

        async def complete() -> bool:
            found = await lab.client.get(JOBS, namespace, "one")
            return any(c["type"] == "Complete" and c["status"] == "True" for c in found["status"].get("conditions", ()))

        await lab.until(complete, "the Job is Complete")

    run(story())


def test_rollout_status_and_scale(lab: Lab, run: Any, namespace: str) -> None:
    async def story() -> None:
        await lab.apply([colorapi(replicas=1)], namespace=namespace)
        await rolled_out(lab, namespace)
        assert (await lab.kubectl("-n", namespace, "scale", "deployment/colorapi", "--replicas=3")).code == 0
        await rolled_out(lab, namespace)
        found = await lab.client.get(DEPLOYMENTS, namespace, "colorapi")
        assert found["status"]["availableReplicas"] == 3
        code, out, _ = await lab.kubectl("-n", namespace, "get", "pods", "--no-headers")
        assert code == 0
        assert [line.split()[1:3] for line in out.splitlines()] == [["1/1", "Running"]] * 3

    run(story())


def test_agent_killed_comes_back(lab: Lab, run: Any, namespace: str) -> None:
    async def story() -> None:
        await lab.apply([colorapi(replicas=1)], namespace=namespace)
        await lab.apply(COLORAPI / "service.yaml", namespace=namespace)
        await rolled_out(lab, namespace)
        (one,) = (await lab.client.list(PODS, namespace))[0]
        name = one["metadata"]["name"]
        assert lab.agent is not None
        await lab.agent.restart()
        again = await pod_where(
            lab,
            namespace,
            name,
            lambda p: ready(p) and container_status(p, "colorapi")["restartCount"] == 1,
            "its container runs again",
        )
        assert again["status"]["podIP"] == one["status"]["podIP"]

        async def answers() -> bool:
            try:
                return bool((await get(lab, f"colorapi.{namespace}"))["color"] == "red")
            except OSError:
                return False

        await lab.until(answers, "it answers again")

    run(story())


def test_a_node_and_pods_that_were_given_up_come_back(lab: Lab, run: Any, namespace: str) -> None:
    """As the node controller leaves them when it hears of a node for a while not."""

    async def story() -> None:
        await lab.client.create(PODS, namespace, pod("sleeper", {"containers": [python("app", SLEEP)]}))
        await pod_where(lab, namespace, "sleeper", ready, "is ready")
        for resource, where, name, status in (
            (NODES, None, "sandbox", "Unknown"),
            (PODS, namespace, "sleeper", "False"),
        ):
            told = {"status": {"conditions": [{"type": "Ready", "status": status}]}}
            await lab.client.patch(resource, where, name, told, "status", kind=STRATEGIC)
        assert not ready(await lab.client.get(NODES, None, "sandbox"))
        await pod_where(lab, namespace, "sleeper", ready, "is ready again")

        async def back() -> bool:
            node = await lab.client.get(NODES, None, "sandbox")
            return ready(node) and not node["spec"].get("taints")

        await lab.until(back, "the node is ready again, and takes pods")

    run(story())


LONELY = """
import asyncio, sys
from functools import partial
from pathlib import Path
from coalmine_sandbox import isolate
from coalmine_sandbox.lab import EXAMPLES, Lab
from coalmine_sandbox.plane.real import RealControlPlane
from coalmine_sandbox.plane.small import SmallControlPlane

async def main():
    kubectl = Path(sys.argv[1])
    async with Lab(partial(RealControlPlane, kubectl.parent) if isolate.current() else SmallControlPlane) as lab:
        await lab.apply(EXAMPLES / "colorapi" / "manifests" / "deployment.yaml")

        async def five():
            (one,) = (await lab.client.raw("GET", "/apis/apps/v1/deployments"))["items"]
            return (one.get("status") or {}).get("availableReplicas") == 5

        await lab.until(five, "five pods are there")
        print(lab.state, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.fixture
def lonely(lab: Lab, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another lab, kept as this kind of control plane is kept, and its state directory."""
    program = tmp_path / "lonely.py"
    program.write_text(LONELY)
    kept = "isolate" if lab.isolated else "keep"
    command = [sys.executable, "-m", f"coalmine_sandbox.{kept}", "--", sys.executable, str(program)]
    command.append(str(lab.control_plane.kubectl))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def family(root: int) -> list[int]:
    """All descendants of a process."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(text.split()[0]))
    found, waiting = [], [root]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_everything_vanishes(
    lab: Lab, run: Any, lonely: tuple[subprocess.Popen[str], Path], number: signal.Signals
) -> None:
    process, state = lonely
    mounts = Path("/proc/self/mountinfo").read_text()
    addresses = Path("/proc/net/fib_trie").read_text()
    processes = family(process.pid)
    assert len(processes) > 10
    process.send_signal(number)
    process.wait()

    async def all_gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in processes)

    run(lab.until(all_gone, "every process of the other lab is gone"))
    assert not state.exists()
    assert Path("/proc/net/fib_trie").read_text() == addresses
    assert Path("/proc/self/mountinfo").read_text() == mounts
    # this lab lives
    lab.check()
