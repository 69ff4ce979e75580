"""A comparison from its counters to its verdict: what counts, what does not, what is remembered, what is said."""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model.wire import LATENCY_EDGES_MS
from coalmine_controller.analysis.sequential.compare import look, verdict
from coalmine_controller.analysis.sequential.counters import MAX_GROUPS, Arms, Counters, Observation
from coalmine_controller.analysis.sequential.settings import Metric, Settings
from coalmine_controller.analysis.sequential.state import State, from_json, renewed, to_json
from coalmine_controller.analysis.sequential.verdict import Reason, Standing, Verdict, percent, shown

ZERO = Counters(0, 0, (0,) * (len(LATENCY_EDGES_MS) + 1))


def more(counters: Counters, requests: int, errors: int, milliseconds: float = 20.0) -> Counters:
    """The counters after so many more requests, all answered after the same time but those that failed."""
    latency = list(counters.latency)
    if latency:
        latency[bisect_left(LATENCY_EDGES_MS, milliseconds)] += requests - errors
    return Counters(counters.requests + requests, counters.errors + errors, tuple(latency))


def both(at: float, canary: Counters | None, control: Counters | None, generation: str = "") -> Observation:
    """An observation of one group."""
    return Observation(at, {"": Arms(canary, control)}, generation)


class Traffic:
    """So many requests a look; errors with a probability, latencies log-normal around 50 ms."""

    def __init__(self, seed: int, *, canary: float, control: float, slower: float = 1.0, requests: int = 20) -> None:
        self._random = random.Random(seed)
        self._rates = (canary, control)
        self._slower = (slower, 1.0)
        self._requests = (requests, 9 * requests)

    def looks(self, number: int) -> Iterator[Observation]:
        """Observations a second apart."""
        arms = [ZERO, ZERO]
        for at in range(number):
            yield both(float(at), arms[0], arms[1])
            for arm in range(2):
                for _ in range(self._requests[arm]):
                    failed = self._random.random() < self._rates[arm]
                    ms = 50 * self._slower[arm] * math.exp(self._random.gauss(0, 0.7))
                    arms[arm] = more(arms[arm], 1, int(failed), ms)


AT_ONCE = Settings(warm_up=0)


def watched(traffic: Traffic, looks: int, held_to: Settings = AT_ONCE) -> tuple[State, Verdict, int]:
    """The state, the verdict and the look at which it is settled, or after the last."""
    state, number = State(), 0
    found = verdict(held_to, state)
    for at, observation in enumerate(traffic.looks(looks)):
        number = at
        state, found = look(held_to, state, observation)
        if found.standing is not Standing.UNKNOWN:
            break
    return state, found, number


def test_more_errors() -> None:
    _, found, number = watched(Traffic(1, canary=0.05, control=0.005), 60)
    assert (found.standing, found.reason) == (Standing.WORSE, Reason.MORE_ERRORS)
    assert number < 20
    assert found.evidence >= found.needed == 20
    assert found.metrics[0].metric is Metric.ERRORS
    assert found.message.startswith("canary errors ")
    assert found.message.endswith(" of 20")


def test_slower_answers() -> None:
    _, found, number = watched(Traffic(2, canary=0.0, control=0.0, slower=2.0), 60)
    assert (found.standing, found.reason) == (Standing.WORSE, Reason.SLOWER)
    assert number < 20
    assert found.metrics[0].edge in (50.0, 100.0, 250.0, 500.0)
    assert "canary answers slower than " in found.message


def test_a_canary_without_errors_is_soon_shown_to_be_no_worse() -> None:
    state, found, number = watched(Traffic(3, canary=0.0, control=0.0), 300)
    assert (found.standing, found.reason) == (Standing.NOT_WORSE, Reason.WITHIN_DIFFERENCE)
    assert 60 < number < 200
    assert found.message == "0 % of canary requests failed, less than 1 point above control with 95 % confidence"
    again = verdict(AT_ONCE, renewed(state))
    assert again.standing is Standing.UNKNOWN
    assert again.evidence == found.evidence


def test_where_many_fail_in_both_arms_the_ratio_is_what_shows_it() -> None:
    _, found, _ = watched(Traffic(4, canary=0.1, control=0.1), 300, replace(AT_ONCE, difference=0.001))
    assert (found.standing, found.reason) == (Standing.NOT_WORSE, Reason.WITHIN_RATIO)
    assert "less than 1.5 x control" in found.message


