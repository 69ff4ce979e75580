"""One look at canary and control: the state before it and the counters in, the state after it and the verdict out.

Rules:
- The canary is worse when the evidence reaches 1/alpha. Evidence is the mean, weighted by the metrics' parts of
  alpha, of what was won by betting on each (a mean of e-values is an e-value). Once shown it stays so.
- It is not worse when one of two things is proved, each of them with confidence 1 - alpha, not both together: that
  its error rate is below `ratio` times control's, or less than `difference` above it. Latency has no proof. So no
  proof counts while the evidence, of whatever metric, is 2 or more. What is proved of some pods is not proved of the
  next ones.
- Everything else is not known yet. No requests are no evidence, and nothing is proved by their absence.
- What was seen in the warm-up of a set of canary pods does not count, either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from coalmine_controller.analysis.sequential import difference, plans
from coalmine_controller.analysis.sequential.bets import Count, bet, log_evidence, loudest
from coalmine_controller.analysis.sequential.counters import Counters, Observation, Pair, Tick, compared, short
from coalmine_controller.analysis.sequential.settings import Metric, Settings
from coalmine_controller.analysis.sequential.state import State, renewed
from coalmine_controller.analysis.sequential.verdict import (
    Evidence,
    Reason,
    Standing,
    Verdict,
    edge_of,
    percent,
    rates,
    shown,
)

#: math.exp fails from 710 on; so much evidence is shown as "over 1,000" anyway.
_MOST = 700.0
#: From this evidence on a canary is not promoted early. A good one, which begins at 1, is seldom there for long.
_SUSPECT = 2.0


def look(settings: Settings, state: State, observation: Observation) -> tuple[State, Verdict]:
    """Compare what was counted since the last look. Changes nothing; the clock that `observation.at` is of may jump."""
    last, pairs = compared(state.last, observation.groups)
    elapsed = 0.0 if state.at is None else observation.at - state.at
    if not 0 <= elapsed <= settings.longest:
        pairs, elapsed = (), 0.0  # nor does a clock that jumps end a warm-up
    state, pairs = _warmed(
        settings, replace(state, at=observation.at, last=last), short(observation.generation), pairs, elapsed
    )
    if pairs:
        state = _judged(settings, _counted(settings, state, Tick(elapsed, pairs)))
    return state, verdict(settings, state)


def verdict(settings: Settings, state: State) -> Verdict:
    """How the canary stands by what was seen until now."""
    metrics = tuple(sorted((_evidence(settings, state, m) for m in settings.metrics), key=lambda e: -e.evidence))
    whole = math.fsum(e.evidence for e in metrics)
    standing, reason, words = _said(settings, state, metrics)
    return Verdict(standing, reason, whole, settings.needed, metrics, words)


def _warmed(
    settings: Settings, state: State, generation: str, pairs: tuple[Pair, ...], elapsed: float
) -> tuple[State, tuple[Pair, ...]]:
    """Count the warm-up down; there is nothing to compare before it is over. It begins with the first requests, and
    time without any does not count. What was proved of other pods is not proved of these."""
    if generation != state.generation:
        state = replace(renewed(state), generation=generation, warm=None)
    if state.warm is None:
        if not pairs:
            return state, ()
        state, elapsed = replace(state, warm=settings.warm_up), 0.0
    if not state.warm:
        return state, pairs
    return replace(state, warm=max(0.0, state.warm - elapsed)) if pairs else state, ()


def _counted(settings: Settings, state: State, tick: Tick) -> State:
    """The state with one more tick's evidence in it."""
    errors, latency = _errors(tick.pairs), _latency(tick.pairs)
    if Metric.ERRORS in settings.metrics:
        state = replace(state, errors=bet(plans.ERRORS, state.errors, errors, tick.seconds))
    if Metric.LATENCY in settings.metrics:
        state = replace(state, latency=bet(plans.LATENCY, state.latency, latency, tick.seconds))
    return replace(
        state,
        ratio=bet(plans.RATIO, state.ratio, _turned(tick.pairs, settings.ratio), tick.seconds),
        difference=difference.looked(state.difference, tick.pairs, settings.difference),
        canary=_total(state.canary, [pair.canary for pair in tick.pairs]),
        control=_total(state.control, [pair.control for pair in tick.pairs]),
    )


def _errors(pairs: Sequence[Pair]) -> Mapping[int, Count]:
    """Errors of the canary, and how many it would have with control's rate: in each group, of both arms' together."""
    if not _failed(pairs):
        return {}
    expected = 0.0
    for pair in pairs:
        requests = pair.canary.requests + pair.control.requests
        expected += pair.canary.requests / requests * (pair.canary.errors + pair.control.errors)
    return {0: Count(sum(pair.canary.errors for pair in pairs), expected, _failed(pairs))}


