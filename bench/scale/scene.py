"""One size, measured: the Deployments are made, the controller starts, is idle, and rolls."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console

from bench.scale import deployments as made
from bench.scale.ground import METRICS, Ground
from bench.scale.measure import Figures, figures, quantile
from bench.scale.results import Result
from bench.scale.sidecars import Sidecars
from coalmine.kube.cache import Cache
from coalmine.kube.resources import DEPLOYMENTS, NAMESPACES, ROLLOUTS, Object, annotations_of, name_of, namespace_of
from coalmine.kube.verbs import ApiError
from coalmine.model.names import STABLE
from coalmine.model.rollout import Wish

_REST_SECONDS, _IDLE_SECONDS, _BUSY_SECONDS = 10.0, 20.0, 40.0
_PATIENCE = 900.0
_URL = f"http://{METRICS}/metrics"
_WRITERS = 16


@dataclass(slots=True)
class Weights:
    """What the Rollouts' statuses say, by a watch: how often a weight was set, and the last status of each."""

    count: int = 0
    status: dict[str, Object] = field(default_factory=dict)
    set_at: dict[tuple[str, float], float] = field(default_factory=dict)

    def changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        key, status = f"{namespace_of(new)}/{name_of(new)}", new.get("status") or {}
        before = self.status.get(key, {}).get("weight")
        weight = status.get("weight")
        self.status[key] = status
        if weight is not None and weight != before:
            self.count += 1
            self.set_at.setdefault((key, float(weight)), time.monotonic())

    def phases(self) -> Counter[str]:
        return Counter(str(s.get("phase")) for s in self.status.values())


async def measure(lab: Ground, sidecars: Sidecars, size: int, rollouts: int, console: Console) -> Result:
    """Figures at `size` Deployments, of which `rollouts` roll."""
    weights = Weights()
    async with asyncio.TaskGroup() as group:
        watched = Cache(lab.client, ROLLOUTS)
        watched.listen(weights.changed)
        watching = group.create_task(watched.run())
        await _make(lab, size, rollouts)
        total = made.IDLE_PODS * (size - rollouts) + made.ROLLING_PODS * (rollouts - 1) + made.LARGE_PODS
        console.print(f"{size} Deployments are made; waiting for {total} pods")
        await lab.until(lambda: _up(lab, size), "all pods are there", _PATIENCE)
        console.print("they are there; the controller starts")
        began = time.monotonic()
        controller = await lab.start_pinned()
        await lab.until(lambda: _healthy(weights, size), "every Rollout is Healthy", _PATIENCE)
        started = time.monotonic() - began
        await lab.until(lambda: _recorded(lab, size), "each template is recorded as stable", _PATIENCE)
        await _rest(controller.pid)
        idle = [await figures(controller.pid, _URL)]
        await asyncio.sleep(_IDLE_SECONDS)
        idle.append(await figures(controller.pid, _URL))
        console.print(f"idle: {idle[1].resident:.0f} MB; {rollouts} rollouts begin")
        names = [f"{made.namespace_of(n)}/{_name(n)}" for n in range(rollouts)]
        await _release(lab, rollouts)
        await lab.until(lambda: _rolling(weights, names), "all roll", _PATIENCE)
        console.print("all roll")
        busy, counts = [await figures(controller.pid, _URL)], [weights.count]
        pushes, clock = [sidecars.pushes], [time.monotonic()]
        highest = 0.0
        while time.monotonic() < clock[0] + _BUSY_SECONDS:
            await asyncio.sleep(1)
            highest = max(highest, (await figures(controller.pid, _URL)).resident)
        busy.append(await figures(controller.pid, _URL))
        counts.append(weights.count)
        pushes.append(sidecars.pushes)
        clock.append(time.monotonic())
        console.print("measured; some are aborted")
        decisions = [await _abort(lab, weights, sidecars, key) for key in names[1:11]]
        seconds, steps = clock[1] - clock[0], max(1, counts[1] - counts[0])
        calls = {k: round(v / steps, 2) for k, v in sorted(_calls(busy).items()) if v / steps >= 0.01}
        acknowledged = _acknowledged(sidecars, weights, names[0])
        await controller.stop()
        lab.controllers.remove(controller)
        watching.cancel()
    return Result(
        deployments=size,
        pods=total,
        rollouts=rollouts,
        start_seconds=round(started, 2),
        idle_cpu=round((idle[1].cpu - idle[0].cpu) / _IDLE_SECONDS, 4),
        idle_memory=round(idle[1].resident, 1),
        idle_calls_per_minute=round(sum(_calls(idle).values()) * 60 / _IDLE_SECONDS, 1),
        busy_cpu=round((busy[1].cpu - busy[0].cpu) / seconds, 4),
        busy_memory=round(max(highest, busy[1].resident), 1),
        weights_per_second=round(steps / seconds, 2),
        pushes_per_second=round((pushes[1] - pushes[0]) / seconds, 1),
        looks_per_weight=round((busy[1].looks - busy[0].looks) / steps, 2),
        calls_per_weight=round(sum(_calls(busy).values()) / steps, 2),
        calls=calls,
        decision_median=round(quantile(decisions, 0.5), 4),
        decision_worst=round(max(decisions, default=0.0), 4),
        acknowledged_median=round(quantile(acknowledged, 0.5), 4),
        acknowledged_worst=round(max(acknowledged, default=0.0), 4),
        acknowledged_count=len(acknowledged),
    )


