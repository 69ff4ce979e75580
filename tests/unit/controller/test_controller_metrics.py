"""What a scrape of the controller shows, from caches that are fed by a cluster in memory."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from memory_cluster import MemoryCluster
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from samples import pod
from virtual_time import now, run

from coalmine.kube.calls import Call
from coalmine.kube.resources import ANALYSIS_RUNS, ROLLOUTS, Object
from coalmine.model.reasons import Reason
from coalmine.model.rollout import Phase, Replicas, Revision, Status
from coalmine.model.weights import Weight
from coalmine.model.wire import Arm, Endpoint, Routing
from coalmine_controller.__main__ import main
from coalmine_controller.convert import pod_from
from coalmine_controller.metrics import Metrics
from coalmine_controller.queue import Queue
from coalmine_controller.run_series import RUNS
from coalmine_controller.world import World, run_caches

KEY = ("shop", "colorapi")
NAMED = {"namespace": "shop", "name": "colorapi"}
Samples = dict[str, float]

PROGRESSING = Status(
    phase=Phase.PROGRESSING,
    canary=Revision("f"),
    attempt=3,
    step=1,
    steps=4,
    step_started_at=1_000_000.0,
    weight=Weight.parse(20, ""),
    actual_weight=Weight.parse(12.5, ""),
    replicas=Replicas(desired=5, current=6, updated=1, ready=5, available=5),
)


def rollout(status: Status | Object | None = PROGRESSING, name: str = "colorapi", namespace: str = "shop") -> Object:
    raw = status.to_json() if isinstance(status, Status) else status
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-of-{name}"}, "spec": {}, "status": raw}


def analysis_run(number: int, **status: Any) -> Object:
    owner = {"kind": "Rollout", "name": "colorapi", "uid": "uid-of-colorapi", "controller": True}
    return {
        "metadata": {
            "name": f"colorapi-x-{number}",
            "namespace": "shop",
            "ownerReferences": [owner],
            "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
        },
        "spec": {
            "metrics": [
                {"name": "a", "provider": {"web": {"url": "http://a"}}},
                {"name": "b", "provider": {"prometheus": {"query": "up"}}},
                {"name": "c", "provider": {"theirs": {}}},
            ]
        },
        "status": status,
    }


class Stage:
    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.metrics = Metrics()

    def samples(self) -> Samples:
        """Every sample of a page by its text, ``name{a="b"}``."""
        found = {}
        for family in text_string_to_metric_families(generate_latest(self.metrics.registry).decode()):
            for sample in family.samples:
                labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
        return found

    def about(self, name: str) -> Samples:
        return {k: v for k, v in self.samples().items() if k.partition("{")[0] == name}


def story(tell: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage()
        world = World(stage.cluster, lambda _: None, lambda _: None)  # type: ignore[arg-type]
        stage.metrics.series.watch(world, now)
        async with asyncio.TaskGroup() as group:
            work = group.create_task(run_caches(world, group))
            await work
            await tell(stage)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    run(main())


def test_a_rollout() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(ROLLOUTS, rollout())
        await asyncio.sleep(1)
        found = stage.samples()
        named = 'name="colorapi",namespace="shop"'
        assert {k: v for k, v in found.items() if named in k and not k.startswith("rollout_reconcile")} == {
            f'rollout_info{{{named},phase="Progressing",strategy="canary",traffic_router="coalmine"}}': 1,
            f"rollout_info_replicas_desired{{{named}}}": 5,
            f"rollout_info_replicas_available{{{named}}}": 5,
            f"rollout_info_replicas_unavailable{{{named}}}": 1,
            f"rollout_info_replicas_updated{{{named}}}": 1,
            f"coalmine_rollout_step{{{named}}}": 1,
            f"coalmine_rollout_steps{{{named}}}": 4,
            f"coalmine_rollout_attempt{{{named}}}": 3,
            f"coalmine_rollout_step_started_timestamp_seconds{{{named}}}": 1_000_000,
            f"coalmine_rollout_desired_weight_percent{{{named}}}": 20,
            f"coalmine_rollout_actual_weight_percent{{{named}}}": 12.5,
        }
        assert found[f"rollout_reconcile_error{{{named}}}"] == 0, "its rate begins at nought, not at the first error"

    story(tell)


def test_the_weight_is_the_canary_s() -> None:
    """Without one, the status says 100, as Argo's does."""

    async def tell(stage: Stage) -> None:
        full = Weight.parse(100, "")
        stage.cluster.put(ROLLOUTS, rollout(Status(weight=full, actual_weight=full)))
        await asyncio.sleep(1)
        for which in ("desired", "actual"):
            assert list(stage.about(f"coalmine_rollout_{which}_weight_percent").values()) == [0]

    story(tell)


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Sleeping"},
        {"phase": None},
        {"weight": "many"},
        {"step": True},
        {"stepStartedAt": "yesterday"},
        {"stepStartedAt": 5},
        {"availableReplicas": "x"},
        {"abortedAt": "now", "abortReason": 'a"b\n'},
    ],
    ids=str,
)
def test_a_status_that_is_not_ours_is_left_out_as_far_as_it_is_not(change: Object) -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(ROLLOUTS, rollout())
        await asyncio.sleep(1)
        whole = stage.samples()
        stage.cluster.put(ROLLOUTS, rollout({**PROGRESSING.to_json(), **change}))
        await asyncio.sleep(1)
        now_shown = stage.samples()
        assert whole.keys() - now_shown.keys() <= {
            k for k in whole if k.startswith(("rollout_info", "coalmine_rollout"))
        }
        assert {k.partition("{")[0] for k in now_shown} - {k.partition("{")[0] for k in whole} <= {
            "coalmine_rollout_aborts_total",
            "coalmine_rollout_phase_duration_seconds_bucket",
            "coalmine_rollout_phase_duration_seconds_count",
            "coalmine_rollout_phase_duration_seconds_sum",
        }
        assert not any("Sleeping" in k or "\\n" in k for k in now_shown)

    story(tell)


