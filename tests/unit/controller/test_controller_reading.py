"""What is read of an object is read once for each change; and equal arms are one object."""

from __future__ import annotations

import asyncio
from typing import Any

from memory_cluster import MemoryCluster
from samples import deployment, pod, replica_set

from coalmine.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Object
from coalmine.model.weights import Weight
from coalmine.model.wire import Endpoint
from coalmine_controller.arms import Target, build_arms
from coalmine_controller.convert import deployment_from, pod_from, replica_set_from
from coalmine_controller.reading import Reading
from coalmine_controller.world import World


def test_an_object_that_is_the_same_is_not_read_again() -> None:
    seen: list[Object] = []
    reading = Reading(lambda raw: seen.append(raw) or len(seen))  # type: ignore[func-returns-value]
    raw, other = pod(), pod()
    assert [reading.of(raw), reading.of(raw), reading.of(other), reading.of(other)] == [1, 1, 2, 2]
    assert reading.of(raw) == 3, "only the newest is kept"


def test_what_is_gone_is_forgotten() -> None:
    reading = Reading(pod_from)
    raw = pod()
    first = reading.of(raw)
    reading.listen(raw, pod(status={"phase": "Failed"}))
    assert reading.of(raw) is first, "a change says nothing: the object that is asked for does"
    reading.listen(raw, None)
    assert reading.of(raw) is not first
    reading.listen(raw, pod("another"))
    assert not reading._kept


def test_a_change_is_read_and_the_rest_is_not() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(DEPLOYMENTS, deployment())
        cluster.put(REPLICA_SETS, replica_set())
        cluster.put(PODS, pod())
        world = World(cluster, lambda key: None, lambda key: None)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(cache.run()) for cache in world.caches]
            await world.synced()

            def seen() -> tuple[Any, Any, Any]:
                raw = world.deployments.get("default", "colorapi")
                owned, one = world.replica_sets.get("default", "colorapi-old"), world.pods.get("default", pod_name)
                assert raw is not None
                assert owned is not None
                assert one is not None
                d = world.deployment.of(raw)
                read = d, world.replica_set(owned, d), world.pod.of(one)
                assert read == (deployment_from(raw), replica_set_from(owned, d), pod_from(one))
                return read

            pod_name = "colorapi-old-1"
            told, gone = asyncio.Event(), asyncio.Event()
            world.pods.listen(lambda old, new: told.set())
            world.replica_sets.listen(lambda old, new: gone.set())
            before = seen()
            assert all(a is b for a, b in zip(before, seen(), strict=True))
            cluster.put(PODS, pod(status={"podIP": "10.0.0.9"}))
            await told.wait()
            after = seen()
            assert [a is b for a, b in zip(before, after, strict=True)] == [True, True, False]
            cluster.remove(REPLICA_SETS, "default", "colorapi-old")
            await gone.wait()
            assert not world._readings
            for task in tasks:
                task.cancel()

    asyncio.run(story())


def test_equal_arms_are_one_object() -> None:
    def arms(weight: int) -> Any:
        stable = [Target(f"s{n}", Endpoint(f"10.0.0.{n}", 5000, f"s{n}", 17081)) for n in range(5)]
        canary = [Target("c", Endpoint("10.0.1.0", 5000, "c", 17081))]
        return build_arms(stable, canary, Weight(weight), ("s1",), ("a", "b"))

    assert arms(2000) is arms(2000)
    assert arms(2000) != arms(3000)


def test_objects_are_kept_without_their_managed_fields() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(DEPLOYMENTS, deployment(metadata={"managedFields": [{"manager": "kubectl"}]}))
        world = World(cluster, lambda key: None, lambda key: None)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(world.deployments.run())
            await world.deployments.synced.wait()
            raw = world.deployments.get("default", "colorapi")
            assert raw is not None
            assert "managedFields" not in raw["metadata"]
            stored = cluster.stored(DEPLOYMENTS, "default", "colorapi")
            assert stored is not None
            assert stored["metadata"]["managedFields"], "what others hold is not written to"
            task.cancel()

    asyncio.run(story())
