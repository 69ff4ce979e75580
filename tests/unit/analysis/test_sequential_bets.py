"""The bets are fair: enumerated exactly, for errors that fall singly, together, or in any way between."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine_controller.analysis.sequential import difference, plans
from coalmine_controller.analysis.sequential.bets import Count, Plan, Pot, bet, log_evidence, log_sum, loudest, opened
from coalmine_controller.analysis.sequential.counters import Counters, Pair

PLANS = (plans.ERRORS, plans.LATENCY, plans.RATIO)
#: Rounding down in the seventh digit can only lose.
CLOSE = 1e-5


def money(plan: Plan, pot: Pot) -> float:
    return math.exp(log_evidence(plan, pot))


def clusters(total: int, most: int) -> Iterator[tuple[int, ...]]:
    """All ways in which `total` errors may come in clusters of at most `most`."""
    if total == 0:
        yield ()
    for size in range(min(total, most), 0, -1):
        for rest in clusters(total - size, size):
            yield (size, *rest)


def after_a_block(plan: Plan, pot: Pot, count: Count, seconds: float) -> Pot:
    """The pot after a bet that is a block of its own."""
    return bet(plan, bet(plan, pot, {0: count}, seconds), {}, 0.0)


def mean(plan: Plan, pot: Pot, sizes: tuple[int, ...], share: float, seconds: float = 1.0) -> float:
    """What the pot is on average after errors in these clusters, each the canary's with probability `share`."""
    found = 0.0
    for sides in itertools.product((0, 1), repeat=len(sizes)):
        chance = math.prod(share if side else 1 - share for side in sides)
        canary = sum(size for size, side in zip(sizes, sides, strict=True) if side)
        found += chance * money(plan, after_a_block(plan, pot, Count(canary, share * sum(sizes)), seconds))
    return found


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_lays_out_all_its_money_and_no_more(plan: Plan) -> None:
    assert math.isclose(plan.start + plan.reserve + plan.late, 1)
    assert math.isclose(sum(plan.shares), 1)
    assert len(plan.shares) == len(plan.ratios)
    assert min(plan.ratios) > 1
    assert money(plan, opened(plan)) == 1


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.37, 0.5, 0.9])
def test_a_bet_is_fair_however_the_errors_of_a_look_hang_together(plan: Plan, share: float) -> None:
    for total in range(1, 7):
        for sizes in clusters(total, total):
            after = mean(plan, opened(plan), sizes, share)
            assert 1 - CLOSE <= after <= 1 + 1e-12, sizes


@given(
    st.sampled_from(PLANS),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.floats(0.01, 0.99)), max_size=5),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.floats(0.01, 0.99),
    st.floats(0, 1000),
)
def test_it_is_fair_after_any_past_too(
    plan: Plan,
    past: list[tuple[int, int, float]],
    sizes: list[int],
    share: float,
    seconds: float,
) -> None:
    pot = opened(plan)
    for total, canary, weight in past:
        pot = after_a_block(plan, pot, Count(min(canary, total), weight * total), 1.0)
    before = money(plan, pot)
    after = mean(plan, pot, tuple(sizes), share, seconds)
    assert before * (1 - CLOSE) <= after <= before * (1 + 1e-9)


def test_errors_of_which_the_share_is_known_exactly_are_fair_too() -> None:
    """The hypergeometric case: of the look's requests, of both arms, these failed, each set of them equally likely."""
    canary, control = 4, 7
    for failed in range(1, 8):
        ways = math.comb(canary + control, failed)
        expected = canary / (canary + control) * failed
        after = 0.0
        for x in range(max(0, failed - control), min(canary, failed) + 1):
            chance = math.comb(canary, x) * math.comb(control, failed - x) / ways
            after += chance * money(
                plans.ERRORS, after_a_block(plans.ERRORS, opened(plans.ERRORS), Count(x, expected), 1.0)
            )
        assert 1 - CLOSE <= after <= 1 + 1e-12


def test_groups_of_unequal_shares_are_fair() -> None:
    shares, after = (0.1, 0.6), 0.0
    for sides in itertools.product((0, 1), repeat=2):
        chance = math.prod(w if side else 1 - w for w, side in zip(shares, sides, strict=True))
        pot = after_a_block(plans.ERRORS, opened(plans.ERRORS), Count(2 * sides[0] + sides[1], 2 * 0.1 + 0.6), 1.0)
        after += chance * money(plans.ERRORS, pot)
    assert 1 - CLOSE <= after <= 1 + 1e-12


@pytest.mark.parametrize(("canary", "ratio", "share"), [(1, 2.0, 0.1), (0, 2.0, 0.1), (1, 10.0, 0.5), (0, 30.0, 0.3)])
def test_for_a_single_error_the_bet_is_the_ratio_test(canary: int, ratio: float, share: float) -> None:
    plan = Plan((ratio,), (1.0,), 1.0, 0.0, 0.0, 1)
    theta = share * ratio / (share * ratio + 1 - share)
    expected = theta / share if canary else (1 - theta) / (1 - share)
    pot = bet(plan, opened(plan), {0: Count(canary, share)}, 1.0)
    assert math.isclose(money(plan, pot), expected, rel_tol=CLOSE)


