"""`check`: the server, rights, webhook, controller and leftovers, each fault in an otherwise clean cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import check_sight as make
import pytest
import yaml

from coalmine.kube import resources as r
from coalmine.kube.verbs import ApiError
from coalmine.model import names
from coalmine_cli.checking import reading, report, rights
from coalmine_cli.checking.findings import Result, failed, is_bad, ok, warning
from coalmine_cli.checking.sight import Access, Listing, One, Probe, Sight, Tried

Facts = dict[str, Any]


def told(sight: Sight, *, before: bool = False) -> list[str]:
    return make.bad(report.findings(sight, before=before))


def test_a_clean_cluster() -> None:
    assert told(make.sight()) == []


def test_before_an_installation_nothing_of_ours_is_expected() -> None:
    asked = rights.needed("shop", before=True)
    empty = {r.DEPLOYMENTS: [], r.CONFIG_MAPS: []}
    nothing: Facts = {"registration": One(), "webhook": One(), "controller": One(), "lease": One(), "crds": Listing()}
    sight = make.sight(empty, **nothing, rights=dict.fromkeys(asked, True))
    assert told(sight, before=True) == []


VERSIONS = [
    ({"major": "1", "minor": "29", "gitVersion": "v1.29.1"}, "failed"),
    ({"major": "1", "minor": "30+", "gitVersion": "v1.30.9-eks"}, "warning"),
    ({"major": "1", "minor": "32", "gitVersion": "v1.32.0"}, "warning"),
    ({"major": "1", "minor": "33", "gitVersion": "v1.33.0"}, "ok"),
    ({"major": "2", "minor": "0", "gitVersion": "v2.0.0"}, "ok"),
    ({"gitVersion": "weird"}, "skipped"),
]


@pytest.mark.parametrize(("version", "result"), VERSIONS, ids=[v["gitVersion"] for v, _ in VERSIONS])
def test_the_servers_version(version: Facts, result: str) -> None:
    found = report.findings(make.sight(version=version), before=False)
    assert [f.result.value for f in found if f.check == "server version"] == [result]


LESS = Listing(tuple(make.crd(p) for p in names.PLURALS.values() if not p.startswith("cluster")))
INSTALLATION: list[tuple[str, Facts, list[str]]] = [
    ("no group", {"groups": frozenset({"apps/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1"})}, [
        "failed cluster: features: the API server does not serve admissionregistration.k8s.io/v1; "
        "switch it on (--runtime-config of the API server)",
    ]),
    ("no registration", {"registration": One(), "probe": Probe(Tried.PASSED)}, [
        "failed cluster: webhook registration: there is no MutatingWebhookConfiguration coalmine: nothing is held, no "
        "pod gets a sidecar; apply it again: kubectl apply -k manifests/base",
        "failed cluster: webhook reachable: a Deployment with a bad annotation passes (dry run): the API server does "
        "not ask the webhook; compare the registration; apply it again: kubectl apply -k manifests/base",
    ]),
    ("not to be read", {"registration": One(problem="you may not read them")}, [
        "skipped cluster: webhook registration: the webhook configuration cannot be read: you may not read them",
    ]),
    ("ignores", {"registration": One(make.registration(failurePolicy="Ignore"))}, [
        "warning cluster: webhook registration: deployments.coalmine.dev has failurePolicy Ignore: with the webhook "
        "down, releases ship unwatched; write failurePolicy: Fail",
    ]),
    ("asked for everything", {"registration": One(make.registration(matchConditions=[]))}, [
        "failed cluster: webhook registration: deployments.coalmine.dev has no matchConditions: with the webhook down, "
        "no Deployment can be written; apply it again: kubectl apply -k manifests/base",
    ]),
    ("no endpoints", {"endpoints": Listing(({"endpoints": [{"conditions": {"ready": False}}]},))}, [
        "failed cluster: webhook service: the Service coalmine-webhook has no ready endpoint; see kubectl -n "
        "coalmine-system get pods -l app.kubernetes.io/part-of=coalmine",
    ]),
    ("one endpoint", {"endpoints": Listing(({"endpoints": [{}]},))}, [
        "warning cluster: webhook service: the Service coalmine-webhook has one ready endpoint: while that pod is "
        "replaced, releases are refused; kubectl -n coalmine-system scale deployment/coalmine-webhook --replicas=2",
    ]),
    ("no webhook pod", {"webhook": One(make.component("coalmine-webhook", available=0))}, [
        "failed cluster: webhook deployment: no pod of the Deployment coalmine-webhook is available; "
        "see kubectl -n coalmine-system describe deployment/coalmine-webhook",
    ]),
    ("not asked", {"probe": Probe(Tried.UNREACHABLE, "x509: unknown authority")}, [
        "failed cluster: webhook reachable: the API server cannot ask the webhook: x509: unknown authority; see the "
        "lines above; port 9443 of its pods must be open to the control plane (private clusters)",
    ]),
    ("no controller", {"controller": One()}, [
        "skipped cluster: controller deployment: there is no Deployment coalmine-controller in coalmine-system: it "
        "runs outside of the cluster",
    ]),
    ("nobody leads", {"controller": One(), "lease": One()}, [
        "failed cluster: controller deployment: there is no Deployment coalmine-controller in coalmine-system; "
        "install it: kubectl apply -k manifests/base",
        "failed cluster: controller leads: there is no Lease coalmine-controller: no controller has ever led here; "
        "see kubectl -n coalmine-system logs deploy/coalmine-controller",
    ]),
    ("given up", {"lease": One(make.lease(""))}, [
        "failed cluster: controller leads: no controller holds the Lease: rollouts stand still; "
        "see kubectl -n coalmine-system logs deploy/coalmine-controller",
    ]),
    ("silent", {"lease": One(make.lease(age=600))}, [
        "failed cluster: controller leads: controller-1 has not renewed the Lease for 600 s: rollouts stand still; "
        "see kubectl -n coalmine-system logs deploy/coalmine-controller",
    ]),
    ("no key", {"signing_key": One()}, [
        "failed cluster: signing key: there is no Secret coalmine-signing-key: sidecars can be told nothing; "
        "restart the controller, which makes one",
    ]),
    ("a kind is missing", {"crds": LESS}, [
        "failed cluster: kinds: clusteranalysistemplates.coalmine.dev is not there; "
        "apply it: kubectl apply -k manifests/crds",
    ]),
    ("scaled to 0", {"controller": One(make.component("coalmine-controller", replicas=0, available=0))}, [
        "failed cluster: controller deployment: the Deployment coalmine-controller is scaled to 0; "
        "kubectl -n coalmine-system scale deployment/coalmine-controller --replicas=2",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "lines"), [c[1:] for c in INSTALLATION], ids=[c[0] for c in INSTALLATION])
def test_a_fault_of_the_installation(facts: Facts, lines: list[str]) -> None:
    assert told(make.sight(**facts)) == lines


BUNDLES = [
    ("", "failed", "has no caBundle"),
    ("bm90IGEgY2VydGlmaWNhdGU=", "failed", "holds no certificates"),
    ("%%%", "failed", "holds no certificates"),
    (make.bundle(3), "warning", "ends in 3 days and was not renewed"),
    (make.bundle(-5), "failed", "is 5 days over its end"),
    (make.bundle(), "ok", "is good for 365 days"),
    # while it turns, the old one may end
    (make.bundle(-5, 365), "ok", "is good for 365 days"),
]


@pytest.mark.parametrize(("text", "result", "said"), BUNDLES, ids=[b[2] for b in BUNDLES[:-1]] + ["old and new"])
def test_the_bundle(text: str, result: str, said: str) -> None:
    found = report.findings(make.sight(registration=One(make.registration(text))), before=False)
    bundles = [f for f in found if f.check == "webhook CA bundle"]
    assert len(bundles) == 3, "one for each webhook"
    assert {f.result.value for f in bundles} == {result}
    assert all(said in f.message for f in bundles)


def test_a_webhook_at_an_address_needs_no_service() -> None:
    """The sandbox's: process outside of the cluster, no Deployment, no endpoints."""
    there = make.registration()
    for webhook in there["webhooks"]:
        webhook["clientConfig"] = {"url": "https://127.0.0.1:9443/x", "caBundle": webhook["clientConfig"]["caBundle"]}
    lines = told(make.sight(registration=One(there), webhook=One(), controller=One(), endpoints=Listing()))
    assert [line.partition(": ")[0] for line in lines] == ["skipped cluster"] * 3


