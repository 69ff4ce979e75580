"""A real Prometheus scrapes controller, webhook and sidecars while a rollout goes through; then every query of the
dashboard, of the alerts and of the examples is asked of it, and two analyses judge by it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import yaml
from monitoring.alerts import ALERTS
from monitoring.panels import STEPS, VARIABLES, panels
from monitoring.server import Prometheus, filled, free_port
from releases import Stage, staged

from coalmine.kube.resources import ANALYSIS_RUNS, ANALYSIS_TEMPLATES, DEPLOYMENTS
from coalmine.kube.verbs import STRATEGIC
from coalmine.model.rollout import Phase
from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.providers import Context, Measured, MeasurementError, open_session, provider_of
from coalmine_controller.analysis.settings.prometheus import PrometheusSettings, read_prometheus
from coalmine_sandbox.lab import Lab, listening

EXAMPLES = Path(__file__).parents[2] / "examples" / "prometheus"
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus here (Debian: prometheus)"),
    pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here (Debian: prometheus)"),
]
NAMESPACE = "monitoring"


class Watched(NamedTuple):
    stage: Stage
    prometheus: Prometheus
    lab: Lab
    #: Where the controller that leads is scraped.
    leader: str


@pytest.fixture(scope="module")
def watched(installed: Lab, run: Any) -> Iterator[Watched]:
    """Prometheus, a controller that is scraped and asks it, and the application with its user."""
    listen = f"{installed.ground.webhook[0]}:{free_port(installed)}"
    jobs = {"coalmine-controller": listen, "coalmine-webhook": "{}:{}".format(*installed.webhook_metrics)}
    prometheus = Prometheus(installed, jobs)
    scraped = prometheus.running()
    run(scraped.__aenter__())
    controller = run(installed.start_controller("controller-watched", listen=listen, prometheus=prometheus.url))
    context = staged(installed, NAMESPACE)
    stage = run(context.__aenter__())
    yield Watched(stage, prometheus, installed, listen)
    run(context.__aexit__(None, None, None))
    run(controller.stop())
    installed.controllers.remove(controller)
    run(scraped.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def released(watched: Watched, run: Any) -> tuple[float, float]:
    """A good release, judged by the article's check; from when to when it went on."""

    async def release() -> tuple[float, float]:
        async def healthy() -> bool:
            return bool(await watched.prometheus.query(f'rollout_info{{namespace="{NAMESPACE}",phase="Healthy"}}'))

        async def completed() -> bool:
            return bool(await watched.prometheus.query('coalmine_handovers_total{outcome="completed"} > 0'))

        await watched.lab.until(healthy, "the Rollout is scraped")
        began = time.time()
        await watched.stage.good_release()
        # what has ended just now is to be scraped, too
        await watched.lab.until(completed, "the end of the release is scraped")
        await watched.lab.until(healthy, "its phase as well")
        return began, time.time()

    return run(release())


def numbers(matrix: list[Any]) -> list[float]:
    """Every value of a matrix that is a number."""
    return [v for series in matrix for _, text in series["values"] if (v := float(text)) == v]


