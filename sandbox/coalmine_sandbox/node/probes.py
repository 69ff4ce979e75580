"""Startup, readiness and liveness probes of one run of one container (the kubelet's prober).

Rules: until the startup probe has succeeded, the others do not run; a result counts when it came
`successThreshold` or `failureThreshold` times in a row; a container without a startup probe has
started, without a readiness probe it is ready. Readiness goes on being probed while the pod
ends, the other two do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine_sandbox.node.handlers import Outcome, Target, perform


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with the API's defaults filled in; times in seconds."""

    handler: Mapping[str, Any]
    initial_delay: float
    period: float
    timeout: float
    successes: int
    failures: int
    grace: float | None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Probe:
        grace = raw.get("terminationGracePeriodSeconds")
        return cls(
            handler={k: v for k, v in raw.items() if k in ("exec", "httpGet", "tcpSocket", "grpc")},
            initial_delay=float(raw.get("initialDelaySeconds") or 0),
            period=float(raw.get("periodSeconds") or 10),
            timeout=float(raw.get("timeoutSeconds") or 1),
            successes=int(raw.get("successThreshold") or 1),
            failures=int(raw.get("failureThreshold") or 3),
            grace=None if grace is None else float(grace),
        )


@dataclass(slots=True)
class Streak:
    """How often the same result came in a row."""

    successes: int = 0
    failures: int = 0

    def add(self, ok: bool, probe: Probe) -> bool | None:
        """The result, once it counts."""
        self.successes = self.successes + 1 if ok else 0
        self.failures = 0 if ok else self.failures + 1
        if ok:
            return True if self.successes >= probe.successes else None
        return False if self.failures >= probe.failures else None


Decided = Callable[[bool, str], None]


async def attempt(probe: Probe, target: Target) -> Outcome:
    """One attempt within the probe's time limit."""
    try:
        async with asyncio.timeout(probe.timeout):
            return await perform(probe.handler, target)
    except TimeoutError:
        return Outcome(False, f"no answer within {probe.timeout:g} s")


async def follow(probe: Probe, target: Target, started: float, decided: Decided) -> None:
    """Probe for ever; `decided` is told each result that counts. `started` is the loop's time."""
    loop = asyncio.get_running_loop()
    streak = Streak()
    await asyncio.sleep(max(0.0, started + probe.initial_delay - loop.time()))
    while True:
        begun = loop.time()
        outcome = await attempt(probe, target)
        result = streak.add(outcome.ok, probe)
        if result is not None:
            decided(result, outcome.message)
        await asyncio.sleep(max(0.0, begun + probe.period - loop.time()))


async def until_started(probe: Probe, target: Target, started: float) -> str | None:
    """Run a startup probe: None when it succeeded, else why it failed for good."""
    verdict: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def decided(ok: bool, message: str) -> None:
        if not verdict.done():
            verdict.set_result(None if ok else message)

    async with asyncio.TaskGroup() as group:
        probing = group.create_task(follow(probe, target, started, decided))
        answer = await verdict
        probing.cancel()
    return answer


async def watch_over(
    container: Mapping[str, Any],
    target: Target,
    *,
    started: Callable[[], None],
    ready: Callable[[bool], None],
    unhealthy: Callable[[str, str, float | None], Awaitable[None]],
    ending: asyncio.Event,
) -> None:
    """All probes of one run, until cancelled.

    `unhealthy(kind, message, grace)` ends the container; it is called once at most. Once `ending`
    is set, only readiness goes on.
    """
    begun = asyncio.get_running_loop().time()
    if raw := container.get("startupProbe"):
        probe = Probe.parse(raw)
        failure = await _unless(ending, until_started(probe, target, begun))
        if isinstance(failure, str):
            await unhealthy("Startup", failure, probe.grace)
            return
    if ending.is_set():
        return
    started()
    async with asyncio.TaskGroup() as group:
        if raw := container.get("livenessProbe"):
            group.create_task(_liveness(Probe.parse(raw), target, begun, unhealthy, ending))
        if raw := container.get("readinessProbe"):
            group.create_task(follow(Probe.parse(raw), target, begun, lambda ok, _: ready(ok)))
        else:
            ready(True)


async def _liveness(
    probe: Probe,
    target: Target,
    begun: float,
    unhealthy: Callable[[str, str, float | None], Awaitable[None]],
    ending: asyncio.Event,
) -> None:
    failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def decided(ok: bool, message: str) -> None:
        if not ok and not failed.done():
            failed.set_result(message)

    async def until_failed() -> str:
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(follow(probe, target, begun, decided))
            message = await failed
            probing.cancel()
        return message

    message = await _unless(ending, until_failed())
    if message is not None and not ending.is_set():
        await unhealthy("Liveness", message, probe.grace)


async def _unless(ending: asyncio.Event, work: Awaitable[str | None]) -> str | None:
    """The result of `work`, or None as soon as `ending` is set."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, waiter):
            each.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)
