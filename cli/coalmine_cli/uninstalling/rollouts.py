"""Ends the rollouts that are open, while webhook and controller are still there.

Rules: `--finish` promotes in full and waits for the handover; what was taken back is not promoted by that, it goes
back to stable. `--abort` writes the stable template, which the webhook releases at once with no pod touched; requests
leave the canary first, then its pods go. A handover is waited for: it is too late to take it back.
"""

from __future__ import annotations

from collections.abc import Callable

from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, REPLICA_SETS, ROLLOUTS, Object, name_of, namespace_of
from coalmine.kube.verbs import NotFoundError
from coalmine.model.errors import SpecError
from coalmine_cli import promote, template, undo, wish
from coalmine_cli.checking.findings import about
from coalmine_cli.cluster import Cluster, status_of
from coalmine_cli.uninstalling.pace import Pace
from coalmine_cli.uninstalling.plan import standing_text
from coalmine_cli.uninstalling.standing import Where, images_of, where


class Closing:
    """Ends rollouts for one call; `tell` is told what is done. `led`: a controller is there to do its part."""

    def __init__(self, client: Client, pace: Pace, tell: Callable[[str], None], *, led: bool) -> None:
        self._client = client
        self._pace = pace
        self._tell = tell
        self._led = led

    async def close(self, deployments: list[Object], *, finish: bool) -> None:
        """Bring all of them to their end. Raises SpecError, ApiError, TimeIsOverError."""
        for deployment in deployments:
            place = where(deployment)
            if place is Where.OPEN and finish:
                if int(deployment["spec"].get("replicas", 1)):
                    await self._promote(deployment)
            elif place in (Where.OPEN, Where.TAKEN_BACK):
                await self._back(deployment)
        for deployment in deployments:
            if self._led and where(deployment) is not Where.ADRIFT and int(deployment["spec"].get("replicas", 1)):
                await self._ended(deployment, finish=finish)

    async def _promote(self, deployment: Object) -> None:
        cluster = Cluster(self._client, namespace_of(deployment))
        name = name_of(deployment)

        async def asked() -> bool | None:
            now = await cluster.deployment(name)
            if where(now) is not Where.OPEN:
                return True
            rollout = await cluster.rollout(now)
            status = status_of(rollout)
            if status.workload_generation < now["metadata"]["generation"] or status.canary is None:
                return None
            if status.full_promotion or status.handover_at is not None:
                return True
            decided = promote.decide(wish.standing(now, rollout, "promote"), full=True)
            await self._client.patch(ROLLOUTS, namespace_of(now), name, {"spec": decided.spec})
            return True

        await self._pace.until(asked, lambda: f"{about(deployment)}: waiting for the controller to see its template")
        self._tell(f"{about(deployment)}: {images_of(deployment)} is promoted in full")

    async def _back(self, deployment: Object) -> None:
        cluster = Cluster(self._client, namespace_of(deployment))
        # a handover since the inventory has made the held version the stable one: the old one would be a new canary
        now = await cluster.deployment(name_of(deployment))
        if where(now) not in (Where.OPEN, Where.TAKEN_BACK):
            return
        sets, _ = await self._client.list(REPLICA_SETS, namespace_of(now))
        stable = undo.choose(now, sets, 0)
        await template.write(cluster, now, lambda _: stable.template)
        self._tell(f"{about(deployment)}: back to {stable.images}, its stable template")

    async def _ended(self, deployment: Object, *, finish: bool) -> None:
        last = deployment

        async def ended() -> bool | None:
            nonlocal last
            last = await self._client.get(DEPLOYMENTS, namespace_of(deployment), name_of(deployment))
            place = where(last)
            if finish and place is Where.TAKEN_BACK:
                advice = "run it again: it goes back to its stable template then"
                raise SpecError("", f"{about(last)}: {images_of(last)} was taken back instead", advice)
            return await self._settled(last) if place is Where.IDLE else None

        await self._pace.until(ended, lambda: standing_text(last))
        self._tell(f"{about(last)}: its rollout has ended with {images_of(last)}")

    async def _settled(self, deployment: Object) -> bool | None:
        """Whether every sidecar serves locally again, and the canary is gone."""
        try:
            rollout = await self._client.get(ROLLOUTS, namespace_of(deployment), name_of(deployment))
        except NotFoundError:
            return True
        status = status_of(rollout)
        if status.workload_generation < deployment["metadata"]["generation"]:
            return None
        return True if status.canary is None and not status.routed else None


def stable_template(deployment: Object, sets: list[Object]) -> Object:
    """The stable template of a held Deployment. Raises SpecError when no ReplicaSet has it any more."""
    return dict(undo.choose(deployment, sets, 0).template)
