"""Structures, and what is said of objects that do not fit them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coalmine.kube.resources import CRDS, DEPLOYMENTS, PODS, ROLLOUTS, SERVICES, Object, Resource
from coalmine.model import quantities
from coalmine_sandbox.api import defaults
from coalmine_sandbox.api.schema import builtin, check, decoding, spelling, structural
from coalmine_sandbox.api.schema.node import Node, Shape

CRD_FILES = sorted((Path(__file__).parents[3] / "manifests" / "crds").glob("*s.yaml"))
SAMPLES = list(yaml.safe_load_all((Path(__file__).parents[2] / "cluster" / "recorded" / "samples.yaml").read_text()))
LABELS = {"app": "a"}


def node(resource: Any) -> Node:
    found = builtin.structure(resource)
    assert found is not None
    return found


def deployment(**container: Any) -> Object:
    spec = {"containers": [{"name": "a", "image": "a:1", **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": spec}},
    }


def custom(schema: Object) -> Node:
    return structural.structure({"type": "object", "properties": {"spec": schema}})


def said(node: Node, obj: Object) -> list[str]:
    return [f"{fault.field}: {fault.message}" for fault in check.faults(node, obj)]


def test_built_in_kinds_have_structures_and_others_have_none() -> None:
    assert node(DEPLOYMENTS) is node(DEPLOYMENTS)
    assert builtin.structure(ROLLOUTS) is None
    assert builtin.definition_name("apps/v1", "Deployment") == "io.k8s.api.apps.v1.Deployment"
    for api_version, kind in (
        ("autoscaling/v1", "Scale"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("policy/v1", "Eviction"),
        ("v1", "Binding"),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    ):
        assert builtin.subresource_structure(api_version, kind) is not None
    for name in builtin.definitions():
        builtin.definition(name)


def test_a_json_schema_may_hold_json_schemas() -> None:
    schema = node(CRDS).fields["spec"].fields["versions"]
    assert schema.items is not None
    properties = schema.items.fields["schema"].fields["openAPIV3Schema"].fields["properties"]
    assert properties.items is not None
    assert properties.items.fields["properties"].shape is Shape.MAP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": 1}, "json: cannot unmarshal number into Go struct field "
         "Container.spec.template.spec.containers.image of type string"),
        ({"stdin": "yes"}, "json: cannot unmarshal string into Go struct field "
         "Container.spec.template.spec.containers.stdin of type bool"),
        ({"command": "a"}, "json: cannot unmarshal string into Go struct field "
         "Container.spec.template.spec.containers.command of type []string"),
        ({"ports": [{"containerPort": "80"}]}, "json: cannot unmarshal string into Go struct field "
         "ContainerPort.spec.template.spec.containers.ports.containerPort of type int32"),
        ({"resources": {"limits": {"cpu": "much"}}}, "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_not_decoded(change: Object, message: str) -> None:
    refusal = decoding.refusal(node(DEPLOYMENTS), "apps/v1", "Deployment", deployment(**change))
    assert refusal is not None
    assert refusal.code == 400
    assert refusal.message == f'Deployment in version "v1" cannot be handled as a Deployment: {message}'


def test_integers_have_a_size() -> None:
    obj = deployment()
    obj["spec"]["replicas"] = 3_000_000_000
    refusal = decoding.refusal(node(DEPLOYMENTS), "apps/v1", "Deployment", obj)
    assert refusal is not None
    assert refusal.message.endswith("number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32")


def test_unknown_fields_are_named_and_pruned() -> None:
    obj = deployment(imagee="x", env=[{"name": "A", "vaule": "1"}])
    obj["spec"]["foo"] = {"bar": 1}
    paths = ["spec.template.spec.containers[0].imagee", "spec.template.spec.containers[0].env[0].vaule", "spec.foo"]
    assert check.unknown(node(DEPLOYMENTS), obj) == paths
    before = copy.deepcopy(obj)
    assert check.prune(node(DEPLOYMENTS), obj) == deployment(env=[{"name": "A"}])
    assert obj == before


def test_what_a_built_in_kind_needs_is_required() -> None:
    obj = deployment(name="", env=[{"value": "1"}], imagePullPolicy="Sometimes")
    del obj["spec"]["selector"]
    made = defaults.complete(DEPLOYMENTS, obj)
    where = "spec.template.spec.containers[0]"
    assert set(said(node(DEPLOYMENTS), made)) == {
        "spec.selector: Required value",
        f"{where}.name: Required value",
        f"{where}.env[0].name: Required value",
        f'{where}.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    }
    obj = deployment()
    obj["spec"]["template"]["spec"]["containers"] = []
    made = defaults.complete(DEPLOYMENTS, obj)
    assert said(node(DEPLOYMENTS), made) == ["spec.template.spec.containers: Required value"]


@pytest.mark.parametrize(
    ("schema", "value", "faults"),
    [
        ({"type": "integer"}, "x", ['spec: Invalid value: "string": spec in body must be of type integer: "string"']),
        ({"type": "integer"}, True, [
            'spec: Invalid value: "boolean": spec in body must be of type integer: "boolean"']),
        ({"type": "integer"}, 3.0, []),
        ({"type": "string"}, None, ['spec: Invalid value: "null": spec in body must be of type string: "null"']),
        ({"type": "string", "nullable": True}, None, []),
        ({"type": "string", "enum": ["a", "b"]}, "x", ['spec: Unsupported value: "x": supported values: "a", "b"']),
        ({"type": "object", "required": ["x"]}, {}, ["spec.x: Required value"]),
        ({"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}}, {"x": ""}, []),
        ({"type": "number", "minimum": 1}, 0, [
            "spec: Invalid value: 0: spec in body should be greater than or equal to 1"]),
        ({"type": "number", "maximum": 1}, 2.5, [
            "spec: Invalid value: 2.5: spec in body should be less than or equal to 1"]),
        ({"type": "string", "pattern": "^a+$"}, "b", ["spec: Invalid value: \"b\": spec in body should match '^a+$'"]),
        ({"type": "string", "minLength": 2}, "b", [
            'spec: Invalid value: "b": spec in body should be at least 2 chars long']),
        ({"type": "string", "maxLength": 2}, "bbb", ["spec: Too long: may not be more than 2 bytes"]),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, [], [
            "spec: Invalid value: 0: spec in body should have at least 1 items"]),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["a", "b"], [
            "spec: Too many: 2: must have at most 1 items"]),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], [
            'spec[1]: Invalid value: "integer": spec[1] in body must be of type string: "integer"']),
        ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, ["a", "a"], [
            'spec[1]: Duplicate value: "a"']),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"k": "v"}, [
            'spec.k: Invalid value: "string": spec.k in body must be of type integer: "string"']),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, "5%", []),
        ({"x-kubernetes-int-or-string": True}, 1.5, [
            'spec: Invalid value: "number": spec in body must be of type integer,string: "number"']),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, [], [
            'spec: Invalid value: "array": spec in body must be of type object: "array"']),
        ({"x-kubernetes-preserve-unknown-fields": True}, [1, {"a": None}], []),
        ({"type": "string", "format": "date-time"}, "yesterday", [
            'spec: Invalid value: "yesterday": spec in body must be of type date-time: "yesterday"']),
    ],
)  # fmt: skip
def test_custom_resources_are_held_to_their_schema(schema: Object, value: Any, faults: list[str]) -> None:
    assert said(custom(schema), {"spec": value}) == faults


def test_defaults_of_a_schema_fill_what_is_missing() -> None:
    inner = {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 3}}}
    items = {"type": "array", "items": inner}
    root = custom({"type": "object", "properties": {"inner": inner, "list": items, "plain": {"type": "string"}}})
    made = check.default(root, {"spec": {"list": [{}, {"n": 4}], "inner": None}})
    assert made == {"spec": {"inner": {"n": 3}, "list": [{"n": 3}, {"n": 4}]}}
    assert check.default(root, made) == made
    assert check.default(root, {}) == {}


@pytest.mark.parametrize("path", CRD_FILES, ids=lambda path: path.stem)
def test_our_own_kinds_keep_what_their_schema_knows(path: Path) -> None:
    schema = yaml.safe_load(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root = structural.structure(schema)
    obj = {"apiVersion": "a", "kind": "k", "metadata": {"name": "n", "labels": {"a": "b"}}, "nonsense": 1}
    assert check.unknown(root, obj) == ["nonsense"]
    assert check.prune(root, obj) == {key: obj[key] for key in ("apiVersion", "kind", "metadata")}
    assert all(fault.reason == "FieldValueRequired" for fault in check.faults(root, obj))


@pytest.mark.parametrize(
    ("schema", "text"),
    [({"pattern": "("}, "no regular expression"), ({"pattern": "a" * 2000}, "longer"), ({"type": "float"}, "float")],
)
def test_a_schema_that_cannot_be_taken_is_refused(schema: Object, text: str) -> None:
    with pytest.raises(structural.SchemaError, match=text):
        custom({"type": "string", **schema})


def test_a_schema_without_end_is_refused() -> None:
    schema: Object = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(structural.SchemaError, match="deeper"):
        custom(schema)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("0.5Gi", "512Mi"), ("0.01", "10m"), ("1000m", "1"), ("1024Ki", "1Mi"), ("1000", "1k"), (1000, "1k"),
        ("0", "0"),
        ("100Ki", "100Ki"), ("0.5Ki", "512"), ("1.5", "1500m"), (0.5, "500m"), ("1e3", "1e3"), ("+5", "5"),
        ("-0.1", "-100m"),
        ("1Ei", "1Ei"), (".5", "500m"), ("3.", "3"), ("1500Mi", "1500Mi"), ("123456789n", "123456789n"), ("no", "no"),
        ("1e999999999", "1e999999999"),
    ],
)  # fmt: skip
def test_quantities_have_one_spelling(written: Any, stored: str) -> None:
    assert quantities.canonical(written) == stored
    assert quantities.canonical(stored) == stored


def test_amounts_of_resources_are_rounded_up_to_thousandths() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [
        {"name": "a", "resources": {"requests": {"cpu": "0.0001", "memory": "1.5"}}}]}}  # fmt: skip
    made = defaults.complete(PODS, obj)
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1m", "memory": "1500m"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("host:5000/a", "Always"),
        ("host:5000/a:1", "IfNotPresent"), ("a@sha256:00", "IfNotPresent"), ("a:latest@sha256:00", "Always"),
    ],
)  # fmt: skip
def test_an_image_is_pulled_always_if_its_tag_moves(image: str, policy: str) -> None:
    made = defaults.complete(DEPLOYMENTS, deployment(image=image))
    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_completing_changes_nothing_of_what_it_is_given() -> None:
    obj = deployment(env=[{"name": "A", "value": ""}])
    before = copy.deepcopy(obj)
    defaults.complete(DEPLOYMENTS, obj)
    assert obj == before


def test_a_service_that_is_reached_from_outside_has_a_policy() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {},
        "spec": {"type": "ExternalName", "externalName": "a.b"},
    }
    made = defaults.complete(SERVICES, obj)
    assert made["spec"] == {"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}


def test_a_custom_resources_metadata_is_spelled_as_any() -> None:
    obj = {"metadata": {"name": "n", "labels": {}, "creationTimestamp": None}, "spec": {"labels": {}}}
    assert defaults.complete(ROLLOUTS, obj) == {"metadata": {"name": "n"}, "spec": {"labels": {}}}


def thinned(value: Any, keep: Callable[[], bool]) -> Any:
    """With some of its fields and items."""
    if isinstance(value, dict):
        return {k: thinned(v, keep) for k, v in value.items() if k in {"apiVersion", "kind"} or keep()}
    return [thinned(item, keep) for item in value if keep()] if isinstance(value, list) else value


@given(st.sampled_from(SAMPLES), st.randoms(use_true_random=False))
def test_completing_twice_is_completing_once_whatever_is_missing(sample: Object, random: Random) -> None:
    obj = thinned(sample, lambda: random.random() < 0.8)
    resource = Resource(obj["apiVersion"], obj["kind"], "")
    once = defaults.complete(resource, obj)
    assert defaults.complete(resource, once) == once
    assert decoding.refusal(node(resource), obj["apiVersion"], obj["kind"], once) is None


def test_kinds_of_one_name_are_kept_apart() -> None:
    """Two groups have an Event, with other fields that are always written."""
    core, events = (builtin.subresource_structure(version, "Event") for version in ("v1", "events.k8s.io/v1"))
    assert core is not None
    assert events is not None
    written = {version: spelling.spelled(found, {}) for version, found in (("core", core), ("events", events))}
    assert "involvedObject" in written["core"]
    assert "involvedObject" not in written["events"]
    assert "regarding" in written["events"]


def test_a_null_that_may_not_be_gives_way_or_goes() -> None:
    """apiextensions' PruneNonNullableNullsWithoutDefaults, after its defaulting."""
    text = {"type": "string"}
    schema = structural.structure(
        {
            "type": "object",
            "properties": {
                "given": {**text, "default": "x"},
                "bare": text,
                "nullable": {**text, "nullable": True},
                "map": {"type": "object", "additionalProperties": text},
                "inner": {"type": "object", "properties": {"bare": text}},
            },
        }
    )
    nulls = {"given": None, "bare": None, "nullable": None, "map": {"a": None, "b": "1"}, "inner": {"bare": None}}
    assert check.default(schema, nulls) == {"given": "x", "nullable": None, "map": {"b": "1"}, "inner": {}}


@pytest.mark.parametrize("cpu", ["1e9999", "9" * 33])
def test_a_quantity_that_nobody_can_mean_is_refused(cpu: str) -> None:
    obj = deployment(resources={"limits": {"cpu": cpu}})
    refusal = decoding.refusal(node(DEPLOYMENTS), "apps/v1", "Deployment", obj)
    assert refusal is not None
    assert "quantities must match" in refusal.message