def test_sidecars_and_arms() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(ROLLOUTS, rollout())
        await asyncio.sleep(1)
        endpoint = Endpoint("10.0.0.1", 5000, "uid", 17081)
        shares = {"canary": 20, "control": 20, "stable": 60}
        arms = tuple(Arm(name, Weight.parse(share, ""), (endpoint,)) for name, share in shares.items())
        new, old = Routing(arms), Routing()
        one = replace(pod_from(pod("one")), ready=True, terminating=False)
        pods = (
            replace(one, uid="a", applied=new),
            replace(one, uid="b", applied=old),
            replace(one, uid="c", applied=None),
            replace(one, uid="d", ready=False),
            replace(one, uid="e", terminating=True),
            replace(one, uid="f", applied=new),  # not told anything
        )
        series = stage.metrics.series
        series.looked(KEY, pods, dict.fromkeys("abcde", new))
        series.looked(("shop", "gone"), pods, dict.fromkeys("abcde", new))
        assert list(stage.about("coalmine_rollout_sidecars_expected").values()) == [3]
        assert list(stage.about("coalmine_rollout_sidecars_acknowledged").values()) == [1]
        assert stage.about("coalmine_rollout_arm_weight_percent") == {
            f'coalmine_rollout_arm_weight_percent{{arm="{arm}",name="colorapi",namespace="shop"}}': share
            for arm, share in shares.items()
        }
        series.looked(KEY, pods, {})
        assert stage.about("coalmine_rollout_sidecars_expected") == {}

    story(tell)


def test_what_is_counted_by_rollout_goes_with_it() -> None:
    async def tell(stage: Stage) -> None:
        metrics = stage.metrics
        stage.cluster.put(ROLLOUTS, rollout())
        await asyncio.sleep(1)
        metrics.told(KEY, Reason.CANARY_STARTED, warning=False)
        metrics.told(KEY, Reason.ABORTED, warning=True)
        metrics.told(KEY, Reason.ABORTED, warning=True)
        metrics.told(KEY, Reason.HANDOVER_STARTED, warning=False)
        metrics.rollouts.failed(KEY)
        metrics.runs.failed(("shop", "run"))
        with metrics.rollouts.look(KEY):
            pass
        assert list(stage.about("rollout_events_total").values()) == [1, 1, 2]
        assert stage.about("coalmine_handovers_total") == {
            'coalmine_handovers_total{outcome="started"}': 1,
            'coalmine_handovers_total{outcome="cut_short"}': 0,
            'coalmine_handovers_total{outcome="completed"}': 0,
        }
        assert list(stage.about("rollout_reconcile_error").values()) == [1]
        assert list(stage.about("analysis_run_reconcile_error").values()) == [1]
        assert list(stage.about("rollout_reconcile_count").values()) == [1]
        stage.cluster.remove(ROLLOUTS, *KEY)
        await asyncio.sleep(1)
        metrics.prune()
        left = stage.samples()
        assert not any("colorapi" in name or 'namespace="shop"' in name for name in left if "run" not in name)
        stage.cluster.put(ROLLOUTS, rollout())
        await asyncio.sleep(1)
        assert stage.about("rollout_events_total") == {}, "another one of the same name begins anew"
        assert list(stage.about("rollout_reconcile_error").values()) == [0]

    story(tell)


