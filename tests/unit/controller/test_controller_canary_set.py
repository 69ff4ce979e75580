"""The canary ReplicaSet as JSON, byte for byte, and what must hold for any Deployment."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import deployment, replica_set

from coalmine.kube.resources import Object
from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine_controller import canary_set
from coalmine_controller.convert import deployment_from, replica_set_from

HIDDEN_LABELS = {"app": "colorapi", "tier": "web", "pod-template-hash": "old"}


def hidden(**changes: Any) -> Object:
    """An older revision that was hidden."""
    raw = replica_set()
    raw["metadata"]["labels"] = {names.SIDECAR_LABEL: "true"}
    raw["metadata"]["annotations"] = {
        names.ROLE: "canary",
        names.DEPLOYMENT_UID: "deployment-uid",
        names.HIDDEN_LABELS: json.dumps(HIDDEN_LABELS),
    }
    raw["metadata"]["ownerReferences"] = []
    return {**raw, **changes}


def _patches() -> dict[str, Any]:
    d = deployment_from(deployment())
    ours = canary_set.hidden_set(d, 2)
    ours["metadata"] |= {"uid": "u", "resourceVersion": "90", "creationTimestamp": "2026-01-01T00:00:00Z"}
    another = {"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "x"}
    released = hidden()
    released["metadata"]["ownerReferences"] = [another]
    return {
        "hidden-set": canary_set.hidden_set(d, 2),
        "hide": canary_set.hide(d, replica_set_from(replica_set(), d)),
        "show-ours": canary_set.show(d, replica_set_from(ours, d)),
        "show-an-older-one": canary_set.show(d, replica_set_from(hidden(), d)),
        "give-back": canary_set.give_back(replica_set_from(hidden(), d)),
        "add-reference": canary_set.add_reference(d, replica_set_from(released, d)),
    }


@pytest.mark.parametrize("name", ["hidden-set", "hide", "show-ours", "show-an-older-one", "give-back", "add-reference"])
def test_golden(name: str) -> None:
    """UPDATE_GOLDEN=1 writes the files."""
    path = Path(__file__).parent / "golden" / f"canary-{name}.json"
    text = json.dumps(_patches()[name], indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_the_observed_objects_are_not_written_to() -> None:
    raw, older = deployment(), replica_set()
    d = deployment_from(raw)
    canary_set.hidden_set(d, 2)["spec"]["template"]["metadata"]["labels"]["x"] = "y"
    canary_set.hide(d, replica_set_from(older, d))
    canary_set.show(d, replica_set_from(older, d))
    assert raw == deployment()
    assert older == replica_set()


@pytest.mark.parametrize("spoilt", ["", "[]", "5", "{", "[" * 100_000, "{}"], ids=range(6))
def test_spoilt_hidden_labels_do_not_leave_a_set_hidden_for_ever(spoilt: str) -> None:
    d = deployment_from(deployment())
    raw = hidden()
    raw["metadata"]["annotations"][names.HIDDEN_LABELS] = spoilt
    found = replica_set_from(raw, d)
    for patch in (canary_set.give_back(found), canary_set.show(d, found)):
        assert patch["metadata"]["labels"]["app"] == "colorapi"
        assert patch["metadata"]["labels"]["tier"] == "web"


_KEYS = st.text("abcdefgh", min_size=1, max_size=3)
_LABELS = st.dictionaries(_KEYS, _KEYS, max_size=4)
_EXTRA = st.dictionaries(
    st.text("xyz", min_size=1, max_size=3), st.none() | st.integers() | st.text(max_size=3) | _LABELS, max_size=3
)


@st.composite
def _deployments(draw: st.DrawFn) -> Object:
    raw = deployment()
    match = draw(st.dictionaries(_KEYS, _KEYS, min_size=1, max_size=3))
    labels = {**draw(_LABELS), **match}
    raw["spec"]["selector"] = {"matchLabels": match}
    template = raw["spec"]["template"]
    template["metadata"] = {"labels": {**labels, names.SIDECAR_LABEL: "true"}, **draw(_EXTRA)}
    template["spec"] |= draw(_EXTRA)
    raw["metadata"]["name"] = draw(st.text("abc", min_size=1, max_size=20))
    raw["metadata"]["uid"] = draw(_KEYS)
    raw["spec"]["minReadySeconds"] = draw(st.integers(0, 5))
    return raw


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    return all(labels.get(k) == v for k, v in selector["matchLabels"].items())


@settings(deadline=None)
@given(_deployments(), st.integers(0, 50))
def test_a_hidden_set_of_any_deployment(raw: Object, replicas: int) -> None:
    before = copy.deepcopy(raw)
    d = deployment_from(raw)
    made = canary_set.hidden_set(d, replicas)
    template, selector = made["spec"]["template"], made["spec"]["selector"]
    assert fingerprint(template) == fingerprint(raw["spec"]["template"]) == d.fingerprint
    assert not _selects(raw["spec"]["selector"], made["metadata"]["labels"]), "the Deployment would claim it"
    assert _selects(selector, template["metadata"]["labels"]), "the API server refuses anything else"
    assert _selects(raw["spec"]["selector"], template["metadata"]["labels"]), "behind the same Services"
    assert all(not o.get("controller") for o in made["metadata"]["ownerReferences"])
    assert made["spec"]["replicas"] == replicas
    assert made["spec"].get("minReadySeconds", 0) == d.min_ready
    assert canary_set.hidden_set(d, replicas) == made, "one state of the world, one ReplicaSet"
    assert raw == before
    stored = {**made, "metadata": {**made["metadata"], "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    found = replica_set_from(stored, d)
    assert (found.hidden, found.ours, found.referenced, found.owned, found.returnable) == (
        True,
        True,
        True,
        False,
        False,
    )
    shown = canary_set.show(d, found)["metadata"]["labels"]
    assert _selects(raw["spec"]["selector"], shown), "the handover's patch lets the Deployment adopt it"
    assert shown[names.POD_TEMPLATE_HASH] == found.hash == canary_set.template_hash(d)


def test_the_hash_tells_deployments_of_one_name_apart() -> None:
    one, other = deployment(), deployment()
    other["metadata"]["uid"] = "made-again"
    assert canary_set.template_hash(deployment_from(one)) != canary_set.template_hash(deployment_from(other))
