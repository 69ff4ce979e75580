"""Surge, unavailability and proportions, with the numbers of Kubernetes' own comments and tests."""

from __future__ import annotations

import pytest
from native_samples import deployment, replica_set

from coalmine.kube.resources import Object, name_of
from coalmine_sandbox.native.deployment import sizes


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (2, 0, "1%", (0, 1)),  # both come to nothing: one may be unavailable
        (1, 0, "1%", (0, 1)),
        (2, "1%", "25%", (1, 0)),
        (10, 3, 2, (3, 2)),
        (3, "100%", "0%", (3, 0)),
        (2, 0, 5, (0, 2)),  # never more than there are
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_fenceposts(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    d = deployment(replicas, surge=surge, unavailable=unavailable)
    assert (sizes.max_surge(d), sizes.max_unavailable(d)) == expected


def test_recreate_has_neither() -> None:
    d = deployment(10, surge=3, unavailable=2, strategy={"type": "Recreate"})
    assert (sizes.max_surge(d), sizes.max_unavailable(d)) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (10, 0, 3),  # as much as the surge gives room for
        (8, 3, 5),
        (10, 3, 3),  # no room
        (12, 3, 3),  # less than none
        (0, 4, 10),
        (1, 9, 10),  # never more than are wanted
    ],
)
def test_new_size(old: int, new: int, expected: int) -> None:
    sets = [replica_set("old", old), replica_set("new", new)]
    assert sizes.new_size(deployment(10, surge=3, unavailable=2), sets, sets[1]) == expected


def sized(found: list[tuple[Object, int]]) -> dict[str, int]:
    return {name_of(each): size for each, size in found}


PROPORTIONS = [
    # replicas, surge, sets as (name, size, age, max-replicas when it was scaled), result
    (4, 1, [("stable", 4, 9, 5), ("canary", 2, 1, 5)], {"stable": 3, "canary": 2}),
    (4, 1, [("stable", 4, 9, 5), ("canary", 4, 1, 5)], {"stable": 1, "canary": 4}),  # the older gives
    (8, 2, [("stable", 8, 9, 10), ("canary", 10, 1, 12)], {"stable": 8, "canary": 2}),  # the larger gives
    (12, 0, [("stable", 10, 9, 10), ("canary", 0, 1, 10)], {"stable": 12}),
    # 1.x's TestScale: newer first on the way up, older first on the way down
    (20, 0, [("new", 5, 1, 10), ("old", 5, 9, 10)], {"new": 10, "old": 10}),
    (5, 0, [("new", 5, 1, 10), ("old", 5, 9, 10)], {"new": 3, "old": 2}),
    (20, 0, [("a", 5, 1, 10), ("b", 3, 5, 10), ("c", 2, 9, 10)], {"a": 10, "b": 6, "c": 4}),
    (5, 0, [("a", 5, 1, 10), ("b", 3, 5, 10), ("c", 2, 9, 10)], {"a": 2, "b": 2, "c": 1}),
    (0, 2, [("a", 5, 1, 7), ("b", 2, 5, 7)], {"a": 0, "b": 0}),
    (6, 0, [("a", 5, 1, 6), ("b", 1, 5, 6)], {"a": 5, "b": 1}),  # nothing to deal out
]


@pytest.mark.parametrize(("replicas", "surge", "sets", "expected"), PROPORTIONS)
def test_proportions(
    replicas: int, surge: int, sets: list[tuple[str, int, float, int]], expected: dict[str, int]
) -> None:
    given = [replica_set(name, size, age=age, sizes=(replicas, most)) for name, size, age, most in sets]
    assert sized(sizes.proportions(deployment(replicas, surge=surge), given)) == expected


def test_of_one_second_and_size_the_name_decides() -> None:
    """Creation times have whole seconds; what was made in one second is in the order of its names."""
    sets = [replica_set("b", 4, age=1, sizes=(4, 5)), replica_set("a", 4, age=1, sizes=(4, 5))]
    assert sized(sizes.proportions(deployment(4), sets)) == {"a": 1, "b": 4}


def test_a_proportion_without_a_note_goes_by_the_status() -> None:
    d = deployment(20, surge=0, status={"replicas": 10})
    sets = [replica_set("a", 5, age=1, annotations={"deployment.kubernetes.io/max-replicas": "many"})]
    sets.append(replica_set("b", 5, age=2, sizes=(10, 0)))
    assert sized(sizes.proportions(d, sets)) == {"a": 10, "b": 10}


@pytest.mark.parametrize(
    ("replicas", "available", "told", "expected"),
    [(4, 4, 4, True), (4, 3, 4, False), (3, 3, 4, False), (4, 4, 5, False), (4, 4, None, False)],
)
def test_saturated(replicas: int, available: int, told: int | None, expected: bool) -> None:
    told_sizes = (told, 9) if told is not None else None
    new = replica_set("new", replicas, available, sizes=told_sizes)
    assert sizes.is_saturated(deployment(4), new) is expected
    assert not sizes.is_saturated(deployment(4), None)
