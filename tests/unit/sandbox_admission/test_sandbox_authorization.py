"""RBAC: rules, bindings, aggregation, and our own roles. Sentences are those of kube-apiserver 1.36.3."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import ADMIN, Memory

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.authorization import Rbac, path_refusal, refusal
from coalmine_sandbox.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from coalmine_sandbox.api.user import ANONYMOUS, UNAUTHENTICATED, User, service_account
from coalmine_sandbox.lab import MANIFESTS, read

ANN = User("ann", ("devs", "system:authenticated"))
BOB = service_account("ns", "bob")
NOBODY = User(ANONYMOUS, (UNAUTHENTICATED,))


def rule(*verbs: str, groups: str = "", resources: str = "pods", **fields: Any) -> Object:
    return {"verbs": list(verbs), "apiGroups": groups.split(","), "resources": resources.split(), **fields}


def put(store: Memory, resource: Resource, name: str, namespace: str = "", **fields: Any) -> None:
    metadata = {"name": name, "labels": fields.pop("labels", {})}
    if namespace:
        metadata["namespace"] = namespace
    store.put(resource, {"metadata": metadata, **fields})


def user(name: str) -> Object:
    return {"kind": "User", "name": name}


def bound(*rules: Object, subject: Object | None = None) -> Rbac:
    """A cluster role that is bound to `subject` (ann) everywhere."""
    store = Memory()
    put(store, CLUSTER_ROLES, "r", rules=list(rules))
    reference = {"kind": "ClusterRole", "name": "r"}
    put(store, CLUSTER_ROLE_BINDINGS, "b", roleRef=reference, subjects=[subject or user("ann")])
    return Rbac(store)


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (rule("get"), ("get", "", "pods", "", "ns", "x"), True),
        (rule("get"), ("list", "", "pods", "", "ns", ""), False),
        (rule("*"), ("deletecollection", "", "pods", "", "", ""), True),
        (rule("get"), ("get", "apps", "pods", "", "ns", "x"), False),
        (rule("get", groups="*"), ("get", "apps", "pods", "", "ns", "x"), True),
        (rule("get", groups=",apps"), ("get", "apps", "pods", "", "ns", "x"), True),
        (rule("get"), ("get", "", "pods", "status", "ns", "x"), False),
        (rule("get", resources="pods/status"), ("get", "", "pods", "status", "ns", "x"), True),
        (rule("get", resources="pods/status"), ("get", "", "pods", "", "ns", "x"), False),
        (rule("get", resources="*"), ("get", "", "pods", "status", "ns", "x"), True),
        (rule("get", resources="*/scale"), ("get", "", "anything", "scale", "ns", "x"), True),
        (rule("get", resources="*/scale"), ("get", "", "anything", "", "ns", "x"), False),
        (rule("get", resources="pods/*"), ("get", "", "pods", "log", "ns", "x"), False),
        (rule("get", resourceNames=["x"]), ("get", "", "pods", "", "ns", "x"), True),
        (rule("get", resourceNames=["x"]), ("get", "", "pods", "", "ns", "y"), False),
        (rule("list", resourceNames=["x"]), ("list", "", "pods", "", "ns", ""), False),
        (rule("create", resourceNames=["x"]), ("create", "", "pods", "", "ns", ""), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, ("get", "", "pods", "", "ns", "x"), False),
    ],
)
def test_rules(given: Object, asked: tuple[str, str, str, str, str, str], expected: bool) -> None:
    assert bound(given).allows(ANN, *asked) is expected
    assert bound(given).allows(User("other", ("system:authenticated",)), *asked) is False


@pytest.mark.parametrize(
    ("subject", "who", "expected"),
    [
        (user("ann"), ANN, True),
        (user("bob"), BOB, False),
        ({"kind": "Group", "name": "devs"}, ANN, True),
        ({"kind": "Group", "name": "system:authenticated"}, ANN, True),
        ({"kind": "Group", "name": "system:authenticated"}, NOBODY, False),
        ({"kind": "ServiceAccount", "name": "bob", "namespace": "ns"}, BOB, True),
        ({"kind": "ServiceAccount", "name": "bob", "namespace": "other"}, BOB, False),
        ({"kind": "Group", "name": "system:serviceaccounts:ns"}, BOB, True),
        (user("system:serviceaccount:ns:bob"), BOB, True),
        ({"kind": "Other", "name": "ann"}, ANN, False),
    ],
)
def test_subjects(subject: Object, who: User, expected: bool) -> None:
    assert bound(rule("get"), subject=subject).allows(who, "get", "", "pods", "", "ns", "x") is expected


def test_a_role_binding_holds_in_its_namespace_alone() -> None:
    store = Memory()
    put(store, ROLES, "r", "ns", rules=[rule("get")])
    put(store, CLUSTER_ROLES, "c", rules=[rule("list")])
    put(store, ROLE_BINDINGS, "b", "ns", roleRef={"kind": "Role", "name": "r"}, subjects=[user("ann")])
    put(store, ROLE_BINDINGS, "c", "ns", roleRef={"kind": "ClusterRole", "name": "c"}, subjects=[user("ann")])
    rbac = Rbac(store)
    for verb in ("get", "list"):
        assert rbac.allows(ANN, verb, "", "pods", "", "ns", "x")
        assert not rbac.allows(ANN, verb, "", "pods", "", "other", "x")
        assert not rbac.allows(ANN, verb, "", "pods", "", "", "x")


def test_a_binding_to_nothing_gives_nothing() -> None:
    store = Memory()
    for kind in ("ClusterRole", "Role"):
        put(store, CLUSTER_ROLE_BINDINGS, kind, roleRef={"kind": kind, "name": "nosuch"}, subjects=[user("ann")])
    assert not Rbac(store).allows(ANN, "get", "", "pods", "", "ns", "x")


def test_an_aggregated_role_has_what_its_labels_select() -> None:
    store = Memory()
    selectors = [{"matchLabels": {"to": "all"}}, {"matchExpressions": [{"key": "more", "operator": "Exists"}]}]
    put(store, CLUSTER_ROLES, "all", aggregationRule={"clusterRoleSelectors": selectors}, rules=[rule("own")])
    put(store, CLUSTER_ROLES, "a", labels={"to": "all"}, rules=[rule("get")])
    put(store, CLUSTER_ROLES, "b", labels={"more": ""}, rules=[rule("list")])
    put(store, CLUSTER_ROLES, "c", labels={"to": "none"}, rules=[rule("delete")])
    put(store, CLUSTER_ROLE_BINDINGS, "b", roleRef={"kind": "ClusterRole", "name": "all"}, subjects=[user("ann")])
    allowed = [v for v in ("get", "list", "delete", "own") if Rbac(store).allows(ANN, v, "", "pods", "", "", "")]
    assert allowed == ["get", "list"]


def test_an_aggregated_role_has_those_of_the_aggregated_ones_that_it_selects() -> None:
    store = Memory()
    for name, selected, labels in (("edit", "to-edit", {"to-admin": ""}), ("admin", "to-admin", {"to-edit": ""})):
        selectors = [{"matchExpressions": [{"key": selected, "operator": "Exists"}]}]
        put(store, CLUSTER_ROLES, name, labels=labels, aggregationRule={"clusterRoleSelectors": selectors})
    put(store, CLUSTER_ROLES, "a", labels={"to-edit": ""}, rules=[rule("get")])
    put(store, CLUSTER_ROLES, "b", labels={"to-admin": ""}, rules=[rule("list")])
    put(store, CLUSTER_ROLE_BINDINGS, "b", roleRef={"kind": "ClusterRole", "name": "admin"}, subjects=[user("ann")])
    allowed = [v for v in ("get", "list", "delete") if Rbac(store).allows(ANN, v, "", "pods", "", "", "")]
    assert allowed == ["get", "list"], "though each selects the other one"


def test_who_may_do_everything() -> None:
    rbac = Rbac(Memory())
    assert rbac.allows(ADMIN, "delete", "x", "y", "z", "", "")
    assert rbac.allows_path(ADMIN, "post", "/anything")


@pytest.mark.parametrize(
    ("who", "path", "expected"),
    [
        (BOB, "/api", True),
        (BOB, "/apis/apps/v1", True),
        (BOB, "/openapi/v3", True),
        (BOB, "/version", True),
        (BOB, "/metrics", False),
        (NOBODY, "/api", False),
        (NOBODY, "/version", True),
        (NOBODY, "/healthz", True),
    ],
)
def test_paths_for_everybody(who: User, path: str, expected: bool) -> None:
    assert Rbac(Memory()).allows_path(who, "get", path) is expected
    assert Rbac(Memory()).allows_path(who, "post", path) is False


def test_everybody_may_ask_about_oneself() -> None:
    rbac = Rbac(Memory())
    asked = ("create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "", "")
    assert rbac.allows(BOB, *asked)
    assert not rbac.allows(NOBODY, *asked)


def test_paths_by_a_role() -> None:
    rbac = bound({"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]})
    assert [p for p in ("/metrics", "/metrics/x", "/logs/a") if rbac.allows_path(ANN, "get", p)] == [
        "/metrics",
        "/logs/a",
    ]


OURS = service_account("coalmine-system", "coalmine-controller")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("patch", "apps", "deployments", "", "default", "x"), True),
        (("patch", "apps", "deployments", "status", "default", "x"), True),
        (("update", "apps", "deployments", "", "default", "x"), False),
        (("delete", "apps", "deployments", "", "default", "x"), False),
        (("create", "", "pods", "eviction", "default", "x"), True),
        (("create", "", "configmaps", "", "default", "coalmine-keys"), True),
        (("patch", "", "configmaps", "", "default", "coalmine-keys"), True),
        (("patch", "", "configmaps", "", "default", "another"), False),
        (("list", "", "configmaps", "", "default", ""), False),
        (("get", "", "secrets", "", "coalmine-system", "coalmine-signing-key"), True),
        (("get", "", "secrets", "", "default", "coalmine-signing-key"), False),
        (("update", "coalmine.dev", "rollouts", "status", "default", "x"), True),
        (("create", "", "events", "", "default", ""), True),
    ],
)
def test_our_controllers_own_roles(asked: tuple[str, str, str, str, str, str], expected: bool) -> None:
    store = Memory()
    kinds = {r.kind: r for r in (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)}
    for obj in read(MANIFESTS / "base" / "rbac.yaml"):
        if obj["kind"] in kinds:
            store.put(kinds[obj["kind"]], obj)
    assert Rbac(store).allows(OURS, *asked) is expected


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("get", "", "pods", "", "default", "x"),
            'pods "x" is forbidden: User "system:serviceaccount:ns:bob" cannot get resource "pods" in API group "" '
            'in the namespace "default"',
        ),
        (
            ("list", "", "pods", "", "", ""),
            'pods is forbidden: User "system:serviceaccount:ns:bob" cannot list resource "pods" in API group "" '
            "at the cluster scope",
        ),
        (
            ("patch", "apps", "deployments", "status", "default", "d"),
            'deployments.apps "d" is forbidden: User "system:serviceaccount:ns:bob" cannot patch resource '
            '"deployments/status" in API group "apps" in the namespace "default"',
        ),
    ],
)
def test_the_words_of_a_refusal(asked: tuple[str, str, str, str, str, str], said: str) -> None:
    error = refusal(BOB, *asked)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", said)


def test_the_words_about_a_path() -> None:
    said = 'forbidden: User "system:serviceaccount:ns:bob" cannot get path "/metrics"'
    assert path_refusal(BOB, "get", "/metrics").message == said
    assert "<" not in path_refusal(User("<b>&"), "get", "/<script>").message
