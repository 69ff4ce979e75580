"""What is wrong with webhook configurations, in the words of kube-apiserver 1.36.3."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import configuration, rule, webhook

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.configuration import faults
from coalmine_sandbox.lab import MANIFESTS, read

NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)

STAR = "if '*' is present, must not specify other"
SLASHED = STAR.replace("*", "*/*")


def without(field: str) -> Object:
    return {key: value for key, value in webhook().items() if key != field}


def condition(*expressions: str, name: str = "a") -> Object:
    return webhook(matchConditions=[{"name": name, "expression": expression} for expression in expressions])


def client(**config: Any) -> Object:
    return webhook(clientConfig=config)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (webhook(), []),
        (
            webhook("abc"),
            ['name: Invalid value: "abc": should be a domain with at least three segments separated by dots'],
        ),
        (without("sideEffects"), ["sideEffects: Required value: must specify one of None, NoneOnDryRun"]),
        (
            webhook(sideEffects="Some"),
            ['sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
        ),
        (
            webhook(timeoutSeconds=31),
            ["timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        ),
        (
            client(url="http://a/b"),
            [
                "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; "
                "desired format: https://host[/path]"
            ],
        ),
        (client(), ["clientConfig: Required value: exactly one of url or service is required"]),
        (
            client(url="https://a/b", service={"name": "a", "namespace": "b"}),
            ["clientConfig: Required value: exactly one of url or service is required"],
        ),
        (client(service={"namespace": "b"}), ["clientConfig.service.name: Required value: service name is required"]),
        (
            client(url="https://me:secret@a/b"),
            ['clientConfig.url: Invalid value: "<redacted>": user information is not permitted in the URL'],
        ),
        (
            webhook(admissionReviewVersions=["v2"]),
            ['admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1'],
        ),
        (
            webhook(admissionReviewVersions=[]),
            ["admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
        ),
        (webhook(failurePolicy="X"), ['failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"']),
        (webhook(matchPolicy="X"), ['matchPolicy: Unsupported value: "X": supported values: "Equivalent", "Exact"']),
        (
            webhook(reinvocationPolicy="X"),
            ['reinvocationPolicy: Unsupported value: "X": supported values: "IfNeeded", "Never"'],
        ),
        (
            webhook(rules=[{"apiGroups": [], "apiVersions": [], "resources": [], "operations": ["X"]}]),
            [
                'rules[0].operations[0]: Unsupported value: "X": '
                'supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
                "rules[0].apiGroups: Required value",
                "rules[0].apiVersions: Required value",
                "rules[0].resources: Required value",
            ],
        ),
        (
            webhook(
                rules=[
                    {
                        **rule("x"),
                        "apiGroups": ["*", "a"],
                        "resources": ["*/*", "pods"],
                        "operations": ["*", "CREATE"],
                        "scope": "X",
                    }
                ]
            ),
            [
                f'rules[0].operations: Invalid value: ["*","CREATE"]: {STAR} operations',
                f'rules[0].apiGroups: Invalid value: ["*","a"]: {STAR} API groups',
                f'rules[0].resources: Invalid value: ["*/*","pods"]: {SLASHED} resources',
                'rules[0].scope: Unsupported value: "X": supported values: "*", "Cluster", "Namespaced"',
            ],
        ),
        (
            webhook(objectSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
            [
                "objectSelector.matchExpressions[0].values: Required value: "
                "must be specified when `operator` is 'In' or 'NotIn'"
            ],
        ),
        (
            condition("'a'"),
            ["matchConditions[0].expression: Invalid value: \"'a'\": must evaluate to bool but got string"],
        ),
        (condition(""), ["matchConditions[0].expression: Required value"]),
        (condition("true", name="a b"), [f'matchConditions[0].name: Invalid value: "a b": {NAME}']),
        (condition("true", "true"), ['matchConditions[1].name: Duplicate value: "a"']),
        (condition(*["true"] * 65), ["matchConditions: Too many: 65: must have at most 64 items"]),
    ],
)
def test_faults(entry: Object, said: list[str]) -> None:
    found = faults(configuration(webhook("first.b.c"), entry))
    assert [f"{fault.field}: {fault.message}" for fault in found] == [f"webhooks[1].{each}" for each in said]


def test_names_are_there_once() -> None:
    (fault,) = faults(configuration(webhook(), webhook()))
    assert (fault.field, fault.message) == ("webhooks[1].name", 'Duplicate value: "a.b.c"')


def test_our_own_is_right() -> None:
    (ours,) = read(MANIFESTS / "base" / "webhook.yaml")
    assert faults(ours) == []
