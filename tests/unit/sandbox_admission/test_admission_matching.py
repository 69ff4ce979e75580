"""Which writes a webhook is asked about."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import attributes, config_map, memory, rule, webhook

from coalmine.kube.resources import CONFIG_MAPS, DEPLOYMENTS, MUTATING_WEBHOOKS, NAMESPACES, NODES, Object
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.admission.matching import is_asked, is_exempt
from coalmine_sandbox.api.errors import StatusError

MAP = attributes(CONFIG_MAPS, config_map())
DEPLOYMENT = {"metadata": {"name": "d", "namespace": "default", "labels": {"a": "b"}}}
UPDATE = attributes(DEPLOYMENTS, DEPLOYMENT, DEPLOYMENT, operation="UPDATE")
STATUS = attributes(DEPLOYMENTS, DEPLOYMENT, DEPLOYMENT, operation="UPDATE", subresource="status")
NODE = attributes(NODES, {"metadata": {"name": "n"}}, namespace="")
NAMESPACE = attributes(NAMESPACES, {"metadata": {"name": "default", "labels": {"x": "y"}}})


@pytest.mark.parametrize(
    ("asked", "matching", "expected"),
    [
        (MAP, rule("configmaps"), True),
        (MAP, rule("configmaps", "CREATE", "UPDATE"), True),
        (MAP, rule("configmaps", "UPDATE"), False),
        (MAP, rule("secrets"), False),
        (MAP, rule("*"), True),
        (MAP, rule("*/*"), True),
        (MAP, rule("configmaps", group="apps"), False),
        (MAP, rule("configmaps", group="*"), True),
        (MAP, {**rule("configmaps"), "apiVersions": ["v2"]}, False),
        (MAP, {**rule("configmaps"), "apiVersions": ["*"]}, True),
        (UPDATE, rule("deployments", group="apps"), True),
        (UPDATE, rule("deployments/status", group="apps"), False),
        (UPDATE, rule("deployments/*", group="apps"), True),
        (STATUS, rule("deployments", group="apps"), False),
        (STATUS, rule("deployments/status", group="apps"), True),
        (STATUS, rule("deployments/*", group="apps"), True),
        (STATUS, rule("*", group="apps"), False),
        (STATUS, rule("*/status", group="apps"), True),
        (STATUS, rule("*/*", group="*"), True),
        (STATUS, rule("deployments/scale", group="apps"), False),
        (MAP, rule("configmaps", scope="Namespaced"), True),
        (MAP, rule("configmaps", scope="Cluster"), False),
        (NODE, rule("nodes", scope="Cluster"), True),
        (NODE, rule("nodes", scope="Namespaced"), False),
        (NAMESPACE, rule("namespaces", scope="Cluster"), True),
        (NAMESPACE, rule("namespaces", scope="Namespaced"), False),
    ],
)
def test_rules(asked: Attributes, matching: Object, expected: bool) -> None:
    assert is_asked(webhook(rules=[matching]), asked, memory()) is expected
    assert is_asked(webhook(rules=[rule("nothing"), matching]), asked, memory()) is expected


def labelled(**labels: str) -> Object:
    return {"metadata": {"name": "d", "namespace": "default", "labels": labels}}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (labelled(a="b"), None, True),
        (labelled(a="c"), None, False),
        (labelled(), labelled(a="b"), True),
        (labelled(a="b"), labelled(), True),
        (labelled(), labelled(), False),
        (None, labelled(a="b"), True),
    ],
)
def test_an_object_selector_looks_at_both_versions(new: Object | None, old: Object | None, expected: bool) -> None:
    entry = webhook(rules=[rule("deployments", group="apps")], objectSelector={"matchLabels": {"a": "b"}})
    operation: Any = "CREATE" if old is None else "DELETE" if new is None else "UPDATE"
    assert is_asked(entry, attributes(DEPLOYMENTS, new, old, operation=operation), memory()) is expected


NOT_SYSTEM = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["default"]}]}


@pytest.mark.parametrize(
    ("asked", "selector", "expected"),
    [
        (MAP, {"matchLabels": {"kubernetes.io/metadata.name": "default"}}, True),
        (MAP, {"matchLabels": {"kubernetes.io/metadata.name": "other"}}, False),
        (MAP, NOT_SYSTEM, False),
        (MAP, {}, True),
        (NODE, NOT_SYSTEM, True),
        (NODE, {"matchLabels": {"never": "there"}}, True),
        (NAMESPACE, {"matchLabels": {"x": "y"}}, True),
        (NAMESPACE, {"matchLabels": {"kubernetes.io/metadata.name": "default"}}, False),
    ],
)
def test_a_namespace_selector(asked: Attributes, selector: Object, expected: bool) -> None:
    entry = webhook(rules=[rule("*")], namespaceSelector=selector)
    assert is_asked(entry, asked, memory()) is expected


def test_a_namespace_that_is_missing_is_404() -> None:
    asked = attributes(CONFIG_MAPS, config_map(), namespace="nowhere")
    with pytest.raises(StatusError) as refused:
        is_asked(webhook(namespaceSelector={"matchLabels": {"a": "b"}}), asked, memory())
    assert (refused.value.code, refused.value.message) == (404, 'namespaces "nowhere" not found')


def test_webhooks_are_not_asked_about_webhooks() -> None:
    assert is_exempt(attributes(MUTATING_WEBHOOKS, {"metadata": {"name": "w"}}, namespace=""))
    assert not is_exempt(MAP)
