"""What a decision does to the cluster, asserted by what is stored afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from memory_cluster import MemoryCluster, unreachable
from samples import deployment, pod, replica_set, template

from coalmine.kube.resources import (
    ANALYSIS_RUNS,
    ANALYSIS_TEMPLATES,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    Object,
)
from coalmine.kube.verbs import ApiError, ConflictError
from coalmine.model import names
from coalmine.model.condition import failed_fingerprint
from coalmine.model.errors import SpecError
from coalmine.model.reasons import Reason
from coalmine.model.rollout import Phase, Status
from coalmine.model.wire import SCHEMA, Routing
from coalmine_controller import actions as do
from coalmine_controller.apply import Applier, rollout_object
from coalmine_controller.background import build
from coalmine_controller.convert import deployment_from
from coalmine_controller.decision import Decision
from coalmine_controller.events import Recorder
from coalmine_controller.observe import from_caches
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.versions import sort_out
from coalmine_controller.world import World

STATUS = Status(phase=Phase.PROGRESSING, reason="New", attempt=3)
CLOSED = Routing(close=True)


class ToldSidecars:
    """Takes the place of the pushes: what each pod was told last."""

    def __init__(self) -> None:
        self.told: dict[str, Routing] = {}

    def applied(self, uid: str, boot: str) -> tuple[Routing | None, str]:
        return self.told.get(uid), ""

    def schema(self, uid: str) -> int | None:
        return SCHEMA if uid in self.told else None

    def tell(self, pod: Pod, boot: str, routing: Routing, settled: Callable[[bool], None]) -> None:
        self.told[pod.uid] = routing


class Stage:
    """A cluster with one Deployment, its Rollout, its ReplicaSets and a pod, and a controller that knows them."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.cluster.put(DEPLOYMENTS, deployment())
        self.cluster.put(ROLLOUTS, {**rollout_object(deployment_from(deployment())), "status": Status().to_json()})
        self.cluster.put(REPLICA_SETS, replica_set("old"))
        hidden = replica_set("hidden")
        hidden["metadata"]["annotations"] |= {names.ROLE: "canary", names.DEPLOYMENT_UID: "deployment-uid"}
        hidden["metadata"]["ownerReferences"] = []
        hidden["metadata"]["annotations"][names.DEPLOYMENT_NAME] = "colorapi"
        self.cluster.put(REPLICA_SETS, hidden)
        self.cluster.put(PODS, pod("pod-1", "old"))
        self.cluster.put(ANALYSIS_TEMPLATES, template())
        self.world = World(self.cluster, lambda key: None, lambda key: None)  # type: ignore[arg-type]
        self.sidecars = ToldSidecars()
        recorder = Recorder(self.cluster, "me", lambda: 0.0, iter("abcdefgh").__next__)  # type: ignore[arg-type]
        self.applier = Applier(self.cluster, self.world, self.sidecars, recorder, lambda: 0.0)  # type: ignore[arg-type]
        self.look()

    def look(self) -> None:
        """Bring the caches up to date."""
        for cache, resource in (
            (self.world.deployments, DEPLOYMENTS),
            (self.world.rollouts, ROLLOUTS),
            (self.world.replica_sets, REPLICA_SETS),
            (self.world.pods, PODS),
            (self.world.templates, ANALYSIS_TEMPLATES),
        ):
            for obj in self.cluster.all(resource):
                cache.remember(dict(obj))

    @property
    def observed(self) -> Observed:
        raw = self.world.deployments.get("default", "colorapi")
        assert raw is not None
        return from_caches(self.world, self.sidecars, raw)  # type: ignore[arg-type]

    async def apply(self, *actions: do.Action, observed: Observed | None = None, **fields: Any) -> None:
        decision = Decision(STATUS, actions, **({"routes": {"pod-1-uid": CLOSED}} | fields))
        await self.applier.apply(observed or self.observed, decision, lambda ok: None)

    def stored(self, resource: Any, name: str = "colorapi") -> Any:
        found = self.cluster.stored(resource, "default", name)
        assert found is not None, f"there is no {resource.kind} {name}"
        return found

    def annotation(self, key: str) -> Any:
        return self.stored(DEPLOYMENTS)["metadata"]["annotations"].get(key)