def test_steps_and_phases_are_timed() -> None:
    async def tell(stage: Stage) -> None:
        def at(phase: Phase, step: int, began: float, **changes: Any) -> None:
            status = replace(PROGRESSING, phase=phase, step=step, step_started_at=began, **changes)
            stage.cluster.put(ROLLOUTS, rollout(status))

        at(Phase.HEALTHY, 0, 1_000_000.0)  # since when is not known
        await asyncio.sleep(50)
        at(Phase.PROGRESSING, 0, 1_000_000.0)
        await asyncio.sleep(20)
        at(Phase.PAUSED, 1, 1_000_070.0)
        await asyncio.sleep(100)
        at(Phase.PROGRESSING, 2, 1_000_170.0)
        await asyncio.sleep(1)
        at(Phase.PROGRESSING, 0, 1_000_999.0, attempt=4)  # another try's first step is no end of a step
        await asyncio.sleep(1)
        assert stage.samples()["coalmine_rollout_step_duration_seconds_count"] == 2
        assert stage.samples()["coalmine_rollout_step_duration_seconds_sum"] == 170
        sums = stage.about("coalmine_rollout_phase_duration_seconds_sum")
        assert {k.split('"')[1]: round(v) for k, v in sums.items()} == {"Progressing": 20, "Paused": 100}

    story(tell)


def test_aborts_are_counted_once_by_reason() -> None:
    async def tell(stage: Stage) -> None:
        stage.cluster.put(ROLLOUTS, rollout(replace(PROGRESSING, aborted_at=1.0, abort_reason="AnalysisFailed")))
        await asyncio.sleep(1)
        assert stage.about("coalmine_rollout_aborts_total") == {}, "it was so before this controller came"
        for step, moment in enumerate((None, 5.0, 5.0, None, 9.0)):
            status = replace(PROGRESSING, step=step, aborted_at=moment, abort_reason="AnalysisFailed" if moment else "")
            stage.cluster.put(ROLLOUTS, rollout(status))
            await asyncio.sleep(1)
        assert stage.about("coalmine_rollout_aborts_total") == {
            'coalmine_rollout_aborts_total{reason="AnalysisFailed"}': 2
        }

    story(tell)


def test_analysis_runs() -> None:
    async def tell(stage: Stage) -> None:
        results = [{"name": "a", "phase": "Failed"}, {"name": "b", "phase": "Successful"}]
        stage.cluster.put(ANALYSIS_RUNS, analysis_run(1, phase="Failed", metricResults=results))
        await asyncio.sleep(1)
        named = 'name="colorapi-x-1",namespace="shop"'
        found = {k: v for k, v in stage.samples().items() if k.startswith("analysis_run")}
        assert found == {
            f'analysis_run_info{{{named},phase="Failed"}}': 1,
            f'analysis_run_metric_type{{metric="a",{named},type="Web"}}': 1,
            f'analysis_run_metric_type{{metric="b",{named},type="Prometheus"}}': 1,
            f'analysis_run_metric_type{{metric="c",{named},type="Unknown"}}': 1,
            f'analysis_run_metric_phase{{dry_run="false",metric="a",{named},phase="Failed",type="Web"}}': 1,
            f'analysis_run_metric_phase{{dry_run="false",metric="b",{named},phase="Successful",type="Prometheus"}}': 1,
            f'analysis_run_metric_phase{{dry_run="false",metric="c",{named},phase="Pending",type="Unknown"}}': 1,
        }

    story(tell)


def test_of_many_analysis_runs_the_newest_are_shown() -> None:
    async def tell(stage: Stage) -> None:
        for number in range(20):
            stage.cluster.put(ANALYSIS_RUNS, analysis_run(number))
        stage.cluster.put(ANALYSIS_RUNS, {**analysis_run(1), "metadata": {"name": "by-hand", "namespace": "shop"}})
        await asyncio.sleep(1)
        shown = {k.split('"')[1] for k in stage.about("analysis_run_info")}
        assert shown == {f"colorapi-x-{n}" for n in range(20 - RUNS, 20)} | {"by-hand"}

    story(tell)


