"""The lab itself: Deployments come up in it, its parts may die, and nothing is left of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pods import COLORAPI, JOBS, SLEEP, colorapi, container_status, get, pod, pod_where, python, ready, rolled_out

from coalmine.kube.resources import DEPLOYMENTS, NODES, PODS
from coalmine.kube.verbs import STRATEGIC
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster


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