def story(tell: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        await tell(Stage())

    asyncio.run(main())


# --- the order -----------------------------------------------------------------------------------------


def test_status_routing_actions() -> None:
    async def tell(stage: Stage) -> None:
        def check(verb: str, path: str) -> None:
            if path.endswith("/rollouts/colorapi/status"):
                assert not stage.sidecars.told, "the status is first"
            else:
                assert stage.stored(ROLLOUTS)["status"] == STATUS.to_json()
                assert stage.sidecars.told, "then the routing"

        stage.cluster.before = check
        await stage.apply(do.MarkFailed())
        assert stage.sidecars.told == {"pod-1-uid": CLOSED}
        assert stage.annotation(names.FAILED) == stage.observed.deployment.fingerprint

    story(tell)


def test_a_status_that_did_not_change_is_not_written() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply()
        before = stage.cluster.version
        await stage.apply()
        assert stage.cluster.version == before
        assert stage.cluster.count("PUT", "rollouts") == 1

    story(tell)


@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("how", ["conflict", "unreachable", "gone from the cache"])
def test_without_its_status_nothing_is_done_but_an_abort_s_routing(urgent: bool, how: str) -> None:
    async def tell(stage: Stage) -> None:
        observed = stage.observed
        if how == "conflict":  # another controller has written it
            stage.cluster.put(ROLLOUTS, {**stage.stored(ROLLOUTS), "status": Status(attempt=9).to_json()})
        elif how == "unreachable":

            def refuse(verb: str, path: str) -> None:
                raise unreachable()

            stage.cluster.before = refuse
        else:
            stage.world = World(stage.cluster, lambda key: None, lambda key: None)  # type: ignore[arg-type]
            stage.world.pods.remember(pod("pod-1", "old"))
            stage.applier._world = stage.world
        before = dict(stage.cluster.objects)
        with pytest.raises(ApiError):
            await stage.apply(do.MarkFailed(), observed=observed, urgent=urgent)
        assert stage.cluster.objects == before
        assert stage.sidecars.told == ({"pod-1-uid": CLOSED} if urgent else {})

    story(tell)


def test_a_conflict_ends_the_pass() -> None:
    async def tell(stage: Stage) -> None:
        observed = stage.observed
        stage.cluster.put(DEPLOYMENTS, {**stage.stored(DEPLOYMENTS), "spec": {**deployment()["spec"], "replicas": 9}})
        with pytest.raises(ConflictError):
            await stage.apply(
                do.ScaleCanary("hidden", 2, 0), do.BeginHandover(), do.Relabel("hidden"), observed=observed
            )
        assert stage.stored(REPLICA_SETS, "hidden")["spec"]["replicas"] == 2, "what was done until then stands"
        assert stage.annotation(names.HANDOVER) == "2222222222222222"
        assert stage.stored(REPLICA_SETS, "hidden")["metadata"]["annotations"][names.ROLE] == "canary"

    story(tell)


def test_writes_of_one_pass_rest_on_each_other() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.MarkFailed(), do.ReportFailure("it is bad"), do.ClearFailed(), do.ClearFailure())
        assert stage.annotation(names.FAILED) is None
        known = stage.world.deployments.get("default", "colorapi")
        assert known == stage.stored(DEPLOYMENTS), "the next look sees our own writes"

    story(tell)


def test_what_a_pod_is_told_needs_the_pod() -> None:
    """One that has gone meanwhile is not remembered again."""

    async def tell(stage: Stage) -> None:
        observed = stage.observed
        stage.world = World(stage.cluster, lambda key: None, lambda key: None)  # type: ignore[arg-type]
        stage.world.rollouts.remember(dict(stage.stored(ROLLOUTS)))
        stage.applier._world = stage.world
        await stage.apply(observed=observed)
        assert stage.sidecars.told == {}

    story(tell)


# --- what each action does -----------------------------------------------------------------------------


def _annotations(raw: Object) -> dict[str, Any]:
    return dict(raw["metadata"]["annotations"])


