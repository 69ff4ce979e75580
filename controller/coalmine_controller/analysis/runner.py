"""The shell around a run: read the object, take what is due, write the status.

Rules: level-based, a request is a namespace and a name; the caller never works on one name twice
at a time. Everything is decided by `run`. A finished run is never touched. A measurement that
has been taken is written once: it belongs to the place behind the measurement before it, and is
dropped when that place is filled already, by a write whose answer was lost or by another
controller. Until a write has succeeded, it is kept for the next try and not taken again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from coalmine.kube.client import Client
from coalmine.kube.resources import ANALYSIS_RUNS, Object, uid_of
from coalmine.kube.verbs import ConflictError, NotFoundError
from coalmine.model.errors import SpecError
from coalmine_controller.analysis.conditions import assess
from coalmine_controller.analysis.phases import Phase
from coalmine_controller.analysis.providers import Context, MeasurementError, open_session, provider_of
from coalmine_controller.analysis.results import Measurement
from coalmine_controller.analysis.run import RunState, advance, invalid, record, restore, to_status
from coalmine_controller.analysis.template import Metric, read_run

#: Measurements under way in the whole controller: each may hold a connection and 1 MiB.
MAX_CONCURRENT: Final = 50
#: Times that a status is written again after somebody else wrote the object in between; more
#: is left to the caller's backoff.
_WRITES: Final = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A measurement, and the time at which the one before it finished (None: it is the first)."""

    metric: str
    after: float | None
    measurement: Measurement


class Runner:
    """Carries runs on. `clock` gives Unix time; `sessions` opens a session for one measurement; `prometheus` is
    where metrics are asked that name no address."""

    def __init__(
        self,
        client: Client,
        clock: Callable[[], float],
        sessions: Callable[[], aiohttp.ClientSession] = open_session,
        prometheus: str = "",
    ) -> None:
        self._client = client
        self._clock = clock
        self._sessions = sessions
        self._prometheus = prometheus
        self._places = asyncio.Semaphore(MAX_CONCURRENT)
        # with the run's uid, so that a run made anew under the same name inherits nothing
        self._unwritten: dict[tuple[str, str], tuple[str, tuple[_Taken, ...]]] = {}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Carry on one run. Seconds until it wants to be looked at again; None when it is over or gone.

        Raises ApiError when the API server cannot be read or written; nothing is lost then.
        """
        key = (namespace, name)
        found = await self._client.find(ANALYSIS_RUNS, namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp") or _over(found):
            self._unwritten.pop(key, None)
            return None
        run = _restored(found)
        if isinstance(run, str):
            await self._refuse(found, run)
            return None
        owner, taken = self._unwritten.get(key, ("", ()))
        if owner != uid_of(found):
            taken = ()
        progress = advance(_with(run, taken), self._clock())
        # what is owed is written before anything more is taken, so that it cannot pile up
        if progress.due and not taken:
            taken = await self._measure(key, progress.run, progress.due)
            self._unwritten[key] = (uid_of(found), taken)
        requeue_after = await self._write(found, taken)
        self._unwritten.pop(key, None)
        return requeue_after

    async def _measure(self, key: tuple[str, str], run: RunState, due: Sequence[Metric]) -> tuple[_Taken, ...]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._measurement(key, metric)) for metric in due]
        taken = []
        for metric, task in zip(due, tasks, strict=True):
            result = run.result(metric.name)
            last = result.last if result is not None else None
            taken.append(_Taken(metric.name, None if last is None else last.finished_at, task.result()))
        return tuple(taken)

    async def _measurement(self, key: tuple[str, str], metric: Metric) -> Measurement:
        """One measurement. A judge that has a bug says Error: it must not let a canary pass."""
        namespace, run = key
        async with self._places:
            started = self._clock()
            context = Context(namespace, self._sessions, self._prometheus)
            try:
                measured = await provider_of(metric.settings).measure(context)
                # off the loop: a long condition on a large result would hold up everything else
                phase, message = await asyncio.to_thread(assess, metric.success, metric.failure, measured.result)
                return Measurement(phase, started, self._clock(), measured.value, message)
            except MeasurementError as error:
                return Measurement(Phase.ERROR, started, self._clock(), message=str(error))
            except Exception as error:  # unwritten, it would leave the canary unjudged for good
                _log.exception("analysis run %s/%s: measuring %s failed", namespace, run, metric.name)
                message = (
                    f"measuring failed with a fault of Coalmine's ({type(error).__name__}): see the controller's log"
                )
                return Measurement(Phase.ERROR, started, self._clock(), message=message)

    async def _write(self, found: Object, taken: tuple[_Taken, ...]) -> float | None:
        """Write the run with what was taken; on a conflict read again and add it there."""
        namespace, name, uid = found["metadata"]["namespace"], found["metadata"]["name"], uid_of(found)
        latest: Object | None = found
        for attempt in range(_WRITES):
            if attempt:
                latest = await self._client.find(ANALYSIS_RUNS, namespace, name)
            if latest is None or uid_of(latest) != uid or _over(latest):
                return None
            run = _restored(latest)
            if isinstance(run, str):
                return 0.0  # changed under us into something invalid: the next look refuses it
            progress = advance(_with(run, taken), self._clock())
            status = to_status(progress.run)
            if status == latest.get("status"):
                return progress.requeue_after
            try:
                await self._client.replace(ANALYSIS_RUNS, namespace, {**latest, "status": status}, "status")
            except ConflictError:
                continue
            except NotFoundError:
                return None
            if progress.phase.completed:
                _log.info("analysis run %s/%s: %s %s", namespace, name, progress.phase, progress.message)
            return progress.requeue_after
        raise ConflictError(409, "Conflict", f"analysis run {namespace}/{name} changes each time it is written")

    async def _refuse(self, found: Object, problem: str) -> None:
        """End a run that cannot be carried out."""
        metadata = found["metadata"]
        status = {**(found.get("status") or {}), **invalid(problem)}
        await self._client.replace(ANALYSIS_RUNS, metadata["namespace"], {**found, "status": status}, "status")


def _over(found: Object) -> bool:
    phase = (found.get("status") or {}).get("phase")
    return phase in {str(p) for p in Phase if p.completed}


def _restored(found: Object) -> RunState | str:
    """The run that the object holds, or the sentence that says why it holds none."""
    try:
        return restore(read_run(found.get("spec")), found.get("status"))
    except SpecError as error:
        return str(error)
    except ValueError as error:
        return f"status: {error}"


def _with(run: RunState, taken: Sequence[_Taken]) -> RunState:
    """The run with those of the measurements whose place is still free."""
    for entry in taken:
        result = run.result(entry.metric)
        last = result.last if result is not None else None
        if (None if last is None else last.finished_at) == entry.after:
            run = record(run, entry.metric, entry.measurement)
    return run
