"""Performs a decision: the status first, then the sidecars' routing, then the actions in order.

Rules: what is intended is written before it is done, so that a controller which dies in between is
followed by one that intends the same. A write that rests on an observation carries its
resourceVersion; a conflict ends the pass, and the next one looks again. Only an abort's routing goes
out even when its status cannot be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from coalmine.kube.client import Client
from coalmine.kube.resources import (
    ANALYSIS_RUNS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    Object,
    resource_version_of,
    uid_of,
)
from coalmine.kube.verbs import STRATEGIC, ApiError, ConflictError
from coalmine.model import names
from coalmine.model.condition import failure_condition, paused_condition
from coalmine.model.durations import format_time
from coalmine.model.errors import SpecError
from coalmine.model.rollout import Status
from coalmine_controller import actions as do
from coalmine_controller import canary_set
from coalmine_controller.background import build
from coalmine_controller.convert import deployment_from, replica_set_from
from coalmine_controller.decision import Decision
from coalmine_controller.events import Recorder
from coalmine_controller.observe import is_run_of
from coalmine_controller.observed import Deployment, Observed, ReplicaSet
from coalmine_controller.sidecars import Sidecars
from coalmine_controller.versions import sort_out
from coalmine_controller.world import World

_log = logging.getLogger(__name__)


class Applier:
    """The hands of the controller."""

    def __init__(
        self, client: Client, world: World, sidecars: Sidecars, recorder: Recorder, wall: Callable[[], float]
    ) -> None:
        self._client = client
        self._world = world
        self._sidecars = sidecars
        self._recorder = recorder
        self._wall = wall

    async def apply(self, observed: Observed, decision: Decision, settled: Callable[[bool], None]) -> None:
        """Perform `decision`. Raises ApiError; what was done until then stands."""
        try:
            await self._write_status(observed, decision.status)
        except ApiError:
            if decision.urgent:
                self._route(observed, decision, settled)
            raise
        self._route(observed, decision, settled)
        hands = _Hands(self._client, self._world, self._recorder, self._wall, observed, decision)
        for action in decision.actions:
            await hands.perform(action)

    async def _write_status(self, observed: Observed, status: Status) -> None:
        d = observed.deployment
        rollout = self._world.rollouts.get(d.namespace, d.name)
        if not observed.rollout_exists:
            return
        if rollout is None:
            raise ConflictError(409, "Conflict", f"the Rollout {d.namespace}/{d.name} is gone")
        body = status.to_json()
        if body == rollout.get("status"):
            return
        written = await self._client.replace(ROLLOUTS, d.namespace, {**rollout, "status": body}, "status")
        self._world.rollouts.remember(written)

    def _route(self, observed: Observed, decision: Decision, settled: Callable[[bool], None]) -> None:
        for pod in observed.pods:
            routing = decision.routes.get(pod.uid)
            raw = self._world.pods.get(observed.deployment.namespace, pod.name)
            if routing is not None and raw is not None:
                self._sidecars.tell(pod, self._world.boot.of(raw), routing, settled)


class _Hands:
    """Performs the actions of one decision. The Deployment and its ReplicaSets are read forward: after each
    write of ours, the next one rests on the API server's answer."""

    def __init__(
        self,
        client: Client,
        world: World,
        recorder: Recorder,
        wall: Callable[[], float],
        observed: Observed,
        decision: Decision,
    ) -> None:
        self._client = client
        self._world = world
        self._recorder = recorder
        self._wall = wall
        self._observed = observed
        self._deployment = observed.deployment
        self._decision = decision
        self._sets = {r.name: r for r in observed.replica_sets}

    async def perform(self, action: do.Action) -> None:
        d = self._deployment
        match action:
            case do.Emit():
                await self._recorder.record(d, action)
            case do.CreateRollout():
                await self._create_rollout()
            case do.DeleteRollout():
                await self._client.delete(ROLLOUTS, d.namespace, d.name)
            case do.Touch():
                await self._patch_deployment({})
            case do.CreateCanary():
                await self._create_canary(action.replicas)
            case do.Hide():
                await self._patch_set(action.name, canary_set.hide(d, self._set(action.name)))
            case do.Reference():
                await self._patch_set(action.name, canary_set.add_reference(d, self._set(action.name)))
            case do.ScaleCanary():
                await self._scale(self._set(action.name), action)
            case do.DeleteReplicaSet():
                await self._client.delete(REPLICA_SETS, d.namespace, action.name, uid=self._set(action.name).uid)
            case do.ReturnReplicaSet():
                await self._patch_set(action.name, canary_set.give_back(self._set(action.name)))
            case do.DeletePod():
                await self._client.delete(PODS, d.namespace, action.name)
            case do.EvictPod():
                await self._evict(action.name)
            case do.MarkFailed():
                await self._annotate({names.FAILED: d.fingerprint})
            case do.ClearFailed():
                await self._annotate({names.FAILED: None})
            case do.ReportFailure():
                now = format_time(self._wall())[:19] + "Z"
                await self._report(failure_condition(d.fingerprint, action.message, now))
            case do.ClearFailure():
                await self._report(paused_condition(format_time(self._wall())[:19] + "Z"))
            case do.BeginHandover():
                await self._annotate({names.HANDOVER: d.fingerprint})
            case do.CancelHandover():
                await self._annotate({names.HANDOVER: None})
            case do.EndHandover():
                await self._annotate({names.HANDOVER: None} | ({} if action.complete else {names.STABLE: None}))
            case do.Relabel():
                await self._patch_set(action.name, canary_set.show(d, self._set(action.name)))
            case do.Release():
                await self._release(action)
            case do.StartAnalysis():
                await self._start_analysis(action.run)
            case do.StopAnalysis():
                await self._stop_analysis(action.run)

    def _set(self, name: str) -> ReplicaSet:
        return self._sets[name]

    async def _patch_deployment(self, patch: Object) -> None:
        """A merge patch that holds only for the Deployment as it was observed."""
        d = self._deployment
        metadata = {**patch.get("metadata", {}), "resourceVersion": resource_version_of(d.raw)}
        raw = await self._client.patch(DEPLOYMENTS, d.namespace, d.name, {**patch, "metadata": metadata})
        self._remember(raw)

    def _remember(self, raw: Object) -> None:
        self._world.deployments.remember(raw)
        self._deployment = deployment_from(raw)

    async def _annotate(self, annotations: Mapping[str, str | None]) -> None:
        await self._patch_deployment({"metadata": {"annotations": annotations}})

    async def _release(self, action: do.Release) -> None:
        d = self._deployment
        annotations: dict[str, str | None] = {names.HOLD: None, names.STABLE: d.fingerprint, names.FAILED: None}
        if not action.early:
            annotations[names.HANDOVER] = None
        await self._patch_deployment({"metadata": {"annotations": annotations}, "spec": {"paused": None}})

    async def _report(self, condition: Object) -> None:
        d = self._deployment
        patch = {"metadata": {"resourceVersion": resource_version_of(d.raw)}, "status": {"conditions": [condition]}}
        self._remember(await self._client.patch(DEPLOYMENTS, d.namespace, d.name, patch, "status", kind=STRATEGIC))

    async def _patch_set(self, name: str, patch: Object) -> None:
        raw = await self._client.patch(REPLICA_SETS, self._deployment.namespace, name, patch)
        self._world.replica_sets.remember(raw)
        self._sets[name] = replica_set_from(raw, self._deployment)

    async def _scale(self, replica_set: ReplicaSet, action: do.ScaleCanary) -> None:
        spec: Object = {"replicas": action.replicas, "minReadySeconds": action.min_ready or None}
        patch = {"metadata": {"resourceVersion": resource_version_of(replica_set.raw)}, "spec": spec}
        await self._patch_set(replica_set.name, patch)

    async def _create_canary(self, replicas: int) -> None:
        d = self._deployment
        created = await self._client.create(REPLICA_SETS, d.namespace, canary_set.hidden_set(d, replicas))
        self._world.replica_sets.remember(created)

    async def _create_rollout(self) -> None:
        d = self._deployment
        try:
            created = await self._client.create(ROLLOUTS, d.namespace, rollout_object(d))
        except ConflictError:
            left = await self._client.find(ROLLOUTS, d.namespace, d.name)
            if left is not None and not left["metadata"].get("ownerReferences"):
                # of an earlier Deployment that was deleted with --cascade=orphan: nobody else will
                await self._client.delete(ROLLOUTS, d.namespace, d.name, uid=uid_of(left))
            raise
        self._world.rollouts.remember(created)

    async def _evict(self, name: str) -> None:
        namespace = self._deployment.namespace
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        try:
            await self._client.create(PODS, namespace, eviction, "eviction")
        except ApiError as error:
            if error.status not in (404, 429):  # gone; or its disruption budget says not now
                raise
            _log.info("%s/%s: pod %s is not evicted: %s", namespace, self._deployment.name, name, error)

    async def _start_analysis(self, name: str) -> None:
        d = self._deployment
        rollout = self._world.rollouts.get(d.namespace, d.name)
        if rollout is None:
            raise ConflictError(409, "Conflict", f"the Rollout {d.namespace}/{d.name} is gone")
        observed = replace(self._observed, deployment=d)
        try:
            run = build(self._world, observed, sort_out(observed), name, rollout)
        except SpecError as error:  # changed since it was observed: the next look says so in the status
            _log.warning("%s/%s: no analysis is started: %s", d.namespace, d.name, error)
            return
        try:
            created = await self._client.create(ANALYSIS_RUNS, d.namespace, run)
        except ConflictError:
            created = await self._client.get(ANALYSIS_RUNS, d.namespace, name)
            if not is_run_of(created, rollout):
                raise  # an earlier Rollout's, being collected
            # else made by an earlier pass, whose event is on its way
        self._world.runs.remember(created)

    async def _stop_analysis(self, name: str) -> None:
        namespace = self._deployment.namespace
        patched = await self._client.patch(ANALYSIS_RUNS, namespace, name, {"spec": {"terminate": True}})
        self._world.runs.remember(patched)


def rollout_object(deployment: Deployment) -> Object:
    """A new Rollout, owned by its Deployment."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ROLLOUT,
        "metadata": {
            "name": deployment.name,
            "namespace": deployment.namespace,
            "ownerReferences": [{**canary_set.reference(deployment), "controller": True}],
        },
        "spec": {},
    }
