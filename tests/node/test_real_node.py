"""The article's story on a real node, and what happens to a cluster meanwhile, under load.

A request that fails is told from one that Kubernetes itself fails by a Deployment of the same application
without Coalmine, to which the same is done (docs/real-node.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from cgroups import memory
from node_lab import NodeLab
from shop import Shop, ready, sidecar, sidecar_status

from coalmine.kube.resources import uid_of
from coalmine.model.rollout import Phase
from coalmine_sandbox.daemon import resident

pytestmark = pytest.mark.cluster

#: Seconds of a pause: six checks in it, as in the example.
PACE: Final = 6.0


@pytest.fixture(scope="module")
def shop(installed: NodeLab, run: Any) -> Iterator[Shop]:
    context = Shop(installed, "shop").open(PACE)
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))


def test_sidecars_are_native_and_ready(installed: NodeLab, shop: Shop, run: Any, say: Callable[[str], None]) -> None:
    async def look() -> None:
        pods = await shop.stable_pods()
        assert len(pods) == 5
        for pod in pods:
            assert sidecar(pod)["restartPolicy"] == "Always"
            status = sidecar_status(pod)
            assert (status["started"], status["ready"], status["restartCount"]) == (True, True, 0)
            assert ready(pod)
        process = await installed.process(pods[0], "coalmine-proxy")
        say(f"a sidecar: {resident(process) >> 20} MB resident, {memory(process) >> 20} MB charged to its container")

    run(look())


def test_restricted_is_enforced(installed: NodeLab, shop: Shop, run: Any) -> None:
    """The namespace refuses what is not restricted: that our pods run there is no accident."""

    async def attempt() -> None:
        answer = await shop.app.kubectl("run", "root", "--image=particule/simplecolorapi:1.0", "--privileged")
        assert answer.code == 1
        assert 'violates PodSecurity "restricted' in answer.stderr

    run(attempt())


def test_a_good_release(shop: Shop, run: Any, say: Callable[[str], None]) -> None:
    async def release() -> None:
        began = time.monotonic()
        mark = await shop.release("2.0")
        await shop.healthy(mark)
        say(f"2.0 promoted in {time.monotonic() - began:.1f} s, {2 * PACE:g} of them pauses")
        kept(shop, "2.0", mark, [20, 50, 100], say)

    run(release())
    assert shop.app.failures == []


def test_a_bad_release(shop: Shop, run: Any, say: Callable[[str], None]) -> None:
    async def release() -> None:
        began = time.monotonic()
        before = {uid_of(p) for p in await shop.stable_pods()}
        mark = await shop.release("3.0")
        await shop.app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.hundredths == 0)
        say(f"3.0 taken back {time.monotonic() - began:.1f} s after it was set")
        waited = await shop.app.rollout_status("60s")
        assert waited.code == 1, waited.stdout
        await shop.asked(300)
        kept(shop, "3.0", mark, [20, 0], say)
        await shop.healthy(await shop.release("2.0"))
        assert {uid_of(p) for p in await shop.stable_pods()} == before

    run(release())
    assert shop.app.failures == []


def kept(shop: Shop, release: str, mark: str, weights: list[int], say: Callable[[str], None]) -> None:
    """The shares were those of the steps, and nothing failed."""
    steps = shop.account(release, mark)
    for step in steps:
        say(
            f"{release} at {step.weight} %: {step.canary} of {step.requests} requests ({step.share:.1f} %), "
            f"{step.failed} failed"
        )
    assert [s.weight.percent for s in steps] == weights
    assert [s for s in steps if not s.kept] == []