def test_worse_is_worse_even_where_something_else_was_proved() -> None:
    state = replace(State(), worse="errors", proof=str(Reason.WITHIN_RATIO))
    assert verdict(AT_ONCE, state).standing is Standing.WORSE


def test_a_proof_about_errors_waits_while_latency_is_suspect() -> None:
    state, proved, _ = watched(Traffic(3, canary=0.0, control=0.0), 300)
    assert proved.standing is Standing.NOT_WORSE
    suspect = replace(state.latency, laid={7: (2.0, 2.0, 2.0, 2.0)})
    found = verdict(AT_ONCE, replace(state, latency=suspect))
    assert 2 < found.evidence < 20
    assert (found.standing, found.reason) == (Standing.UNKNOWN, Reason.UNDECIDED)
    assert "slower than 250 ms" in found.message


def test_no_traffic_is_no_verdict() -> None:
    state = State()
    for at in range(1000):
        state, found = look(AT_ONCE, state, both(at, ZERO, ZERO))
        assert (found.standing, found.reason) == (Standing.UNKNOWN, Reason.NO_TRAFFIC)
    assert found.evidence == pytest.approx(1)


@pytest.mark.parametrize("side", ["canary", "control"])
def test_traffic_of_one_arm_only_is_no_evidence(side: str) -> None:
    state, grown = State(), ZERO
    for at in range(100):
        grown = more(grown, 50, 10)
        arms = (grown, ZERO) if side == "canary" else (ZERO, grown)
        state, found = look(AT_ONCE, state, both(at, *arms))
    assert found.reason is Reason.NO_TRAFFIC
    assert found.evidence == pytest.approx(1)


def settled(*observations: Observation, held_to: Settings = AT_ONCE) -> State:
    state = State()
    for observation in observations:
        state, _ = look(held_to, state, observation)
    return state


ONE = more(ZERO, 100, 1)
TWO = more(ONE, 100, 1)
BAD = more(ONE, 100, 90)


def test_a_counter_that_falls_is_a_restart_and_no_evidence() -> None:
    state = settled(both(0, ZERO, ZERO), both(1, ONE, ONE), both(2, more(ZERO, 50, 40), TWO))
    assert state.canary.errors == 1
    state, _ = look(AT_ONCE, state, both(3, more(more(ZERO, 50, 40), 10, 0), more(TWO, 10, 0)))
    assert (state.canary.requests, state.canary.errors) == (110, 1)


@pytest.mark.parametrize("fallen", [(99, 1), (101, 0)])
def test_whichever_counter_falls(fallen: tuple[int, int]) -> None:
    latency = (0, 0, 0, 0, fallen[0] - fallen[1]) + (0,) * 11
    state = settled(both(0, ZERO, ZERO), both(1, ONE, ONE), both(2, Counters(*fallen, latency), TWO))
    assert state.canary.requests == 100


def test_an_arm_that_was_missing_begins_anew() -> None:
    """Its requests of two looks would stand against one of control's."""
    state = settled(both(0, ZERO, ZERO), both(1, ONE, ONE), both(2, None, TWO), both(3, BAD, more(TWO, 100, 1)))
    assert (state.canary.requests, state.control.requests) == (100, 100)


def test_looks_far_apart_are_not_compared() -> None:
    state = settled(both(0, ZERO, ZERO), both(1, ONE, ONE), both(62, BAD, TWO))
    assert state.canary.requests == 100


def test_a_clock_that_goes_back_costs_one_look() -> None:
    """Nobody knows how far apart those two are."""
    state = settled(both(1000, ZERO, ZERO), both(10, ONE, ONE), both(11, TWO, TWO))
    assert state.canary.requests == 100


def test_the_warm_up_begins_with_the_first_requests_and_again_with_other_pods() -> None:
    held_to = Settings(warm_up=10)
    state, arm = State(), ZERO
    said = []
    for at in range(60):
        arm = more(arm, 10, 0) if at >= 20 else arm
        state, found = look(held_to, state, both(at, arm, arm, "a" if at < 40 else "b"))
        said.append(found.reason)
    assert said == (
        [Reason.NO_TRAFFIC] * 20
        + [Reason.WARM_UP] * 11
        + [Reason.UNDECIDED] * 9
        + [Reason.WARM_UP] * 10
        + [Reason.UNDECIDED] * 10
    )
    assert state.canary.requests == 10 * 18


