"""Gives each Deployment back to the native controller, one at a time, once no webhook is registered.

Rules: each Deployment is waited for until all of its pods are new and available, whether the patch began that rolling
update or it was under way before, and then the next one's turn comes; one that its user paused, or that has no
replicas, is not waited for. API servers learn of the deleted registration in their own time: a patch of which the
webhook kept something is made again.
"""

from __future__ import annotations

from collections.abc import Callable

from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, REPLICA_SETS, Object, name_of, namespace_of
from coalmine.kube.verbs import JSON_PATCH, ApiError, ConflictError, NotFoundError
from coalmine.model.errors import SpecError
from coalmine_cli.checking.findings import about
from coalmine_cli.uninstalling.pace import Pace
from coalmine_cli.uninstalling.plan import Wanted
from coalmine_cli.uninstalling.rollouts import stable_template
from coalmine_cli.uninstalling.standing import Where, is_complete, is_ours, let_go, progress, where


class LettingGo:
    """Lets go for one call; `tell` is told what is done."""

    def __init__(self, client: Client, pace: Pace, tell: Callable[[str], None], wanted: Wanted) -> None:
        self._client = client
        self._pace = pace
        self._tell = tell
        self._wanted = wanted

    async def let_go(self, namespace: str, name: str) -> None:
        """One Deployment, to the end of its native rolling update. Raises SpecError, ApiError, TimeIsOverError."""
        last: Object = {}
        refusal = "something of ours still stands on it"

        async def written() -> Object | None:
            nonlocal last, refusal
            found = await self._client.find(DEPLOYMENTS, namespace, name)
            if found is None or not self._is_ours(found):
                return found or last or {"metadata": {"namespace": namespace, "name": name}, "spec": {"replicas": 0}}
            try:
                last = await self._client.patch(DEPLOYMENTS, namespace, name, await self._patch(found), kind=JSON_PATCH)
            except ConflictError as error:  # somebody wrote it meanwhile, or a webhook that is still asked refused
                refusal = error.message
                return None
            except NotFoundError:
                return None
            except ApiError as error:
                if "admission webhook" in error.message or "failed calling webhook" in error.message:
                    refusal = error.message
                    return None
                raise
            return None if self._is_ours(last) else last

        mine = await self._pace.until(written, lambda: f"{namespace}/{name}: {refusal}")
        self._tell(f"{namespace}/{name}: Coalmine has let go of it")
        await self._updated(mine)

    def _is_ours(self, deployment: Object) -> bool:
        wanted = self._wanted
        return is_ours(deployment, keep_sidecars=wanted.keep_sidecars, keep_annotations=wanted.keep_annotations)

    async def _patch(self, deployment: Object) -> list[Object]:
        """Raises SpecError when a release came in between that nobody decided on."""
        wanted, template = self._wanted, None
        back = where(deployment) in (Where.TAKEN_BACK, Where.ADRIFT)
        if back or (where(deployment) is Where.OPEN and wanted.abort):
            sets, _ = await self._client.list(REPLICA_SETS, namespace_of(deployment))
            template = stable_template(deployment, sets)
        elif where(deployment) is Where.OPEN and int(deployment["spec"].get("replicas", 1)):
            problem = f"a new template of {about(deployment)} was held in the last moment, and nobody can finish it"
            raise SpecError("", problem, "run it again with --abort, then release it once more")
        return let_go(
            deployment,
            template=template,
            keep_sidecars=wanted.keep_sidecars,
            keep_annotations=wanted.keep_annotations,
        )

    async def _updated(self, deployment: Object) -> None:
        if deployment["spec"].get("paused"):
            self._tell(
                f"{about(deployment)}: it is paused by its user, so it is not waited for; its pods change after that"
            )
            return
        last = deployment

        async def complete() -> bool | None:
            nonlocal last
            found = await self._client.find(DEPLOYMENTS, namespace_of(deployment), name_of(deployment))
            if found is None:
                return True
            last = found
            return True if is_complete(found) or found["spec"].get("paused") else None

        if not is_complete(deployment) and int(deployment["spec"].get("replicas", 1)):
            await self._pace.until(complete, lambda: f"{about(last)}: {progress(last)}")
            self._tell(f"{about(last)}: all pods run natively")
