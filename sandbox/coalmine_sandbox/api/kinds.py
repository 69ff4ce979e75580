"""What is served: every kind with its names, verbs and subresources, as a real API server tells in discovery.

Built-in kinds are a table; those of CustomResourceDefinitions come and go with them (`Kinds.define`, `Kinds.drop`).
Each kind has one version, which is the one that is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from coalmine.kube import resources as r
from coalmine.kube.resources import Resource
from coalmine_sandbox.api.custom import Custom

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
#: In the order in which a real API server tells those of a custom kind.
CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_CHANGE: Final = ("get", "patch", "update")

RESOURCE_QUOTAS: Final = Resource("v1", "ResourceQuota", "resourcequotas")
CLAIMS: Final = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
JOBS: Final = Resource("batch/v1", "Job", "jobs")
BUDGETS: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
ROLES: Final = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES: Final = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = Resource(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
NEW_EVENTS: Final = Resource("events.k8s.io/v1", "Event", "events")
ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
RULES_REVIEWS: Final = Resource(
    "authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False
)
SUBJECT_REVIEWS: Final = Resource(
    "authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False
)


@dataclass(frozen=True, slots=True)
class Subresource:
    """`answer` is the group, version and kind of what it takes and gives, where that is another one."""

    name: str
    verbs: tuple[str, ...]
    answer: tuple[str, str, str] | None = None


STATUS: Final = Subresource("status", _CHANGE)
SCALE: Final = Subresource("scale", _CHANGE, ("autoscaling", "v1", "Scale"))
METADATA_FIELDS: Final = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind as it is served."""

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    #: What field selectors know, besides the metadata.
    fields: tuple[str, ...] = ()
    #: Under which its objects are kept, when another kind shares them.
    stored_as: Resource | None = None
    #: Of a custom kind, what its definition says.
    custom: Custom | None = field(default=None, compare=False)

    @property
    def storage(self) -> Resource:
        return self.stored_as or self.resource

    @property
    def group(self) -> str:
        return self.resource.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.resource.api_version.rpartition("/")[2]

    @property
    def qualified(self) -> str:
        """``plural`` or ``plural.group``, as errors name it."""
        return f"{self.resource.plural}.{self.group}" if self.group else self.resource.plural

    @property
    def qualified_kind(self) -> str:
        """``Kind`` or ``Kind.group``."""
        return f"{self.resource.kind}.{self.group}" if self.group else self.resource.kind

    @property
    def selectable(self) -> tuple[str, ...]:
        """The fields that selectors may name."""
        return METADATA_FIELDS + self.fields if self.resource.namespaced else ("metadata.name", *self.fields)

    def subresource(self, name: str) -> Subresource | None:
        return next((each for each in self.subresources if each.name == name), None)


def _kind(
    resource: Resource,
    *subresources: Subresource,
    short: str = "",
    categories: tuple[str, ...] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    fields: tuple[str, ...] = (),
    stored_as: Resource | None = None,
) -> Kind:
    names = (short,) if short else ()
    return Kind(resource, resource.kind.lower(), names, categories, verbs, subresources, fields, stored_as)


_ALL: Final = ("all",)
_EVENT_FIELDS: Final = (
    *(f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
    *("involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"),
)
_NEW_EVENT_FIELDS: Final = (
    *(f"regarding.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
    *("regarding.fieldPath", "reason", "reportingController", "type"),
)
_POD_FIELDS: Final = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)

BUILTIN: Final = (
    _kind(r.CONFIG_MAPS, short="cm"),
    _kind(r.EVENTS, short="ev", fields=_EVENT_FIELDS),
    _kind(
        r.NAMESPACES,
        Subresource("finalize", ("update",)),
        STATUS,
        short="ns",
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        fields=("status.phase",),
    ),
    _kind(r.NODES, STATUS, short="no", fields=("spec.unschedulable",)),
    _kind(CLAIMS, STATUS, short="pvc"),
    _kind(
        r.PODS,
        Subresource("binding", ("create",), ("", "v1", "Binding")),
        Subresource("eviction", ("create",), ("policy", "v1", "Eviction")),
        Subresource("log", ("get",)),
        STATUS,
        short="po",
        categories=_ALL,
        fields=_POD_FIELDS,
    ),
    _kind(RESOURCE_QUOTAS, STATUS, short="quota"),
    _kind(r.SECRETS, fields=("type",)),
    _kind(
        r.SERVICE_ACCOUNTS,
        Subresource("token", ("create",), ("authentication.k8s.io", "v1", "TokenRequest")),
        short="sa",
    ),
    _kind(r.SERVICES, STATUS, short="svc", categories=_ALL, fields=("spec.clusterIP", "spec.type")),
    _kind(r.DEPLOYMENTS, SCALE, STATUS, short="deploy", categories=_ALL),
    _kind(r.REPLICA_SETS, SCALE, STATUS, short="rs", categories=_ALL, fields=("status.replicas",)),
    _kind(NEW_EVENTS, short="ev", fields=_NEW_EVENT_FIELDS, stored_as=r.EVENTS),
    _kind(SUBJECT_REVIEWS, verbs=("create",)),
    _kind(ACCESS_REVIEWS, verbs=("create",)),
    _kind(RULES_REVIEWS, verbs=("create",)),
    _kind(JOBS, STATUS, categories=_ALL, fields=("status.successful",)),
    _kind(BUDGETS, STATUS, short="pdb"),
    _kind(CLUSTER_ROLE_BINDINGS),
    _kind(CLUSTER_ROLES),
    _kind(ROLE_BINDINGS),
    _kind(ROLES),
    _kind(r.MUTATING_WEBHOOKS, categories=("api-extensions",)),
    _kind(r.CRDS, STATUS, short="crd", categories=("api-extensions",)),
    _kind(r.LEASES),
    _kind(r.ENDPOINT_SLICES),
)


def has_status(kind: Kind) -> bool:
    """Whether its status is written apart: by definition of a custom kind, always of a built-in one that has any."""
    return kind.custom is None or kind.subresource("status") is not None


class Kinds:
    """The kinds that are served now."""

    def __init__(self) -> None:
        self._kinds = {(kind.resource.api_version, kind.resource.plural): kind for kind in BUILTIN}
        self._custom: dict[str, tuple[str, str]] = {}

    def __iter__(self) -> Iterator[Kind]:
        return iter(tuple(self._kinds.values()))

    def find(self, api_version: str, plural: str) -> Kind | None:
        return self._kinds.get((api_version, plural))

    def of(self, resource: Resource) -> Kind | None:
        return self.find(resource.api_version, resource.plural)

    def versions(self) -> dict[str, str]:
        """The one version of each group, in the order of discovery; "" is the core."""
        return {kind.group: kind.version for kind in self._kinds.values()}

    def define(self, definition: str, custom: Custom) -> None:
        """Serve what the CustomResourceDefinition of this name describes."""
        self.drop(definition)
        subresources = tuple(each for each in (STATUS, SCALE) if each.name in custom.subresources)
        resource = custom.resource
        key = resource.api_version, resource.plural
        self._kinds[key] = Kind(
            resource, custom.singular, custom.short_names, custom.categories, CUSTOM_VERBS, subresources, custom=custom
        )
        self._custom[definition] = key

    def drop(self, definition: str) -> None:
        """Serve the definition's kind no more."""
        if (key := self._custom.pop(definition, None)) is not None:
            del self._kinds[key]
