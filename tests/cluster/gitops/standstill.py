"""Applies the same manifests again, in every way there is, and demands that nothing moves.

What must stand still: the Deployment's spec, labels and annotations, its ReplicaSets with their sizes, the pods, and
where the Rollout stands. Two annotations come and go as they do without Coalmine: kubectl's last-applied-configuration
(a PUT takes it away, so does kubectl when it goes over to server-side apply) and the native controller's revision (a
PUT takes it away). As a Deployment's generation counts changes of its annotations, it rises then.
"""

from __future__ import annotations

import json
from typing import Any, Final

from gitops import comparing
from gitops.manifests import Manifests

from coalmine.kube.resources import ANALYSIS_RUNS, DEPLOYMENTS, REPLICA_SETS, ROLLOUTS, Object, name_of, uid_of
from coalmine.kube.verbs import APPLY
from coalmine.model import names
from coalmine_sandbox.lab import Answer
from coalmine_sandbox.story.application import NAME, Application

MANAGER: Final = "gitops"
#: What comes and goes on any Deployment.
_LOST: Final = (comparing.LAST_APPLIED, names.REVISION)
#: Where the Rollout stands; its sentences and its generation may be told anew.
_STANDS: Final = (
    *("phase", "step", "weight", "actualWeight", "attempt", "canary", "stable", "abortReason"),
    *("control", "routed", "fullPromotion", "analysisRun"),
)


class Standstill:
    """One application, with its manifests."""

    def __init__(self, app: Application, manifests: Manifests) -> None:
        self._app = app
        self._manifests = manifests

    async def demand(self, *, alive: bool) -> None:
        """Every way of applying, one after the other; `alive` is whether our controller is."""
        generation = await self._generation()
        before = await self.picture()
        assert await self.apply() == "unchanged"
        await self._compared()
        await self._applied_by_a_tool()
        assert await self.apply() == "unchanged"
        assert await self._generation() == generation, "applying what stands makes no new generation"
        await self._still(before, alive, "applied client-side, and with a manager of its own")
        await self._applied_server_side()
        await self._still(before, alive, "kubectl's change to server-side apply")
        await self._replaced()
        await self._still(before, alive, "a PUT without our annotations")
        # kubectl's annotation comes back
        assert await self.apply() == "configured"
        assert await self.apply() == "unchanged"
        await self._compared()
        await self._still(before, alive, "all of it")

    async def _still(self, before: dict[str, Any], alive: bool, after: str) -> None:
        generation = await self._generation()

        async def native() -> bool:
            return bool((await self._app.deployment())["status"].get("observedGeneration", 0) >= generation)

        await self._app.lab.until(native, "the native controller has seen the Deployment")
        if alive:
            # a generation that the native controller has not seen yet is Progressing, for a moment
            phase = before["rollout"]["phase"]
            await self._app.until(lambda s: s.workload_generation >= generation and s.phase.value == phase)
        now = await self.picture()
        moved = {key: (before[key], now[key]) for key in now if before[key] != now[key]}
        assert moved == {}, f"{after}: {json.dumps(moved)}"

    async def picture(self) -> dict[str, Any]:
        """All that must stand still."""
        app = self._app
        deployment = await app.deployment()
        metadata = deployment["metadata"]
        sets, _ = await app.lab.client.list(REPLICA_SETS, app.namespace)
        rollout = await app.lab.client.get(ROLLOUTS, app.namespace, NAME)
        return {
            "deployment": {
                "uid": uid_of(deployment),
                "spec": deployment["spec"],
                "labels": metadata["labels"],
                "annotations": {k: v for k, v in metadata["annotations"].items() if k not in _LOST},
            },
            "sets": {
                name_of(s): (uid_of(s), s["spec"], s["metadata"].get("labels"), s["metadata"].get("ownerReferences"))
                for s in sets
            },
            "pods": sorted(uid_of(p) for p in await app.pods()),
            "rollout": {
                "spec": rollout.get("spec"),
                **{key: rollout.get("status", {}).get(key) for key in _STANDS},
            },
        }

    async def _generation(self) -> int:
        return int((await self._app.deployment())["metadata"]["generation"])

    async def _kubectl(self, verb: str, *arguments: str) -> Answer:
        return await self._app.kubectl(verb, "-f", str(self._manifests.folder), *arguments)

    async def apply(self) -> str:
        """`kubectl apply`; what it says of the Deployment."""
        done = await self._kubectl("apply")
        assert done.code == 0, done.stderr
        said = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
        assert len(said) == 3
        return said[f"deployment.apps/{NAME}"]

    async def _applied_by_a_tool(self) -> None:
        """As Flux and Argo CD do, by the API with a field manager of their own."""
        await self._app.lab.apply(self._manifests.objects, namespace=self._app.namespace, manager=MANAGER)

    async def _applied_server_side(self) -> None:
        # with a field manager of its own kubectl moves what it owned to it, and takes last-applied-configuration away
        done = await self._kubectl("apply", "--server-side", f"--field-manager={MANAGER}")
        assert done.code == 0, done.stderr
        assert done.stdout.count(" serverside-applied") == 3

    async def _replaced(self) -> None:
        done = await self._kubectl("replace")
        assert done.code == 0, done.stderr
        assert done.stdout.count(" replaced") == 3

    async def _compared(self) -> None:
        """Nobody who compares finds anything."""
        for how in ((), ("--server-side", f"--field-manager={MANAGER}")):
            differs = await self._kubectl("diff", *how)
            assert (differs.code, differs.stdout) == (0, ""), differs.stdout + differs.stderr
        app, config = self._app, self._manifests.deployment
        query = {"dryRun": "All", "fieldManager": MANAGER, "force": "true"}
        live = await app.deployment()
        dry = await app.lab.client.patch(DEPLOYMENTS, app.namespace, NAME, config, kind=APPLY, query=query)
        found = {
            "three-way": comparing.three_way(config, live),
            "structured merge": comparing.structured_merge(config, live, MANAGER),
            "server-side": comparing.server_side(dry, live),
            "flux": comparing.flux(dry, live),
        }
        assert {tool: paths for tool, paths in found.items() if paths} == {}, json.dumps(dry["metadata"])


async def objects(app: Application) -> dict[str, list[Object]]:
    """What a tool could look at: the Deployment, its ReplicaSets, its Rollout, its AnalysisRuns."""
    client, namespace = app.lab.client, app.namespace
    sets, _ = await client.list(REPLICA_SETS, namespace)
    runs, _ = await client.list(ANALYSIS_RUNS, namespace)
    return {
        "deployment": [await app.deployment()],
        "rollout": [await client.get(ROLLOUTS, namespace, NAME)],
        "replicaSets": sorted(sets, key=name_of),
        "analysisRuns": sorted(runs, key=name_of),
    }
