"""What people and autoscalers do in the middle of a rollout, on the real control plane, under load.

The tests of this module share one application, and each leaves it healthy and whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from releases import Stage

from coalmine.kube.resources import REPLICA_SETS, ROLLOUTS, annotations_of, name_of
from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine.model.reasons import Reason
from coalmine.model.rollout import Phase
from coalmine_sandbox.lab import Answer

pytestmark = pytest.mark.cluster

PATIENT = """
steps:
- setWeight: 20
- pause: {}
- setWeight: 50
- pause: {}
scaleDownDelaySeconds: 1
abortScaleDownDelaySeconds: 1
"""


@pytest.fixture
def stage(whole: Stage, run: Any) -> Iterator[Stage]:
    """The application with a strategy whose pauses wait for a person; no request may fail in the test."""
    failed = len(whole.app.failures)
    run(whole.strategy(PATIENT))
    yield whole
    assert whole.app.failures[failed:] == []


async def verb(stage: Stage, *arguments: str) -> Answer:
    done = await stage.app.lab.coalmine(*arguments, "--namespace", stage.app.namespace)
    assert done.code == 0, done.stderr
    return done


async def finish(stage: Stage, mark: str) -> None:
    await verb(stage, "promote", "colorapi", "--full")
    await stage.healthy(mark)


def test_promote_goes_on_step_by_step(stage: Stage, run: Any) -> None:
    async def story() -> None:
        mark = await stage.begin()
        await verb(stage, "promote", "colorapi")
        await stage.app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 50)
        await verb(stage, "promote", "colorapi")
        await stage.healthy(mark)

    run(story())


def test_going_back_to_an_old_revision_uses_its_replica_set(stage: Stage, run: Any) -> None:
    """v1 -> v2 -> v1: the ReplicaSet of v1 still stands, at 0; a second one with its template must not be made."""

    async def sets() -> dict[str, str]:
        found, _ = await stage.app.lab.client.list(REPLICA_SETS, stage.app.namespace)
        return {fingerprint(s["spec"]["template"]): name_of(s) for s in found}

    async def story() -> None:
        first = await stage.app.fingerprint()
        before = await sets()
        release = stage.app.status.stable.images[0].rpartition(":")[2]
        await finish(stage, await stage.begin())
        again = await stage.begin(release)
        assert again == first
        await finish(stage, again)
        found, _ = await stage.app.lab.client.list(REPLICA_SETS, stage.app.namespace)
        same = [s for s in found if fingerprint(s["spec"]["template"]) == first]
        assert [name_of(s) for s in same] == [before[first]]
        revisions = [int(annotations_of(s)[names.REVISION]) for s in found]
        assert int(annotations_of(same[0])[names.REVISION]) == max(revisions)

    run(story())


def test_going_back_mid_rollout_touches_no_stable_pod(stage: Stage, run: Any) -> None:
    async def story() -> None:
        release = stage.app.status.stable.images[0].rpartition(":")[2]
        stable = await stage.app.stable_pods()
        await stage.begin()
        await stage.app.set_image(release)
        await stage.healthy()
        assert await stage.app.stable_pods() == stable

    run(story())


def test_a_newer_template_starts_again_at_the_first_step(stage: Stage, run: Any) -> None:
    async def story() -> None:
        first = await stage.begin()
        await verb(stage, "promote", "colorapi")
        await stage.app.until(lambda s: s.actual_weight.percent == 50)
        seen = len(stage.app.weights)
        done = await stage.app.kubectl("set", "env", "deployment/colorapi", "COLOUR_DEPTH=24")
        assert done.code == 0
        mark = await stage.app.fingerprint()
        assert mark != first
        await stage.app.until(lambda s: s.canary is not None and s.canary.fingerprint == mark)
        await stage.app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 20)
        assert stage.app.weights[seen:] == [0, 20]
        await finish(stage, mark)

    run(story())


def test_abort_and_retry_by_a_person(stage: Stage, run: Any) -> None:
    async def story() -> None:
        stable = await stage.app.stable_pods()
        mark = await stage.begin()
        await verb(stage, "abort", "colorapi")
        await stage.app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.percent == 0)
        assert stage.app.status.abort_reason == Reason.ABORTED_BY_USER
        assert (await stage.app.kubectl("rollout", "status", "deployment/colorapi", "--timeout=30s")).code == 1
        assert await stage.app.stable_pods() == stable
        again = await stage.app.kubectl("scale", "deployment/colorapi", "--replicas=6")
        assert again.code == 0
        await stage.app.until(lambda s: s.replicas.desired == 6)
        assert annotations_of(await stage.app.deployment())[names.HOLD] == mark, "scaling releases nothing"
        await stage.app.kubectl("scale", "deployment/colorapi", "--replicas=5")
        await verb(stage, "retry", "colorapi")
        await stage.app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 20)
        await finish(stage, mark)
        assert (await stage.app.kubectl("rollout", "status", "deployment/colorapi", "--timeout=30s")).code == 0

    run(story())


def test_deleting_the_rollout_object_does_not_retry(stage: Stage, run: Any) -> None:
    async def story() -> None:
        app = stage.app
        mark = await stage.begin()
        await verb(stage, "abort", "colorapi")
        await app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.percent == 0)
        attempt = app.status.attempt
        await app.lab.client.delete(ROLLOUTS, app.namespace, "colorapi")
        await app.until(lambda s: s.phase is Phase.DEGRADED and s.attempt <= attempt and s.canary is not None)
        held = await app.deployment()
        assert annotations_of(held)[names.FAILED] == annotations_of(held)[names.HOLD] == mark
        await verb(stage, "retry", "colorapi")
        await app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 20)
        await finish(stage, mark)

    run(story())


@pytest.mark.parametrize("weight", [20, 50])
def test_replicas_change_while_the_canary_runs(stage: Stage, run: Any, weight: int) -> None:
    async def story() -> None:
        app = stage.app
        mark = await stage.begin()
        if weight == 50:
            await verb(stage, "promote", "colorapi")
            await app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 50)
        for replicas in (8, 4):
            await app.kubectl("scale", "deployment/colorapi", f"--replicas={replicas}")
            canary = -(-replicas * weight // 100)
            await app.until(
                lambda s, n=replicas, c=canary: (
                    s.replicas.desired == n  # type: ignore[misc]
                    and s.replicas.updated == c
                    and s.replicas.available == n + c
                )
            )
            assert app.status.weight.percent == weight
        await finish(stage, mark)
        assert len(await app.pods()) >= 4
        await app.kubectl("scale", "deployment/colorapi", "--replicas=5")
        await app.until(lambda s: s.phase is Phase.HEALTHY and s.replicas.available == 5)

    run(story())


def test_a_canary_that_never_becomes_ready_is_aborted(stage: Stage, run: Any) -> None:
    async def story() -> None:
        app = stage.app
        release = app.status.stable.images[0].rpartition(":")[2]
        deadline = '{"spec":{"progressDeadlineSeconds":%d}}'
        await app.kubectl("patch", "deployment/colorapi", "--patch", deadline % 12)
        await app.set_image("9.9")
        await app.until(lambda s: s.reason == Reason.WAITING_FOR_CANARY and "CrashLoopBackOff" in s.message)
        await app.until(lambda s: s.phase is Phase.DEGRADED)
        assert app.status.abort_reason == Reason.DEADLINE_EXCEEDED
        assert app.weights[-1] == 0
        await app.kubectl("patch", "deployment/colorapi", "--patch", deadline % 600)
        await app.set_image(release)
        await stage.healthy()

    run(story())


def test_undo_is_a_release_like_any_other(stage: Stage, run: Any) -> None:
    async def story() -> None:
        await finish(stage, await stage.begin())
        done = await stage.app.kubectl("rollout", "undo", "deployment/colorapi")
        assert done.code == 0, done.stderr
        mark = await stage.app.fingerprint()
        await stage.app.until(lambda s: s.canary is not None and s.canary.fingerprint == mark)
        held = await stage.app.deployment()
        assert held["spec"].get("paused") is True
        await stage.app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 20)
        await finish(stage, mark)

    run(story())


def test_stable_and_canary_pods_may_be_deleted_at_any_time(stage: Stage, run: Any) -> None:
    async def story() -> None:
        app = stage.app
        mark = await stage.begin()
        for pod in (p for p in await app.pods() if p["spec"]["containers"][0]["image"] != ""):
            deleted = await app.kubectl("delete", "pod", name_of(pod), "--wait=false")
            assert deleted.code == 0
            await app.until(lambda s: s.replicas.available < 6)
            await app.until(lambda s: s.replicas.available == 6)
            break
        canary = app.status.canary
        assert canary is not None
        mine = [p for p in await app.pods() if name_of(p).startswith(canary.replica_set)]
        await app.kubectl("delete", "pod", name_of(mine[0]), "--wait=false")
        await app.until(lambda s: s.replicas.available < 6)
        await app.until(lambda s: s.replicas.available == 6)
        await finish(stage, mark)

    run(story())


def test_off_ships_natively_at_once(whole: Stage, run: Any) -> None:
    """The native rolling update is as good as Kubernetes makes it: an application that ends at SIGTERM
    while the Service's endpoints lag loses requests, with a sidecar or without. None is counted here."""
    stage = whole

    async def story() -> None:
        app = stage.app
        await stage.strategy(PATIENT)
        mark = await stage.begin()
        await app.kubectl("annotate", "--overwrite", "deployment/colorapi", f"{names.CANARY}=off")
        done = await app.kubectl("rollout", "status", "deployment/colorapi", "--timeout=90s")
        assert done.code == 0, done.stderr
        assert await app.fingerprint() == mark
        await app.until(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        await stage.strategy(PATIENT)
        await app.lab.until(lambda: recorded(stage, mark), "the template is recorded as stable")

    run(story())


async def recorded(stage: Stage, mark: str) -> bool:
    return annotations_of(await stage.app.deployment()).get(names.STABLE) == mark
