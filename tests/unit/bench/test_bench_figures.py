"""Medians, ratios, orders, and what a prober makes of its latencies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench import figures, prober
from bench.figures import Round
from bench.processes import BenchError
from hypothesis import given
from hypothesis import strategies as st

ROUND = Round(
    user_us=8.0,
    system_us=12.0,
    requests_per_second=40_000.0,
    p50_us=1_500.0,
    p99_us=3_000.0,
    worst_us=9_000.0,
    cpu_per_gb=0.0,
    resident=16_000_000,
    proportional=12_000_000,
    errors=0,
    origin_us=10.0,
    load_us=11.0,
    proxy_busy=0.95,
    load_core_busy=0.8,
    foreign=0.0,
)


def rounds(*cpu: float) -> list[Round]:
    return [replace(ROUND, user_us=it, system_us=0.0) for it in cpu]


def test_the_sum_and_what_a_core_would_serve() -> None:
    assert ROUND.cpu_us == 20.0
    assert ROUND.per_core == 50_000.0
    assert replace(ROUND, user_us=0.0, system_us=0.0).per_core == 0.0


def test_median_and_spread() -> None:
    some = rounds(30, 10, 20)
    assert figures.median(some, lambda r: r.cpu_us) == 20
    assert figures.spread(some, lambda r: r.cpu_us) == (10, 30)


def test_a_ratio_is_taken_within_rounds() -> None:
    """The machine was three times slower in the second round: both were."""
    assert figures.ratio(rounds(11, 33, 11), rounds(10, 30, 10), lambda r: r.cpu_us) == pytest.approx(1.1)


def test_a_ratio_to_nothing_is_infinite() -> None:
    assert figures.ratio(rounds(1), rounds(0), lambda r: r.cpu_us) == float("inf")


@pytest.mark.parametrize(
    ("values", "q", "found"),
    [([5.0], 0.99, 5.0), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.99, 99), ([3, 1, 2], 1.0, 3)],
)
def test_quantiles_by_nearest_rank(values: list[float], q: float, found: float) -> None:
    assert figures.quantile(values, q) == found


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_was_measured_and_has_enough_below(values: list[float], q: float) -> None:
    found = figures.quantile(values, q)
    assert found in values
    assert sum(v <= found for v in values) >= q * len(values) * (1 - 1e-9)


def test_each_peer_is_first_equally_often() -> None:
    peers = ["direct", "nginx", "haproxy", "coalmine"]
    orders = [figures.rotated(peers, i) for i in range(4)]
    assert sorted(order[0] for order in orders) == sorted(peers)
    assert all(sorted(order) == sorted(peers) for order in orders)


def test_slow_requests_are_judged_by_who_was_late() -> None:
    taken = [
        (0.000, 0.001),  # quick
        (1.000, 1.020),  # slow, during the disturbance
        (2.000, 2.020),  # slow, but the prober slept nearly all that time
        (3.000, 3.020),  # slow, the prober slept a little of it
        (4.000, 4.020),  # slow, nobody knows why
    ]
    late = [(2.001, 2.018), (3.001, 3.003)]
    found = prober.judge(taken, late, [(0.990, 1.010)])
    assert (found.requests, found.slow, found.excused, found.during, found.blamed) == (5, 4, 1, 1, 3)
    assert found.worst_us == pytest.approx(20_000)
    assert found.p50_us == pytest.approx(20_000)
    assert (found.disturbances, found.longest_us) == (1, pytest.approx(20_000))


def test_a_window_without_disturbances() -> None:
    found = prober.judge([(0.0, 0.001)], [], [])
    assert (found.slow, found.blamed, found.disturbances, found.longest_us) == (0, 0, 0, 0.0)


def test_a_window_without_answers() -> None:
    with pytest.raises(BenchError):
        prober.judge([], [], [])


def test_requests_are_honest() -> None:
    """As long as a client's, and no two alike."""
    requests = prober.requests()
    assert len(set(requests)) == len(requests)
    assert all(300 <= len(request) <= 400 for request in requests)
    assert all(request.endswith(b"\r\n\r\n") for request in requests)
