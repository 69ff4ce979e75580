"""The files that are made of `monitoring`'s values: up to date, in order, and what promtool says of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring.alerts import ALERTS
from monitoring.cases import CASES
from monitoring.panels import panels
from monitoring.releases import PHASES
from monitoring.server import CONFIGURATION
from prometheus_client import generate_latest

from coalmine.model.rollout import Phase
from coalmine_controller.analysis.template import check_template
from coalmine_controller.metrics import Metrics as ControllerMetrics
from coalmine_controller.world import World
from coalmine_proxy import exposition
from coalmine_proxy.stats import Stats
from coalmine_webhook.metrics import Metrics as WebhookMetrics

ROOT = Path(__file__).parents[3]
OVERLAY = ROOT / "manifests" / "overlays" / "monitoring"
MONITORING = ROOT / "monitoring"
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here (Debian: prometheus)")


def test_every_file_is_up_to_date() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="the dashboard is built with it")
    from monitoring.__main__ import files

    stale = [str(path.relative_to(ROOT)) for path, text in files().items() if path.read_text() != text]
    assert stale == [], "run `python -m monitoring`"


def promtooled(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_promtool_accepts_the_rules() -> None:
    promtooled("check", "rules", "rules.yaml")


@promtool
def test_the_rules_fire_when_they_should_and_not_otherwise() -> None:
    promtooled("test", "rules", "rules_test.yaml")


@promtool
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    """But for the discovery of Kubernetes, which Debian's build has not."""
    found = yaml.safe_load(CONFIGURATION.read_text())
    for job in found["scrape_configs"]:
        (discovery,) = job.pop("kubernetes_sd_configs")
        assert discovery["role"] == "pod"
        job["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    shutil.copy(MONITORING / "rules.yaml", tmp_path)
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(found))
    promtooled("check", "config", str(file))


def test_every_alert_is_tried_firing_and_says_what_to_do() -> None:
    fired = {case.alert for case in CASES if any(case.fires.values())}
    quiet = {case.alert for case in CASES if not all(case.fires.values())}
    assert fired == quiet == {alert.name for alert in ALERTS}
    for alert in ALERTS:
        assert alert.severity in ("warning", "critical")
        assert alert.runbook.endswith("."), alert.name
        assert "`" in alert.runbook or "TrafficSynced" in alert.runbook or "log" in alert.runbook


def test_the_operator_s_rules_are_the_plain_ones() -> None:
    operator = yaml.safe_load((OVERLAY / "prometheusrule.yaml").read_text())
    assert operator["spec"] == yaml.safe_load((MONITORING / "rules.yaml").read_text())
    assert (operator["apiVersion"], operator["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")


def relabelings(raw: list[Any]) -> set[tuple[str, str, str]]:
    """What matters of relabelings, in the operator's spelling or in Prometheus'."""
    return {
        (
            ",".join(r.get("sourceLabels") or r.get("source_labels")),
            r["regex"],
            r.get("targetLabel") or r.get("target_label") or r.get("action"),
        )
        for r in raw
        if "regex" in r
    }


def test_with_and_without_the_operator_sidecars_are_found_alike() -> None:
    monitors = {m["metadata"]["name"]: m for m in yaml.safe_load_all((OVERLAY / "monitors.yaml").read_text())}
    (pods,) = monitors["coalmine-sidecars"]["spec"]["podMetricsEndpoints"]
    (job,) = [j for j in yaml.safe_load(CONFIGURATION.read_text())["scrape_configs"] if "sidecars" in j["job_name"]]
    # finished pods are dropped by the operator itself
    own = {r for r in relabelings(job["relabel_configs"]) if r[0] != "__meta_kubernetes_pod_phase"}
    assert relabelings(pods["relabelings"]) == own
    (service,) = monitors["coalmine"]["spec"]["endpoints"]
    assert service["honorLabels"] is True, "or the namespaces of Rollouts become exported_namespace"


def test_the_dashboard_is_one_that_grafana_can_show() -> None:
    dashboard = json.loads((OVERLAY / "dashboard.json").read_text())
    shown = [p for p in dashboard["panels"] if p["type"] != "row"]
    assert [p["title"] for p in shown] == [p.title for p in panels()]
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in shown:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]) > 0
        used = {v for t in panel["targets"] for v in re.findall(r"\$(\w+)", t["expr"])}
        assert used <= {"namespace", "rollout", "__rate_interval", "__range"}, panel["title"]
    cells = [(x, y) for p in shown for x, y in cells_of(p["gridPos"])]
    assert len(set(cells)) == len(cells), "no panel lies on another"
    assert [v["name"] for v in dashboard["templating"]["list"]] == ["datasource", "namespace", "rollout"]


def cells_of(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])]


def test_every_phase_has_a_colour() -> None:
    assert {name for name, _ in PHASES.values()} == {p.value for p in Phase}


DOCS = (ROOT / "docs" / "monitoring.md").read_text()


def listed(pattern: str) -> set[str]:
    """The names in the first column of the docs' tables."""
    return set(re.findall(rf"^\| `({pattern})` \|", DOCS, re.MULTILINE))


def families(page: str) -> set[str]:
    """What a page of metrics declares."""
    return set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))


def test_the_docs_list_every_metric_and_no_other() -> None:
    controller = ControllerMetrics()
    controller.series.watch(World(None, print, print), lambda: 0.0)  # type: ignore[arg-type]  nothing is asked
    pages = [generate_latest(controller.registry), generate_latest(WebhookMetrics().registry)]
    made = {name for page in pages for name in families(page.decode())}
    made |= families(exposition.text(Stats().snapshot(), exposition.State(None, ready=True)))
    assert listed(r"(?:coalmine|rollout|analysis|workqueue|controller)_\w+") == {
        name for name in made if not name.startswith("process_") and not name.endswith("_created")
    }


def test_the_docs_list_every_alert() -> None:
    rows = dict(re.findall(r"^\| `(Coalmine\w+)` \| .+ \| (\w+) \|$", DOCS, re.MULTILINE))
    assert rows == {alert.name: alert.severity for alert in ALERTS}


@pytest.mark.parametrize("file", sorted((ROOT / "examples" / "prometheus").glob("*.yaml")), ids=lambda f: f.name)
def test_the_examples_are_templates(file: Path) -> None:
    template = yaml.safe_load(file.read_text())
    check_template(template["spec"])
    assert template["metadata"]["name"] == file.stem
    assert f"](../examples/prometheus/{file.name})" in DOCS
