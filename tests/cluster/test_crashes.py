"""The controller is killed with -9 at exact lines and started again: the story ends as if nothing had happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import aiohttp
import pytest
from interceptor import Rule
from scenes import Scene, behind_interceptor

from coalmine.kube.resources import LEASES, PODS, REPLICA_SETS
from coalmine.model import names
from coalmine.model.rollout import Phase, Wishes
from coalmine_controller.convert import deployment_from, pod_from, replica_set_from
from coalmine_controller.keys import Keyring, KeyStore
from coalmine_controller.observed import Observed
from coalmine_controller.routing import split
from coalmine_controller.sidecars import Sidecars
from coalmine_controller.versions import sort_out
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster


class Moment(NamedTuple):
    """A write of the controller."""

    name: str
    matches: Callable[[str, str, Any], bool]


def _annotations(body: Any) -> dict[str, Any]:
    return (body or {}).get("metadata", {}).get("annotations") or {}


CANARY_MADE = Moment("the canary ReplicaSet is made", lambda m, p, b: m == "POST" and p.endswith("/replicasets"))
WEIGHT = Moment(
    "20 % is intended",
    lambda m, p, b: "/rollouts/" in p and p.endswith("/status") and b["status"].get("weight") == 20,
)
MEASURED = Moment("a measurement is written", lambda m, p, b: "/analysisruns/" in p and p.endswith("/status"))
BEGUN = Moment(
    "the handover begins", lambda m, p, b: "/deployments/" in p and bool(_annotations(b).get(names.HANDOVER))
)
SHOWN = Moment(
    "the ReplicaSet is shown",
    lambda m, p, b: m == "PATCH" and "/replicasets/" in p and names.DESIRED_REPLICAS in _annotations(b),
)
RELEASED = Moment(
    "the Deployment is released",
    lambda m, p, b: "/deployments/" in p and "paused" in ((b or {}).get("spec") or {}),
)
FAILED = Moment("failed is written", lambda m, p, b: "/deployments/" in p and bool(_annotations(b).get(names.FAILED)))
REPORTED = Moment(
    "the condition is written", lambda m, p, b: m == "PATCH" and "/deployments/" in p and p.endswith("/status")
)


@pytest.fixture(scope="module")
def scene(installed: Lab, run: Any) -> Iterator[Scene]:
    context = behind_interceptor(installed, "crashes")
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))


async def killed_at(scene: Scene, moment: Moment, *, after: bool) -> None:
    """Kill the controller around the write, and leave it dead until that is certain."""
    rule = Rule(moment.matches, after, scene.controller.kill)
    scene.interceptor.rule = rule
    await rule.fired.wait()
    await scene.controller.wait()
    scene.interceptor.rule = None


WRITES = [
    (CANARY_MADE, True),
    (MEASURED, False),
    (MEASURED, True),
    (BEGUN, False),
    (BEGUN, True),
    (SHOWN, False),
    (SHOWN, True),
    (RELEASED, False),
    (RELEASED, True),
]


@pytest.mark.parametrize(("moment", "after"), WRITES, ids=[f"{'after' if a else 'before'} {m.name}" for m, a in WRITES])
def test_killed_around_a_write(scene: Scene, run: Any, moment: Moment, after: bool) -> None:
    async def meanwhile(mark: str) -> None:
        await killed_at(scene, moment, after=after)
        scene.controller.start()

    run(scene.stage.good_release(meanwhile))


@pytest.mark.parametrize("step", [1, 3])
def test_killed_in_a_pause(scene: Scene, run: Any, step: int) -> None:
    async def meanwhile(mark: str) -> None:
        await scene.stage.app.until(lambda s: s.phase is Phase.PAUSED and s.step == step and s.canary is not None)
        await scene.controller.restart()

    run(scene.stage.good_release(meanwhile))


def test_killed_when_half_of_the_sidecars_have_the_weight(scene: Scene, run: Any) -> None:
    """The weight was intended (that is written first) and pushed to three of six, then the controller died."""

    async def meanwhile(mark: str) -> None:
        await killed_at(scene, WEIGHT, after=True)
        told = await push_to(scene, count=3)
        assert told == 3
        scene.controller.start()

    run(scene.stage.good_release(meanwhile))


async def push_to(scene: Scene, count: int) -> int:
    """Push the intended weight to `count` sidecars, as the controller that died would have."""
    lab, app = scene.lab, scene.stage.app
    deployment = deployment_from(await app.deployment())
    sets, _ = await lab.client.list(REPLICA_SETS, app.namespace)
    pods, _ = await lab.client.list(PODS, app.namespace, labels=names.SIDECAR_SELECTOR)
    lease = await lab.client.get(LEASES, names.SYSTEM_NAMESPACE, names.LEASE)
    await app.until(lambda s: s.weight.percent == 20)
    observed = Observed(
        deployment,
        True,
        Wishes(),
        app.status,
        tuple(replica_set_from(s, deployment) for s in sets),
        tuple(pod_from(p) for p in pods),
    )
    routes = split(observed, sort_out(observed), app.status.weight, app.status.control)
    ring = Keyring(await KeyStore(lab.client, lambda: b"\0" * 32, time.time).load())
    told: list[bool] = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        sidecars = Sidecars(session, ring, int(lease["spec"]["leaseTransitions"]), group, time.monotonic)
        for pod in [p for p in observed.pods if p.uid in routes and not p.terminating][:count]:
            sidecars.tell(pod, "", routes[pod.uid], told.append)
    return sum(told)


ABORT_WRITES = [(FAILED, False), (FAILED, True), (REPORTED, False), (REPORTED, True)]
_ABORT_IDS = [f"{'after' if a else 'before'} {m.name}" for m, a in ABORT_WRITES]


@pytest.mark.parametrize(("moment", "after"), ABORT_WRITES, ids=_ABORT_IDS)
def test_killed_in_an_abort(scene: Scene, run: Any, moment: Moment, after: bool) -> None:
    async def story() -> None:
        app = scene.stage.app
        good, stable, failed = (
            app.status.stable.images[0].rpartition(":")[2],
            await app.stable_pods(),
            len(app.failures),
        )
        await app.set_image("3.0")
        mark = await app.fingerprint()
        await killed_at(scene, moment, after=after)
        scene.controller.start()
        await app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.hundredths == 0)
        waited = await app.kubectl("rollout", "status", "deployment/colorapi", "--timeout=30s")
        assert "exceeded its progress deadline" in waited.stderr
        assert waited.code == 1
        await scene.lab.until(lambda: _only_stable(scene, stable), "the canary's pods go")
        assert app.failures[failed:] == []
        weights = [w for w in app.weights if w]
        assert weights[-1] == 20
        steps = app.account("3.0", mark)
        assert steps[-1].weight.percent == 0
        assert [s for s in steps if not s.kept] == []
        await app.set_image(good)
        await app.until(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        assert await app.stable_pods() == stable

    run(story())


async def _only_stable(scene: Scene, stable: dict[str, int]) -> bool:
    return {p["metadata"]["uid"] for p in await scene.stage.app.pods()} == set(stable)


def test_a_second_controller_takes_over(scene: Scene, run: Any) -> None:
    async def meanwhile(mark: str) -> None:
        app = scene.stage.app
        await app.until(lambda s: s.phase is Phase.PAUSED and s.step == 1 and s.canary is not None)
        scene.controller.kill()
        await scene.controller.wait()

    async def story() -> None:
        second = await scene.lab.start_controller("second")
        try:
            await scene.stage.good_release(meanwhile)
            lease = await scene.lab.client.get(LEASES, names.SYSTEM_NAMESPACE, names.LEASE)
            assert lease["spec"]["holderIdentity"].startswith("second-")
        finally:
            await second.stop()
            scene.lab.controllers.remove(second)
            scene.controller.start()

    run(story())