def test_the_failure_shows_on_the_deployment_and_goes_again() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.ReportFailure("webcheck failed"))
        (condition,) = stage.stored(DEPLOYMENTS)["status"]["conditions"]
        assert failed_fingerprint(condition) == stage.observed.deployment.fingerprint
        assert condition["message"].endswith("webcheck failed")
        assert condition["lastUpdateTime"] == "1970-01-01T00:00:00Z"
        assert stage.stored(DEPLOYMENTS)["status"]["replicas"] == 5, "the rest of the status stands"
        await stage.apply(do.ClearFailure())
        (condition,) = stage.stored(DEPLOYMENTS)["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("Unknown", "DeploymentPaused")

    story(tell)


@pytest.mark.parametrize("early", [False, True])
def test_release(early: bool) -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.Release(early))
        raw = stage.stored(DEPLOYMENTS)
        assert "paused" not in raw["spec"], "removed, never false"
        assert stage.annotation(names.HOLD) is None
        assert stage.annotation(names.FAILED) is None
        assert stage.annotation(names.STABLE) == deployment_from(raw).fingerprint
        assert (stage.annotation(names.HANDOVER) is not None) is early
        assert stage.annotation("team") == "colours"

    story(tell)


def test_handover_annotations() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.BeginHandover())
        assert stage.annotation(names.HANDOVER) == stage.observed.deployment.fingerprint
        await stage.apply(do.CancelHandover())
        assert stage.annotation(names.HANDOVER) is None
        await stage.apply(do.BeginHandover(), do.EndHandover(True))
        assert (stage.annotation(names.HANDOVER), stage.annotation(names.STABLE)) == (None, "fedcba9876543210")
        await stage.apply(do.EndHandover(False))
        assert stage.annotation(names.STABLE) is None

    story(tell)


def test_replica_sets() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.CreateCanary(2))
        (made,) = [s for s in stage.cluster.all(REPLICA_SETS) if s["metadata"]["name"].startswith("colorapi-")]
        assert made["spec"]["replicas"] == 2
        assert stage.world.replica_sets.get("default", made["metadata"]["name"]) == made
        await stage.apply(do.ScaleCanary("hidden", 3, 7), do.Hide("old"))
        hidden, old = stage.stored(REPLICA_SETS, "hidden"), stage.stored(REPLICA_SETS, "old")
        assert (hidden["spec"]["replicas"], hidden["spec"]["minReadySeconds"]) == (3, 7)
        assert old["metadata"]["labels"] == {names.SIDECAR_LABEL: "true"}
        await stage.apply(do.ScaleCanary("hidden", 0, 0), do.Reference("hidden"))
        hidden = stage.stored(REPLICA_SETS, "hidden")
        assert "minReadySeconds" not in hidden["spec"]
        assert hidden["metadata"]["ownerReferences"][0]["uid"] == "deployment-uid"
        await stage.apply(do.ReturnReplicaSet("old"), do.Relabel("hidden"))
        old, hidden = stage.stored(REPLICA_SETS, "old"), stage.stored(REPLICA_SETS, "hidden")
        assert old["metadata"]["labels"] == replica_set()["metadata"]["labels"]
        assert names.ROLE not in _annotations(hidden)
        assert _annotations(hidden)["deployment.kubernetes.io/desired-replicas"] == "5"
        await stage.apply(do.DeleteReplicaSet("hidden"))
        assert stage.cluster.stored(REPLICA_SETS, "default", "hidden") is None

    story(tell)


def test_a_set_of_another_uid_is_not_deleted() -> None:
    async def tell(stage: Stage) -> None:
        observed = stage.observed
        stage.cluster.remove(REPLICA_SETS, "default", "hidden")
        stage.cluster.put(REPLICA_SETS, replica_set("hidden", metadata={"uid": "made again"}))
        with pytest.raises(ConflictError):
            await stage.apply(do.DeleteReplicaSet("hidden"), observed=observed)
        assert stage.stored(REPLICA_SETS, "hidden")

    story(tell)


def test_a_touch_changes_nothing() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply()
        before = stage.cluster.version
        await stage.apply(do.Touch())
        assert stage.cluster.version == before
        assert stage.cluster.count("PATCH", "deployments") == 1, "but the webhook is asked"

    story(tell)


def test_events_and_pods() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.Emit(Reason.PAUSED, "a"), do.Emit(Reason.ABORTED, "b", warning=True))
        assert [e["message"] for e in stage.cluster.all(EVENTS)] == ["a", "b"]
        await stage.apply(do.DeletePod("pod-1"), do.DeletePod("pod-1"))
        assert stage.cluster.all(PODS) == []

    story(tell)


