"""What is there before anybody writes: namespaces, the first roles, the API server's own Service."""

from __future__ import annotations

from typing import Any, Final

from coalmine.kube.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES, Object, Resource
from coalmine.kube.verbs import ConflictError
from coalmine_sandbox.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from coalmine_sandbox.api.local import LocalApi
from coalmine_sandbox.api.user import MASTERS

_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
_READ: Final = ["get", "list", "watch"]
_WRITE: Final = ["create", "delete", "deletecollection", "patch", "update"]
_BOOTSTRAPPED: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}

Rule = dict[str, list[str]]


def _rule(group: str, resources: str, verbs: list[str]) -> Rule:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs}


_VIEW: Final = (
    _rule(
        "",
        "configmaps events namespaces persistentvolumeclaims persistentvolumeclaims/status pods pods/log pods/status "
        "resourcequotas resourcequotas/status serviceaccounts services services/status",
        _READ,
    ),
    _rule("apps", "deployments deployments/scale deployments/status replicasets replicasets/scale", _READ),
    _rule("apps", "replicasets/status", _READ),
    _rule("batch", "jobs jobs/status", _READ),
    _rule("discovery.k8s.io", "endpointslices", _READ),
    _rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", _READ),
)
_EDIT: Final = (
    _rule("", "secrets", _READ),
    _rule("", "serviceaccounts", ["impersonate"]),
    _rule("", "configmaps events persistentvolumeclaims pods secrets serviceaccounts services", _WRITE),
    _rule("", "pods/eviction serviceaccounts/token", ["create"]),
    _rule("apps", "deployments deployments/scale replicasets replicasets/scale", _WRITE),
    _rule("batch", "jobs", _WRITE),
    _rule("coordination.k8s.io", "leases", _READ + _WRITE),
    _rule("policy", "poddisruptionbudgets", _WRITE),
)
_ADMIN: Final = (_rule("rbac.authorization.k8s.io", "rolebindings roles", _READ + _WRITE),)
_ROLES: Final[dict[str, tuple[Any, ...]]] = {
    "cluster-admin": (_rule("*", "*", ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}),
    "system:aggregate-to-view": _VIEW,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-admin": _ADMIN,
}
#: Each has the rules of every ClusterRole that is labelled for it: whoever brings kinds of their own adds to them so.
#: In this order each is labelled for the next one.
_AGGREGATED: Final = ("view", "edit", "admin")
_AGGREGATE_TO: Final = "rbac.authorization.k8s.io/aggregate-to-"


async def bootstrap(api: LocalApi, *, service: str, address: str, port: int) -> None:
    """Make what is missing. `service`: the address of the Service ``kubernetes``; `address`, `port`: of the server."""
    for name in _NAMESPACES:
        await _make(api, NAMESPACES, None, {"metadata": {"name": name}})
    for name, rules in _ROLES.items():
        role = name.removeprefix("system:aggregate-to-")
        labels = _BOOTSTRAPPED | ({f"{_AGGREGATE_TO}{role}": "true"} if role in _AGGREGATED else {})
        await _make(api, CLUSTER_ROLES, None, {"metadata": {"name": name, "labels": labels}, "rules": list(rules)})
    for name, following in zip(_AGGREGATED, (*_AGGREGATED[1:], None), strict=True):
        labels = _BOOTSTRAPPED | ({f"{_AGGREGATE_TO}{following}": "true"} if following else {})
        selector = {"matchLabels": {f"{_AGGREGATE_TO}{name}": "true"}}
        body = {"metadata": {"name": name, "labels": labels}, "aggregationRule": {"clusterRoleSelectors": [selector]}}
        await _make(api, CLUSTER_ROLES, None, body)
    binding = {
        "metadata": {"name": "cluster-admin", "labels": _BOOTSTRAPPED},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": MASTERS}],
    }
    await _make(api, CLUSTER_ROLE_BINDINGS, None, binding)
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]
    made = {"metadata": {"name": "kubernetes", "labels": labels}, "spec": {"clusterIP": service, "ports": ports}}
    await _make(api, SERVICES, "default", made)
    metadata = {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}}
    endpoint = {"addresses": [address], "conditions": {"ready": True}}
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    slice_ = {"metadata": metadata, "addressType": "IPv4", "endpoints": [endpoint], "ports": ports}
    found = await api.find(ENDPOINT_SLICES, "default", "kubernetes")
    if found is None:
        await _make(api, ENDPOINT_SLICES, "default", slice_)
    else:  # another port than before
        changed = {"endpoints": [endpoint], "ports": ports}
        await api.patch(ENDPOINT_SLICES, "default", "kubernetes", changed)


async def _make(api: LocalApi, resource: Resource, namespace: str | None, obj: Object) -> None:
    if await api.find(resource, namespace, obj["metadata"]["name"]) is not None:
        return
    try:
        await api.create(resource, namespace, {"apiVersion": resource.api_version, "kind": resource.kind, **obj})
    except ConflictError:
        return