def test_every_target_is_scraped(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        prometheus = watched.prometheus
        targets = (await prometheus.get("targets?state=active"))["activeTargets"]
        found = {(t["labels"]["job"], t["labels"].get("rollout", "")) for t in targets}
        assert found == {
            ("coalmine-controller", ""),
            ("coalmine-webhook", ""),
            ("coalmine-sidecars", "colorapi"),
        }, "nothing but the sidecars' own ports is scraped of the pods"
        up = await prometheus.query('count by (job) (up{job!="coalmine-sidecars"} == 1)')
        assert {r["metric"]["job"] for r in up} == {"coalmine-controller", "coalmine-webhook"}
        scraped: list[Any] = []

        async def all_pods() -> bool:
            pods = {p["metadata"]["name"] for p in await watched.stage.app.pods()}
            scraped[:] = await prometheus.query('up{job="coalmine-sidecars"} == 1')
            return pods <= {r["metric"]["pod"] for r in scraped}

        # the handover's last pods are found by Prometheus a little later than they are ready
        await watched.lab.until(all_pods, "every pod is scraped")
        assert {r["metric"]["namespace"] for r in scraped} == {NAMESPACE}

    run(check())


def test_every_query_of_the_dashboard_has_data(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        began, ended = released
        queries = [(p.title, q.expr, q.fault) for p in panels() for q in p.queries]
        empty = []
        for title, expr, fault in [*queries, ("Steps", STEPS, False)]:
            matrix = await watched.prometheus.over(filled(expr, NAMESPACE, ended - began), began, ended, 0.5)
            if not fault and not numbers(matrix):
                empty.append((title, filled(expr, NAMESPACE, ended - began)))
        assert empty == []

    run(check())


def test_the_query_of_the_docs_has_data(watched: Watched, released: tuple[float, float], run: Any) -> None:
    text = (EXAMPLES.parents[1] / "docs" / "monitoring.md").read_text()
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if b.startswith("provider:")]
    provider = yaml.safe_load(block)["provider"]["prometheus"]
    query = provider["query"].replace("{{args.namespace}}", NAMESPACE).replace("{{args.rollout}}", "colorapi")
    shares = numbers(run(watched.prometheus.over(query.replace("[1m]", "[2s]"), *released)))
    assert set(shares) == {1.0}, "every request was answered well"
    fields = Fields({**provider, "query": query}, "provider.prometheus", "")
    assert read_prometheus(fields).timeout == provider["timeout"]


def test_the_variables_find_the_rollout(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        for name, expected in (("namespace", NAMESPACE), ("rollout", "colorapi")):
            selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]).groups()  # type: ignore[union-attr]
            series = await watched.prometheus.query(filled(selector, NAMESPACE, 1))
            assert expected in {s["metric"][label] for s in series}

    run(check())


