"""`check`: what stands in the way of an annotated Deployment, each fault in an otherwise clean namespace."""

from __future__ import annotations

from typing import Any

import check_sight as make
import pytest

from coalmine.kube import resources as r
from coalmine.model import names
from coalmine_cli.checking import report, security
from coalmine_cli.checking.sight import Listing, One

Lists = dict[Any, list[Any]]


def told(lists: Lists, **facts: Any) -> list[str]:
    return [
        line.removeprefix("failed ").removeprefix("warning ")
        for line in make.bad(report.findings(make.sight(lists, **facts), before=False))
    ]


def colorapi(text: str = "", **annotations: str) -> Lists:
    return {r.DEPLOYMENTS: [make.deployment(text, **annotations)]}


APPLICATION: list[tuple[str, Lists, list[str]]] = [
    ("a bad annotation", colorapi("metadata: {annotations: {coalmine.dev/canary: 'steps: [{setWeight: 120}]'}}"), [
        "shop/colorapi: deployment: metadata.annotations[coalmine.dev/canary].steps[0].setWeight: 120 is not a weight; "
        "write a percentage from 0 to 100 with at most two decimals, for example 20 or 0.5",
    ]),
    ("what is ours is no fault", colorapi("spec: {paused: true}", hold="f", stable="s"), []),
    ("Recreate", colorapi("spec: {strategy: {type: Recreate}}"), [
        "shop/colorapi: deployment: spec.strategy.type: Recreate cannot run two versions at once; write RollingUpdate, "
        "or remove the annotation coalmine.dev/canary",
    ]),
    ("never seen by a webhook", colorapi("metadata: {labels: {coalmine.dev/rollout: null}}"), [
        "shop/colorapi: deployment: it was annotated while no webhook looked, and the controller has not taken it up; "
        "touch it: kubectl -n shop annotate deployment/colorapi touched=1",
    ]),
    ("no Service", {r.SERVICES: []}, [
        "shop/colorapi: services: no Service selects its pods, so no request comes by their sidecars; "
        "make one whose targetPort is the name of the port",
    ]),
    ("a Service by number", {r.SERVICES: [make.service(5000)]}, [
        "shop/colorapi: services: Service colorapi: spec.ports[0].targetPort: 5000 is the number of the application's "
        "port, so these requests pass by the sidecars of the Deployment colorapi and are not split by weight; "
        "write targetPort: web",
    ]),
    ("a Service by another name", {r.SERVICES: [make.service("grpc")]}, [
        "shop/colorapi: services: Service colorapi: spec.ports[0].targetPort: no container of the Deployment colorapi "
        "has a port named grpc; named there: web",
    ]),
    ("a bare pod", {r.PODS: [make.pod(), make.pod("colorapi-2", injected=False)]}, [
        "shop/colorapi: sidecars: 1 of 2 pods have no sidecar, colorapi-2 among them; the controller replaces them one "
        "by one once the webhook answers; at once: coalmine restart colorapi",
    ]),
    ("an older sidecar", {r.PODS: [make.pod(), make.pod("colorapi-2", image="coalmine:0")]}, [
        "shop/colorapi: sidecar version: 1 sidecars run another image than the controller: colorapi-2 coalmine:0; "
        "new pods get the present one: coalmine restart colorapi",
    ]),
    ("a budget that allows nothing", {r.DISRUPTION_BUDGETS: [
        make.of("PodDisruptionBudget", "spec: {selector: {matchLabels: {app: colorapi}}, minAvailable: 100%}")]}, [
        "shop/colorapi: disruption budget: the PodDisruptionBudget one allows no eviction of its 2 pod(s), so one that "
        "lost its sidecar cannot be replaced by the controller; raise spec.replicas, or write maxUnavailable: 1 in the "
        "budget",
    ]),
    ("a budget that allows one", {r.DISRUPTION_BUDGETS: [
        make.of("PodDisruptionBudget", "spec: {selector: {matchLabels: {app: colorapi}}, minAvailable: 1}")]}, []),
    ("an HPA that notices", {**colorapi(), r.AUTOSCALERS: [make.of("HorizontalPodAutoscaler", """
spec: {scaleTargetRef: {kind: Deployment, name: colorapi}, metrics: [
  {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 80}}},
  {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]}""")]}, [
        "shop/colorapi: autoscaler: the sidecar requests 48Mi of 176Mi memory, which the HPA one counts: its "
        "target of 80 % is 140Mi for both together; write a metric of type ContainerResource for the "
        "application's container, so that the sidecar does not count",
    ]),
    ("a quota that is full", {r.QUOTAS: [make.of("ResourceQuota",
        "{spec: {hard: {pods: 3, requests.cpu: 2}}, status: {used: {pods: 2, requests.cpu: 1050m}}}")]}, [
        "shop/colorapi: quota: the ResourceQuota one has no room for a second set of pods (pods: 1 free, 2 needed; "
        "requests.cpu: 950m free, 1050m needed); raise it, or the canary stops short of full promotion: it needs "
        "twice the pods for a while",
    ]),
    ("a quota with room", {r.QUOTAS: [make.of("ResourceQuota",
        "{spec: {hard: {pods: 4, requests.cpu: 2100m}}, status: {used: {pods: 2, requests.cpu: 1050m}}}")]}, []),
    ("a quota of others", {r.QUOTAS: [make.of("ResourceQuota",
        "{spec: {hard: {pods: 1}, scopes: [BestEffort]}, status: {used: {pods: 1}}}")]}, []),
    ("a LimitRange", {r.LIMIT_RANGES: [make.of("LimitRange",
        "spec: {limits: [{type: Container, min: {cpu: 100m}, max: {memory: 128Mi}, "
        "maxLimitRequestRatio: {cpu: 4}}]}")]}, [
        "shop/colorapi: limit range: the LimitRange one refuses pods with a sidecar: it requests cpu 25m, at least "
        "100m is wanted; change the LimitRange, or the sidecar's resources in the webhook's arguments",
        "shop/colorapi: limit range: the LimitRange one refuses pods with a sidecar: it limits memory 192Mi, at most "
        "128Mi is allowed; change the LimitRange, or the sidecar's resources in the webhook's arguments",
        "shop/colorapi: limit range: the LimitRange one refuses pods with a sidecar: its limit of cpu is 40 times its "
        "request, at most 4 is allowed; change the LimitRange, or the sidecar's resources in the webhook's arguments",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("lists", "lines"), [c[1:] for c in APPLICATION], ids=[c[0] for c in APPLICATION])
def test_a_fault_of_the_application(lists: Lists, lines: list[str]) -> None:
    assert told(lists) == lines


def test_a_small_sidecar_is_hardly_noticed() -> None:
    hpa = make.of(
        "HorizontalPodAutoscaler",
        "spec: {scaleTargetRef: {kind: Deployment, name: colorapi}, metrics: [{type: Resource, resource: "
        "{name: cpu, target: {averageUtilization: 80}}}]}",
    )
    found = report.findings(make.sight({r.AUTOSCALERS: [hpa]}), before=False)
    assert [f.text for f in found if f.check == "autoscaler"] == ["the HPA one hardly notices the sidecar's 25m cpu"]


def test_another_image_than_the_controllers() -> None:
    lines = told({}, controller=One(make.component("coalmine-controller", image="coalmine:2")))
    assert lines == [
        "shop/colorapi: sidecar version: 2 sidecars run another image than the controller: colorapi-1 coalmine:1; "
        "new pods get the present one: coalmine restart colorapi"
    ]


def test_no_public_key() -> None:
    assert told({r.CONFIG_MAPS: []}) == [
        "shop: public keys: there is no ConfigMap coalmine-keys: the sidecars refuse what the controller says; the "
        "controller makes it within seconds; see kubectl -n coalmine-system logs deploy/coalmine-controller"
    ]


def test_what_is_off_or_not_annotated_is_not_looked_at() -> None:
    off = make.deployment("metadata: {annotations: {coalmine.dev/canary: 'off'}}")
    plain = make.deployment(
        "{metadata: {annotations: null, labels: null}, spec: {strategy: {type: Recreate}, template: {metadata: "
        "{labels: {coalmine.dev/sidecar: null}}}}}",
        name="other",
    )
    found = report.findings(make.sight({r.DEPLOYMENTS: [off, plain], r.SERVICES: []}), before=False)
    assert not [f for f in found if f.about.startswith("shop/")]


# --- meshes --------------------------------------------------------------------------------

ISTIO = "metadata: {labels: {istio-injection: enabled}}"
EXCLUDED = "traffic.sidecar.istio.io/excludeInboundPorts"


def authentication(mode: str, *, namespace: str = "shop", more: str = "") -> Any:
    return make.of("PeerAuthentication", f"spec: {{mtls: {{mode: {mode}}}{more}}}", namespace=namespace)


SELECTS = ", selector: {matchLabels: {app: colorapi}}"
PORTS = ", portLevelMtls: {'17081': {mode: PERMISSIVE}, '5000': {mode: DISABLE}}"
OTHERS = ", selector: {matchLabels: {app: no}}"
BOTH = f'{{annotations: {{{EXCLUDED}: "17081, 5000"}}}}'
AMBIENT = "metadata: {labels: {istio.io/dataplane-mode: ambient}}"
SKIPPED = "config.linkerd.io/skip-inbound-ports: '5000-5001,17081'"
MESHES: list[tuple[str, str, str, list[Any], list[str]]] = [
    ("none", "", "", [authentication("STRICT")], []),
    ("permissive", ISTIO, "", [], ["warning"]),
    ("strict in the namespace", ISTIO, "", [authentication("STRICT")], ["failed"]),
    ("strict in the mesh", ISTIO, "", [authentication("STRICT", namespace="istio-system")], ["failed"]),
    ("strict in another namespace", ISTIO, "", [authentication("STRICT", namespace="other")], ["warning"]),
    ("strict for others", ISTIO, "", [authentication("STRICT", more=OTHERS)], ["warning"]),
    ("the workload's wins", ISTIO, "",
     [authentication("STRICT"), authentication("PERMISSIVE", more=SELECTS)], ["warning"]),
    ("unset inherits", ISTIO, "", [authentication("STRICT"), authentication("UNSET", more=SELECTS)], ["failed"]),
    ("ports", ISTIO, "", [authentication("STRICT", more=SELECTS + PORTS)], ["ok"]),
    ("excluded", ISTIO, BOTH, [authentication("STRICT")], ["ok"]),
    ("half excluded", ISTIO, f'{{annotations: {{{EXCLUDED}: "17081"}}}}', [authentication("STRICT")], ["failed"]),
    ("not injected", ISTIO, '{annotations: {sidecar.istio.io/inject: "false"}}', [authentication("STRICT")], []),
    ("ambient", AMBIENT, BOTH, [authentication("STRICT")], ["failed"]),
    ("linkerd", "metadata: {annotations: {linkerd.io/inject: enabled}}", "", [], ["ok"]),
    ("linkerd, strict", "metadata: {annotations: {linkerd.io/inject: enabled}}",
     "{annotations: {config.linkerd.io/default-inbound-policy: all-authenticated}}", [], ["failed"]),
    ("linkerd, skipped", "metadata: {annotations: {linkerd.io/inject: enabled}}",
     f"{{annotations: {{config.linkerd.io/default-inbound-policy: deny, {SKIPPED}}}}}",
     [], ["ok"]),
]  # fmt: skip


@pytest.mark.parametrize(("space", "template", "found", "results"), [c[1:] for c in MESHES], ids=[c[0] for c in MESHES])
def test_meshes(space: str, template: str, found: list[Any], results: list[str]) -> None:
    metadata = f"spec: {{template: {{metadata: {template}}}}}" if template else ""
    lists = {r.DEPLOYMENTS: [make.deployment(metadata)], r.PEER_AUTHENTICATIONS: found}
    findings = report.findings(make.sight(lists, namespaces=Listing((make.namespace(space),))), before=False)
    mesh = [f for f in findings if f.check == "mesh"]
    assert [f.result.value for f in mesh] == results
    for one in mesh:
        assert (one.result.value == "ok") == (not one.advice)
    if results == ["failed"] and "ambient" in space:
        assert mesh[0].advice == (
            "write a PeerAuthentication that selects its pods, with portLevelMtls: "
            "{17081: {mode: PERMISSIVE}, 5000: {mode: PERMISSIVE}}"
        )


# --- pod security --------------------------------------------------------------------------

LEVELS = [
    ("restricted", "", []),
    ("privileged", "{hostNetwork: true}", []),
    ("baseline", "{hostPID: true, volumes: [{name: v, hostPath: {path: /}}]}", ["hostPID", "volumes[v].hostPath"]),
    ("baseline", "{containers: [{name: a, securityContext: {privileged: true}, ports: [{hostPort: 80}]}]}", [
        "a: privileged", "a: hostPort",
    ]),
    ("baseline", "{containers: [{name: a, securityContext: {capabilities: {add: [NET_ADMIN]}}}]}", [
        "a: capabilities.add",
    ]),
    ("restricted", "{containers: [{name: a}]}", [
        "a: allowPrivilegeEscalation", "a: capabilities.drop", "a: runAsNonRoot", "a: seccompProfile",
    ]),
    ("restricted", "{volumes: [{name: n, nfs: {}}]}", ["volumes[n]"]),
]  # fmt: skip


@pytest.mark.parametrize(("level", "text", "fields"), LEVELS)
def test_levels(level: str, text: str, fields: list[str]) -> None:
    spec = make.deployment(f"spec: {{template: {{spec: {text or '{}'}}}}}")["spec"]["template"]["spec"]
    # the sidecar's own settings are never held against the application
    spec["initContainers"] = [{"name": names.SIDECAR_CONTAINER}]
    assert list(security.violations(spec, level)) == fields


def test_the_application_breaks_the_level() -> None:
    space = make.namespace("metadata: {labels: {pod-security.kubernetes.io/enforce: restricted}}")
    assert told({}, namespaces=Listing((space,))) == []
    containers = "[{name: a, ports: [{name: web, containerPort: 5000}]}]"
    lines = told(colorapi(f"spec: {{template: {{spec: {{containers: {containers}}}}}}}"), namespaces=Listing((space,)))
    assert lines == [
        "shop/colorapi: pod security: its own containers do not fit restricted, which shop enforces: a: "
        "allowPrivilegeEscalation, a: capabilities.drop, a: runAsNonRoot and 1 more; mend the pod template, or its "
        "pods (with and without us) are refused"
    ]