@pytest.mark.parametrize("plan", [plans.ERRORS, plans.RATIO])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_it_is_fair_where_a_cluster_falls_into_two_looks(plan: Plan, share: float) -> None:
    """All errors of both looks on one side. From four errors on a block ends in the burst's middle, and it is not."""
    for first, second in itertools.product(range(1, plan.enough), range(1, 5)):
        after = 0.0
        for side, chance in ((1, share), (0, 1 - share)):
            pot = bet(plan, opened(plan), {0: Count(side * first, share * first, first)}, 1.0)
            assert pot.open[0].looks == 1
            pot = bet(plan, pot, {0: Count(side * second, share * second, second)}, 1.0)
            assert not pot.open
            after += chance * money(plan, pot)
        assert 1 - CLOSE <= after <= 1 + 1e-12


def test_a_look_without_errors_ends_a_block() -> None:
    one = bet(plans.ERRORS, opened(plans.ERRORS), {0: Count(1, 0.1)}, 1.0)
    assert money(plans.ERRORS, one) == 1
    ended = bet(plans.ERRORS, one, {}, 1.0)
    assert not ended.open
    assert money(plans.ERRORS, ended) > 2


def test_enough_errors_end_a_block() -> None:
    assert bet(plans.ERRORS, opened(plans.ERRORS), {0: Count(1, 0.3, 3)}, 1.0).open
    assert not bet(plans.ERRORS, opened(plans.ERRORS), {0: Count(1, 0.4, 4)}, 1.0).open


def test_what_nobody_bet_on_stays_as_it_is() -> None:
    assert bet(plans.ERRORS, opened(plans.ERRORS), {}, 60.0) == opened(plans.ERRORS)
    assert loudest(opened(plans.LATENCY)) is None


def test_edges_that_show_up_later_get_half_of_the_reserve() -> None:
    pot = bet(plans.LATENCY, opened(plans.LATENCY), {5: Count(1, 1.0), 6: Count(1, 1.0)}, 0.0)
    assert {edge: pytest.approx(0.25) for edge in (5, 6)} == {
        e: math.exp(log_sum(logs)) for e, logs in pot.laid.items()
    }
    later = bet(plans.LATENCY, pot, {9: Count(1, 0.1)}, 0.0)
    assert later.reserve == pytest.approx(0.2)
    assert money(plans.LATENCY, later) > 1
    assert loudest(later) == 9


def test_late_money_finds_what_begins_late() -> None:
    """Half an hour as good as control, then five times the errors: with all money at the beginning it takes longer."""
    early = Plan(plans.ERRORS.ratios, plans.ERRORS.shares, 1.0, 0.0, 0.0, 2)
    needed = {}
    for name, plan in (("early", early), ("late", plans.ERRORS)):
        pot = opened(plan)
        for at in range(1800):
            pot = bet(plan, pot, {0: Count(float(at % 10 == 0), 0.1)}, 1.0)
        looks = 0
        while money(plan, pot) < 20:
            looks += 1
            pot = bet(plan, pot, {0: Count(float(looks % 2), 0.1)}, 1.0)
        needed[name] = looks
    assert needed["late"] < needed["early"] / 2


def test_the_proof_of_a_small_difference_is_fair_where_the_difference_is_as_large_as_tolerated() -> None:
    """Enumerated over binomial errors, single and in clusters of five, at rates whose difference is exactly d."""
    d = 0.1
    for base in (0.0, 0.05, 0.4):
        for size, events in ((1, 6), (5, 2)):
            canary, control = size * events, 2 * size * events
            after = 0.0
            for one in range(events + 1):
                for other in range(2 * events + 1):
                    chance = binomial(events, one, base + d) * binomial(2 * events, other, base)
                    pair = Pair(Counters(canary, size * one), Counters(control, size * other))
                    logs = difference.looked(difference.opened(), [pair], d)
                    after += chance * math.exp(difference.log_evidence(logs))
            assert after <= 1


@pytest.mark.parametrize(("canary", "control", "rate"), [(5, 20, 0.01), (5, 20, 0.3), (12, 12, 0.3)])
def test_the_proof_of_a_ratio_is_fair_where_the_ratio_is_as_large_as_tolerated(
    canary: int, control: int, rate: float
) -> None:
    tolerated, after = 1.5, 0.0
    for one in range(canary + 1):
        for other in range(control + 1):
            chance = binomial(canary, one, tolerated * rate) * binomial(control, other, rate)
            expected = control / (canary * tolerated + control) * (one + other)
            count = {0: Count(other, expected, 4)} if one + other else {}
            after += chance * money(plans.RATIO, bet(plans.RATIO, opened(plans.RATIO), count, 1.0))
    assert after <= 1


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=8))
def test_sums_of_logarithms(logs: list[float]) -> None:
    shifted = [log - max(logs) for log in logs]
    assert log_sum(logs) == pytest.approx(max(logs) + math.log(sum(math.exp(s) for s in shifted)), abs=1e-9)


def test_logarithms_survive_what_numbers_do_not() -> None:
    pot = opened(plans.ERRORS)
    for _ in range(2000):
        pot = bet(plans.ERRORS, pot, {0: Count(10, 1.0)}, 1.0)
    assert log_evidence(plans.ERRORS, pot) > 1000
    for _ in range(4000):
        pot = bet(plans.ERRORS, pot, {0: Count(0, 1.0)}, 1.0)
    assert math.isfinite(log_evidence(plans.ERRORS, pot))
    json.dumps(pot.laid[0], allow_nan=False)