def test_what_is_shown_is_what_happened(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        began, ended = released
        key = f'namespace="{NAMESPACE}",name="colorapi"'

        async def seen(expr: str) -> list[float]:
            return list(dict.fromkeys(numbers(await watched.prometheus.over(expr, began, ended, 0.5))))

        assert await seen(f"coalmine_rollout_desired_weight_percent{{{key}}}") == [0, 20, 50, 100]
        assert set(await seen(f"coalmine_rollout_actual_weight_percent{{{key}}}")) >= {20, 50, 100}
        assert set(await seen(f"coalmine_rollout_steps{{{key}}}")) >= {4}
        # at 20 % the pause is long enough for a window that holds nothing else
        shares = await watched.prometheus.over(
            f'100 * sum(increase(coalmine_requests_total{{namespace="{NAMESPACE}",arm="canary"}}[2s]))'
            f' / sum(increase(coalmine_requests_total{{namespace="{NAMESPACE}",arm=~"canary|control|stable"}}[2s]))'
            f" and on () (min_over_time(coalmine_rollout_actual_weight_percent{{{key}}}[3s]) == 20)"
            f" and on () (max_over_time(coalmine_rollout_actual_weight_percent{{{key}}}[3s]) == 20)",
            began,
            ended,
            0.5,
        )
        assert numbers(shares), "the pause is long enough for that window"
        assert all(10 < share < 30 for share in numbers(shares)), shares
        phases = await watched.prometheus.over(f"rollout_info{{{key}}}", began, ended, 0.5)
        assert {s["metric"]["phase"] for s in phases} >= {"Healthy", "Progressing", "Paused"}
        runs = await watched.prometheus.query(f'analysis_run_metric_phase{{namespace="{NAMESPACE}",metric="webcheck"}}')
        assert {(r["metric"]["type"], r["metric"]["phase"]) for r in runs} == {("Web", "Successful")}
        reasons = await watched.prometheus.query(f"rollout_events_total{{{key}}}")
        assert {"CanaryStarted", "StepCompleted", "HandoverStarted", "RolloutCompleted"} <= {
            r["metric"]["reason"] for r in reasons
        }
        for verb, kind in (("Watch", "pods"), ("Update", "rollouts/status"), ("Create", "events")):
            calls = await watched.prometheus.query(
                f'controller_clientset_k8s_request_total{{verb="{verb}",kind="{kind}",status_code=~"2.."}}'
            )
            assert calls, (verb, kind)

    run(check())


def test_the_alerts_are_evaluated_and_none_fires(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        (group,) = (await watched.prometheus.get("rules"))["groups"]
        assert [rule["name"] for rule in group["rules"]] == [a.name for a in ALERTS]
        assert {rule["health"] for rule in group["rules"]} == {"ok"}
        quiet = [rule["name"] for rule in group["rules"] if rule["state"] != "firing"]
        assert quiet == [a.name for a in ALERTS]
        # each of them is about series that there are
        for family in ("coalmine_rollout_sidecars_expected", "rollout_reconcile_error", "coalmine_controller_leading"):
            assert await watched.prometheus.over(family, *released), family
        certificates = await watched.prometheus.query("coalmine_webhook_certificate_expiry_timestamp_seconds")
        assert {r["metric"]["certificate"] for r in certificates} == {"authority", "serving"}

    run(check())


#: A release that answers every third request with 500.
BROKEN = """
import http.server, itertools, os
numbers = itertools.count()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        bad = self.path != "/healthz" and next(numbers) % 3 == 0
        body = b'{"color": "black", "status": "ok", "received": 0}'
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 5000), Handler).serve_forever()
"""
STRATEGY = """
steps:
- setWeight: 20
- pause: {duration: 6s}
- setWeight: 50
- pause: {duration: 4s}
analysis:
  templates: [{templateName: success-rate}, {templateName: latency}]
  args:
  - {name: namespace, value: monitoring}
  - {name: rollout, value: colorapi}
  - {name: window, value: 2s}
scaleDownDelaySeconds: 1
abortScaleDownDelaySeconds: 1
"""


async def judged_by_prometheus(watched: Watched) -> None:
    """The examples' templates, at the pace of a test, and the strategy that names them. On two busy cores the
    latency of single requests says little: its ratio is bounded so far out that only its data count here."""
    for file in sorted(EXAMPLES.glob("*.yaml")):
        template = yaml.safe_load(file.read_text())
        for metric in template["spec"]["metrics"]:
            metric |= {"interval": "500ms", "initialDelay": "2s", "inconclusiveLimit": 100}
            for condition in ("successCondition", "failureCondition"):
                metric[condition] = metric[condition].replace("1.5", "1000")
        await watched.lab.apply([template], namespace=NAMESPACE)
    templates, _ = await watched.lab.client.list(ANALYSIS_TEMPLATES, NAMESPACE)
    assert {"success-rate", "latency"} <= {t["metadata"]["name"] for t in templates}
    await watched.stage.strategy(STRATEGY)


async def last_run(watched: Watched) -> Any:
    runs, _ = await watched.lab.client.list(ANALYSIS_RUNS, NAMESPACE)
    return max(runs, key=lambda r: (r["metadata"]["creationTimestamp"], r["metadata"]["name"]))


def test_prometheus_judges_for_better(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        await judged_by_prometheus(watched)
        await watched.stage.app.set_image(watched.stage.next_release())
        mark = await watched.stage.app.fingerprint()
        seen: dict[str, set[str]] = {}

        async def measured() -> bool:
            for result in ((await last_run(watched)).get("status") or {}).get("metricResults") or ():
                for measurement in result.get("measurements") or ():
                    seen.setdefault(result["name"], set()).add(measurement["phase"])
            return all("Successful" in seen.get(name, ()) for name in ("success-rate", "latency"))

        await watched.lab.until(measured, "both metrics were measured")
        await watched.stage.healthy(mark)

        async def over() -> Any:
            found = await last_run(watched)
            return found if found["status"]["phase"] != "Running" else None

        ended = await watched.lab.until(over, "the run is over")
        assert ended["status"]["phase"] == "Successful", ended["status"]
        assert {m["provider"].popitem()[0] for m in ended["spec"]["metrics"]} == {"prometheus"}

    run(check())


def test_prometheus_judges_for_worse(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def check() -> None:
        await judged_by_prometheus(watched)
        app = watched.stage.app
        stable = (await app.deployment())["spec"]["template"]["spec"]["containers"][0]["image"]
        container = {
            "name": "colorapi",
            "image": "python:3",
            "args": ["-u", "-c", BROKEN],
            "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        }
        await _containers(watched, [container])
        status = await app.until(lambda s: s.phase is Phase.DEGRADED)
        assert status.abort_reason == "AnalysisFailed"
        assert "success-rate" in status.abort_message
        ended = await last_run(watched)
        (result,) = [r for r in ended["status"]["metricResults"] if r["name"] == "success-rate"]
        assert result["phase"] == "Failed"
        failed = [m for m in result["measurements"] if m["phase"] == "Failed"]
        assert all(0.3 < float(m["value"].strip("[]")) < 0.95 for m in failed)

        async def told(expr: str) -> bool:
            return bool(await watched.prometheus.query(expr))

        (alert,) = [a for a in ALERTS if a.name == "CoalmineRolloutDegraded"]
        await watched.lab.until(lambda: told(alert.expr), "Prometheus sees the phase")
        key = f'namespace="{NAMESPACE}",rollout="colorapi",arm="canary"'
        await watched.lab.until(lambda: told(f'coalmine_requests_total{{{key},code="500"}} > 0'), "and the errors")
        await watched.lab.until(
            lambda: told('coalmine_rollout_aborts_total{reason="AnalysisFailed"} > 0'), "and why it was taken back"
        )
        await _containers(watched, [{"name": "colorapi", "image": stable, "args": None, "env": None}])
        await watched.stage.healthy()

    run(check())


async def _containers(watched: Watched, containers: list[Any]) -> None:
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    await watched.lab.client.patch(DEPLOYMENTS, NAMESPACE, "colorapi", patch, kind=STRATEGIC)


@pytest.mark.parametrize(
    ("query", "value", "result"),
    [
        ("scalar(vector(0.5))", "0.5", 0.5),
        ("vector(10)", "[10]", [10.0]),
        ("vector(1) > 2", "[]", []),
        ("1e300 * 1e300", "+Inf", float("inf")),
    ],
)
def test_what_the_provider_reads_of_a_real_one(watched: Watched, run: Any, query: str, value: str, result: Any) -> None:
    settings = PrometheusSettings(query, watched.prometheus.url)
    assert run(provider_of(settings).measure(Context("", open_session))) == Measured(value, result)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("up[1m]", "a result of type matrix cannot be judged: ask for a vector or a scalar"),
        ('"text"', "a result of type string cannot be judged: ask for a vector or a scalar"),
        ("sum(", "answered 400, no success: invalid parameter"),
    ],
)
def test_what_a_real_one_refuses(watched: Watched, run: Any, query: str, sentence: str) -> None:
    settings = PrometheusSettings(query, watched.prometheus.url)
    with pytest.raises(MeasurementError, match=re.escape(sentence)):
        run(provider_of(settings).measure(Context("", open_session)))


def test_only_the_leader_tells_of_rollouts(watched: Watched, released: tuple[float, float], run: Any) -> None:
    async def page(address: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as response:
            return await response.text()

    async def check() -> None:
        host, port = watched.lab.ground.webhook[0], free_port(watched.lab)
        other = await watched.lab.start_controller("controller-follows", listen=f"{host}:{port}")
        try:
            await watched.lab.until(lambda: listening(host, port), "the second controller listens")
            follower, leader = await page(f"{host}:{port}"), await page(watched.leader)
            assert "coalmine_controller_leading 0.0" in follower
            assert "coalmine_controller_leading 1.0" in leader
            assert "rollout_info{" in leader
            assert "rollout_info" not in follower
            assert "analysis_run_info" not in follower
        finally:
            await other.stop()
            watched.lab.controllers.remove(other)

    run(check())
