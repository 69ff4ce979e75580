"""The shares are exact in every window, at every phase, after every change."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine_proxy.split import WHOLE, Placed, Splitter


def worst(picks: list[int], arm: int, share: int) -> float:
    """The largest deviation of an arm's count from n*share over all windows of `picks`.

    With d(i) = count of the first i less i*share, a window deviates by a difference of two d.
    """
    deviations = list(accumulate((pick == arm) - share / WHOLE for pick in picks))
    return max([0.0, *deviations]) - min([0.0, *deviations])


def picks(shares: list[int], seed: int, n: int) -> list[int]:
    splitter = Splitter(shares, random.Random(seed).random)
    return [splitter.next() for _ in range(n)]


seeds = st.integers(0, 1 << 30)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, WHOLE), seeds)
def test_two_arms_are_within_two_in_any_window(canary: int, seed: int) -> None:
    shares = [WHOLE - canary, canary]
    got = picks(shares, seed, 3000)
    assert worst(got, 0, shares[0]) <= 2
    assert worst(got, 1, shares[1]) <= 2


@settings(max_examples=150, deadline=None)
@given(st.integers(0, WHOLE // 2), seeds)
def test_canary_and_control_with_one_share_are_within_two_in_any_window(share: int, seed: int) -> None:
    shares = [WHOLE - 2 * share, share, share]
    got = picks(shares, seed, 3000)
    for arm in range(3):
        assert worst(got, arm, shares[arm]) <= 2


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, WHOLE), min_size=2, max_size=2), seeds)
def test_three_unequal_arms_keep_the_bounds_that_the_module_states(cuts: list[int], seed: int) -> None:
    one, two = sorted(cuts)
    shares = [one, two - one, WHOLE - two]
    got = picks(shares, seed, 2000)
    order = sorted(range(3), key=lambda i: shares[i])
    for arm, bound in zip(order, (2, 3, 2), strict=True):
        assert worst(got, arm, shares[arm]) <= bound


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), seeds)
def test_small_weights_are_exact_over_long_windows(canary: int, seed: int) -> None:
    shares = [WHOLE - canary, canary]
    got = picks(shares, seed, 50_000)
    assert worst(got, 1, canary) <= 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, WHOLE), st.integers(1, 400)), min_size=1, max_size=8), seeds)
def test_from_each_change_of_weight_on_the_windows_hold(changes: list[tuple[int, int]], seed: int) -> None:
    rng = random.Random(seed)
    for canary, n in changes:
        splitter = Splitter([WHOLE - canary, canary], rng.random)
        got = [splitter.next() for _ in range(n)]
        assert worst(got, 1, canary) <= 2


def test_a_hundred_sidecars_at_a_hundredth_of_a_percent_do_not_wait_together() -> None:
    # 100 sidecars with 1,000 requests each: 10 canary requests are expected, in the sum.
    hits = sum(sum(picks([WHOLE - 1, 1], seed, 1000)) for seed in range(100))
    assert 3 <= hits <= 20


def test_no_pattern_of_two_resonates_at_a_half() -> None:
    got = picks([5000, 5000], 3, 4000)
    assert 800 < sum(got[::2]) < 1200


def test_every_place_of_a_block_is_as_likely() -> None:
    places = [0] * 5
    for seed in range(200):
        for i, pick in enumerate(picks([8000, 2000], seed, 20)):
            places[i % 5] += pick
    assert min(places) > 110
    assert max(places) < 220


@pytest.mark.parametrize(("shares", "only"), [([WHOLE], 0), ([0, WHOLE], 1), ([WHOLE, 0, 0], 0), ([0, 0, WHOLE], 2)])
def test_everything_and_nothing(shares: list[int], only: int) -> None:
    assert set(picks(shares, 1, 500)) == {only}


def test_shares_must_be_whole() -> None:
    with pytest.raises(ValueError, match="sum to"):
        Splitter([5000, 4000], random.random)
    with pytest.raises(ValueError, match="rest instead"):
        Placed(6000, WHOLE, random.random)
