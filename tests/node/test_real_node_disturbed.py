"""What happens to a cluster while a canary stands at 20 %, under load, on a real node.

What Kubernetes itself fails is measured on the same application without Coalmine, in `plain`: a process that is
killed takes the requests with it that it holds, and until its pod is out of the Service, new ones are
refused. All else must cost nobody a request.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from node_lab import PATIENCE, NodeLab
from shop import Shop, ready

from coalmine.kube.resources import PODS, Object, Resource, uid_of
from coalmine.model.names import SIDECAR_CONTAINER, SYSTEM_NAMESPACE
from coalmine_sandbox.story.application import NAME

pytestmark = pytest.mark.cluster

BUDGETS: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
#: Of five stable pods and one canary pod.
LEAST: Final = 4
#: How a request ends whose peer is killed, or is not there yet.
KILL: Final = "killed:"
KILLED: Final = ("ConnectionRefusedError", "ConnectionResetError", "IncompleteReadError", "BrokenPipeError")


@pytest.fixture(scope="module")
def midway(installed: NodeLab, run: Any) -> Iterator[Shop]:
    """The application with its canary at 20 %, until somebody promotes it."""
    context = Shop(installed, "midway").open(6.0)
    shop: Shop = run(context.__aenter__())

    async def begin() -> None:
        await shop.strategy({"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "3s"}})
        await shop.release("2.0")
        await shop.at(20)

    run(begin())
    yield shop
    run(context.__aexit__(None, None, None))


@pytest.fixture
def plain(installed: NodeLab, run: Any) -> Iterator[Shop]:
    """The same application without Coalmine."""
    context = Shop(installed, "plain").open(6.0, canary=False)
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))


async def killed(shop: Shop, pod: Object, container: str) -> list[str]:
    """Kill a container's process from outside, wait until its pod is Ready again; what failed meanwhile."""
    since = len(shop.traffic.samples)
    shop.mark(f"{KILL} {container}")
    os.kill(await shop.lab.process(pod, container), signal.SIGKILL)
    await shop.lab.until(lambda: _restarted(shop, pod, container), f"{container} is started again", PATIENCE)
    await shop.asked(500)
    return [s.failure for s in shop.traffic.samples[since:] if s.failure]


async def _restarted(shop: Shop, pod: Object, container: str) -> bool:
    now = await shop.lab.client.get(PODS, shop.namespace, pod["metadata"]["name"])
    status = now["status"]
    every = [*status["containerStatuses"], *(status.get("initContainerStatuses") or ())]
    return any(s["name"] == container and s["restartCount"] for s in every) and ready(now)


def of_kills(failures: list[str]) -> bool:
    return all(f.startswith(KILLED) for f in failures)


def test_what_kubernetes_fails_when_a_process_is_killed(plain: Shop, run: Any, say: Callable[[str], None]) -> None:
    """The measure for the next test."""

    async def kill() -> list[str]:
        pods = await plain.app.pods()
        return await killed(plain, pods[0], NAME)

    failures = run(kill())
    say(f"an application killed, no sidecar: {len(failures)} failed: {sorted(set(failures))}")
    assert of_kills(failures)


def test_a_sidecar_is_killed(midway: Shop, run: Any, say: Callable[[str], None]) -> None:
    async def kill() -> None:
        for pods in (await midway.stable_pods(), await midway.canary_pods()):
            failures = await killed(midway, pods[0], SIDECAR_CONTAINER)
            say(f"a sidecar killed: {len(failures)} failed: {sorted(set(failures))}")
            assert of_kills(failures)
        await midway.at(20)

    run(kill())


def test_an_application_is_killed(midway: Shop, run: Any, say: Callable[[str], None]) -> None:
    """Its sidecar lives on, and takes the requests elsewhere; those that the process held are lost."""

    async def kill() -> list[str]:
        return await killed(midway, (await midway.stable_pods())[0], NAME)

    failures = run(kill())
    say(f"an application killed, with a sidecar: {len(failures)} failed: {sorted(set(failures))}")
    assert of_kills(failures) or all("status 502" in f for f in failures)


def test_pods_are_deleted(midway: Shop, run: Any) -> None:
    async def delete() -> None:
        midway.mark("a pod deleted")
        seen = len(midway.app.failures)
        for pods in (await midway.stable_pods(), await midway.canary_pods()):
            done = await midway.app.kubectl("delete", "pod", pods[0]["metadata"]["name"])
            assert done.code == 0, done.stderr
            await midway.settled(6)
            await midway.at(20)
        assert midway.app.failures[seen:] == []

    run(delete())


def test_the_kubelet_is_restarted(midway: Shop, run: Any) -> None:
    async def restart() -> None:
        midway.mark("kubelet restarted")
        seen = len(midway.app.failures)
        before = {uid_of(p): _starts(p) for p in await midway.app.pods()}
        await midway.lab.kubelet.restart(signal.SIGTERM)
        await midway.lab.until(lambda: _answers(midway.lab), "the kubelet answers", PATIENCE)
        await midway.asked(300)
        await midway.settled(6)
        assert {uid_of(p): _starts(p) for p in await midway.app.pods()} == before
        assert midway.app.failures[seen:] == []

    run(restart())


