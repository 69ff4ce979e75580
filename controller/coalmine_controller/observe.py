"""Makes the snapshot that `plan` decides on, from the caches or live from the API server."""

from __future__ import annotations

import logging
from dataclasses import replace

from coalmine.kube.cache import Key
from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Object, controller_of, name_of, uid_of
from coalmine.model import names
from coalmine.model.errors import SpecError
from coalmine.model.rollout import Status, Wishes
from coalmine.model.strategy import Strategy
from coalmine_controller.background import build
from coalmine_controller.convert import deployment_from, pod_from, replica_set_from, run_from
from coalmine_controller.observed import Deployment, Observed
from coalmine_controller.sidecars import Sidecars
from coalmine_controller.versions import sort_out
from coalmine_controller.world import World, deployment_of

_log = logging.getLogger(__name__)


def from_caches(world: World, sidecars: Sidecars, raw: Object) -> Observed:
    """The snapshot of the Deployment `raw` as the caches have it."""
    deployment = world.deployment.of(raw)
    sets = world.sets_of((deployment.namespace, deployment.name))
    pods = world.pods_of(deployment.namespace, [name_of(s) for s in sets])
    return _assemble(world, sidecars, deployment, sets, pods, live=False)


async def live(client: Client, world: World, sidecars: Sidecars, key: Key) -> Observed | None:
    """The same, read from the API server in one breath; None when the Deployment is gone.

    All ReplicaSets of the namespace are listed rather than those with a label: one from before
    the opt-in has none of ours, and the release must know that it is at 0.
    """
    namespace, name = key
    raw = await client.find(DEPLOYMENTS, namespace, name)
    if raw is None:
        return None
    deployment = deployment_from(raw)
    sets, _ = await client.list(REPLICA_SETS, namespace)
    pods, _ = await client.list(PODS, namespace, labels=names.SIDECAR_SELECTOR)
    world.deployments.remember(raw)
    mine = [s for s in sets if deployment_of(s) == key]
    set_names = {name_of(s) for s in mine}
    own = [p for p in pods if pod_from(p).replica_set in set_names]
    return _assemble(world, sidecars, deployment, mine, own, live=True)


def _assemble(
    world: World, sidecars: Sidecars, deployment: Deployment, sets: list[Object], pods: list[Object], *, live: bool
) -> Observed:
    rollout = world.rollouts.get(deployment.namespace, deployment.name)
    if rollout is not None and not any(
        o.get("uid") == deployment.uid for o in rollout["metadata"].get("ownerReferences") or ()
    ):
        rollout = None  # an earlier Deployment's: it is being collected
    status = _status((rollout or {}).get("status") or {}, deployment)
    wishes = Wishes.from_json((rollout or {}).get("spec") or {})
    seen = []
    for raw in pods:
        applied, error = sidecars.applied(uid_of(raw), world.boot.of(raw))
        schema = sidecars.schema(uid_of(raw))
        seen.append(replace(world.pod.of(raw), applied=applied, push_error=error, schema=schema))
    run = world.runs.get(deployment.namespace, status.analysis_run) if status.analysis_run else None
    if run is not None and (rollout is None or not is_run_of(run, rollout)):
        run = None  # of an earlier Rollout, which counted its attempts anew: it is being collected
    observed = Observed(
        deployment=deployment,
        rollout_exists=rollout is not None,
        rollout_generation=int((rollout or {}).get("metadata", {}).get("generation") or 0),
        wishes=wishes,
        status=status,
        replica_sets=tuple(replica_set_from(s, deployment) if live else world.replica_set(s, deployment) for s in sets),
        pods=tuple(seen),
        run=run_from(run) if run is not None else None,
        live=live,
    )
    return replace(observed, analysis_problem=_problem(world, observed))


def is_run_of(run: Object, rollout: Object) -> bool:
    """Whether the AnalysisRun was made for this very Rollout, not for one of the same name before it."""
    return (controller_of(run) or {}).get("uid") == uid_of(rollout)


def _status(raw: Object, deployment: Deployment) -> Status:
    """The status; where somebody else has written it, that of a rollout which starts again, with the attempts
    counted on. Nothing is aborted or released by that: these stand on the Deployment."""
    try:
        return Status.from_json(raw)
    except ValueError as error:
        _log.error("%s/%s: the Rollout's status is not ours: %s", deployment.namespace, deployment.name, error)
        attempt = raw.get("attempt")
        return Status(attempt=attempt if isinstance(attempt, int) and 0 <= attempt < 1 << 62 else 0, routed=True)


def _problem(world: World, observed: Observed) -> str:
    """What would keep the background run from being made, as a sentence."""
    strategy = observed.deployment.strategy
    if not observed.deployment.held or not isinstance(strategy, Strategy) or strategy.analysis is None:
        return ""
    try:
        build(world, observed, sort_out(observed), "check", rollout=None)
    except SpecError as error:
        return str(error)
    return ""