def _latency(pairs: Sequence[Pair]) -> Mapping[int, Count]:
    """The same for "slower than an edge", of the edges that divide the answers."""
    found: dict[int, Count] = {}
    for pair in pairs:
        canary, control = sum(pair.canary.latency), sum(pair.control.latency)
        if not canary or not control:
            continue
        share = canary / (canary + control)
        for edge, (one, other) in enumerate(zip(pair.canary.slower(), pair.control.slower(), strict=True)):
            if 0 < one + other < canary + control:
                before = found.get(edge, Count(0, 0.0))
                found[edge] = Count(before.canary + one, before.expected + share * (one + other))
    return found


def _turned(pairs: Sequence[Pair], ratio: float) -> Mapping[int, Count]:
    """Errors of control, and how many it would have if the canary's rate were `ratio` times its own."""
    if not _failed(pairs):
        return {}
    expected = 0.0
    for pair in pairs:
        share = pair.control.requests / (pair.canary.requests * ratio + pair.control.requests)
        expected += share * (pair.canary.errors + pair.control.errors)
    return {0: Count(sum(pair.control.errors for pair in pairs), expected, _failed(pairs))}


def _failed(pairs: Sequence[Pair]) -> int:
    return sum(pair.canary.errors + pair.control.errors for pair in pairs)


def _judged(settings: Settings, state: State) -> State:
    """What has been shown by now, and stays shown."""
    evidence = {m: _evidence(settings, state, m).evidence for m in settings.metrics}
    if not state.worse and math.fsum(evidence.values()) >= settings.needed:
        state = replace(state, worse=str(max(evidence, key=lambda m: evidence[m])))
    if not state.proof:
        enough = math.log(settings.needed)
        if difference.log_evidence(state.difference) >= enough:
            state = replace(state, proof=str(Reason.WITHIN_DIFFERENCE))
        elif log_evidence(plans.RATIO, state.ratio) >= enough:
            state = replace(state, proof=str(Reason.WITHIN_RATIO))
    return state


def _evidence(settings: Settings, state: State, metric: Metric) -> Evidence:
    plan, pot = (plans.ERRORS, state.errors) if metric is Metric.ERRORS else (plans.LATENCY, state.latency)
    log = log_evidence(plan, pot) + math.log(settings.share(metric))
    edge = loudest(pot)
    canary, control = rates(metric, edge, state.canary, state.control)
    found = edge_of(edge) if metric is Metric.LATENCY else None
    return Evidence(metric, math.exp(min(log, _MOST)), canary, control, found)


def _said(settings: Settings, state: State, metrics: Sequence[Evidence]) -> tuple[Standing, Reason, str]:
    """Standing, reason and sentence."""
    whole = math.fsum(e.evidence for e in metrics)
    evidence, proof = shown(whole, settings.needed), state.proof if whole < _SUSPECT and not state.warm else ""
    if state.worse:
        metric = next((e for e in metrics if e.metric == state.worse), metrics[0])
        reason = Reason.MORE_ERRORS if metric.metric is Metric.ERRORS else Reason.SLOWER
        return Standing.WORSE, reason, f"{metric}, {evidence}"
    errors = f"{percent(rates(Metric.ERRORS, None, state.canary, state.control)[0])} of canary requests failed"
    sure = f"with {percent(1 - settings.alpha)} confidence"
    if proof == Reason.WITHIN_DIFFERENCE:
        points = f"{100 * settings.difference:g} point" + ("s" if settings.difference > 0.01 else "")
        return Standing.NOT_WORSE, Reason.WITHIN_DIFFERENCE, f"{errors}, less than {points} above control {sure}"
    if proof:
        return Standing.NOT_WORSE, Reason.WITHIN_RATIO, f"{errors}, less than {settings.ratio:g} x control {sure}"
    if state.warm or (state.warm is not None and not state.canary.requests):
        return Standing.UNKNOWN, Reason.WARM_UP, f"warming up for {math.ceil(state.warm)} s more, {evidence}"
    if not state.canary.requests:
        return Standing.UNKNOWN, Reason.NO_TRAFFIC, "no requests of canary and control to compare yet"
    return Standing.UNKNOWN, Reason.UNDECIDED, f"{_telling(settings, metrics)}, {evidence}"


def _telling(settings: Settings, metrics: Sequence[Evidence]) -> Evidence:
    """The metric to name while nothing is settled: the loudest if it has won something, or else the first asked for."""
    if metrics[0].evidence > settings.share(metrics[0].metric):
        return metrics[0]
    return next(e for e in metrics if e.metric is settings.metrics[0])


def _total(total: Counters, more: Sequence[Counters]) -> Counters:
    for counters in more:
        total = total.plus(counters) if counters.latency else _without_latency(total, counters)
    return total


def _without_latency(total: Counters, more: Counters) -> Counters:
    return Counters(total.requests + more.requests, total.errors + more.errors, total.latency)
