"""Which pods form which arm: the worked examples, and what holds for every weight and number of pods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.model.weights import Weight
from coalmine.model.wire import Endpoint
from coalmine_controller.arms import Target, build_arms, choose_control, control_size

#: How much more than an equal part of the load a stable pod may get.
OVERLOAD = 1.15


def targets(prefix: str, count: int) -> list[Target]:
    return [Target(f"{prefix}{i}", Endpoint("10.0.0.1", 5000, f"{prefix}{i}", 17081)) for i in range(count)]


@pytest.mark.parametrize(
    ("stable", "percent", "size"),
    [
        (5, 20, 1),  # 0.6 / 4 = 0.15 <= 0.23
        (5, 50, 3),  # nothing is left for the other two
        (2, 20, 0),  # 0.6 / 1 = 0.6 > 0.575
        (2, 50, 1),
        (10, 10, 1),  # 0.8 / 9 = 0.0889 <= 0.115
        (10, 1, 1),  # 0.98 / 9 = 0.1089 <= 0.115
        (5, 1, 0),  # 0.98 / 4 = 0.245 > 0.23
        (3, 34, 2),
        (1, 50, 0),
        (0, 50, 0),
        (5, 0, 0),
        (5, 100, 0),
        (5, 80, 1),  # above 50 %: the share 1 - w on ceil(N (1 - w)) pods
        (5, 60, 2),
        (5, 99, 1),
        (4, 50, 2),
    ],
)
def test_control_size(stable: int, percent: int, size: int) -> None:
    assert control_size(stable, Weight(percent * 100)) == size


@pytest.mark.parametrize(
    ("previous", "stable", "count", "chosen"),
    [
        ((), ("c", "a", "b"), 2, ("a", "b")),
        (("c",), ("a", "b", "c"), 2, ("c", "a")),
        (("c", "b"), ("a", "b", "c"), 1, ("c",)),
        (("x", "b"), ("a", "b"), 2, ("b", "a")),
        ((), ("a",), 3, ("a",)),
        (("a",), (), 1, ()),
        (("a",), ("a",), 0, ()),
    ],
)
def test_choose_control(
    previous: tuple[str, ...], stable: tuple[str, ...], count: int, chosen: tuple[str, ...]
) -> None:
    assert choose_control(previous, stable, count) == chosen


@given(st.integers(0, 40), st.integers(0, 10_000))
def test_control_is_fair_wherever_it_has_pods_of_its_own(pods: int, hundredths: int) -> None:
    weight = Weight(hundredths)
    size = control_size(pods, weight)
    assert 0 <= size <= pods
    stable, canary = targets("s", pods), targets("c", weight.of(pods))
    control = choose_control((), [t.uid for t in stable], size)
    arms = {arm.name: arm for arm in build_arms(stable, canary, weight, control)}
    assert sum(arm.share.hundredths for arm in arms.values()) == 10_000
    assert arms["canary"].share == weight
    assert [e.uid for e in arms["canary"].endpoints] == [t.uid for t in canary]
    assert arms["control"].share.hundredths == min(hundredths, 10_000 - hundredths)
    everyone = {t.uid for t in stable}
    assert {e.uid for name in ("stable", "control") for e in arms[name].endpoints} == everyone
    if size:
        assert arms["control"].share.fraction > 0
        assert len(arms["control"].endpoints) == size
        if weight.fraction <= 0.5:
            assert size == len(canary), "the same number of pods, so the same load per pod"
        loads = {
            name: arms[name].share.fraction / len(arms[name].endpoints)
            for name in ("stable", "control")
            if arms[name].endpoints
        }
        assert all(load <= OVERLOAD / pods + 1e-9 for load in loads.values()), loads
        others = {e.uid for e in arms["stable"].endpoints}
        assert others.isdisjoint(control) or others == set(control)


def test_control_pods_that_are_gone_leave_nobody_out() -> None:
    stable, canary = targets("s", 3), targets("c", 1)
    arms = build_arms(stable, canary, Weight(2000), ("gone",))
    assert [len(arm.endpoints) for arm in arms] == [3, 3, 1]