def test_a_slow_node_is_no_slow_version_where_groups_are_nodes() -> None:
    """The canary runs on the slow node alone, one of control's two pods too."""

    def after(by_node: bool) -> Verdict:
        slow, peer, other = ZERO, ZERO, ZERO
        state = State()
        for at in range(120):
            groups = {"one": Arms(slow, peer), "two": Arms(ZERO, other)}
            if not by_node:
                groups = {"": Arms(slow, peer.plus(other))}
            state, found = look(AT_ONCE, state, Observation(at, groups))
            for _ in range(4):
                slow, peer, other = more(slow, 5, 0, 300), more(peer, 5, 0, 300), more(other, 5, 0, 20)
            slow, peer, other = more(slow, 5, 0, 20), more(peer, 5, 0, 20), more(other, 5, 0, 300)
        return found

    assert after(by_node=False).standing is Standing.WORSE
    assert after(by_node=True).standing is not Standing.WORSE


def test_more_groups_than_are_remembered_are_one() -> None:
    def seen(at: float, arm: Counters) -> Observation:
        return Observation(at, {str(i): Arms(arm, arm) for i in range(MAX_GROUPS + 1)})

    state = settled(seen(0, ZERO), seen(1, ONE))
    assert len(state.last) == 1
    assert state.canary.requests == 100 * (MAX_GROUPS + 1)


@pytest.mark.parametrize("side", ["canary", "control"])
@pytest.mark.parametrize("groups", [MAX_GROUPS, MAX_GROUPS + 2])
def test_an_arm_that_comes_and_goes_does_not_bring_its_past_as_one_look(side: str, groups: int) -> None:
    state, arm, found = State(), Counters(10_000, 3000), None
    for at in range(60):
        there = {str(i): Arms(arm, arm) for i in range(groups)}
        if at % 2:
            there["0"] = replace(there["0"], **{side: None})
        state, found = look(AT_ONCE, state, Observation(at, there))
        arm = more(arm, 10, 0)
    assert found is not None
    assert found.standing is not Standing.WORSE
    assert state.canary.errors == state.control.errors == 0


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.1, 0.4])
def test_a_good_canary_is_promoted_at_any_alpha(alpha: float) -> None:
    _, found, _ = watched(Traffic(3, canary=0.0, control=0.0), 600, replace(AT_ONCE, alpha=alpha))
    assert found.standing is Standing.NOT_WORSE


def test_what_was_proved_of_pods_is_not_proved_of_others() -> None:
    held_to, state, arm = Settings(warm_up=10), State(), ZERO
    for at in range(300):
        arm = more(arm, 100, 0)
        state, found = look(held_to, state, both(at, arm, arm, "a"))
    assert found.standing is Standing.NOT_WORSE
    state, found = look(held_to, state, both(300, more(arm, 100, 100), more(arm, 100, 0), "b"))
    assert (found.standing, found.reason) == (Standing.UNKNOWN, Reason.WARM_UP)
    assert not state.proof


def test_neither_a_clock_that_jumps_nor_time_without_requests_ends_a_warm_up() -> None:
    held_to = Settings(warm_up=30)
    looks = [
        both(0, ZERO, ZERO),
        both(1, ONE, ONE),
        both(3600, TWO, TWO),
        *(both(3600 + i, TWO, TWO) for i in range(1, 50)),
    ]
    state = State()
    for observation in looks:
        state, found = look(held_to, state, observation)
    assert found.reason is Reason.WARM_UP
    assert state.warm == 30


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at is nan"):
        both(math.nan, ZERO, ZERO)


def test_latency_that_is_not_known_leaves_errors() -> None:
    state, canary, control = State(), Counters(0, 0), Counters(0, 0)
    for at in range(30):
        state, found = look(AT_ONCE, state, both(at, canary, control))
        canary, control = more(canary, 20, at % 3), more(control, 20, 0)
    assert found.reason is Reason.MORE_ERRORS


