"""A walk through every phase of a rollout, standing still at each.

Where a phase is short, the controller is killed around the write that begins or ends it and stays dead: what stands
then is what anybody who looks in that moment sees. The native controllers go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

from gitops.manifests import Manifests
from interceptor import Rule
from scenes import Scene

from coalmine.kube.resources import ANALYSIS_RUNS, REPLICA_SETS, annotations_of
from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine.model.rollout import Phase, Status

_Write = Callable[[str, str, Any], bool]


class Stand(NamedTuple):
    """Where the walk stands, and whether the controller lives."""

    phase: str
    alive: bool


#: In the order of the walk: a good release to its end, then a bad one, tried twice, and back.
PHASES: Final = {
    "healthy": "nothing is held",
    "held": "a new template was written, the controller has not looked yet",
    "starting": "the canary ReplicaSet was made, its pods come up",
    "paused": "20 %, paused until a person promotes",
    "weight": "50 % is intended, not every sidecar has it",
    "stopped": "50 %, a person paused the rollout",
    "full": "100 %, before the handover",
    "handover": "the handover was announced",
    "adopted": "the Deployment has adopted the canary's ReplicaSet, still held",
    "released": "the hold was taken away, the Rollout does not say so yet",
    "promoted": "the new version is stable",
    "aborted": "the next canary failed its analysis and was taken back",
    "retried": "a person tries it again",
    "reverted": "Git went back to the stable version",
}


def _annotations(body: Any) -> dict[str, Any]:
    return (body or {}).get("metadata", {}).get("annotations") or {}


def _canary_made(method: str, path: str, body: Any) -> bool:
    return method == "POST" and path.endswith("/replicasets")


def _weight(percent: int) -> _Write:
    return lambda m, path, body: path.endswith("/status") and "/rollouts/" in path and _told(body) == percent


def _told(body: Any) -> Any:
    return (body.get("status") or {}).get("weight")


def _begun(method: str, path: str, body: Any) -> bool:
    return "/deployments/" in path and bool(_annotations(body).get(names.HANDOVER))


def _shown(method: str, path: str, body: Any) -> bool:
    return method == "PATCH" and "/replicasets/" in path and names.DESIRED_REPLICAS in _annotations(body)


def _released(method: str, path: str, body: Any) -> bool:
    return "/deployments/" in path and "paused" in ((body or {}).get("spec") or {})


class Walker:
    """A person with Git and our command line, and somebody who kills the controller."""

    def __init__(self, scene: Scene, manifests: Manifests) -> None:
        self.scene = scene
        self.app = scene.stage.app
        self.manifests = manifests

    async def walk(self) -> AsyncIterator[Stand]:
        """Stands at each of `PHASES`, in their order."""
        await self.commit("1.0")
        await self._until(lambda s: s.phase is Phase.HEALTHY and s.replicas.available == 5)
        await self._native(updated=5, replicas=5)
        await self._kept()
        yield Stand("healthy", True)

        await self._kill()
        await self.commit("2.0")
        await self._native(updated=0, replicas=5)
        yield Stand("held", False)

        await self._killed_at(_canary_made, after=True)
        await self._pods(6)
        yield Stand("starting", False)

        self.scene.controller.start()
        await self._at(20, pods=6)
        yield Stand("paused", True)

        await self._killed_at(_weight(50), after=True, by="promote")
        await self._until(lambda s: s.weight.percent == 50 and s.actual_weight.percent == 20)
        await self._pods(8)
        yield Stand("weight", False)

        self.scene.controller.start()
        await self._at(50, pods=8)
        await self._say("pause")
        yield Stand("stopped", True)

        await self._killed_at(_begun, after=False, by="promote")
        await self._until(lambda s: s.actual_weight.percent == 100)
        await self._pods(10)
        yield Stand("full", False)

        await self._killed_at(_begun, after=True)
        yield Stand("handover", False)

        await self._killed_at(_shown, after=True)
        await self._native(updated=5, replicas=5)
        await self._pods(5)
        yield Stand("adopted", False)

        await self._killed_at(_released, after=True)
        await self._native(updated=5, replicas=5)
        yield Stand("released", False)

        self.scene.controller.start()
        await self._until(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        await self._native(updated=5, replicas=5)
        await self.scene.lab.until(self._swept, "nothing is left to do")
        yield Stand("promoted", True)

        await self.commit("3.0")
        await self._taken_back()
        yield Stand("aborted", True)

        await self._killed_at(_weight(20), after=True, by="retry")
        await self._pods(6)
        yield Stand("retried", False)

        self.scene.controller.start()
        await self._taken_back()
        await self.commit("2.0")
        await self._until(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        await self._native(updated=5, replicas=5)
        await self.scene.lab.until(self._swept, "nothing is left of the canary")
        yield Stand("reverted", True)

    async def stand_at(self, release: str, weight: int = 0) -> None:
        """Wherever it is: `release` in Git; with `weight`, wait until its canary is paused there, else until stable."""
        self.scene.interceptor.rule = None
        if not self.scene.controller.running:
            self.scene.controller.start()
        await self.commit(release)
        deployment = await self.app.deployment()
        mark, generation = fingerprint(deployment["spec"]["template"]), deployment["metadata"]["generation"]
        await self._until(lambda s: s.workload_generation >= generation and mark in _versions(s))
        if weight:
            await self._at(weight, pods=5 + -(-5 * weight // 100))
            return
        if self.app.status.stable.fingerprint != mark:
            await self._say("promote", "--full")
        await self._until(lambda s: s.phase is Phase.HEALTHY and s.canary is None and s.stable.fingerprint == mark)
        await self._native(updated=5, replicas=5)
        await self._kept()

    async def stand_in_handover(self) -> None:
        """From a canary: promote it, with a controller that dies once it has announced the handover."""
        await self._killed_at(_begun, after=True, by="promote", full=True)

    async def commit(self, release: str) -> None:
        """Another release in Git, applied."""
        self.manifests.release(release)
        done = await self.app.kubectl("apply", "-f", str(self.manifests.folder))
        assert done.code == 0, done.stderr

    async def _say(self, verb: str, *flags: str) -> None:
        done = await self.scene.lab.coalmine("--namespace", self.app.namespace, verb, "colorapi", *flags)
        assert done.code == 0, done.stderr

    async def _until(self, condition: Callable[[Status], bool]) -> None:
        await self.app.until(condition)

    async def _at(self, weight: int, *, pods: int) -> None:
        await self._until(
            lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == weight and s.replicas.available == pods
        )
        await self._pods(pods)

    async def _taken_back(self) -> None:
        await self._until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.percent == 0)
        await self._pods(5)
        await self._native(updated=0, replicas=5)

        async def reported() -> bool:
            conditions = (await self.app.deployment())["status"]["conditions"]
            return any(c["reason"] == "ProgressDeadlineExceeded" for c in conditions)

        await self.scene.lab.until(reported, "the abort is told on the Deployment")

    async def _kept(self) -> None:
        await self.scene.lab.until(self._recorded, "the template is recorded as stable")
        # that was a write, too: until the native controller has seen it, the Rollout is Progressing again
        generation = (await self.app.deployment())["metadata"]["generation"]
        await self._until(lambda s: s.phase is Phase.HEALTHY and s.workload_generation >= generation)

    async def _recorded(self) -> bool:
        # by a touch of the controller's once the Deployment is complete: our last write before a release
        deployment = await self.app.deployment()
        recorded = annotations_of(deployment).get(names.STABLE) == fingerprint(deployment["spec"]["template"])
        return recorded and deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]

    async def _swept(self) -> bool:
        sets, _ = await self.scene.lab.client.list(REPLICA_SETS, self.app.namespace)
        runs, _ = await self.scene.lab.client.list(ANALYSIS_RUNS, self.app.namespace)
        hidden = [s for s in sets if names.ROLE in annotations_of(s)]
        running = [r for r in runs if (r.get("status") or {}).get("phase") in (None, "Pending", "Running")]
        return not hidden and not running and not self.app.status.routed

    async def _pods(self, count: int) -> None:
        """Wait until there are `count` pods, besides those that terminate; all ready, if the controller lives."""

        async def counted() -> bool:
            done = await self.app.pods()
            ready = [p for p in done if any(c["type"] == "Ready" and c["status"] == "True" for c in _conditions(p))]
            return len(done) == count and (len(ready) == count or not self.scene.controller.running)

        await self.scene.lab.until(counted, f"there are {count} pods")

    async def _native(self, *, updated: int, replicas: int) -> None:
        """Wait until the native controller has seen the Deployment, and is done with it."""

        async def done() -> bool:
            deployment = await self.app.deployment()
            status = deployment.get("status") or {}
            return bool(
                status.get("observedGeneration") == deployment["metadata"]["generation"]
                and status.get("updatedReplicas", 0) == updated
                and status.get("replicas") == status.get("availableReplicas") == replicas
            )

        await self.scene.lab.until(done, f"the Deployment has {updated} updated pods")

    async def _kill(self) -> None:
        self.scene.controller.kill()
        await self.scene.controller.wait()

    async def _killed_at(self, write: _Write, *, after: bool, by: str = "", full: bool = False) -> None:
        """Kill the controller around `write`, started for it if it is dead; `by` is a verb that leads there."""
        rule = Rule(write, after, self.scene.controller.kill)
        self.scene.interceptor.rule = rule
        if not self.scene.controller.running:
            self.scene.controller.start()
        if by:
            await self._say(by, *(["--full"] if full else []))
        await self.scene.lab.until(lambda: _fired(rule), f"the write that {write} names")
        await self.scene.controller.wait()
        self.scene.interceptor.rule = None


def _versions(status: Status) -> tuple[str, ...]:
    return (status.stable.fingerprint, status.canary.fingerprint if status.canary else "")


async def _fired(rule: Rule) -> bool:
    return rule.fired.is_set()


def _conditions(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return (pod.get("status") or {}).get("conditions") or []