@pytest.mark.parametrize("status", [None, 404, 429, 500])
def test_an_eviction(status: int | None) -> None:
    """A disruption budget says "not now" with 429: what else is to be done is done."""

    async def tell(stage: Stage) -> None:
        def refuse(verb: str, path: str) -> None:
            if path.endswith("/eviction") and status:
                raise ApiError(status, "", "no")

        stage.cluster.before = refuse
        if status == 500:
            with pytest.raises(ApiError):
                await stage.apply(do.EvictPod("pod-1"), do.MarkFailed())
        else:
            await stage.apply(do.EvictPod("pod-1"), do.MarkFailed())
            assert stage.annotation(names.FAILED) == stage.observed.deployment.fingerprint
        assert len(stage.cluster.all(PODS)) == (0 if status is None else 1)

    story(tell)


# --- the Rollout ---------------------------------------------------------------------------------------


def _without_rollout(stage: Stage) -> Observed:
    return replace(stage.observed, rollout_exists=False)


def test_a_rollout_is_made_once() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.remove(ROLLOUTS, "default", "colorapi")
        await stage.apply(do.CreateRollout(), observed=_without_rollout(stage))
        owner = stage.stored(ROLLOUTS)["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"]) == ("deployment-uid", True)
        with pytest.raises(ConflictError):
            await stage.apply(do.CreateRollout(), observed=_without_rollout(stage))
        assert stage.stored(ROLLOUTS)["metadata"]["ownerReferences"] == [owner], "ours is not thrown away"
        await stage.apply(do.DeleteRollout())
        assert stage.cluster.all(ROLLOUTS) == []

    story(tell)


def test_a_rollout_that_was_orphaned_makes_room() -> None:
    """``kubectl delete deployment --cascade=orphan``, then the same name again."""

    async def tell(stage: Stage) -> None:
        stage.cluster.put(ROLLOUTS, {"metadata": {"name": "colorapi", "namespace": "default", "ownerReferences": []}})
        with pytest.raises(ConflictError):
            await stage.apply(do.CreateRollout(), observed=_without_rollout(stage))
        await stage.apply(do.CreateRollout(), observed=_without_rollout(stage))
        assert stage.stored(ROLLOUTS)["metadata"]["ownerReferences"][0]["uid"] == "deployment-uid"

    story(tell)


@pytest.mark.parametrize("status", [{"phase": "Sleeping", "attempt": 7}, {"step": -3, "attempt": 7}, {"attempt": "x"}])
def test_a_status_that_somebody_edited_starts_again(status: Object) -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(ROLLOUTS, {**stage.stored(ROLLOUTS), "status": status})
        stage.look()
        attempt = 7 if status["attempt"] == 7 else 0
        assert stage.observed.status == Status(attempt=attempt, routed=True)
        await stage.apply()
        assert stage.stored(ROLLOUTS)["status"] == STATUS.to_json()

    story(tell)


# --- the background analysis ---------------------------------------------------------------------------


def _run(stage: Stage) -> Object:
    observed = stage.observed
    return build(stage.world, observed, sort_out(observed), "run", dict(stage.stored(ROLLOUTS)))


def test_a_run_carries_everything() -> None:
    async def tell(stage: Stage) -> None:
        run = _run(stage)
        assert run["metadata"]["name"] == "run"
        assert run["metadata"]["annotations"] == {names.FINGERPRINT: stage.observed.deployment.fingerprint}
        (owner,) = run["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Rollout", "colorapi", True)
        assert owner["uid"] == stage.stored(ROLLOUTS)["metadata"]["uid"]
        assert run["spec"]["args"] == [{"name": "host", "value": "colorapi"}]
        assert run["spec"]["metrics"] == template()["spec"]["metrics"], "later changes do not change it"

    story(tell)


def _annotate(stage: Stage, strategy: str) -> None:
    stage.cluster.put(DEPLOYMENTS, deployment(metadata={"annotations": {names.CANARY: strategy}}))
    stage.look()


_FIRST = "analysis.templates[0].templateName"


@pytest.mark.parametrize(
    ("analysis", "path", "problem"),
    [
        ("[{templateName: other}]", _FIRST, "no AnalysisTemplate other in namespace default"),
        (
            "[{templateName: webcheck}, {templateName: x}]",
            "analysis.templates[1].templateName",
            "no AnalysisTemplate x",
        ),
        ("[{templateName: webcheck, clusterScope: true}]", _FIRST, "no ClusterAnalysisTemplate webcheck"),
        ("[{templateName: webcheck}]", "AnalysisTemplate webcheck: spec.args", "'host' has no value"),
    ],
)
def test_what_keeps_a_run_from_being_made_names_the_field(analysis: str, path: str, problem: str) -> None:
    async def tell(stage: Stage) -> None:
        _annotate(stage, f"analysis: {{templates: {analysis}}}")
        with pytest.raises(SpecError) as caught:
            _run(stage)
        assert caught.value.path == path
        assert problem in caught.value.problem
        assert problem in stage.observed.analysis_problem, "plan says so, too"

    story(tell)