@pytest.mark.parametrize("metric", list(Metric))
def test_a_metric_alone_has_all_of_alpha(metric: Metric) -> None:
    held_to = Settings(metrics=(metric,), warm_up=0)
    assert held_to.share(metric) == 1
    assert verdict(held_to, State()).evidence == pytest.approx(1)
    assert sum(AT_ONCE.share(m) for m in Metric) == pytest.approx(1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.integers(0, 3), st.integers(0, 99), st.integers(0, 3), st.sampled_from("+++++-0x")
        ),
        min_size=1,
        max_size=25,
    ),
    st.integers(0, 24),
)
@settings(max_examples=60)
def test_a_state_read_back_at_any_look_goes_on_the_same(
    steps: list[tuple[int, int, int, int, str]], interrupted: int
) -> None:
    held_to = Settings(warm_up=2)
    through, resumed = State(), State()
    canary = control = ZERO
    for at, (n1, x1, n0, x0, what) in enumerate(steps):
        canary, control = more(canary, n1, min(n1, x1), 7.0 * at), more(control, n0, min(n0, x0), 30.0)
        canary = ZERO if what == "-" else canary
        observation = both(at, None if what == "0" else canary, control, "other" if what == "x" else "")
        through, one = look(held_to, through, observation)
        if at >= interrupted:
            resumed = from_json(json.loads(json.dumps(to_json(resumed), allow_nan=False)))
        resumed, other = look(held_to, resumed, observation)
        assert one == other
    assert through == resumed


def test_the_state_stays_small() -> None:
    """With as many groups as there may be, all edges in play, counters of days."""
    latency = tuple(10**8 + i for i in range(16))
    start = Counters(10**10, 10**8, latency)
    state, arm = State(), start
    for at in range(40):
        groups = {f"{'node' * 60}-{i}": Arms(arm, arm) for i in range(MAX_GROUPS)}
        state, _ = look(AT_ONCE, state, Observation(1.7e9 + at, groups, "7f9c" * 100))
        spread = tuple(count + 1 + (at + i) % 3 for i, count in enumerate(arm.latency))
        arm = Counters(arm.requests + 1000, arm.errors + 7, spread)
    assert len(state.last) == MAX_GROUPS
    assert len(state.latency.laid) == 15
    assert len(json.dumps(to_json(state), separators=(",", ":"))) < 4096


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("last", None),
        ("last", {"": [[1, 2], [1, 0]]}),
        ("last", {str(i): [[0, 0], [0, 0]] for i in range(MAX_GROUPS + 1)}),
        ("canary", [1.5, 0]),
        ("errors", {"reserve": 0, "late": 0, "laid": {"0": [1, 2]}}),
        ("latency", {"reserve": 0, "late": 0, "laid": {"15": [0, 0, 0, 0]}}),
        ("latency", {"reserve": True, "late": 0, "laid": {}}),
        ("difference", [0.0]),
        ("difference", [math.nan] * 6),
        ("at", "noon"),
    ],
)
def test_a_malformed_state_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match="the state of the comparison is malformed"):
        from_json({**to_json(State()), field: value})


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"alpha": 0}, "alpha"),
        ({"alpha": 1e-310}, "alpha"),
        ({"metrics": ("errors",)}, "metrics"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": (Metric.ERRORS, Metric.ERRORS)}, "metrics"),
        ({"ratio": 1}, "ratio"),
        ({"difference": 1}, "difference"),
        ({"warm_up": -1}, "warmUp"),
        ({"longest": 0}, "longest"),
    ],
)
def test_settings_that_mean_nothing_are_refused_by_name(wrong: dict[str, object], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("requests", "errors", "latency"), [(-1, 0, ()), (1, 2, ()), (1, 0, (1, 2))])
def test_counters_that_cannot_be_are_refused(requests: int, errors: int, latency: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"counters|errors|latency"):
        Counters(requests, errors, latency)


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0, "0 %"), (0.019, "1.9 %"), (0.005, "0.50 %"), (0.25, "25 %"), (1, "100 %"), (3e-5, "0.0030 %")],
)
def test_rates_in_words(rate: float, words: str) -> None:
    assert percent(rate) == words


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (14.9, "evidence 14 of 20"),
        (19.999, "evidence 19 of 20"),
        (0.57, "evidence 0.5 of 20"),
        (5e9, "evidence over 1,000 of 20"),
    ],
)
def test_evidence_in_words(evidence: float, words: str) -> None:
    assert shown(evidence, 20) == words
