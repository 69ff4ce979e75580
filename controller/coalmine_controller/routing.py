"""What each sidecar of a Deployment is to be told, and whether they all have it.

Pure. Rules:
- While a canary takes part, every sidecar has the same arms, whatever version its own pod has.
- A pod that is left behind (aborted, superseded) sends all it still gets to stable, answers
  ``Connection: close`` and fails its readiness, so that nothing new comes.
- A terminating pod never serves locally: its application may be gone. It sends what it still gets
  to pods that stay. It is told so if it can be reached; nobody waits for it.
- Sidecars that count, and are waited for, are those whose pod is ready and not terminating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from coalmine.model.weights import Weight
from coalmine.model.wire import STABLE, Arm, Routing
from coalmine_controller.arms import build_arms, choose_control, control_size
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.versions import Versions, targets

Routes = Mapping[str, Routing]


def control_uids(versions: Versions, weight: Weight, previous: tuple[str, ...]) -> tuple[str, ...]:
    """The control arm's own pods at `weight`."""
    uids = [t.uid for t in targets(versions.stable_pods)]
    return choose_control(previous, uids, control_size(len(uids), weight))


def split(
    observed: Observed, versions: Versions, weight: Weight, control: tuple[str, ...], *, leaving: bool = False
) -> Routes:
    """Everybody splits by `weight`. With `leaving`, stable pods close their clients' connections
    with each answer, as they are about to end."""
    stable, canary = targets(versions.stable_pods), targets(versions.canary_pods)
    arms = build_arms(stable, canary, weight, control)
    base = Routing(arms=arms, local_paths=observed.deployment.local_paths)
    # Before a canary pod can take anything, stable pods go on serving locally: no second hop for nothing.
    at_stable = base if canary or weight.hundredths else replace(base, arms=())
    routes = {p.uid: base for p in versions.canary_pods}
    routes |= {p.uid: replace(at_stable, close=True) if leaving else at_stable for p in versions.stable_pods}
    ending = replace(base, close=True)
    routes |= {p.uid: replace(ending, drain=True) for p in versions.leftover_pods}
    routes |= {p.uid: ending for p in versions.terminating}
    return routes


def local(observed: Observed, versions: Versions, *, canary_stays: bool = False) -> Routes:
    """Everybody serves locally; pods that were left behind or are ending send to those that stay.

    The canary's pods are left behind (an abort) unless they stay (an early release).
    """
    base = Routing(local_paths=observed.deployment.local_paths)
    stays = versions.stable_pods + (versions.canary_pods if canary_stays else ())
    away = versions.leftover_pods + (() if canary_stays else versions.canary_pods)
    routes = {p.uid: base for p in stays}
    endpoints = tuple(t.endpoint for t in targets(stays))
    elsewhere = replace(base, arms=(Arm(STABLE, Weight.FULL, endpoints),), close=True)
    routes |= {p.uid: replace(elsewhere, drain=True) for p in away}
    routes |= {p.uid: elsewhere for p in versions.terminating}
    return routes


def unsynced(observed: Observed, routes: Routes) -> Pod | None:
    """The first pod that counts and whose sidecar has not acknowledged its routing; None when all have."""
    for pod in sorted(observed.pods, key=lambda p: p.name):
        counts = pod.ready and not pod.terminating and pod.injection is not None
        if counts and pod.uid in routes and pod.applied != routes[pod.uid]:
            return pod
    return None
