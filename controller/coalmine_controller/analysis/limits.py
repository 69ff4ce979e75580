"""Whether a metric is over, from its counters and limits alone.

Rules (Argo's assessMetricStatus): every limit is a strict "more than". Failed, inconclusive and
errors in a row are looked at in that order, and a later one overwrites an earlier one; then the
successes in a row; then the count. A metric that is over stays as it ended.
"""

from __future__ import annotations

from typing import NamedTuple

from coalmine_controller.analysis.phases import Phase
from coalmine_controller.analysis.results import MetricResult
from coalmine_controller.analysis.template import Metric


class Verdict(NamedTuple):
    """The phase of a metric, and the reason where it is not plain."""

    phase: Phase
    message: str = ""


def judge(metric: Metric, result: MetricResult) -> Verdict:
    """The phase of `metric` after the measurements in `result`: Running while it goes on."""
    if result.phase.completed:
        return Verdict(result.phase, result.message)
    return _broken(metric, result) or _reached(metric, result)


def _broken(metric: Metric, result: MetricResult) -> Verdict | None:
    verdict = None
    if 0 <= metric.failure_limit < result.failed:
        verdict = Verdict(Phase.FAILED, f"failed ({result.failed}) > failureLimit ({metric.failure_limit})")
    if result.inconclusive > metric.inconclusive_limit:
        verdict = Verdict(
            Phase.INCONCLUSIVE,
            f"inconclusive ({result.inconclusive}) > inconclusiveLimit ({metric.inconclusive_limit})",
        )
    if result.consecutive_error > metric.consecutive_error_limit:
        cause = f": {result.last.message}" if result.last is not None and result.last.message else ""
        verdict = Verdict(
            Phase.ERROR,
            f"consecutiveErrors ({result.consecutive_error}) > "
            f"consecutiveErrorLimit ({metric.consecutive_error_limit}){cause}",
        )
    return verdict


def _reached(metric: Metric, result: MetricResult) -> Verdict:
    wants_successes = metric.consecutive_success_limit > 0
    if wants_successes and result.consecutive_success >= metric.consecutive_success_limit:
        return Verdict(Phase.SUCCESSFUL)
    if metric.count is None or result.count < metric.count:
        return Verdict(Phase.RUNNING)
    if not wants_successes:
        return Verdict(Phase.SUCCESSFUL)
    # Neither limit was met: with both in force nobody can tell, with the success limit alone it failed
    phase = Phase.FAILED if metric.failure_limit < 0 else Phase.INCONCLUSIVE
    return Verdict(
        phase,
        f"consecutiveSuccess ({result.consecutive_success}) < "
        f"consecutiveSuccessLimit ({metric.consecutive_success_limit}) after {result.count} measurements",
    )