def test_a_run_that_names_a_metric_twice_is_one_series() -> None:
    async def tell(stage: Stage) -> None:
        run_ = analysis_run(1)
        run_["spec"]["metrics"] = [run_["spec"]["metrics"][0]] * 2
        stage.cluster.put(ANALYSIS_RUNS, run_)
        await asyncio.sleep(1)
        page = generate_latest(stage.metrics.registry).decode().splitlines()
        assert len([line for line in page if line.startswith("analysis_run_metric_type{")]) == 1

    story(tell)


def test_who_does_not_lead_tells_of_no_rollout() -> None:
    stage = Stage()
    stage.metrics.prune()
    found = stage.samples()
    assert found["coalmine_controller_leading"] == 0
    assert not any(
        k.startswith(("rollout_info", "rollout_events", "coalmine_rollout", "analysis_run_info")) for k in found
    )


def test_the_queue_is_watched() -> None:
    async def main() -> None:
        metrics = Metrics()
        queue: Queue[Any] = Queue(asyncio.get_running_loop().call_later, now, metrics.rollouts)
        metrics.rollouts.follow(queue)

        def value(name: str) -> float | None:
            return metrics.registry.get_sample_value(f"workqueue_{name}", {"name": "rollouts"})

        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert (value("adds_total"), value("depth")) == (2, 2)
        await asyncio.sleep(3)
        key = await queue.take()
        assert (value("depth"), value("queue_duration_seconds_sum")) == (1, 3)
        await asyncio.sleep(4)
        assert (value("unfinished_work_seconds"), value("longest_running_processor_seconds")) == (4, 4)
        queue.add("a")  # it is worked on: not in the queue yet
        assert (value("adds_total"), value("depth")) == (2, 1)
        queue.failed(key)
        queue.done(key)
        assert (value("work_duration_seconds_sum"), value("work_duration_seconds_count")) == (4, 1)
        assert (value("adds_total"), value("depth"), value("retries_total")) == (3, 2, 1)
        assert (value("unfinished_work_seconds"), value("longest_running_processor_seconds")) == (0, 0)

    run(main())


def test_requests_to_the_api_server_are_counted_without_names() -> None:
    metrics = Metrics()
    for call in (Call("Get", "pods", 200, 0.01), Call("Get", "pods", 404, 0.02), Call("Get", "pods", 0, 8.0)):
        metrics.called(call)
    value = metrics.registry.get_sample_value
    for status in ("200", "404", "0"):
        labels = {"verb": "Get", "kind": "pods", "status_code": status}
        assert value("controller_clientset_k8s_request_total", labels) == 1
    labels = {"verb": "Get", "kind": "pods"}
    assert value("coalmine_k8s_request_duration_seconds_count", labels) == 3
    assert value("coalmine_k8s_request_duration_seconds_sum", labels) == pytest.approx(8.03)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here (Debian: prometheus)")
def test_promtool_reads_the_page() -> None:
    """Its lint is for new names; those that it dislikes are Argo's."""
    page = b""

    async def tell(stage: Stage) -> None:
        nonlocal page
        stage.cluster.put(ROLLOUTS, rollout())
        stage.cluster.put(ANALYSIS_RUNS, analysis_run(1))
        await asyncio.sleep(1)
        stage.metrics.told(KEY, Reason.COMPLETED, warning=False)
        stage.metrics.called(Call("Get", "pods", 200, 0.01))
        page = generate_latest(stage.metrics.registry)

    story(tell)
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert done.returncode in (0, 3), done.stderr.decode()  # 3: only lint
    disliked = {line.split(" ")[0] for line in done.stderr.decode().splitlines()}
    assert disliked <= {"rollout_reconcile", "analysis_run_reconcile"}


def test_a_page_on_a_real_loop() -> None:
    metrics = Metrics()
    assert b"coalmine_controller_leading 0.0" in asyncio.run(metrics.page())


@pytest.mark.parametrize(
    ("argv", "environ"),
    [(["--prometheus-address", "prometheus:9090"], {}), ([], {"COALMINE_PROMETHEUS_ADDRESS": "prometheus:9090"})],
)
def test_an_address_of_prometheus_that_is_none_is_refused_at_the_start(
    argv: list[str], environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(argv, environ)
    assert "--prometheus-address 'prometheus:9090': write for example http://prometheus:9090" in capsys.readouterr().err
