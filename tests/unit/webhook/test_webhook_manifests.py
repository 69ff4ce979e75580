"""The manifests say what the code relies on: names, marker, permissions, kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coalmine.model import names
from coalmine.model.condition import FAILURE_REASON, MARKER
from coalmine_webhook import certificates

ROOT = Path(__file__).parents[3] / "manifests"


def documents(*parts):
    return [d for d in yaml.safe_load_all(ROOT.joinpath(*parts).read_text()) if d]


@pytest.fixture
def webhooks():
    (configuration,) = documents("base", "webhook.yaml")
    return {w["name"].split(".")[0]: w for w in configuration["webhooks"]}


@pytest.mark.parametrize(
    ("name", "path", "resource", "operations", "policy"),
    [
        ("deployments", "/deployments", "deployments", ["CREATE", "UPDATE"], "Fail"),
        ("deployments-status", "/deployments-status", "deployments/status", ["UPDATE"], "Ignore"),
        ("pods", "/pods", "pods", ["CREATE"], "Ignore"),
    ],
)
def test_webhooks(webhooks, name, path, resource, operations, policy):
    webhook = webhooks[name]
    service = webhook["clientConfig"]["service"]
    assert (service["name"], service["namespace"]) == (certificates.SERVICE, names.SYSTEM_NAMESPACE)
    assert service["path"] == path
    (rule,) = webhook["rules"]
    assert (rule["resources"], rule["operations"]) == ([resource], operations)
    assert (webhook["failurePolicy"], webhook["sideEffects"], webhook["timeoutSeconds"]) == (policy, "None", 5)
    excluded = webhook["namespaceSelector"]["matchExpressions"][0]["values"]
    assert {"kube-system", names.SYSTEM_NAMESPACE} <= set(excluded)


def test_expressions_spell_our_names(webhooks):
    ours = webhooks["deployments"]["matchConditions"][0]["expression"]
    assert f"'{names.CANARY}'" in ours
    assert f"'{names.ROLLOUT_LABEL}'" in ours
    stale = webhooks["deployments-status"]["matchConditions"][0]["expression"]
    for word in (MARKER, FAILURE_REASON, names.HOLD):
        assert f"'{word}'" in stale
    assert webhooks["pods"]["objectSelector"]["matchLabels"] == {names.SIDECAR_LABEL: names.LABEL_TRUE}


def test_service_accounts_and_what_they_may():
    objects = {(d["kind"], d["metadata"]["name"]): d for d in documents("base", "rbac.yaml")}
    for account in (names.CONTROLLER_SERVICE_ACCOUNT, names.WEBHOOK_SERVICE_ACCOUNT):
        assert ("ServiceAccount", account) in objects
        binding = objects["ClusterRoleBinding", account]
        assert binding["subjects"][0]["namespace"] == names.SYSTEM_NAMESPACE
        for rule in objects["ClusterRole", account]["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]
    role = objects["Role", names.CONTROLLER_SERVICE_ACCOUNT]
    bound = {name for rule in role["rules"] for name in rule.get("resourceNames", ())}
    assert bound == {names.SIGNING_SECRET, names.LEASE}
    webhook = objects["ClusterRole", names.WEBHOOK_SERVICE_ACCOUNT]
    assert all(rule["verbs"] == ["get"] for rule in webhook["rules"])
    # what it keeps certificates by: tests/cluster/test_rbac.py tries all of this on an API server
    for kind, bound in (("Role", names.CERTIFICATES_SECRET), ("ClusterRole", names.WEBHOOK_CONFIGURATION)):
        rules = objects[kind, f"{names.WEBHOOK_SERVICE_ACCOUNT}-certificates"]["rules"]
        assert {name for rule in rules for name in rule.get("resourceNames", ())} == {bound}
        assert all(rule.get("resourceNames") or rule["verbs"] == ["create"] for rule in rules)


def test_only_a_create_is_not_bound_to_a_name_where_secrets_are():
    for each in documents("base", "rbac.yaml"):
        for rule in each.get("rules", ()):
            if "secrets" in rule["resources"]:
                assert each["kind"] == "Role"
                assert rule.get("resourceNames") or rule["verbs"] == ["create"]


@pytest.mark.parametrize("kind", names.PLURALS)
def test_kinds(kind):
    plural = names.PLURALS[kind]
    (definition,) = documents("crds", f"{plural}.yaml")
    spec = definition["spec"]
    assert definition["metadata"]["name"] == f"{plural}.{names.GROUP}"
    assert (spec["names"]["kind"], spec["names"]["plural"]) == (kind, plural)
    (version,) = spec["versions"]
    assert version["name"] == names.VERSION
    assert ("status" in version.get("subresources", {})) is (kind in (names.ROLLOUT, names.ANALYSIS_RUN))
    assert f"{plural}.yaml" in documents("crds", "kustomization.yaml")[0]["resources"]


def test_the_namespace_is_restricted():
    (namespace,) = documents("base", "namespace.yaml")
    assert namespace["metadata"]["name"] == names.SYSTEM_NAMESPACE
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