def test_rights() -> None:
    asked = rights.needed("shop", before=False)
    denied = {a: a.resource != "leases" for a in asked}
    assert told(make.sight(rights=denied)) == [
        "failed cluster: controller rights: the service account coalmine-controller may not create "
        "leases.coordination.k8s.io in coalmine-system, get leases.coordination.k8s.io coalmine-controller in "
        "coalmine-system, update leases.coordination.k8s.io "
        "coalmine-controller in coalmine-system; apply the roles again: kubectl apply -f manifests/base/rbac.yaml"
    ]
    mine = {a: bool(a.user) or a.verb != "patch" for a in asked}
    assert told(make.sight(rights=mine)) == [
        "warning cluster: rights: you may not patch deployments.apps in shop, patch rollouts.coalmine.dev in shop; "
        "ask who runs the cluster for these rights"
    ]
    silent = dict.fromkeys(asked)
    assert [line.partition(": the API")[0] for line in told(make.sight(rights=silent))] == [
        "skipped cluster: rights",
        "skipped cluster: controller rights",
        "skipped cluster: webhook rights",
    ]


def test_what_a_denial_of_escalation_means() -> None:
    asked = {a: a.verb not in ("escalate", "bind") for a in rights.needed("", before=True)}
    lines = told(make.sight(rights=asked), before=True)
    assert lines[0].startswith("warning cluster: rights to install: you may not escalate clusterroles")


