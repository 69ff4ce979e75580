"""The API server misbehaves while releases go on: they end as if nothing had happened, and no request fails.

The controller sees the API server through the interceptor; node, front and webhook have it at first hand, so
that what happens to them happens when the API server itself is gone or stands still.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from chaos import Chaos
from scenes import Scene, behind_interceptor

from coalmine.model.rollout import Phase
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster


@contextlib.asynccontextmanager
async def tended(lab: Lab) -> AsyncIterator[Scene]:
    """The controller is started again when it ends, as in a cluster: it does when it cannot renew its Lease."""
    async with behind_interceptor(lab, "chaos") as scene:
        tending = asyncio.create_task(scene.controller.tend())
        try:
            yield scene
        finally:
            tending.cancel()


@pytest.fixture(scope="module")
def scene(installed: Lab, run: Any) -> Iterator[Scene]:
    context = tended(installed)
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))


#: Shares that make every release meet each of them many times, and still let a Lease be renewed in time.
TROUBLES: dict[str, dict[str, Any]] = {
    "conflicts": {"refused": {409: 0.3}},
    "too many requests": {"refused": {429: 0.2}},
    "errors": {"refused": {500: 0.15}},
    "answers that are lost": {"lost": {500: 0.1, 504: 0.1}},
    "slow": {"slow": 0.4},
    "watches that are cut": {"cut": 0.2},
    "watches that are too old": {"cut": 0.1, "expired": 0.5},
    "events late and twice": {"late": 0.2, "twice": 0.3},
    "everything": {
        "refused": {409: 0.05, 429: 0.03, 500: 0.03},
        "lost": {500: 0.03},
        "slow": 0.1,
        "expired": 0.1,
        "cut": 0.05,
        "twice": 0.1,
        "late": 0.1,
    },
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_release_in_trouble(scene: Scene, run: Any, trouble: str) -> None:
    async def story() -> None:
        chaos = scene.interceptor.chaos = Chaos(random.Random(trouble), **TROUBLES[trouble])
        try:
            await scene.stage.good_release()
        finally:
            scene.interceptor.chaos = None
        missed = chaos.kinds - chaos.happened.keys()
        # each alone happens tens of times; of nine that are rare, one or two may not
        assert len(missed) <= (2 if trouble == "everything" else 0), "the test shows less than it says"

    run(story())


def test_an_abort_in_trouble(scene: Scene, run: Any) -> None:
    async def story() -> None:
        app = scene.stage.app
        good, stable, failed = (
            app.status.stable.images[0].rpartition(":")[2],
            await app.stable_pods(),
            len(app.failures),
        )
        chaos = scene.interceptor.chaos = Chaos(random.Random("abort"), **TROUBLES["everything"])
        try:
            await app.set_image("3.0")
            await app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.hundredths == 0)
            assert "failed (2) > failureLimit (1)" in app.status.message
            await app.set_image(good)
            await app.until(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        finally:
            scene.interceptor.chaos = None
        assert chaos.happened
        assert await app.stable_pods() == stable
        assert app.failures[failed:] == []

    run(story())


async def answered(scene: Scene) -> None:
    """Returns after 7 seconds' worth of answers: longer than the controller's lease lasts, so that it has to take
    the lead anew."""
    traffic = scene.stage.app.traffic
    assert traffic is not None
    wanted = len(traffic.samples) + 7 * traffic.rate

    while len(traffic.samples) < wanted:  # noqa: ASYNC110  samples tell nobody that they grow
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("step", [1, 3])
def test_the_api_server_is_killed_and_comes_back(scene: Scene, run: Any, step: int) -> None:
    """Shares stand still and requests are answered while it is gone; then the release goes on."""

    async def meanwhile(mark: str) -> None:
        app, apiserver = scene.stage.app, scene.lab.control_plane.apiserver
        await app.until(lambda s: s.phase is Phase.PAUSED and s.step == step and s.canary is not None)
        apiserver.kill()
        await apiserver.wait()
        await answered(scene)
        apiserver.start()
        await scene.lab.control_plane.api_ready()

    run(scene.stage.good_release(meanwhile))


def test_the_api_server_stands_still(scene: Scene, run: Any) -> None:
    """A control plane that answers nobody for a while, without closing a connection (SIGSTOP)."""

    async def meanwhile(mark: str) -> None:
        app, apiserver = scene.stage.app, scene.lab.control_plane.apiserver
        await app.until(lambda s: s.phase is Phase.PAUSED and s.step == 1 and s.canary is not None)
        apiserver.send(signal.SIGSTOP)
        try:
            await answered(scene)
        finally:
            apiserver.send(signal.SIGCONT)

    run(scene.stage.good_release(meanwhile))
