"""All controllers together, on the sandbox's own API server: the state of the world, and no more than that.

What each decides is in the tables; that they do as the real ones is shown by tests/cluster/conformance.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from native_world import LABELS, World, container, image
from virtual_time import run

from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Object,
    Resource,
    controller_of,
    name_of,
    uid_of,
)
from coalmine.kube.verbs import STRATEGIC, ApiError
from coalmine_sandbox.api.errors import forbidden
from coalmine_sandbox.api.kinds import BUDGETS, JOBS, RESOURCE_QUOTAS
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.accounts import ROOT_CA
from coalmine_sandbox.native.pods import condition, is_ready

Story = Callable[[World], Awaitable[None]]


def told(story: Story, **how: Any) -> None:
    """Run a story in a world of its own."""

    async def main() -> None:
        async with World(**how) as world:
            await story(world)

    run(main())


def test_a_deployment_from_its_making_to_its_end() -> None:
    async def story(world: World) -> None:
        await world.deploy(3)
        await world.complete()
        assert len(await world.all(PODS)) == 3
        await world.update(image("app:2"))
        await world.complete()
        assert await world.sizes() == {"app:1": 0, "app:2": 3}
        await world.update({"spec": {"paused": True, **image("app:3")["spec"]}})
        await world.api.patch(DEPLOYMENTS, "test", "app", {"spec": {"replicas": 5}}, "scale")
        await world.until(lambda: sized(world, {"app:1": 0, "app:2": 5}))
        messages = {event["message"] for event in await world.all(EVENTS) if event["reason"] == "ScalingReplicaSet"}
        (first, second) = sorted(await world.all(REPLICA_SETS), key=lambda each: each["metadata"]["creationTimestamp"])
        assert f"Scaled up replica set {name_of(first)} from 0 to 3" in messages
        assert f"Scaled down replica set {name_of(first)} from 1 to 0" in messages
        assert f"Scaled up replica set {name_of(second)} from 3 to 5" in messages
        await world.api.delete(DEPLOYMENTS, "test", "app")
        await world.until(lambda: empty(world, REPLICA_SETS, PODS))

    told(story)


async def sized(world: World, wanted: dict[str, int]) -> bool:
    return await world.sizes() == wanted


async def empty(world: World, *resources: Resource) -> bool:
    return not any([await world.all(each) for each in resources])


def test_a_rollout_that_stands_still_fails_at_its_deadline() -> None:
    async def story(world: World) -> None:
        world.unready.add("app:2")
        await world.deploy(3, progressDeadlineSeconds=60)
        await world.complete()
        await world.update(image("app:2"))

        async def failed() -> bool:
            found = condition(await world.api.get(DEPLOYMENTS, "test", "app"), "Progressing")
            return found is not None and found["reason"] == "ProgressDeadlineExceeded"

        began = asyncio.get_running_loop().time()
        await world.until(failed)
        assert 60 <= asyncio.get_running_loop().time() - began < 70

    told(story)


def test_min_ready_seconds_pass_before_pods_are_available() -> None:
    async def story(world: World) -> None:
        began = asyncio.get_running_loop().time()
        await world.deploy(2, minReadySeconds=30)
        await world.complete()
        assert 29 <= asyncio.get_running_loop().time() - began < 40  # times have whole seconds

    told(story)


def test_a_refusal_shows_and_ends() -> None:
    async def story(world: World) -> None:
        def refuse(attributes: Any) -> None:
            if attributes.resource == PODS and attributes.operation == "CREATE":
                raise forbidden("pods", "", "exceeded quota: small")

        world.admission.refuse = refuse
        await world.deploy(2)

        async def failing() -> str:
            found = condition(await world.api.get(DEPLOYMENTS, "test", "app"), "ReplicaFailure")
            return "" if found is None else str(found["message"])

        assert "exceeded quota: small" in await world.until(failing)
        world.admission.refuse = lambda attributes: None
        await world.complete()
        assert await failing() == ""

    told(story)


def test_a_collision_of_names_is_counted_on() -> None:
    async def story(world: World) -> None:
        await world.deploy(1)
        await world.complete()
        (first,) = await world.all(REPLICA_SETS)
        await world.update({"spec": {"paused": True}})
        # released, and with the name that the next one would have
        await world.api.patch(REPLICA_SETS, "test", name_of(first), {"metadata": {"labels": {"app": None}}})

        async def released() -> bool:
            found = await world.api.get(REPLICA_SETS, "test", name_of(first))
            return controller_of(found) is None

        await world.until(released)
        await world.update({"spec": {"paused": None}})
        await world.complete()
        found = await world.api.get(DEPLOYMENTS, "test", "app")
        assert found["status"]["collisionCount"] == 1
        assert len(await world.all(REPLICA_SETS)) == 2

    told(story)


def test_an_api_server_that_is_late_refuses_and_goes_away_changes_nothing_in_the_end() -> None:
    """Requests fail before and after they are done, events come late: still no pod too many, ever."""

    async def story(world: World) -> None:
        chance = random.Random(3)

        async def before(what: str) -> None:
            if what == "event":
                await asyncio.sleep(chance.choice((0, 0, 0.5)))
            elif chance.random() < 0.2:
                raise ApiError(chance.choice((0, 429, 500, 503)), "Test", "not now")

        await world.deploy(5)
        await world.complete()
        world.before = before
        most = 0
        for release in range(2, 5):
            await world.update(image(f"app:{release}"))

            async def through(wanted: str = f"app:{release}") -> bool:
                nonlocal most
                pods = [pod for pod in await world.all(PODS) if not pod["metadata"].get("deletionTimestamp")]
                most = max(most, len(pods))
                sizes = await world.sizes()
                return sizes.get(wanted) == 5 == sum(sizes.values()) == len(pods)

            await world.until(through)
        assert most <= 7  # five, and the surge of 25 %
        world.before = world._nothing
        await world.complete()

        async def quiet() -> bool:
            pods = Counter(pod["spec"]["containers"][0]["image"] for pod in await world.all(PODS))
            return pods == {"app:4": 5}

        await world.until(quiet)

    told(story)


# --- garbage -----------------------------------------------------------------------------------------


def test_an_orphaning_delete_leaves_the_pods() -> None:
    async def story(world: World) -> None:
        await world.deploy(2)
        await world.complete()
        pods = {uid_of(pod) for pod in await world.all(PODS)}
        await world.api.delete(DEPLOYMENTS, "test", "app", propagation="Orphan")
        await world.until(lambda: empty(world, DEPLOYMENTS))
        (left,) = await world.all(REPLICA_SETS)
        assert not left["metadata"].get("ownerReferences")
        await world.deploy(2)
        await world.complete()
        assert {uid_of(pod) for pod in await world.all(PODS)} == pods

    told(story)


def test_a_foreground_delete_waits_for_what_blocks() -> None:
    async def story(world: World) -> None:
        await world.deploy(2)
        await world.complete()
        world.silent = True  # nobody ends the pods
        await world.api.delete(DEPLOYMENTS, "test", "app", propagation="Foreground")
        await asyncio.sleep(20)
        assert await world.exists(DEPLOYMENTS, "app")
        assert len(await world.all(REPLICA_SETS)) == 1
        assert all(pod["metadata"].get("deletionTimestamp") for pod in await world.all(PODS))
        world.silent = False
        await world.until(lambda: empty(world, DEPLOYMENTS, REPLICA_SETS, PODS))

    told(story)


def owned(name: str, *owners: Object) -> Object:
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": name_of(owner), "uid": uid_of(owner)} for owner in owners
    ]
    metadata = {"name": name, "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_an_owner_that_never_was_takes_its_dependent_along() -> None:
    async def story(world: World) -> None:
        stranger = {"metadata": {"name": "nobody", "uid": "nobody"}}
        await world.api.create(CONFIG_MAPS, "test", owned("lost", stranger))

        async def gone() -> bool:
            return not await world.exists(CONFIG_MAPS, "lost")

        await world.until(gone)

    told(story)


def test_one_owner_of_two_is_let_go() -> None:
    async def story(world: World) -> None:
        one = await world.api.create(CONFIG_MAPS, "test", owned("one"))
        other = await world.api.create(CONFIG_MAPS, "test", owned("other"))
        await world.api.create(CONFIG_MAPS, "test", owned("both", one, other))
        await world.api.delete(CONFIG_MAPS, "test", "one")

        async def let_go() -> bool:
            references = (await world.api.get(CONFIG_MAPS, "test", "both"))["metadata"]["ownerReferences"]
            return [each["name"] for each in references] == ["other"]

        await world.until(let_go)

    told(story)


def test_owners_in_a_circle_can_be_deleted() -> None:
    async def story(world: World) -> None:
        one = await world.api.create(CONFIG_MAPS, "test", owned("one"))
        two = await world.api.create(CONFIG_MAPS, "test", owned("two", one))
        references = owned("one", two)["metadata"]["ownerReferences"]
        references[0]["blockOwnerDeletion"] = True
        await world.api.patch(CONFIG_MAPS, "test", "one", {"metadata": {"ownerReferences": references}})
        await world.api.delete(CONFIG_MAPS, "test", "one", propagation="Foreground")

        async def gone() -> bool:
            return not await world.exists(CONFIG_MAPS, "one") and not await world.exists(CONFIG_MAPS, "two")

        await world.until(gone)

    told(story)


def test_a_namespace_takes_everything_along() -> None:
    async def story(world: World) -> None:
        await world.deploy(2)
        await world.complete()
        found = await world.api.get(CONFIG_MAPS, "test", ROOT_CA)
        assert found["data"] == {"ca.crt": "the authority"}
        await world.api.delete(NAMESPACES, None, "test")

        async def gone() -> bool:
            return await world.find(NAMESPACES, "test") is None

        await world.until(gone)
        assert await empty(world, DEPLOYMENTS, REPLICA_SETS, PODS, CONFIG_MAPS)

    told(story)


# --- services, nodes, quotas, budgets, jobs ---------------------------------------------------------------


def test_a_services_endpoints_follow_its_pods() -> None:
    async def story(world: World) -> None:
        ports = [{"port": 80, "targetPort": "web"}]
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app"}}
        await world.api.create(SERVICES, "test", {**body, "spec": {"selector": LABELS, "ports": ports}})
        await world.deploy(3)

        async def ready() -> list[str]:
            slices = await world.all(ENDPOINT_SLICES)
            return [
                each["targetRef"]["name"]
                for slice_ in slices
                for each in slice_.get("endpoints") or ()
                if each["conditions"]["ready"]
            ]

        async def all_three() -> bool:
            return sorted(await ready()) == sorted(map(name_of, await world.all(PODS))) and len(await ready()) == 3

        await world.until(all_three)
        await world.update({"spec": {"replicas": 0}})

        async def none() -> bool:
            slices = await world.all(ENDPOINT_SLICES)
            return [each.get("endpoints") or [] for each in slices] == [[]]

        await world.until(none)
        await world.api.delete(SERVICES, "test", "app")
        await world.until(lambda: empty(world, ENDPOINT_SLICES))

    told(story)


def test_pods_are_spread_and_wait_for_room() -> None:
    async def story(world: World) -> None:
        resources = {"requests": {"cpu": "3"}}
        template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{**container(), "resources": resources}]}}
        await world.deploy(5, template=template)

        async def four() -> bool:
            return Counter(pod["spec"].get("nodeName") for pod in await world.all(PODS)) == {
                "node-0": 2,
                "node-1": 2,
                None: 1,
            }

        await world.until(four)

        async def told_why() -> str:
            (pod,) = [pod for pod in await world.all(PODS) if not pod["spec"].get("nodeName")]
            found = condition(pod, "PodScheduled")
            return str((found or {}).get("message", ""))

        assert await world.until(told_why) == "0/2 nodes are available: 2 Insufficient cpu."
        await world.add_node("node-2")
        await world.complete()

    told(story, nodes=2)


def test_a_node_that_falls_silent_takes_its_pods_readiness() -> None:
    async def story(world: World) -> None:
        await world.deploy(2)
        await world.complete()
        world.silent = True

        async def lost() -> bool:
            node = await world.api.get(NODES, None, "node-0")
            found = condition(node, "Ready") or {}
            tainted = {taint["key"] for taint in node["spec"].get("taints") or ()}
            return found["status"] == "Unknown" and tainted == {"node.kubernetes.io/unreachable"}

        began = asyncio.get_running_loop().time()
        await world.until(lost)
        assert 49 <= asyncio.get_running_loop().time() - began < 60

        async def unready() -> bool:
            return not any(map(is_ready, await world.all(PODS)))

        await world.until(unready)
        assert (await world.api.get(DEPLOYMENTS, "test", "app"))["status"]["unavailableReplicas"] == 2
        await world.api.delete(NODES, None, "node-0")
        await world.until(lambda: all_new(world))

    told(story)


def test_after_a_machine_slept_its_nodes_have_time_to_speak() -> None:
    async def story(world: World) -> None:
        world.silent = True
        await asyncio.sleep(45)
        world.slept = 3600.0
        await asyncio.sleep(45)
        assert is_ready(await world.api.get(NODES, None, "node-0"))

        async def lost() -> bool:
            return not is_ready(await world.api.get(NODES, None, "node-0"))

        await world.until(lost)  # for it is silent after all

    told(story)


def test_a_status_is_a_sign_of_life_too() -> None:
    async def story(world: World) -> None:
        world.silent = True
        for beat in range(12):
            await asyncio.sleep(20)
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": timestamp(1_000_000.0 + beat)}
            await world.api.patch(NODES, None, "node-0", {"status": {"conditions": [ready]}}, "status", kind=STRATEGIC)
            assert not (await world.api.get(NODES, None, "node-0"))["spec"].get("taints")

    told(story)


async def all_new(world: World) -> bool:
    """The pods of a node that is gone are collected, and others wait for one."""
    pods = await world.all(PODS)
    return len(pods) == 2 and not any(pod["spec"].get("nodeName") for pod in pods)


def test_quotas_and_budgets_are_counted() -> None:
    async def story(world: World) -> None:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": {"pods": "9"}},
        }
        await world.api.create(RESOURCE_QUOTAS, "test", quota)
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}
        budget = {"apiVersion": "policy/v1", "kind": BUDGETS.kind, "metadata": {"name": "b"}, "spec": spec}
        await world.api.create(BUDGETS, "test", budget)
        await world.deploy(3)
        await world.complete()

        async def counted() -> bool:
            used = ((await world.api.get(RESOURCE_QUOTAS, "test", "q")).get("status") or {}).get("used")
            status = (await world.api.get(BUDGETS, "test", "b")).get("status") or {}
            counts = [status.get(f) for f in ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")]
            return used == {"pods": "3"} and counts == [3, 3, 2, 1]

        await world.until(counted)

    told(story)


@pytest.mark.parametrize(("good", "ending"), [(True, "Complete"), (False, "Failed")])
def test_a_job_ends(good: bool, ending: str) -> None:
    async def story(world: World) -> None:
        if not good:
            world.unready.add("app:1")
        template = {"spec": {"restartPolicy": "Never", "containers": [container()]}}
        spec = {"template": template, "completions": 3, "parallelism": 2, "backoffLimit": 2}
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": spec}
        await world.api.create(JOBS, "test", body)

        async def ended() -> Object | None:
            return condition(await world.api.get(JOBS, "test", "job"), ending)

        found = await world.until(ended)
        assert found["reason"] == ("CompletionsReached" if good else "BackoffLimitExceeded")
        assert (await world.api.get(JOBS, "test", "job"))["status"].get("succeeded", 0) == (3 if good else 0)
        await world.api.delete(JOBS, "test", "job")
        await world.until(lambda: empty(world, PODS))

    told(story)


def test_a_controller_that_dies_takes_the_others_along() -> None:
    async def main() -> None:
        async with World() as world:

            async def before(_what: str) -> None:
                raise ZeroDivisionError

            world.before = before
            await world.deploy(1)
            with pytest.raises(BaseExceptionGroup):
                await world.until(lambda: asyncio.sleep(0, False))
            world._tasks.pop(0)

    run(main())
