"""What each sidecar of a Deployment is to be told, and whether they all have it.

Pure. Rules:
- While a canary takes part, every sidecar has the same arms, whatever version its own pod has.
- Canary pods never carry much more than a stable pod would: when some are lost, the share that they
  are told shrinks until they are back, and stable, which is there for this, takes the rest.
- So with routes: none leads to a canary without a pod, and copies end, before requests do, where too few are left
  for them. What is told then (`told_routes`) is what the status says and what steps and analysis go by.
- A pod that is left behind (aborted, superseded) sends all it still gets to stable, answers
  ``Connection: close`` and fails its readiness, so that nothing new comes; but for the case
  that no stable pod is ready: then it serves on, as it is all there is.
- A terminating pod never serves locally: its application may be gone. It sends what it still gets
  to pods that stay. It is told so if it can be reached; nobody waits for it.
- Sidecars that count, and are waited for, are those whose pod is ready and not terminating.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from coalmine.model.route_steps import NO_ROUTES, InForce
from coalmine.model.weights import Weight
from coalmine.model.wire import SCHEMA, STABLE, Arm, Routing
from coalmine_controller.arms import build_arms, choose_control, control_size
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.versions import Versions, targets

Routes = Mapping[str, Routing]

#: How many times an equal part of the requests a canary pod may carry. A step's own rounding never reaches
#: it: ceil(replicas * weight) pods carry at most an equal part each.
_OVERLOAD = 1.5


def carried(observed: Observed, versions: Versions, weight: Weight) -> Weight:
    """The part of `weight` that the canary pods which are ready can carry; all of it when none is,
    as an arm without endpoints gives its share to stable by itself."""
    ready, replicas = len(targets(versions.canary_pods)), observed.deployment.replicas
    if not ready or not replicas:
        return weight
    return min(weight, Weight(min(10_000, int(10_000 * _OVERLOAD * ready / replicas))))


def told_routes(observed: Observed, versions: Versions, weight: Weight, in_force: InForce) -> InForce:
    """Those of the routes `in_force` that the canary pods which are ready can carry beside `weight`."""
    ready = len(targets(versions.canary_pods))
    if not ready:
        return NO_ROUTES
    enough = in_force.within(weight, observed.deployment.replicas, ready, _OVERLOAD)
    return in_force if enough else replace(in_force, mirrors=())


def control_uids(observed: Observed, versions: Versions, weight: Weight, previous: tuple[str, ...]) -> tuple[str, ...]:
    """The control arm's own pods at `weight`. Chosen among all stable pods: one that is not ready for a moment
    is not replaced."""
    uids = [p.uid for p in versions.stable_pods if p.injection is not None]
    return choose_control(previous, uids, control_size(min(len(uids), observed.deployment.replicas), weight))


def split(
    observed: Observed,
    versions: Versions,
    weight: Weight,
    control: tuple[str, ...],
    *,
    told: InForce = NO_ROUTES,
    leaving: bool = False,
) -> Routes:
    """Everybody splits by `weight`, and by the routes `told`. With `leaving`, stable pods close their clients'
    connections with each answer, as they are about to end."""
    stable, canary = targets(versions.stable_pods), targets(versions.canary_pods)
    arms = build_arms(stable, canary, weight, control, versions.hashes)
    base = replace(_base(observed), arms=arms, routes=told.headers, mirrors=told.mirrors)
    # Before a canary pod can take anything, stable pods go on serving locally: no second hop for nothing.
    at_stable = base if canary or weight.hundredths else replace(base, arms=())
    routes = {p.uid: base for p in versions.canary_pods}
    routes |= {p.uid: replace(at_stable, close=True) if leaving else at_stable for p in versions.stable_pods}
    ending = replace(base, close=True)
    anybody = bool(stable or canary)
    routes |= {p.uid: replace(ending, drain=anybody) for p in versions.leftover_pods}
    routes |= {p.uid: ending for p in versions.terminating}
    return routes


def local(observed: Observed, versions: Versions, *, canary_stays: bool = False) -> Routes:
    """Everybody serves locally; pods that were left behind or are ending send to those that stay.

    The canary's pods are left behind (an abort) unless they stay (an early release).
    """
    base = _base(observed)
    stays = versions.stable_pods + (versions.canary_pods if canary_stays else ())
    away = versions.leftover_pods + (() if canary_stays else versions.canary_pods)
    routes = {p.uid: base for p in stays}
    endpoints = tuple(t.endpoint for t in targets(stays))
    elsewhere = replace(base, arms=(Arm(STABLE, Weight.FULL, endpoints),), close=True)
    routes |= {p.uid: replace(elsewhere, drain=bool(endpoints)) for p in away}
    routes |= {p.uid: elsewhere for p in versions.terminating}
    return routes


def _base(observed: Observed) -> Routing:
    """What holds whatever the weight is."""
    d = observed.deployment
    return Routing(
        local_paths=d.local_paths,
        pin=d.settings.pin,
        affinity=d.settings.affinity,
        balance=d.settings.balance,
        ejection=d.settings.ejection,
    )


def unready(routes: Routes, pods: tuple[Pod, ...]) -> Routes:
    """Those of `routes` for pods that wait to be told anything: injected as a canary's, not ready before."""
    waiting = {p.uid for p in pods if p.injection is not None and p.injection.canary and not p.ready}
    return {uid: routing for uid, routing in routes.items() if uid in waiting}


def unsynced(observed: Observed, routes: Routes) -> Pod | None:
    """The first pod that counts and whose sidecar has not acknowledged its routing; None when all have."""
    return next((p for p in _lagging(observed, routes) if p.ready), None)


def outdated(observed: Observed, routes: Routes) -> tuple[Pod, str] | None:
    """The first pod that counts and whose sidecar does not follow all of its routing, though it has acknowledged it;
    and what it does not know. An older sidecar splits by weight alone."""
    for pod in sorted(observed.pods, key=lambda p: p.name):
        routing = routes.get(pod.uid)
        older = pod.ready and not pod.terminating and pod.schema is not None and pod.schema < SCHEMA
        if older and routing is not None and routing.beyond:
            return pod, routing.beyond
    return None


def everybody(observed: Observed, routes: Routes) -> bool:
    """Whether also the sidecars that nobody waits for have theirs: those of pods that are not ready now."""
    return next(_lagging(observed, routes), None) is None


def _lagging(observed: Observed, routes: Routes) -> Iterator[Pod]:
    for pod in sorted(observed.pods, key=lambda p: p.name):
        has_sidecar = pod.injection is not None and bool(pod.address) and not pod.terminating
        if has_sidecar and pod.uid in routes and pod.applied != routes[pod.uid]:
            yield pod
