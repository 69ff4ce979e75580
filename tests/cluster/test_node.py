"""The node runs pods as a kubelet does, in the eyes of the control plane and of the processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pods import SLEEP, container_status, pod, pod_where, python, ready

from coalmine.kube.resources import CONFIG_MAPS, PODS, Object
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster


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
