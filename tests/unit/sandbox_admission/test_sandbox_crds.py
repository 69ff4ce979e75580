"""CustomResourceDefinitions. Sentences are those of kube-apiserver 1.36.3, but for the limits that are ours."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api import crd_rules, crds
from coalmine_sandbox.api.definitions import Accepted
from coalmine_sandbox.api.schema import check
from coalmine_sandbox.lab import MANIFESTS, read

NOW = "2001-09-09T01:46:40Z"
SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["n"],
            "properties": {
                "n": {"type": "integer", "minimum": 1, "default": 3},
                "s": {"type": "string", "enum": ["a", "b"]},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
SCALE = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}


def version(schema: Object | None = None, **fields: Any) -> Object:
    made = {"openAPIV3Schema": schema or SCHEMA}
    return {"name": "v1", "served": True, "storage": True, "schema": made, **fields}


def definition(*versions: Object, name: str = "things.x.dev", **spec: Any) -> Object:
    """One with its defaults."""
    names = {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"}
    conversion = {"strategy": "None"}
    given = {"group": "x.dev", "scope": "Namespaced", "names": names, "conversion": conversion}
    return {"metadata": {"name": name}, "spec": {**given, "versions": list(versions) or [version()], **spec}}


def of(properties: Object) -> Object:
    return definition(version({"type": "object", "properties": properties}))


def said(crd: Object) -> list[str]:
    return [f"{fault.field}: {fault.message}" for fault in crd_rules.faults(crd)]


@pytest.mark.parametrize("file", sorted((MANIFESTS / "crds").glob("*s.yaml")), ids=lambda p: p.stem)
def test_our_own_definitions_are_served(file: Any) -> None:
    if file.stem == "kustomization":
        return
    (crd,) = read(file)
    crd["spec"].setdefault("conversion", {"strategy": "None"})
    assert crd_rules.faults(crd) == []
    custom = judged(crd).custom
    assert custom is not None
    assert custom.resource.kind == crd["spec"]["names"]["kind"]
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column.name for column in custom.columns] == [column["name"] for column in columns]


def test_a_good_one_has_no_faults() -> None:
    assert said(definition(version(subresources={"status": {}, "scale": SCALE}))) == []


IN_SCHEMA = "spec.validation.openAPIV3Schema"
MIXED = "may have mixed case, but should otherwise match: "
PATH = "must be a simple json path starting with ."
LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("crd", "faults"),
    [
        (
            definition(name="x.y.dev"),
            ['metadata.name: Invalid value: "x.y.dev": must be spec.names.plural+"."+spec.group'],
        ),
        (definition(scope="X"), ['spec.scope: Unsupported value: "X": supported values: "Cluster", "Namespaced"']),
        (
            definition(names={"plural": "things"}),
            [
                "spec.names.singular: Required value",
                "spec.names.kind: Required value",
                "spec.names.listKind: Required value",
            ],
        ),
        (
            definition(names={"plural": "things", "kind": "1x", "singular": "1x", "listKind": "1xList"}),
            [
                f'spec.names.singular: Invalid value: "1x": {LABEL}',
                f'spec.names.kind: Invalid value: "1x": {MIXED}{LABEL}',
                f'spec.names.listKind: Invalid value: "1xList": {MIXED}{LABEL}',
            ],
        ),
        (
            definition(version(schema={"properties": {}})),
            [f"{IN_SCHEMA}.type: Required value: must not be empty at the root"],
        ),
        (
            of({"a": {}}),
            [f"{IN_SCHEMA}.properties[a].type: Required value: must not be empty for specified object fields"],
        ),
        (
            of({"metadata": {"type": "object", "properties": {"x": {"type": "string"}}}}),
            [
                f"{IN_SCHEMA}.properties[metadata]: Forbidden: must not specify anything other than name and "
                "generateName, but metadata is implicitly specified"
            ],
        ),
        (
            of(
                {
                    "a": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "properties": {"b": {"type": "string"}},
                    }
                }
            ),
            [
                f"{IN_SCHEMA}.properties[a].additionalProperties: Forbidden: "
                "additionalProperties and properties are mutual exclusive"
            ],
        ),
        (
            definition(version(additionalPrinterColumns=[{"name": "", "type": "x", "jsonPath": "a"}])),
            [
                "spec.additionalPrinterColumns[0].name: Required value",
                'spec.additionalPrinterColumns[0].type: Invalid value: "x": '
                "must be one of boolean,date,integer,number,string",
                f'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "a": {PATH}',
            ],
        ),
        (
            definition(version(subresources={"scale": {"specReplicasPath": "a"}})),
            [
                f'spec.subresources.scale.specReplicasPath: Invalid value: "a": {PATH}',
                "spec.subresources.scale.statusReplicasPath: Required value",
            ],
        ),
        (
            definition(group="x", name="things.x"),
            ['spec.group: Invalid value: "x": should be a domain with at least one dot'],
        ),
        (
            of({"a": {"type": "string", "anyOf": [{"type": "string"}]}}),
            [f"{IN_SCHEMA}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            of(
                {
                    "a": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["k"],
                        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                    }
                }
            ),
            [
                f"{IN_SCHEMA}.properties[a].items.properties[k].default: Required value: this property is in "
                "x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ],
        ),
        (of({"a": {"type": "array"}}), [f"{IN_SCHEMA}.properties[a].items: Required value: must be specified"]),
        (
            of({"a": {"type": "integer", "default": "x"}}),
            [f'{IN_SCHEMA}.properties[a].default: Invalid value: "string":  in body must be of type integer: "string"'],
        ),
        (
            of({"a": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}}),
            [
                f"{IN_SCHEMA}.properties[a].uniqueItems: Forbidden: "
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            ],
        ),
        (
            of({"a": {"$ref": "x"}}),
            [f"{IN_SCHEMA}.properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        (
            of({"a": {"type": "text"}}),
            [
                f'{IN_SCHEMA}.properties[a].type: Unsupported value: "text": '
                'supported values: "array", "boolean", "integer", "number", "object", "string"'
            ],
        ),
    ],
)
def test_faults_in_the_words_of_the_real_one(crd: Object, faults: list[str]) -> None:
    assert said(crd) == faults


@pytest.mark.parametrize(
    ("crd", "part"),
    [
        (definition(version(storage=False)), "must have exactly one version marked as storage version"),
        (definition(version(), {**version(), "name": "v2"}), "must have exactly one version marked as storage version"),
        (definition({"name": "v1", "served": True, "storage": True}), "schema.openAPIV3Schema: Required value"),
        (definition(preserveUnknownFields=True), "cannot set to true"),
        (definition(group="x.k8s.io", name="things.x.k8s.io"), "protected groups must have approval annotation"),
        (definition(version(), {**version(), "name": "v2", "storage": False}), "serves one version of a kind"),
        (definition(conversion={"strategy": "Webhook"}), "the sandbox converts nothing"),
        (
            of({"a": {"type": "string", "x-kubernetes-validations": [{"rule": "self != ''"}]}}),
            "properties[a].x-kubernetes-validations: Forbidden: the sandbox evaluates no CEL rules of custom objects",
        ),
        (of({"a": {"type": "string", "pattern": "("}}), "is no regular expression"),
    ],
)
def test_what_is_refused(crd: Object, part: str) -> None:
    assert any(part in fault for fault in said(crd)), said(crd)


def test_a_schema_may_not_be_deep_without_end() -> None:
    deep: Object = {"type": "string"}
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    assert any("nested deeper than" in fault for fault in said(of({"a": deep})))


# --- names ---------------------------------------------------------------------------------------


def judged(crd: Object, *others: Object) -> Accepted:
    return crds.judge(lambda: 1e9)(crd, list(others))


def accepted(crd: Object, *others: Object) -> Object:
    """The definition with its status."""
    return {**crd, "status": judged(crd, *others).status}


def test_free_names_are_accepted_and_the_kind_established() -> None:
    crd = definition(version(subresources={"status": {}, "scale": SCALE}))
    status, custom = judged(crd)
    assert status == {
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "lastTransitionTime": NOW,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "lastTransitionTime": NOW,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "acceptedNames": crd["spec"]["names"],
        "storedVersions": ["v1"],
    }
    assert custom is not None
    assert custom.resource == Resource("x.dev/v1", "Thing", "things")
    assert custom.subresources == ("status", "scale")
    assert custom.scale == (".spec.n", ".status.n", ".status.s")
    assert [column.name for column in custom.columns] == ["Age"]


def test_judging_again_changes_nothing() -> None:
    first = accepted(definition())
    again = crds.judge(lambda: 2e9)(copy.deepcopy(first), [])
    assert again.status == first["status"]


def test_a_kind_that_is_taken() -> None:
    """As the real one says it of things and thingies that are both Things."""
    names = {"plural": "thingies", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    second = definition(name="thingies.x.dev", names=names)
    status, custom = judged(second, accepted(definition()))
    named, established = status["conditions"]
    assert (named["status"], named["reason"], named["message"]) == (
        "False",
        "ListKindConflict",
        '"ThingList" is already in use',
    )
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    assert status["acceptedNames"] == {"plural": "thingies", "kind": ""}
    assert custom is None


def test_other_groups_have_names_of_their_own() -> None:
    assert judged(definition(group="y.dev", name="things.y.dev"), accepted(definition())).custom is not None


def test_what_was_established_stays_so() -> None:
    """A new short name that is taken is not accepted; the kind is served as before."""
    other = accepted(definition(name="others.x.dev", names={"plural": "others", "kind": "Other", "shortNames": ["t"]}))
    crd = accepted(definition(), other)
    crd["spec"]["names"]["shortNames"] = ["t"]
    status, custom = judged(crd, other)
    assert [c["status"] for c in status["conditions"]] == ["False", "True"]
    assert "shortNames" not in status["acceptedNames"]
    assert custom is not None


def test_a_version_that_is_not_served_serves_nothing() -> None:
    assert judged(definition(version(served=False))).custom is None


# --- objects -------------------------------------------------------------------------------------


def thing(**fields: Any) -> Object:
    return {"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t"}, **fields}


@pytest.mark.parametrize(
    ("obj", "faults"),
    [
        (thing(spec={"n": 1}), []),
        (thing(), []),
        (thing(spec={"n": 0}), ["spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1"]),
        (thing(spec={"n": 1, "s": "z"}), ['spec.s: Unsupported value: "z": supported values: "a", "b"']),
        (thing(spec={}), ["spec.n: Required value"]),
        (thing(spec=[]), ['spec: Invalid value: "array": spec in body must be of type object: "array"']),
        (
            thing(spec={"n": -1}),
            [
                "spec.n: Invalid value: -1: spec.n in body should be greater than or equal to 1",
                ".spec.n: Invalid value: -1: should be a non-negative integer",
            ],
        ),
    ],
)
def test_objects_are_checked(obj: Object, faults: list[str]) -> None:
    custom = judged(definition(version(subresources={"scale": SCALE}))).custom
    assert custom is not None
    assert [f"{f.field}: {f.message}" for f in custom.faults(obj, None)] == faults


def test_what_was_wrong_already_is_left_alone() -> None:
    """A schema that became stricter does not keep objects from being changed elsewhere."""
    custom = judged(definition()).custom
    assert custom is not None
    old = thing(spec={"n": 1, "s": "z"})
    assert custom.faults(thing(spec={"n": 2, "s": "z"}), old) == []
    assert len(custom.faults(thing(spec={"n": 0, "s": "z"}), old)) == 1
    assert len(custom.faults(thing(spec={"n": 1, "s": "y"}), old)) == 1


def test_unknown_fields_go_and_defaults_come() -> None:
    custom = judged(definition()).custom
    assert custom is not None
    pruned = check.prune(custom.node, thing(spec={"extra": 1}, status={"any": 1}))
    assert check.default(custom.node, pruned) == thing(spec={"n": 3}, status={"any": 1})
