"""Random writes by random people: the rules hold after each, and each patch is idempotent.

The world of conftest checks at every write that the review is pure, that the same review has the same answer,
and that a second pass over the patched object (old as stored) is an empty patch.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine.model import names

IMAGES = st.sampled_from([f"app:{n}" for n in range(1, 5)])
FORGED = st.fixed_dictionaries(
    {},
    optional={key: st.none() | st.sampled_from(["0" * 16, "this"]) for key in names.OWN_ANNOTATIONS},
)
WRITES = st.lists(
    st.fixed_dictionaries(
        {
            "how": st.sampled_from(["put", "merge"]),
            "user": st.sampled_from(["alice", "alice", "alice", names.CONTROLLER_USER]),
            "forged": FORGED,
            "settles": st.booleans(),
        },
        optional={
            "image": IMAGES,
            "canary": st.sampled_from(["off", "steps: []", "steps:\n- setWeight: 5\n", "steps: 7", None]),
            "paused": st.sampled_from([True, False, None]),
            "replicas": st.integers(0, 3),
        },
    ),
    max_size=8,
)


def written(world: Any, base: dict[str, Any], write: dict[str, Any]) -> dict[str, Any]:
    obj = copy.deepcopy(base)
    if "image" in write:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = write["image"]
    annotations = obj["metadata"].setdefault("annotations", {})
    for key, value in [*write["forged"].items(), *((names.CANARY, write[k]) for k in ("canary",) if k in write)]:
        annotations.pop(key, None)
        if value is not None:
            annotations[key] = world.now if value == "this" else value
    if "replicas" in write:
        obj["spec"]["replicas"] = write["replicas"]
    if "paused" in write:
        obj["spec"].pop("paused", None)
        if write["paused"]:
            obj["spec"]["paused"] = True
    return obj


@given(writes=WRITES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_rules_hold_whatever_is_written(world, new_deployment, writes):
    world.stable()
    for write in writes:
        before = copy.deepcopy(world.stored)
        was_held, failed = world.is_held, world.annotations.get(names.FAILED)
        stable = world.annotations.get(names.STABLE)
        base = world.stored
        if write["how"] == "put":
            base = new_deployment(image=world.image, canary=world.annotations.get(names.CANARY))
        world.put(written(world, base, write), write["user"])
        if world.stored == before:
            continue
        canary = world.annotations.get(names.CANARY)
        on = canary not in (None, "off")
        # the hold and the pause stand together, for the template that stands (`is_held` asserts it)
        if was_held and not world.is_held:
            assert not on or world.annotations[names.STABLE] == world.now, "released what is not stable"
            assert canary is not None, "opted out in silence"
        # a controller that calls its stable template failed contradicts itself: stable wins
        if was_held and write["user"] == "alice" and world.now == failed != stable:
            assert world.is_held, "a failed template ships"
        if write["user"] == "alice" and was_held and world.is_held:
            assert world.annotations.get(names.STABLE) == stable
            assert world.annotations.get(names.FAILED) == failed
        assert world.stamps[0] == world.stamps[1]
        assert on <= world.stamps[0]
        # the same object again changes nothing
        again = copy.deepcopy(world.stored)
        world.put(again)
        assert world.stored["spec"] == again["spec"]
        if write["settles"]:
            world.settle(updated=0 if world.paused else None)
