"""The resources that Coalmine reads and writes, and how to read an object's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from coalmine.model.errors import RemoteError, shown
from coalmine.model.names import (
    ANALYSIS_RUN,
    ANALYSIS_TEMPLATE,
    API_VERSION,
    CLUSTER_ANALYSIS_TEMPLATE,
    PLURALS,
    ROLLOUT,
)

Object = dict[str, Any]

#: The first two are client-go's (rest.IsValidPathSegmentName); the others end a path, or may count as the first.
_NOT_IN_A_NAME: Final = frozenset("/%?#\\")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The request path; without `namespace` all namespaces (or a cluster-scoped object).

        Raises RemoteError for what would lead elsewhere: names stand in objects that somebody wrote, and a review
        shows them before the API server has judged them. HTTP's clients follow ``..``, and drop tabs and newlines
        first.
        """
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        parts = [root]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", self._segment("namespace", namespace)]
        parts.append(self.plural)
        if name is not None:
            parts.append(self._segment("name", name))
        if subresource is not None:
            # what is proxied to has a path of its own
            parts += [self._segment("subresource", part) for part in subresource.split("/")]
        return "/".join(parts)

    def _segment(self, what: str, text: str) -> str:
        if text in ("", ".", "..") or not text.isprintable() or _NOT_IN_A_NAME.intersection(text):
            raise RemoteError(
                f"{shown(text)} is no {what} of a {self.kind}: write one without /, \\, %, ? and #, and not . or .."
            )
        return text


DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
REPLICA_SETS: Final = Resource("apps/v1", "ReplicaSet", "replicasets")
PODS: Final = Resource("v1", "Pod", "pods")
SERVICES: Final = Resource("v1", "Service", "services")
NODES: Final = Resource("v1", "Node", "nodes", namespaced=False)
NAMESPACES: Final = Resource("v1", "Namespace", "namespaces", namespaced=False)
CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
SECRETS: Final = Resource("v1", "Secret", "secrets")
EVENTS: Final = Resource("v1", "Event", "events")
SERVICE_ACCOUNTS: Final = Resource("v1", "ServiceAccount", "serviceaccounts")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")
CRDS: Final = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
MUTATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False
)
NETWORK_POLICIES: Final = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
QUOTAS: Final = Resource("v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGES: Final = Resource("v1", "LimitRange", "limitranges")
DISRUPTION_BUDGETS: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALERS: Final = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
#: Istio's, where it is installed.
PEER_AUTHENTICATIONS: Final = Resource("security.istio.io/v1", "PeerAuthentication", "peerauthentications")
CLUSTER_ROLES: Final = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = Resource(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
ROLLOUTS: Final = Resource(API_VERSION, ROLLOUT, PLURALS[ROLLOUT])
ANALYSIS_TEMPLATES: Final = Resource(API_VERSION, ANALYSIS_TEMPLATE, PLURALS[ANALYSIS_TEMPLATE])
CLUSTER_ANALYSIS_TEMPLATES: Final = Resource(
    API_VERSION, CLUSTER_ANALYSIS_TEMPLATE, PLURALS[CLUSTER_ANALYSIS_TEMPLATE], namespaced=False
)
ANALYSIS_RUNS: Final = Resource(API_VERSION, ANALYSIS_RUN, PLURALS[ANALYSIS_RUN])


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def resource_version_of(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def annotations_of(obj: Object) -> dict[str, str]:
    """The annotations; an empty mapping where there are none. Not to be written to."""
    return obj["metadata"].get("annotations") or {}


def labels_of(obj: Object) -> dict[str, str]:
    """The labels; an empty mapping where there are none. Not to be written to."""
    return obj["metadata"].get("labels") or {}


def controller_of(obj: Object) -> Object | None:
    """The owner reference that controls `obj` (metav1.GetControllerOf)."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None