def _starts(pod: Object) -> list[int]:
    status = pod["status"]
    return [s["restartCount"] for s in (*status["containerStatuses"], *status["initContainerStatuses"])]


async def _answers(lab: NodeLab) -> bool:
    answer = await lab.kubectl("get", "--raw", "/api/v1/nodes/node/proxy/healthz")
    return answer.stdout == "ok"


def test_the_leading_controller_is_killed(midway: Shop, run: Any, say: Callable[[str], None]) -> None:
    async def kill() -> None:
        midway.mark("leader killed")
        lab, seen = midway.lab, len(midway.app.failures)
        leader = await lab.leader()
        pods = await lab.pods(SYSTEM_NAMESPACE, "app.kubernetes.io/name=coalmine-controller")
        (pod,) = (p for p in pods if leader.startswith(p["metadata"]["name"]))
        began = time.monotonic()
        os.kill(await lab.process(pod, "controller"), signal.SIGKILL)

        async def another() -> bool:
            return await lab.leader() not in ("", leader)

        await lab.until(another, "another controller leads", PATIENCE)
        say(f"another controller led {time.monotonic() - began:.1f} s after the first was killed")
        await midway.at(20)
        await lab.available(SYSTEM_NAMESPACE, "coalmine-controller")
        assert midway.app.failures[seen:] == []

    run(kill())


def test_a_pod_of_the_webhook_is_deleted(midway: Shop, run: Any) -> None:
    """Writes to the held Deployment pass all the while: each goes through the webhook, which fails closed."""

    async def delete() -> None:
        midway.mark("webhook deleted")
        lab, seen = midway.lab, len(midway.app.failures)
        pods = await lab.pods(SYSTEM_NAMESPACE, "app.kubernetes.io/name=coalmine-webhook")
        gone = pods[0]["metadata"]["name"]
        done = await lab.kubectl("-n", SYSTEM_NAMESPACE, "delete", "pod", gone, "--wait=false")
        assert done.code == 0, done.stderr
        writes, target = 0, f"deployment/{NAME}"
        while await lab.client.find(PODS, SYSTEM_NAMESPACE, gone) is not None:
            written = await midway.app.kubectl("annotate", "--overwrite", target, f"example.org/n={writes}")
            assert written.code == 0, written.stderr
            writes += 1
        assert writes > 3
        await lab.available(SYSTEM_NAMESPACE, "coalmine-webhook")
        assert midway.app.failures[seen:] == []

    run(delete())


def test_the_node_is_drained(midway: Shop, run: Any, say: Callable[[str], None]) -> None:
    """As far as the budgets allow: with one node, no pod that goes has anywhere else to go to."""

    async def drain() -> None:
        midway.mark("drained")
        lab, seen = midway.lab, len(midway.app.failures)
        budget = {"minAvailable": LEAST, "selector": {"matchLabels": {"app": NAME}}}
        await lab.apply([_object(BUDGETS, NAME, budget)], namespace=midway.namespace)
        before = {uid_of(p) for p in await midway.app.pods()}
        words = "drain node --ignore-daemonsets --delete-emptydir-data --timeout=30s"
        drained = await lab.kubectl(*words.split())
        assert drained.code == 1, drained.stdout
        assert "global timeout reached" in drained.stderr or "disruption budget" in drained.stderr
        left = [p for p in await midway.app.pods() if uid_of(p) in before]
        assert len(left) == LEAST
        assert all(ready(p) for p in left)
        for name in ("coalmine-webhook", "coalmine-controller"):
            pods = await lab.pods(SYSTEM_NAMESPACE, f"app.kubernetes.io/name={name}")
            assert sum(ready(p) for p in pods) == 1, "the budget keeps one"
        await midway.asked(300)
        assert (await lab.kubectl("uncordon", "node")).code == 0
        await midway.settled(6)
        await midway.at(20)
        for name in ("coalmine-webhook", "coalmine-controller"):
            await lab.available(SYSTEM_NAMESPACE, name)
        await lab.client.delete(BUDGETS, midway.namespace, NAME)
        assert midway.app.failures[seen:] == []
        say(f"drained to {LEAST} of 6 pods and filled again")

    run(drain())


def _object(resource: Resource, name: str, spec: Object) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}


def test_after_all_that_it_is_promoted(midway: Shop, run: Any, say: Callable[[str], None]) -> None:
    async def promote() -> None:
        midway.mark("promoted")
        seen = len(midway.app.failures)
        since = len(midway.traffic.samples)
        await midway.asked(1000)
        blue = sum(s.colour == "blue" for s in midway.traffic.samples[since:])
        total = len(midway.traffic.samples) - since
        say(f"at 20 %, after everything: {blue} of {total} requests ({100 * blue / total:.1f} %)")
        assert abs(100 * blue / total - 20) <= 1
        done = await midway.lab.coalmine("-n", midway.namespace, "promote", NAME)
        assert done.code == 0, done.stderr
        await midway.healthy(await midway.app.fingerprint())
        assert midway.app.failures[seen:] == []
        failed = midway.failed()
        say(f"in all {len(midway.traffic.samples)} requests, {len(failed)} failed: {failed}")
        assert [f for f in failed if not f[0].startswith(KILL)] == [], "only a process that is killed costs requests"

    run(promote())
