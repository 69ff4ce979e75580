"""The Lua that docs/gitops ships for Argo CD, run as Argo CD runs it, on made-up and recorded objects."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from gitops.phases import PHASES
from gitops.readiness import argo
from gitops.recording import load
from gitops.scripts import acted, execute, health, merge_patch, offered
from lupa import lua51
from made_deployments import EXCEEDED, PAUSED, TABLE, deployment

from coalmine.model.errors import SpecError
from coalmine.model.names import HOLD
from coalmine.model.rollout import Phase, Status, Wishes
from coalmine.model.view import wish_of
from coalmine_cli import abort, pause, promote, retry
from coalmine_cli.wish import Answer, Standing


@pytest.mark.parametrize("library", ["string", "math", "io", "debug", "require", "os.execute"])
def test_a_script_has_no_library_that_argo_cd_withholds(library: str) -> None:
    assert execute(f"return {{{library} == nil}}", {}) == [True]


def test_a_script_that_fails_fails() -> None:
    with pytest.raises(lua51.LuaError, match="attempt to index"):
        execute("return obj.status.phase", {})


# --- health --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("obj", "said"), [(obj, argo(obj)) for obj, *_ in TABLE.values()], ids=TABLE)
def test_a_deployment_that_is_not_ours_is_judged_as_argo_cd_does(obj: dict[str, Any], said: str) -> None:
    assert health("deployment", obj)[0] == said


def held(**fields: Any) -> dict[str, Any]:
    obj = deployment(paused=True, updated=0, **fields)
    obj["metadata"]["annotations"] = {HOLD: "0123456789abcdef"}
    return obj


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (held(progressing=PAUSED), "Progressing"),
        (held(progressing=EXCEEDED | {"message": "canary 0123456789abcdef aborted: bad"}), "Degraded"),
        (held(progressing=EXCEEDED, observed=2), "Progressing"),
    ],
)
def test_a_held_deployment(obj: dict[str, Any], said: str) -> None:
    assert health("deployment", obj)[0] == said


def test_a_degraded_deployment_tells_why() -> None:
    told = "canary 0123456789abcdef aborted: metric webcheck failed (2) > failureLimit (1)"
    assert health("deployment", held(progressing=EXCEEDED | {"message": told})) == ("Degraded", told)


@pytest.mark.parametrize("name", ["deployment", "rollout"])
def test_what_is_being_deleted_is_in_progress(name: str) -> None:
    obj = deployment(paused=True) | {"status": {"phase": "Paused"}}
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert health(name, obj) == ("Progressing", "Pending deletion")


@pytest.mark.parametrize(
    ("name", "phase", "said"),
    [
        ("rollout", "Healthy", "Healthy"),
        ("rollout", "Progressing", "Progressing"),
        ("rollout", "Paused", "Suspended"),
        ("rollout", "Degraded", "Degraded"),
        ("rollout", "Elsewhere", "Unknown"),
        ("analysisrun", "Pending", "Progressing"),
        ("analysisrun", "Running", "Progressing"),
        ("analysisrun", "Successful", "Healthy"),
        ("analysisrun", "Inconclusive", "Suspended"),
        ("analysisrun", "Failed", "Degraded"),
        ("analysisrun", "Error", "Degraded"),
        ("analysisrun", "Elsewhere", "Unknown"),
    ],
)
def test_every_phase_has_a_health(name: str, phase: str, said: str) -> None:
    assert health(name, {"status": {"phase": phase, "message": "why"}}) == (said, "why")
    assert health(name, {"status": {"phase": phase}}) == (said, "")


@pytest.mark.parametrize("name", ["rollout", "analysisrun"])
@pytest.mark.parametrize("obj", [{}, {"metadata": {}, "status": {}}])
def test_without_a_status_it_is_in_progress(name: str, obj: dict[str, Any]) -> None:
    assert health(name, obj)[0] == "Progressing"


def test_no_phase_of_the_model_is_forgotten() -> None:
    assert "Unknown" not in {health("rollout", {"status": {"phase": phase.value}})[0] for phase in Phase}


@pytest.mark.parametrize("phase", PHASES)
def test_a_recorded_rollout_has_the_health_of_its_phase(phase: str) -> None:
    (rollout,) = load(phase)["rollout"]
    said, message = health("rollout", rollout)
    assert said == rollout["status"]["phase"].replace("Paused", "Suspended")
    assert message == rollout["status"]["message"]


def test_recorded_runs_are_judged() -> None:
    said = {phase: sorted(health("analysisrun", run)[0] for run in load(phase)["analysisRuns"]) for phase in PHASES}
    assert said["healthy"] == said["held"] == []
    assert said["paused"] == ["Progressing"]
    assert said["promoted"] == ["Healthy"]
    assert said["aborted"] == ["Degraded", "Healthy"]


# --- actions -------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[Standing], Answer]] = {
    "promote": lambda at: promote.decide(at, full=False),
    "promote-full": lambda at: promote.decide(at, full=True),
    "pause": pause.decide,
    "abort": abort.decide,
    "retry": retry.decide,
}


def by_command_line(action: str, rollout: dict[str, Any]) -> dict[str, Any] | None:
    """The patch that our command line writes; None where it refuses."""
    status = Status.from_json(rollout["status"])
    wish = wish_of(status)
    if wish is None:
        return None
    standing = Standing("colorapi", status, wish, Wishes.from_json(rollout.get("spec") or {}), "")
    try:
        return VERBS[action](standing).spec
    except SpecError:
        return None


@pytest.mark.parametrize("action", VERBS)
@pytest.mark.parametrize("phase", PHASES)
def test_an_action_is_the_verb_of_the_command_line(phase: str, action: str) -> None:
    (rollout,) = load(phase)["rollout"]
    spec = by_command_line(action, rollout)
    assert (action in offered(rollout)) == (spec is not None)
    if spec is not None:
        wanted = copy.deepcopy(rollout)
        wanted["spec"] = {k: v for k, v in ((rollout.get("spec") or {}) | spec).items() if v is not None}
        assert acted(action, rollout) == merge_patch(rollout, wanted)


def test_each_action_is_offered_in_some_phase_and_withheld_in_another() -> None:
    every = {phase: set(offered(load(phase)["rollout"][0])) for phase in PHASES}
    for action in VERBS:
        assert {action in found for found in every.values()} == {True, False}, action


@pytest.mark.parametrize("rollout", [{}, {"status": {}}, {"spec": {}, "status": {"phase": "Healthy"}}])
def test_without_a_canary_nothing_is_offered(rollout: dict[str, Any]) -> None:
    assert offered(rollout) == []


def test_a_stale_wish_does_not_hide_an_action() -> None:
    (rollout,) = load("paused")["rollout"]
    rollout["spec"] = {"paused": {"revision": "0" * 16, "attempt": 1}}
    assert "pause" in offered(rollout)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": []}, {"a": {}}, {}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merge_patch(before: Any, after: Any, patch: Any) -> None:
    assert merge_patch(before, after) == patch
