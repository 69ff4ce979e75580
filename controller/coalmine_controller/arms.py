"""Which pods form which arm, and what each sidecar is told.

Pure. The rule of the control arm: canary and control have the same number of pods and the same
share, so that load per pod and path are alike and the two can be compared. Control gets pods
of its own only where the other stable pods are not overloaded by it:
(1 - 2w) / (N - c) <= 1.15 / N. Above 50 % control is the share 1 - w on ceil(N (1 - w)) pods.

Worked example, N = 5: at 20 % c = 1 and 0.6 / 4 = 0.15 <= 0.23, so one stable pod is control.
At 50 % c = 3 and 0 / 2 <= 0.23: three are control, and the share of the other two is 0.
With N = 2 at 20 %, c = 1: 0.6 / 1 = 0.6 > 0.575: control shares all stable pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from coalmine.model.weights import Weight
from coalmine.model.wire import CANARY, CONTROL, STABLE, Arm, Endpoint

#: How much more than an equal part of the load a stable pod may get so that control is matched.
_OVERLOAD = 1.15
#: Arms that are known to be equal to themselves: some for each rollout that is under way.
_KEPT = 512


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that can take requests: its uid and its application's endpoint."""

    uid: str
    endpoint: Endpoint


def control_size(stable_pods: int, weight: Weight) -> int:
    """Stable pods that control gets for its own; 0 when it shares all of them."""
    if weight.hundredths == 0 or stable_pods < 2:
        return 0
    w, count = weight.fraction, weight.of(stable_pods)
    if w > 0.5:
        return 0 if weight == Weight.FULL else max(1, Weight(10_000 - weight.hundredths).of(stable_pods))
    rest = stable_pods - count
    if rest <= 0:
        return 0
    return count if (1 - 2 * w) / rest <= _OVERLOAD / stable_pods else 0


def choose_control(previous: Sequence[str], stable: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` of the stable pods' uids: those chosen before stay, others follow in the order of uid."""
    kept = [uid for uid in previous if uid in stable][:count]
    for uid in sorted(stable):
        if len(kept) >= count:
            break
        if uid not in kept:
            kept.append(uid)
    return tuple(kept)


def build_arms(
    stable: Sequence[Target],
    canary: Sequence[Target],
    weight: Weight,
    control: Sequence[str],
    hashes: tuple[str, str] = ("", ""),
) -> tuple[Arm, ...]:
    """The arms at `weight`. Shares sum to 100 %; without stable pods of its own, control shares them all.

    `hashes` are the pod-template-hashes of stable and of the canary.
    """
    w = weight.hundredths
    control_share = min(w, 10_000 - w)
    stable_share = 10_000 - w - control_share
    everyone = tuple(t.endpoint for t in stable)
    matched = tuple(t.endpoint for t in stable if t.uid in control)
    rest = tuple(t.endpoint for t in stable if t.uid not in control)
    return _the_same(
        (
            Arm(STABLE, Weight(stable_share), rest if matched and rest else everyone, hashes[0]),
            Arm(CONTROL, Weight(control_share), matched or everyone, hashes[0]),
            Arm(CANARY, weight, tuple(t.endpoint for t in canary), hashes[1]),
        )
    )


@lru_cache(maxsize=_KEPT)
def _the_same(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """Equal arms as one object: whether each of N sidecars has acknowledged arms of N endpoints is then N comparisons
    at each look, and not N times N."""
    return arms
