"""What a request is called when it is counted."""

from __future__ import annotations

import pytest

from coalmine.kube.calls import words
from coalmine.kube.resources import CLUSTER_ANALYSIS_TEMPLATES, DEPLOYMENTS, PODS, ROLLOUTS


@pytest.mark.parametrize(
    ("method", "path", "query", "verb", "resource"),
    [
        ("GET", DEPLOYMENTS.path(None), None, "List", "deployments"),
        ("GET", DEPLOYMENTS.path("shop"), {"limit": "500"}, "List", "deployments"),
        ("GET", PODS.path("shop"), {"watch": "true"}, "Watch", "pods"),
        ("GET", PODS.path(None), {"watch": "true"}, "Watch", "pods"),
        ("GET", PODS.path("shop", "a"), None, "Get", "pods"),
        ("POST", PODS.path("shop"), None, "Create", "pods"),
        ("POST", PODS.path("shop", "a", "eviction"), None, "Create", "pods/eviction"),
        ("PUT", ROLLOUTS.path("shop", "a", "status"), None, "Update", "rollouts/status"),
        ("PATCH", DEPLOYMENTS.path("shop", "a"), None, "Patch", "deployments"),
        ("DELETE", DEPLOYMENTS.path("shop", "a"), None, "Delete", "deployments"),
        ("GET", CLUSTER_ANALYSIS_TEMPLATES.path(None), None, "List", "clusteranalysistemplates"),
        ("GET", CLUSTER_ANALYSIS_TEMPLATES.path(None, "a"), None, "Get", "clusteranalysistemplates"),
        ("POST", f"{DEPLOYMENTS.path('shop')}?dryRun=All", None, "Create", "deployments"),
        ("GET", "/api/v1/namespaces", None, "List", "namespaces"),
        ("GET", "/api/v1/namespaces/shop", None, "Get", "namespaces"),
        ("GET", "/version", None, "Get", "other"),
        ("GET", "/apis/apps/v1", None, "Get", "other"),
        ("GET", "/api/v1", None, "Get", "other"),
        ("GET", "/", None, "Get", "other"),
    ],
)
def test_words(method: str, path: str, query: dict[str, str] | None, verb: str, resource: str) -> None:
    assert words(method, path, query) == (verb, resource)
