"""docs/gitops.md is generated where it can be, and names only tests that exist. UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from gitops import readiness
from gitops.phases import PHASES
from gitops.recording import TOOLS, load, verdicts
from gitops.scripts import SCRIPTS, execute

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "gitops.md"
BEGIN, END = "<!-- what each tool says: generated -->\n", "<!-- end -->"


def check(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def table() -> str:
    rows = [["phase", "what it is", *TOOLS], ["---"] * (len(TOOLS) + 2)]
    rows += [[phase, what, *verdicts(load(phase)).values()] for phase, what in PHASES.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_table_is_what_the_rules_say_of_the_recorded_objects() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, "the page has its markers"
    check(PAGE, f"{before}{BEGIN}{table()}{END}{after}")


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(?:(\w+)\.py::)?(test_\w+)`", PAGE.read_text()))
    assert len(named) > 8
    sources = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    missing = [test for _, test in named if not re.search(rf"def {test}\(|^{test}$", sources, re.MULTILINE)]
    files = {file.stem for file in (ROOT / "tests").rglob("test_*.py")}
    assert [test for test in missing if test not in files] == []


CONFIG_MAP = {
    "resource.customizations.health.coalmine.dev_Rollout": "argocd-health-rollout.lua",
    "resource.customizations.health.coalmine.dev_AnalysisRun": "argocd-health-analysisrun.lua",
    "resource.customizations.health.apps_Deployment": "argocd-health-deployment.lua",
    "resource.customizations.actions.coalmine.dev_Rollout": "argocd-actions-rollout.yaml",
}


def indented(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def test_the_patch_for_argocd_cm_is_made_of_the_scripts() -> None:
    head = "# For `kubectl -n argocd patch configmap argocd-cm --patch-file docs/gitops/argocd-cm.yaml`; made of the\n"
    text = f"{head}# scripts beside it by tests/unit/gitops/test_gitops_page.py.\ndata:\n"
    for key, name in CONFIG_MAP.items():
        text += f"  {key}: |\n{indented((SCRIPTS / name).read_text())}"
    check(SCRIPTS / "argocd-cm.yaml", text)
    assert yaml.safe_load(text)["data"] == {key: (SCRIPTS / name).read_text() for key, name in CONFIG_MAP.items()}


@pytest.mark.parametrize("name", [name for name in CONFIG_MAP.values() if name.endswith(".lua")])
def test_every_script_is_shipped_and_runs(name: str) -> None:
    obj = {"metadata": {"name": "a", "generation": 1}, "spec": {}}
    assert execute((SCRIPTS / name).read_text(), obj)["status"] == "Progressing"


# --- what the page says of the table ---------------------------------------------------------------

OPEN = [phase for phase in PHASES if phase not in ("healthy", "promoted", "released", "reverted", "aborted")]


@pytest.mark.parametrize("phase", OPEN)
def test_nobody_who_waits_takes_an_open_rollout_for_done_but_helm(phase: str) -> None:
    said = verdicts(load(phase))
    assert said["kstatus, Flux"] == "InProgress"
    assert said["Argo CD, built in"] == "Suspended"
    assert said["Argo CD, ours"] == "Progressing"
    assert said["Helm 3 --wait"] == said["Helm 4 --wait"] == "ready"


def test_an_abort_is_a_failure_for_all_but_helm_and_argo_cd_as_it_comes() -> None:
    said = verdicts(load("aborted"))
    assert said["kubectl rollout status"] == "failed"
    assert said["kstatus, Flux"] == "Failed"
    assert said["Argo CD, ours"] == said["Argo CD, the Rollout"] == "Degraded"
    assert said["Argo CD, built in"] == "Suspended"
    assert said["Helm 3 --wait"] == said["Helm 4 --wait"] == "ready"


def test_kstatus_says_of_the_rollout_what_its_phase_says() -> None:
    words = {"Healthy": "Current", "Progressing": "InProgress", "Paused": "InProgress", "Degraded": "Failed"}
    seen = set()
    for phase in PHASES:
        (rollout,) = load(phase)["rollout"]
        assert readiness.kstatus(rollout) == words[rollout["status"]["phase"]], phase
        seen.add(rollout["status"]["phase"])
    assert seen == set(words)


def test_a_rollout_that_was_not_looked_at_is_still_said_to_be_done() -> None:
    """So the Deployment is the one to wait for: its hold comes with the write itself."""
    said = verdicts(load("held"))
    assert (said["kstatus, Flux"], said["kstatus, the Rollout"]) == ("InProgress", "Current")


def test_a_sync_with_waves_ends_with_the_rollout_by_our_check_only() -> None:
    def by(tool: str, phase: str) -> str:
        return readiness.sync_wave(verdicts(load(phase))[tool])

    assert [by("Argo CD, ours", phase) for phase in ("paused", "promoted", "aborted")] == ["waits", "goes on", "fails"]
    assert by("Argo CD, built in", "aborted") == "waits", "for ever: no later commit is synced"


def test_what_is_made_for_a_rollout_is_owned() -> None:
    """So no tool that prunes takes it for something that was in Git once."""
    made = {"rollout", "replicaSets", "analysisRuns"}
    every = [obj for phase in PHASES for kind, found in load(phase).items() if kind in made for obj in found]
    assert {obj["kind"] for obj in every} == {"Rollout", "ReplicaSet", "AnalysisRun"}
    assert [obj["metadata"]["name"] for obj in every if not obj["metadata"].get("ownerReferences")] == []
