"""The world in which `plan` is tested has the native controller's rules: held against the controller's own decisions.

What it models is the paused Deployment that the design lives by. Where it raises a Violation, nothing is compared:
that is what must never come about.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st
from native_samples import NOW, deployment, replica_set

from coalmine.kube.resources import name_of
from coalmine_sandbox.native.deployment.decide import UpdateSet, decide

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))

from simulation import SimPod, SimSet, Violation, World

SETS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([-1, 0, 1])), max_size=3)


@given(st.integers(0, 6), SETS, st.integers(0, 3))
def test_paused_both_scale_alike(replicas: int, sets: list[tuple[int, int, int]], template: int) -> None:
    """Each of `sets` is a size, how many are available, and by how much the size that it was told is another."""
    world = World(replicas=replicas, template=f"v{template}", paused=True, hold=f"v{template}")
    owned = []
    for number, (size, available, off) in enumerate(sets):
        name, told = f"set-{number}", replicas + off
        world.sets[name] = SimSet(
            name, f"v{number}", size, False, True, True, number, revision=number + 1, desired=told
        )
        for pod in range(min(size, available)):
            uid = f"{name}-{pod}"
            world.pods[uid] = SimPod(uid, uid, name, False, 0.0, bare=True, healthy=True)
        one = replica_set(
            name,
            size,
            min(size, available),
            image=f"v{number}",
            age=10.0 - number,
            revision=number + 1,
            sizes=(told, told + 1) if told >= 0 else None,
        )
        owned.append(one)
    try:
        world._sync_deployment()
    except Violation:
        assume(False)
    found = {name_of(each): each["spec"]["replicas"] for each in owned}
    held = deployment(replicas, f"v{template}", paused=True)
    for write in decide(held, owned, old_pods=False, now=NOW).writes:
        if isinstance(write, UpdateSet):
            found[name_of(write.replica_set)] = write.replica_set["spec"]["replicas"]
    assert found == {name: each.replicas for name, each in world.sets.items()}
