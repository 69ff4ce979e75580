"""What is known of one rollout: its Deployment, and all that hangs on it, kept up to date by `follow`."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from coalmine.kube.resources import ANALYSIS_RUNS, DEPLOYMENTS, PODS, REPLICA_SETS, ROLLOUTS, Object
from coalmine.model.view import View, view
from coalmine_cli.cluster import Cluster, no_deployment, no_rollout, readable
from coalmine_cli.follow import Follower, Source


class Picture:
    """The Deployment and its Rollout; with `whole`, also the ReplicaSets, pods and AnalysisRuns."""

    def __init__(self, cluster: Cluster, name: str, pause: Callable[[float], Awaitable[None]]) -> None:
        self.name = name
        self._cluster = cluster
        self._follower = Follower(cluster.client, cluster.namespace, pause)
        only = f"metadata.name={name}"
        self._deployments, self._rollouts = Source(DEPLOYMENTS, fields=only), Source(ROLLOUTS, fields=only)
        self._replica_sets, self._runs = Source(REPLICA_SETS), Source(ANALYSIS_RUNS)
        self._pods = Source(PODS)

    async def read(self, *, whole: bool) -> None:
        """Read everything once. Raises ApiError, SpecError when there is no such Deployment."""
        await self._follower.read(self._deployments, self._rollouts)
        deployment = self.deployment
        if whole:
            # hidden ReplicaSets carry none of the Deployment's labels: they are found by their owner
            self._pods.labels = selector_text(deployment["spec"]["selector"])
            await self._follower.read(self._pods, self._replica_sets, self._runs)

    async def change(self) -> None:
        """Wait inside `followed` until something has changed since the last call."""
        await self._follower.change()

    @property
    def trouble(self) -> str:
        """Why the picture may be old; "" when it is not."""
        return self._follower.trouble

    @property
    def deployment(self) -> Object:
        """Raises SpecError when there is none, or none any more."""
        found = next(iter(self._deployments.objects.values()), None)
        if found is None:
            raise no_deployment(self.name, self._cluster.namespace)
        return found

    @property
    def rollout(self) -> Object | None:
        return next(iter(self._rollouts.objects.values()), None)

    def view(self) -> View:
        """The view of what is known. Raises SpecError when there is no Rollout."""
        deployment, rollout = self.deployment, self.rollout
        if rollout is None:
            raise no_rollout(deployment)
        with readable(rollout):
            return view(
                deployment,
                rollout,
                self._replica_sets.objects.values(),
                self._pods.objects.values(),
                self._runs.objects.values(),
            )

    def followed(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Keep the picture up to date inside the block. Raises what the watches or the block raise."""
        return self._follower.followed()


def selector_text(selector: dict[str, Any]) -> str:
    """A LabelSelector as the query parameter labelSelector takes it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], ",".join(rule.get("values") or ())
        match rule["operator"]:
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case _:
                parts.append(f"{key} in ({values})")
    return ",".join(parts)