def _calls(span: list[Figures]) -> dict[str, float]:
    """The calls between two moments, without watches and the Lease."""
    before, after = span[0].calls, span[1].calls
    found = {key: after[key] - before.get(key, 0.0) for key in after}
    return {k: v for k, v in found.items() if v and not k.startswith("Watch") and "lease" not in k}


async def _rest(pid: int) -> None:
    """Until what the start has left to do is done: each template that was recorded is a write that the native
    controllers, whose calls are rationed, look at, and then the controller."""
    last, calls = await figures(pid, _URL), {"": 1.0}
    for _ in range(int(_PATIENCE / _REST_SECONDS)):
        await asyncio.sleep(_REST_SECONDS)
        now = await figures(pid, _URL)
        calls = _calls([last, now])
        if sum(calls.values()) <= 1:
            return
        last = now
    raise TimeoutError(f"the controller does not come to rest: {calls} in {_REST_SECONDS:g} s")


def _name(number: int) -> str:
    return made.LARGE if number == 0 else f"app-{number:05d}"


def _body(number: int, rollouts: int, release: str) -> Object:
    if number == 0:
        return made.deployment(_name(number), made.LARGE_PODS, made.large_steps(), release)
    pods = made.ROLLING_PODS if number < rollouts else made.IDLE_PODS
    return made.deployment(_name(number), pods, made.rolling_steps(), release)


async def _make(lab: Ground, size: int, rollouts: int) -> None:
    for number in range(made.NAMESPACES):
        metadata = {"name": made.namespace_of(number)}
        await lab.client.create(NAMESPACES, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    async def create(number: int) -> None:
        for _ in range(20):
            try:
                await lab.client.create(DEPLOYMENTS, made.namespace_of(number), _body(number, rollouts, "1.0"))
                return
            except ApiError as error:
                if error.status == 409:
                    return
                await asyncio.sleep(0.5)
        raise RuntimeError(f"Deployment {number} cannot be made")

    await _each(range(size), create)


async def _each(numbers: range, work: object) -> None:
    todo = list(reversed(numbers))

    async def worker() -> None:
        while todo:
            await work(todo.pop())  # type: ignore[operator]

    async with asyncio.TaskGroup() as group:
        for _ in range(_WRITERS):
            group.create_task(worker())


async def _release(lab: Ground, rollouts: int) -> None:
    async def release(number: int) -> None:
        container = {"name": "app", "image": "example/app:2.0"}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        await lab.client.patch(
            DEPLOYMENTS, made.namespace_of(number), _name(number), patch, kind="application/strategic-merge-patch+json"
        )

    await _each(range(rollouts), release)


async def _up(lab: Ground, size: int) -> bool:
    """Not all of them ready: one whose ReplicaSet the webhook could not read in time came up as a canary's, and waits
    for the controller."""
    await asyncio.sleep(2)
    every, _ = await lab.client.list(DEPLOYMENTS)
    done = [d for d in every if (d.get("status") or {}).get("replicas") == d["spec"]["replicas"]]
    ready = sum(int((d.get("status") or {}).get("availableReplicas") or 0) for d in every)
    return len(done) >= size and ready >= 0.95 * sum(d["spec"]["replicas"] for d in every)


async def _recorded(lab: Ground, size: int) -> bool:
    await asyncio.sleep(2)
    every, _ = await lab.client.list(DEPLOYMENTS)
    return sum(STABLE in annotations_of(d) for d in every) >= size


async def _healthy(weights: Weights, size: int) -> bool:
    return weights.phases()["Healthy"] >= size


async def _rolling(weights: Weights, names: list[str]) -> bool:
    return all(weights.status.get(n, {}).get("weight", 100) not in (0, 100) for n in names)


async def _abort(lab: Ground, weights: Weights, sidecars: Sidecars, key: str) -> float:
    """Seconds from the moment in which a person's wish is written to the first sidecar that is told."""
    namespace, _, name = key.partition("/")
    status = weights.status[key]
    wish = Wish(status["canary"]["fingerprint"], int(status["attempt"])).to_json()
    sidecars.heard.pop((key, 0.0), None)
    began = time.monotonic()
    await lab.client.patch(ROLLOUTS, namespace, name, {"spec": {"abort": wish}})

    async def told() -> bool:
        return (key, 0.0) in sidecars.heard

    await lab.until(told, f"{key} is aborted")
    return max(0.0, sidecars.heard[key, 0.0].first - began)


def _acknowledged(sidecars: Sidecars, weights: Weights, key: str) -> list[float]:
    """For each weight of the large Deployment: seconds from its being written to the hundredth answer."""
    found = []
    for (deployment, weight), heard in sidecars.heard.items():
        if deployment == key and weight > 0 and len(heard.answered) >= made.LARGE_PODS + 1:
            set_at = min(weights.set_at.get((key, weight), heard.first), heard.first)
            found.append(max(heard.answered.values()) - set_at)
    return found
