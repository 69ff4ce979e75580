"""A healthy cluster as `check` sees it, for tests to put one fault into."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coalmine.kube import resources as r
from coalmine.kube.resources import Object, Resource
from coalmine.model import names
from coalmine.model.wire import Injection
from coalmine_cli.checking import rights
from coalmine_cli.checking.findings import Finding, Result
from coalmine_cli.checking.sight import Listing, One, Probe, Sight, Tried
from coalmine_cli.checking.webhook import WEBHOOKS

NOW = 1_700_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)
INJECTION = Injection("web", 5000, 17080, 17081, canary=False)


def bundle(*days: float) -> str:
    """A CA bundle of certificates that are good for so many days more; for 365 when none is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    made = []
    for left in days or (365,):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(AT - timedelta(days=4000))
        certificate = builder.not_valid_after(AT + timedelta(days=left)).sign(key, hashes.SHA256())
        made.append(certificate.public_bytes(serialization.Encoding.PEM))
    return base64.b64encode(b"".join(made)).decode()


def deployment(text: str = "", name: str = "colorapi", **annotations: str) -> Object:
    """One that is annotated, stamped and complete; `text` is YAML that is merged into it."""
    keys = {names.CANARY: "steps: [{setWeight: 20}]"} | {f"{names.GROUP}/{k}": v for k, v in annotations.items()}
    labels = {"app": name, names.SIDECAR_LABEL: "true"}
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {
        "name": "app",
        "image": "colorapi:1.0",
        "ports": [{"name": "web", "containerPort": 5000}],
        "resources": {"requests": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "generation": 1,
            "annotations": keys,
            "labels": {names.ROLLOUT_LABEL: "true"},
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        "status": {"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2},
    }
    return merged(made, yaml.safe_load(text) or {})


def pod(
    name: str = "colorapi-1", *, injected: bool = True, image: str = "coalmine:1", owner: str = "colorapi"
) -> Object:
    """A running pod of that Deployment."""
    one = deployment(name=owner)["spec"]["template"]
    annotations = {names.INJECTED: INJECTION.to_json()} if injected else {}
    sidecar = {
        "name": names.SIDECAR_CONTAINER,
        "image": image,
        "restartPolicy": "Always",
        "resources": {"requests": {"cpu": "25m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "192Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": dict(one["metadata"]["labels"]),
            "annotations": annotations,
        },
        "spec": {"initContainers": [sidecar] if injected else [], **copy.deepcopy(one["spec"])},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }


def of(kind: str, text: str, *, name: str = "one", namespace: str = "shop") -> Object:
    """An object of which only the rest matters; `text` is YAML."""
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, **(yaml.safe_load(text) or {})}


def service(target: Any = "web") -> Object:
    return of("Service", "", name="colorapi") | {
        "spec": {"selector": {"app": "colorapi"}, "ports": [{"port": 80, "targetPort": target}]}
    }


def lease(holder: str = "controller-1", age: float = 3.0) -> Object:
    text = datetime.fromtimestamp(NOW - age, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return of("Lease", "") | {"spec": {"holderIdentity": holder, "renewTime": text, "leaseDurationSeconds": 15}}


def component(name: str, *, image: str = "coalmine:1", replicas: int = 2, available: int = 2) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}}
    return of("Deployment", "", name=name, namespace=names.SYSTEM_NAMESPACE) | {
        "spec": {"replicas": replicas, "template": template},
        "status": {"availableReplicas": available},
    }


def registration(ca: str | None = None, **changes: Any) -> Object:
    """The webhook configuration; `changes` go into its first webhook."""
    service_ = {"service": {"name": "coalmine-webhook", "namespace": names.SYSTEM_NAMESPACE}}
    config = service_ | {"caBundle": bundle() if ca is None else ca}
    webhooks: list[Object] = [
        {"name": n, "clientConfig": config, "failurePolicy": "Fail", "matchConditions": [{"name": "ours"}]}
        for n in WEBHOOKS
    ]
    webhooks[0] = webhooks[0] | changes
    return {"metadata": {"name": "coalmine"}, "webhooks": webhooks}


def crd(plural: str, **metadata: str) -> Object:
    conditions = [{"type": "Established", "status": "True"}]
    return {"metadata": {"name": f"{plural}.{names.GROUP}", **metadata}, "status": {"conditions": conditions}}


def namespace(text: str = "") -> Object:
    return merged(
        {"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}}}, yaml.safe_load(text) or {}
    )


def keys(namespace_: str = "shop") -> Object:
    return of("ConfigMap", "data: {a: b}", name=names.KEYS_CONFIGMAP, namespace=namespace_)


def sight(lists: Mapping[Resource, list[Object]] | None = None, **changes: Any) -> Sight:
    """A clean cluster, but for `changes`, and for the kinds in `lists`."""
    found: dict[Resource, list[Object]] = {
        r.DEPLOYMENTS: [deployment()],
        r.REPLICA_SETS: [],
        r.PODS: [pod(), pod("colorapi-2")],
        r.SERVICES: [service()],
        r.NETWORK_POLICIES: [],
        r.QUOTAS: [],
        r.LIMIT_RANGES: [],
        r.DISRUPTION_BUDGETS: [],
        r.AUTOSCALERS: [],
        r.CONFIG_MAPS: [keys()],
        r.PEER_AUTHENTICATIONS: [],
        **(lists or {}),
    }
    ready = {"endpoints": [{"conditions": {"ready": True}}, {"conditions": {"ready": True}}]}
    given: dict[str, Any] = {
        "now": NOW,
        "version": {"major": "1", "minor": "36", "gitVersion": "v1.36.2"},
        "groups": frozenset(
            ("admissionregistration.k8s.io/v1", "apps/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1")
        ),
        "namespaces": Listing((namespace(),)),
        "crds": Listing(tuple(crd(p) for p in names.PLURALS.values())),
        "rights": dict.fromkeys(rights.needed("shop", before=False), True),
        "registration": One(registration()),
        "webhook": One(component("coalmine-webhook")),
        "controller": One(component("coalmine-controller")),
        "lease": One(lease()),
        "signing_key": One({"metadata": {"name": names.SIGNING_SECRET}}),
        "endpoints": Listing((ready,)),
        "probe": Probe(Tried.REFUSED),
        "lists": {kind: Listing(tuple(items)) for kind, items in found.items()},
    }
    return Sight(**(given | changes))


def bad(findings: list[Finding]) -> list[str]:
    """What is not ok, as lines."""
    return [f"{f.result.value} {f.about}: {f.check}: {f.text}" for f in findings if f.result is not Result.OK]


def merged(old: Any, new: Any) -> Any:
    """`new` into `old`; a null removes."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    both = {key: merged(old.get(key), value) for key, value in new.items() if value is not None}
    return {k: v for k, v in (old | both).items() if new.get(k, ...) is not None}
