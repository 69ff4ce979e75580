"""Things break under load: a sidecar, an application, the webhook. Only what cannot be saved may fail."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from releases import Stage

from coalmine.kube.resources import DEPLOYMENTS, PODS, Object, name_of, uid_of
from coalmine.model.rollout import Phase
from coalmine_sandbox.story.application import restarts
from coalmine_sandbox.story.traffic import Traffic

pytestmark = pytest.mark.cluster


@pytest.fixture
def stage(whole: Stage) -> Stage:
    """The application; requests may fail here, and the tests say which."""
    return whole


def processes(pod: Object, *, of: bytes) -> list[int]:
    """Process ids of a pod whose command line has `of`; the pod is told by its address."""
    address = pod["status"]["podIP"].encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if of in command.split(b"\0") and (address in command or address in environment):
            found.append(int(entry.name))
    return found


async def restarted(stage: Stage, pod: Object) -> bool:
    now = await stage.app.lab.client.get(PODS, stage.app.namespace, name_of(pod))
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in now["status"]["conditions"])
    return restarts(now) > restarts(pod) and ready


def test_a_sidecar_is_killed(stage: Stage, run: Any) -> None:
    """What was under way through it fails, and what is sent to its port until the Service's endpoints
    follow, as with any container that dies. Nothing else does."""

    async def story() -> None:
        app = stage.app
        assert app.traffic is not None
        seen = len(app.traffic.samples)
        await stage.begin()
        canary = app.status.canary
        assert canary is not None
        pod = next(p for p in await app.pods() if not name_of(p).startswith(canary.replica_set))
        (victim, *_) = processes(pod, of=b"--app-port")
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        await app.lab.until(lambda: restarted(stage, pod), "the sidecar is started again")
        back = time.monotonic()
        await stage.healthy(canary.fingerprint)
        failed = [s for s in app.traffic.samples[seen:] if s.failure]
        assert [s for s in failed if s.ended < killed or s.sent > back] == []
        # one of six pods: what it had of the kept connections, and its part of the fresh ones
        per_second = len([s for s in app.traffic.samples[seen:] if killed - 1 <= s.sent < killed])
        assert len(failed) <= Traffic.KEPT + per_second * (back - killed) / 5

    run(story())


def test_the_application_of_the_canary_is_killed(stage: Stage, run: Any) -> None:
    """Requests that were with it may fail; all others are answered, by another pod or by stable."""

    async def story() -> None:
        app = stage.app
        assert app.traffic is not None
        seen = len(app.traffic.samples)
        await stage.begin()
        canary = app.status.canary
        assert canary is not None
        pod = next(p for p in await app.pods() if name_of(p).startswith(canary.replica_set))
        (victim, *_) = processes(pod, of=b"--release")
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        await app.lab.until(lambda: restarted(stage, pod), "the application is started again")
        await app.until(lambda s: s.phase in (Phase.HEALTHY, Phase.DEGRADED) and not s.routed)
        failed = [s for s in app.traffic.samples[seen:] if s.failure]
        assert len(failed) <= Traffic.KEPT + Traffic.FRESH, [s.failure for s in failed]
        assert all(s.sent <= killed + 0.5 and s.ended >= killed for s in failed), failed

    run(story())


def test_the_webhook_is_killed_while_a_template_changes(stage: Stage, run: Any) -> None:
    async def story() -> None:
        app, lab = stage.app, stage.app.lab
        assert lab.webhook is not None
        if app.status.phase is Phase.DEGRADED:
            await app.set_image(app.status.stable.images[0].rpartition(":")[2])
            await stage.healthy()
        before = await app.deployment()
        plain: Object = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "plain"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "plain"}},
                "template": {
                    "metadata": {"labels": {"app": "plain"}},
                    "spec": {"containers": [{"name": "c", "image": "particule/simplecolorapi:1.0"}]},
                },
            },
        }
        await lab.apply([plain], namespace=app.namespace)
        lab.webhook.kill()
        await lab.webhook.wait()
        try:
            refused = await app.set_image(stage.next_release())
            assert refused.code == 1
            assert "failed calling webhook" in refused.stderr
            other = await app.kubectl("set", "image", "deployment/plain", "c=particule/simplecolorapi:2.0")
            assert other.code == 0, other.stderr
            scaled = await app.kubectl("scale", "deployment/colorapi", "--replicas=6")
            assert scaled.code == 0, "the scale subresource needs no webhook"
            await app.kubectl("scale", "deployment/colorapi", "--replicas=5")
        finally:
            await lab.webhook.restart()
            await lab.webhook_ready()
        after = await lab.client.get(DEPLOYMENTS, app.namespace, "colorapi")
        assert uid_of(after) == uid_of(before)
        assert after["spec"]["template"] == before["spec"]["template"], "nothing was half-applied"
        await asyncio.sleep(0)
        await stage.good_release()

    run(story())
