"""Rolling updates, from anywhere to their end: bounds that hold at every step, whatever pods do when."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from native_samples import NOW, deployment

from coalmine.kube.resources import Object, name_of
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.deployment import sizes
from coalmine_sandbox.native.deployment.decide import CreateSet, DeleteSet, UpdateSet, WriteStatus, decide


class World:
    """The API server and the ReplicaSet controller, as far as a Deployment sees them."""

    def __init__(self, d: Object) -> None:
        self.deployment = d
        self.sets: dict[str, Object] = {}
        self.now = NOW

    def look(self) -> bool:
        """One look of the Deployment controller; whether it wrote anything."""
        self.now += 1
        found = decide(self.deployment, list(self.sets.values()), old_pods=False, now=self.now)
        for write in found.writes:
            match write:
                case CreateSet(replica_set):
                    metadata = {"uid": name_of(replica_set), "creationTimestamp": timestamp(self.now), "generation": 1}
                    replica_set["metadata"] |= metadata
                    self.sets[name_of(replica_set)] = replica_set
                case UpdateSet(replica_set):
                    self.sets[name_of(replica_set)] = replica_set
                case DeleteSet(replica_set):
                    del self.sets[name_of(replica_set)]
                case WriteStatus(changed):
                    self.deployment = changed
        return bool(found.writes)

    def pods(self, name: str, available: int) -> None:
        """The ReplicaSet controller looks at one, and finds so many of its pods available."""
        one = self.sets[name]
        size = sizes.replicas(one)
        one["status"] = {
            "replicas": size,
            "availableReplicas": min(size, available),
            "readyReplicas": min(size, available),
            "observedGeneration": one["metadata"].get("generation", 1),
            "terminatingReplicas": 0,
        }

    def all_available(self) -> None:
        for name in list(self.sets):
            self.pods(name, 10**6)

    def finish(self) -> None:
        for _ in range(400):
            self.all_available()
            if not self.look():
                return
        raise AssertionError("it does not come to rest")

    def release(self, image: str) -> None:
        self.deployment = copy.deepcopy(self.deployment)
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
        self.deployment["metadata"]["generation"] += 1

    def sizes(self) -> dict[str, int]:
        return {name: sizes.replicas(each) for name, each in self.sets.items()}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    surge = draw(st.integers(0, 5))
    unavailable = draw(st.integers(0 if surge else 1, 5))
    d = deployment(draw(st.integers(1, 12)), surge=surge, unavailable=unavailable)
    world = World(d)
    world.finish()
    return world


@settings(max_examples=60, deadline=None)
@given(worlds(), st.data())
def test_an_update_keeps_its_bounds_and_ends(world: World, data: st.DataObject) -> None:
    wanted = sizes.replicas(world.deployment)
    most = wanted + sizes.max_surge(world.deployment)
    least = wanted - sizes.max_unavailable(world.deployment)
    for release in range(2, 2 + data.draw(st.integers(1, 3))):
        world.release(f"app:{release}")
        for _ in range(data.draw(st.integers(0, 12))):
            world.look()
            assert sum(world.sizes().values()) <= most
            available = {name: sizes.count(each, "availableReplicas") for name, each in world.sets.items()}
            standing = sum(min(size, available[name]) for name, size in world.sizes().items())
            assert standing >= least, "fewer are left available than may be"
            name = data.draw(st.sampled_from(sorted(world.sets)))
            # pods come up one after the other, and none that was available falls over
            world.pods(name, data.draw(st.integers(min(available[name], world.sizes()[name]), wanted + 5)))
    world.finish()
    assert sorted(world.sizes().values(), reverse=True)[0] == wanted
    assert sum(world.sizes().values()) == wanted
    reasons = {c["type"]: c["reason"] for c in world.deployment["status"]["conditions"]}
    assert reasons == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 12), st.integers(0, 8), st.booleans())
def test_scaling_in_the_middle_of_an_update_comes_to_rest(
    world: World, replicas: int, looks: int, paused: bool
) -> None:
    world.release("app:2")
    for _ in range(looks):
        world.look()
        world.all_available()
    world.deployment["spec"].update(replicas=replicas, paused=paused)
    world.deployment["metadata"]["generation"] += 1
    world.finish()
    total = sum(world.sizes().values())
    assert total <= replicas + (sizes.max_surge(world.deployment) if paused else 0)
    assert total >= replicas
    world.deployment["spec"]["paused"] = False
    world.deployment["metadata"]["generation"] += 1
    world.finish()
    assert sum(world.sizes().values()) == replicas