def test_hashes_and_a_cluster_s_template() -> None:
    async def tell(stage: Stage) -> None:
        stable = replica_set("stable", spec={"replicas": 5, "selector": {"matchLabels": {"pod-template-hash": "stab"}}})
        stable["spec"]["template"]["spec"]["containers"][0]["image"] = "particule/simplecolorapi:1.0"
        stage.cluster.put(REPLICA_SETS, stable)
        stage.world.cluster_templates.remember(
            template(
                "everywhere", kind="ClusterAnalysisTemplate", metadata={"namespace": ...}, spec={"args": ["new", "old"]}
            )
            | {
                "spec": {
                    **template()["spec"],
                    "args": [{"name": "new"}, {"name": "old"}, {"name": "host", "value": "h"}],
                }
            }
        )
        new, old = (
            f"{{name: {n}, valueFrom: {{podTemplateHashValue: {v}}}}}"
            for n, v in (("new", "Latest"), ("old", "Stable"))
        )
        _annotate(
            stage, f"analysis: {{templates: [{{templateName: everywhere, clusterScope: true}}], args: [{new}, {old}]}}"
        )
        values = {a["name"]: a["value"] for a in _run(stage)["spec"]["args"]}
        assert values == {"new": "old", "old": "stab", "host": "h"}

    story(tell)


def test_a_run_is_started_once_and_stopped() -> None:
    async def tell(stage: Stage) -> None:
        await stage.apply(do.StartAnalysis("run"))
        await stage.apply(do.StartAnalysis("run"))
        (run,) = stage.cluster.all(ANALYSIS_RUNS)
        assert run["spec"]["metrics"]
        assert stage.world.runs.get("default", "run") == run
        await stage.apply(do.StopAnalysis("run"))
        assert stage.stored(ANALYSIS_RUNS, "run")["spec"]["terminate"] is True

    story(tell)


def test_a_run_of_an_earlier_rollout_judges_nobody() -> None:
    """Rollout deleted and made anew: attempts are counted anew, and so are the names of runs."""

    async def tell(stage: Stage) -> None:
        owner = {"kind": "Rollout", "name": "colorapi", "uid": "earlier", "controller": True}
        old = {
            "metadata": {"name": "run", "namespace": "default", "ownerReferences": [owner]},
            "status": {"phase": "Failed"},
        }
        stage.world.runs.remember(stage.cluster.put(ANALYSIS_RUNS, old))
        with pytest.raises(ConflictError):
            await stage.apply(do.StartAnalysis("run"))
        stage.cluster.put(ROLLOUTS, {**stage.stored(ROLLOUTS), "status": Status(analysis_run="run").to_json()})
        stage.look()
        assert stage.observed.run is None

    story(tell)


def test_a_template_that_goes_before_its_run_is_made_is_no_bug_of_ours() -> None:
    async def tell(stage: Stage) -> None:
        observed = stage.observed
        assert observed.analysis_problem == ""
        gone = stage.cluster.stored(ANALYSIS_TEMPLATES, "default", "webcheck")
        assert gone is not None
        stage.world.templates._objects.clear()
        await stage.apply(do.StartAnalysis("run"), do.MarkFailed(), observed=observed)
        assert stage.cluster.all(ANALYSIS_RUNS) == []
        assert stage.annotation(names.FAILED) == observed.deployment.fingerprint
        assert "no AnalysisTemplate webcheck" in stage.observed.analysis_problem

    story(tell)


def test_of_a_pods_spec_only_its_node_is_kept() -> None:
    stage = Stage()
    made = pod("pod-2", "old")
    stage.cluster.put(PODS, {**made, "spec": {"nodeName": "n", "containers": [{"name": "web"}]}})
    stage.look()
    kept = stage.world.pods.get("default", "pod-2")
    assert kept is not None
    assert kept["spec"] == {"nodeName": "n"}
    assert kept["metadata"]["annotations"] == made["metadata"]["annotations"]
