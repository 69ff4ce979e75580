"""The Job controller's shell, with that of ttlSecondsAfterFinished."""

from __future__ import annotations

from collections.abc import Callable

from coalmine.kube.cache import Key
from coalmine.kube.resources import PODS, Object, controller_of, name_of, namespace_of, uid_of
from coalmine.kube.verbs import Verbs
from coalmine_sandbox.api.kinds import JOBS
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.jobs.decide import decide, expires, finished
from coalmine_sandbox.native.owners import controlled_by, is_deleting
from coalmine_sandbox.native.pod_control import PodControl
from coalmine_sandbox.native.work import Work


class JobController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._api = api
        self._recorder = recorder
        self._clock = clock
        self._jobs = informers.of(JOBS)
        self._pods = informers.of(PODS)
        self._control = PodControl(api, self._pods, recorder)
        self._work: Work[Key] = Work("job", self._sync)
        self._jobs.listen(self._job_changed)
        self._pods.listen(self._pod_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._jobs, self._pods))
        await self._work.run()

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._control.forget(old)
        if new is not None:
            self._work.add((namespace_of(new), name_of(new)))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for each in (old, new):
            owner = controller_of(each) if each is not None else None
            if each is not None and owner is not None and owner["kind"] == JOBS.kind:
                self._work.add((namespace_of(each), owner["name"]))

    async def _sync(self, key: Key) -> float | None:
        job = self._jobs.get(*key)
        if job is None or is_deleting(job):
            return None
        if finished(job) is not None:
            return await self._expire(job)
        if not self._control.settled(job):
            return None
        now = self._clock()
        decision = decide(job, [pod for pod in in_namespace(self._pods, key[0]) if controlled_by(pod, job)], now)
        error = await self._control.delete(job, decision.delete)
        error = error or await self._control.create(job, decision.create)
        if error is not None:
            raise error
        if decision.status != (job.get("status") or {}):
            answer = await self._api.replace(JOBS, key[0], {**job, "status": decision.status}, "status")
            self._jobs.remember(answer)
        for kind, reason, message in decision.events:
            (self._recorder.normal if kind == "Normal" else self._recorder.warning)(job, reason, message)
        return decision.check_after

    async def _expire(self, job: Object) -> float | None:
        at = expires(job)
        if at is None:
            return None
        left = at - self._clock()
        if left > 0:
            return left
        await self._api.delete(JOBS, namespace_of(job), name_of(job), uid=uid_of(job), propagation="Foreground")
        return None