PROBES = [
    (403, 'admission webhook "deployments.coalmine.dev" denied the request: metadata.annotations[...]', Tried.REFUSED),
    (403, 'admission webhook "gatekeeper.sh" denied the request: no', Tried.UNKNOWN),
    (403, 'deployments.apps is forbidden: User "jane" cannot create resource', Tried.UNKNOWN),
    (500, 'Internal error occurred: failed calling webhook "deployments.coalmine.dev": x509', Tried.UNREACHABLE),
    (500, 'Internal error occurred: failed calling webhook "other.io": x509', Tried.UNKNOWN),
    (0, "connection refused", Tried.UNKNOWN),
]


@pytest.mark.parametrize(("status", "message", "tried"), PROBES)
def test_what_the_dry_run_says(status: int, message: str, tried: Tried) -> None:
    assert reading.judged(ApiError(status, "", message)).tried is tried


def hidden(uid: str = "uid-colorapi") -> dict[str, Any]:
    annotations = {names.ROLE: "canary", names.DEPLOYMENT_UID: uid, names.DEPLOYMENT_NAME: "colorapi"}
    made = make.of("ReplicaSet", "spec: {replicas: 1}", name="colorapi-abc")
    made["metadata"]["annotations"] = annotations
    return made


LEFT: list[tuple[str, dict[Any, list[Any]], Facts, list[str]]] = [
    ("a hold without a controller", {r.DEPLOYMENTS: [make.deployment("spec: {paused: true}", hold="f")]},
     {"lease": One(make.lease(""))}, [
        "its new template is held, and no controller leads: it stays where it is",
    ]),
    ("a hold without a pause", {r.DEPLOYMENTS: [make.deployment(hold="f")]}, {}, [
        "it carries coalmine.dev/hold and is not paused: it was written while no webhook looked",
    ]),
    ("held without the annotation", {r.DEPLOYMENTS: [make.deployment(
        "{metadata: {annotations: {coalmine.dev/canary: null}}, spec: {paused: true}}", hold="f")], r.CONFIG_MAPS: []},
     {}, [
        "it is held, and has no annotation coalmine.dev/canary: nobody will release it",
    ]),
    ("a stamp without the annotation", {r.DEPLOYMENTS: [make.deployment(
        "metadata: {annotations: {coalmine.dev/canary: null}}")], r.CONFIG_MAPS: []}, {}, [
        "it has no annotation coalmine.dev/canary, and is marked as ours all the same",
    ]),
    ("a canary of a Deployment that is gone", {r.REPLICA_SETS: [hidden("another")]}, {}, [
        "it is a hidden canary ReplicaSet, and its Deployment colorapi is gone",
    ]),
    ("a canary of one that is there", {r.REPLICA_SETS: [hidden()]}, {}, []),
    ("keys that nobody needs", {r.CONFIG_MAPS: [make.keys(), make.keys("empty")]}, {}, [
        "there is a ConfigMap coalmine-keys, and no annotated Deployment",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("lists", "facts", "messages"), [c[1:] for c in LEFT], ids=[c[0] for c in LEFT])
def test_leftovers(lists: Any, facts: Facts, messages: list[str]) -> None:
    found = report.findings(make.sight(lists, **facts), before=False)
    left = [f for f in found if f.check == "leftovers" and f.result is not Result.OK]
    assert [f.message for f in left] == messages
    assert all(f.advice for f in left)


def test_exit_codes() -> None:
    good, so_so, wrong = ok("a", "b", "c"), warning("a", "b", "c", "d"), failed("a", "b", "c", "d")
    assert [is_bad(f, strict=False) for f in ([good], [good, so_so], [so_so, wrong])] == [False, False, True]
    assert [is_bad(f, strict=True) for f in ([good], [good, so_so])] == [False, True]


def test_what_cannot_be_listed_is_neither_good_nor_bad() -> None:
    sight = make.sight()
    forbidden = {kind: Listing(problem="you may not read them") for kind in sight.lists}
    closed = report.findings(replace(sight, lists=forbidden), before=False)
    assert not [f for f in closed if f.result in (Result.FAILED, Result.WARNING)]
    assert "skipped cluster: deployments: Deployments cannot be read: you may not read them" in make.bad(closed)


def test_what_is_asked_for_the_service_accounts_is_what_the_manifests_give() -> None:
    """All of it, and nothing else."""
    text = (Path(__file__).parents[3] / "manifests" / "base" / "rbac.yaml").read_text()
    objects = [o for o in yaml.safe_load_all(text) if o]
    rules = {(o["kind"], o["metadata"]["name"]): o.get("rules") or () for o in objects if o["kind"].endswith("Role")}
    given = {
        Access(verb, group, *[*resource.split("/"), ""][:2], namespace, name, f"system:serviceaccount:{whose}")
        for binding in objects
        if binding["kind"].endswith("RoleBinding")
        for subject in binding["subjects"]
        for whose in [f"{subject['namespace']}:{subject['name']}"]
        for namespace in [binding["metadata"].get("namespace", "")]
        for rule in rules[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
    assert {*rights.CONTROLLER, *rights.WEBHOOK, *rights.WEBHOOK_CERTIFICATES} == given


def test_with_cert_manager_the_webhook_need_not_make_certificates() -> None:
    denied = {a: a not in rights.WEBHOOK_CERTIFICATES for a in rights.needed("shop", before=False)}
    (line,) = told(make.sight(rights=denied))
    assert line.startswith(
        "failed cluster: webhook rights: the service account coalmine-webhook may not create secrets"
    )
    deployment = make.component("coalmine-webhook")
    deployment["spec"]["template"]["spec"]["containers"][0]["args"] = ["webhook", "--certs", "/etc/coalmine/certs"]
    assert told(make.sight(rights=denied, webhook=One(deployment))) == []


def test_a_namespace_is_looked_through_once() -> None:
    """Each Deployment asks for its namespace's objects: with thousands of them, one pass each would be minutes."""
    passes: list[int] = []

    class Counted(tuple[Any, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Any]:
            passes.append(1)
            return super().__iter__()

    pods = Listing(Counted((make.pod(), make.pod("other-1", owner="other"))))
    sight = make.sight()
    sight = replace(sight, lists={**sight.lists, r.PODS: pods})
    assert [len(pods.of(n)) for n in ("shop", "elsewhere", "shop")] == [2, 0, 2]
    deployment = make.deployment()
    found = sight.pods_of(deployment)
    assert [r.name_of(p) for p in found] == ["colorapi-1"]
    assert sight.pods_of(deployment) is found
    assert [r.name_of(p) for p in sight.pods_of(make.deployment(name="other"))] == ["other-1"]
    assert len(passes) == 1
