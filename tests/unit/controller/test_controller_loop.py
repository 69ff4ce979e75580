"""The whole controller on a cluster in memory and a virtual clock: who is woken, what is cleaned up, and that
nothing makes it ask the API server in a loop or die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from memory_cluster import MemoryCluster, unreachable
from samples import STRATEGY, deployment, replica_set, template
from virtual_time import now, run

from coalmine.kube.resources import (
    ANALYSIS_TEMPLATES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    REPLICA_SETS,
    ROLLOUTS,
    SECRETS,
    Object,
)
from coalmine.kube.verbs import ApiError
from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine_controller.decision import Decision
from coalmine_controller.loop import Controller, Surroundings
from coalmine_controller.metrics import Metrics
from coalmine_controller.observed import Observed
from coalmine_controller.plan import plan

OURS = (names.HOLD, names.FAILED, names.HANDOVER)


def idle(**changes: Any) -> Object:
    """A Deployment that holds nothing, complete."""
    raw = deployment(spec={"paused": ...}, **changes)
    for key in OURS:
        raw["metadata"]["annotations"].pop(key)
    raw["metadata"]["annotations"][names.STABLE] = fingerprint(raw["spec"]["template"])
    return raw


def held(strategy: str = "steps: [setWeight: 20]", **spec: Any) -> Object:
    """One whose new template is to be brought up."""
    raw = idle()
    raw["spec"] |= {"paused": True, **spec}
    raw["metadata"]["annotations"] |= {
        names.CANARY: strategy,
        names.HOLD: fingerprint(raw["spec"]["template"]),
        names.STABLE: fingerprint(stable_set()["spec"]["template"]),
    }
    return raw


def stable_set() -> Object:
    raw = replica_set("colorapi-stable", spec={"replicas": 5}, status={"replicas": 5, "availableReplicas": 5})
    raw["spec"]["template"]["spec"]["containers"][0]["image"] = "particule/simplecolorapi:1.0"
    return raw


def left_over() -> Object:
    raw = replica_set("left", metadata={"labels": {names.SIDECAR_LABEL: "true"}, "ownerReferences": []})
    raw["metadata"]["labels"] = {names.SIDECAR_LABEL: "true"}
    raw["metadata"]["annotations"] = {
        names.ROLE: "canary",
        names.DEPLOYMENT_NAME: "colorapi",
        names.DEPLOYMENT_UID: "deployment-uid",
    }
    return raw


class Stage:
    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.metrics = Metrics()

    def begin(self) -> None:
        given = Surroundings("me", now, lambda: f"x{self.cluster.version}", lambda: bytes(32))
        controller = Controller(
            self.cluster,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]  there are no pods to push to
            self.metrics,
            given,
        )
        self.task = asyncio.create_task(controller.run(1))

    def looks(self) -> float:
        labels = {"namespace": "default"}
        return self.metrics.registry.get_sample_value("rollout_reconcile_count", labels) or 0.0

    def status(self) -> Any:
        found = self.cluster.stored(ROLLOUTS, "default", "colorapi")
        assert found is not None
        return found["status"]


def story(tell: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage()
        await tell(stage)
        assert not stage.task.done(), stage.task
        stage.task.cancel()
        await asyncio.gather(stage.task, return_exceptions=True)

    run(main())


def test_an_idle_deployment_costs_nothing() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, idle())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(60)
        assert stage.status()["phase"] == "Healthy"
        assert stage.cluster.stored(CONFIG_MAPS, "default", names.KEYS_CONFIGMAP)
        looks = stage.looks()
        seen = len(stage.cluster.requests)
        await asyncio.sleep(3600)
        assert stage.looks() == looks
        rest = {(verb, path) for verb, path in stage.cluster.requests[seen:] if verb != "WATCH"}
        assert rest == {("GET", SECRETS.path(names.SYSTEM_NAMESPACE, names.SIGNING_SECRET))}, "for all of them, one"

    story(tell)


@pytest.mark.parametrize("abort", ["true", "false"])
def test_a_canary_that_never_comes_up_is_looked_at_now_and_then(abort: str) -> None:
    """Its deadline passes; with progressDeadlineAbort false that is nothing to wait for."""

    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, held(f"{{steps: [setWeight: 20], progressDeadlineAbort: {abort}}}"))
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(60)
        (canary,) = [s for s in stage.cluster.all(REPLICA_SETS) if names.ROLE in s["metadata"]["annotations"]]
        assert canary["spec"]["replicas"] == 1
        assert stage.status()["reason"] == "WaitingForCanary"
        looks = stage.looks()
        await asyncio.sleep(600)  # progressDeadlineSeconds: 120
        assert stage.status()["phase"] == "Degraded"
        assert ("abortedAt" in stage.status()) is (abort == "true")
        assert stage.looks() - looks < 100

    story(tell)


def test_a_retry_whose_write_is_undone_is_not_repeated_at_once() -> None:
    """The webhook lets nobody but the installed controller touch our annotations: one that is run by hand
    under another name sees its patch undone."""

    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, held())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(300)
        status = stage.status()
        assert status["phase"] == "Degraded"
        wish = {"revision": status["canary"]["fingerprint"], "attempt": status["attempt"]}

        async def no_op(resource: Any, namespace: Any, name: str, patch: Any, *args: Any, **kwargs: Any) -> Object:
            stage.cluster.requests.append(("PATCH", resource.path(namespace, name)))
            return dict(stage.cluster.objects["deployments", "default", "colorapi"])

        stage.cluster.patch = no_op  # type: ignore[method-assign]
        seen = len(stage.cluster.requests)
        stage.cluster.put(ROLLOUTS, {**stage.cluster.all(ROLLOUTS)[0], "spec": {"retry": wish}})
        await asyncio.sleep(120)
        assert len(stage.cluster.requests) - seen < 300

    story(tell)


def test_an_outage_is_lived_through() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, held())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(5)

        def refuse(verb: str, path: str) -> None:
            raise unreachable()

        stage.cluster.before = refuse
        seen = len(stage.cluster.requests)
        stage.cluster.put(DEPLOYMENTS, held("steps: [setWeight: 50]"))
        await asyncio.sleep(600)
        assert len(stage.cluster.requests) - seen < 1200, (
            "seven watches and one Deployment, ten and thirty seconds apart"
        )
        stage.cluster.before = lambda verb, path: None
        await asyncio.sleep(60)
        (canary,) = [s for s in stage.cluster.all(REPLICA_SETS) if names.ROLE in s["metadata"]["annotations"]]
        assert canary["spec"]["replicas"] in (0, 3)

    story(tell)


def test_a_deployment_that_opted_out_is_let_go_of() -> None:
    """The webhook takes our label off with the annotation, so that no watch shows the Deployment any more."""

    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, idle())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(5)
        assert stage.cluster.all(ROLLOUTS)
        stage.cluster.put(REPLICA_SETS, left_over())
        raw = idle()
        del raw["metadata"]["annotations"][names.CANARY]
        del raw["metadata"]["labels"][names.ROLLOUT_LABEL]
        stage.cluster.put(DEPLOYMENTS, raw)
        await asyncio.sleep(60)
        assert [s["metadata"]["name"] for s in stage.cluster.all(REPLICA_SETS)] == ["colorapi-stable"]
        assert stage.cluster.all(ROLLOUTS) == []
        looks = stage.looks()
        await asyncio.sleep(600)
        assert stage.looks() == looks

    story(tell)


@pytest.mark.parametrize("alive", [True, False], ids=["while we look", "before we started"])
def test_what_an_orphaning_delete_leaves_is_deleted(alive: bool) -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, idle())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.cluster.put(REPLICA_SETS, left_over())
        stage.cluster.put(ROLLOUTS, {"metadata": {"name": "colorapi", "namespace": "default"}, "spec": {}})
        if alive:
            stage.begin()
            await asyncio.sleep(0.2)
        stage.cluster.remove(DEPLOYMENTS, "default", "colorapi")
        if not alive:
            stage.begin()
        await asyncio.sleep(60)
        assert [s["metadata"]["name"] for s in stage.cluster.all(REPLICA_SETS)] == ["colorapi-stable"]
        assert stage.cluster.all(ROLLOUTS) == []

    story(tell)


def test_deployments_from_before_the_webhook_are_taken_up_whatever_one_of_them_is_like() -> None:
    async def tell(stage: Stage) -> None:
        for name in ("a", "bad", "c"):
            raw = idle(metadata={"name": name, "uid": name})
            del raw["metadata"]["labels"][names.ROLLOUT_LABEL]
            stage.cluster.put(DEPLOYMENTS, raw)
        touched = set()

        def admit(verb: str, path: str) -> None:
            if verb == "PATCH" and "/deployments/" in path:
                if path.endswith("/bad"):
                    raise ApiError(403, "Forbidden", "admission webhook denied the request: steps: is unknown")
                touched.add(path.rsplit("/", 1)[1])

        stage.cluster.before = admit
        stage.begin()
        await asyncio.sleep(60)
        assert touched == {"a", "c"}

    story(tell)


def test_a_template_that_comes_late_wakes_the_deployment_that_waits_for_it() -> None:
    async def tell(stage: Stage) -> None:
        strategy = STRATEGY
        stage.cluster.put(DEPLOYMENTS, held(strategy))
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(5)
        assert "no AnalysisTemplate webcheck" in stage.status()["message"]
        stage.cluster.put(ANALYSIS_TEMPLATES, template())
        await asyncio.sleep(1)
        assert stage.status()["reason"] == "WaitingForCanary"
        stage.cluster.remove(ANALYSIS_TEMPLATES, "default", "webcheck")
        await asyncio.sleep(1)
        assert "no AnalysisTemplate webcheck" in stage.status()["message"]

    story(tell)


EDITED: list[dict[str, Any]] = [
    {"phase": "Sleeping"},
    {"weight": 500},
    {"step": -1},
    {"attempt": "many"},
    {"conditions": 5},
    {"canary": "v2"},
    {"stepStartedAt": "yesterday"},
]


@pytest.mark.parametrize("change", EDITED, ids=str)
def test_a_status_edited_by_hand_is_put_right(change: dict[str, Any]) -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, held())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(5)
        rollout = stage.cluster.all(ROLLOUTS)[0]
        stage.cluster.put(ROLLOUTS, {**rollout, "status": {**rollout["status"], **change}})
        await asyncio.sleep(5)
        status = stage.status()
        assert (status["phase"], status["weight"], status["step"]) == ("Progressing", 0, 0)
        assert status["attempt"] in (1, 2)

    story(tell)


def test_the_status_tells_which_generations_it_is_about() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, held())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(5)
        rollout = stage.cluster.all(ROLLOUTS)[0]
        stage.cluster.put(ROLLOUTS, {**rollout, "metadata": {**rollout["metadata"], "generation": 3}})
        await asyncio.sleep(5)
        status = stage.status()
        deployment = stage.cluster.stored(DEPLOYMENTS, "default", "colorapi")
        assert status["observedGeneration"] == 3
        assert status["workloadObservedGeneration"] == deployment["metadata"]["generation"] == 7

    story(tell)


def test_a_rollout_that_somebody_deletes_comes_back() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(DEPLOYMENTS, held())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(5)
        for _ in range(5):
            stage.cluster.remove(ROLLOUTS, "default", "colorapi")
            await asyncio.sleep(2)
            assert stage.status()["phase"] == "Progressing"

    story(tell)


def test_a_fault_about_one_deployment_is_counted_and_no_other_one_suffers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def partly_broken(observed: Observed, moment: float) -> Decision:
        if observed.deployment.name == "broken":
            raise ZeroDivisionError("its data are bad")
        return plan(observed, moment)

    async def tell(stage: Stage) -> None:
        monkeypatch.setattr("coalmine_controller.loop.plan", partly_broken)
        broken = idle()
        broken["metadata"] |= {"name": "broken", "uid": "broken-uid"}
        stage.cluster.put(DEPLOYMENTS, broken)
        stage.begin()
        await asyncio.sleep(60)
        errors = stage.metrics.rollouts.failures("default", "broken")
        assert 8 <= errors <= 15, "it is tried again, with backoff"
        assert "default/broken: a fault of the controller" in caplog.text
        assert "ZeroDivisionError: its data are bad" in caplog.text
        stage.cluster.put(DEPLOYMENTS, idle())
        stage.cluster.put(REPLICA_SETS, stable_set())
        await asyncio.sleep(10)
        assert stage.status()["phase"] == "Healthy"

    story(tell)


def test_a_strategy_that_has_no_utf8_stops_nobody_else() -> None:
    async def tell(stage: Stage) -> None:
        bad = held(r'{"trafficRouting": {"managedRoutes": [{"name": "\ud800"}]}, "steps": [{"pause": {}}]}')
        bad["metadata"] |= {"name": "bad", "uid": "bad-uid"}
        stage.cluster.put(DEPLOYMENTS, bad)
        stage.cluster.put(DEPLOYMENTS, idle())
        stage.cluster.put(REPLICA_SETS, stable_set())
        stage.begin()
        await asyncio.sleep(60)
        assert stage.status()["phase"] == "Healthy"
        found = stage.cluster.stored(ROLLOUTS, "default", "bad")
        assert found is not None
        assert "half a character" in found["status"]["message"]

    story(tell)
