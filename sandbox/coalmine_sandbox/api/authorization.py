"""RBAC: who may do what (pkg/registry/rbac/validation and plugin/pkg/auth/authorizer/rbac).

Rules: nothing is allowed but by a rule of a role that is bound to the user or to one of the user's groups; members
of system:masters may do everything. A few rules hold for everybody, as every real cluster has them
(`EVERYBODY`, `AUTHENTICATED_RULES`): discovery, and questions about oneself. An aggregated ClusterRole has the rules
of those that its labels select; nobody writes them into it. Escalation is not prevented: who may write roles may
give what they do not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from coalmine.kube.resources import Object, labels_of, name_of, namespace_of
from coalmine_sandbox.api import selectors
from coalmine_sandbox.api.admission.attributes import Reader
from coalmine_sandbox.api.errors import StatusError, forbidden
from coalmine_sandbox.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from coalmine_sandbox.api.user import AUTHENTICATED, MASTERS, User

_ANY: Final = "*"
_ACCOUNTS: Final = "system:serviceaccount:"
_ALL: Final[Object] = {"verbs": [_ANY], "apiGroups": [_ANY], "resources": [_ANY]}
_ALL_PATHS: Final[Object] = {"verbs": [_ANY], "nonResourceURLs": [_ANY]}
#: system:public-info-viewer.
EVERYBODY: Final[tuple[Object, ...]] = (
    {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]},
)
#: system:discovery and system:basic-user.
AUTHENTICATED_RULES: Final[tuple[Object, ...]] = (
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    {
        "verbs": ["get"],
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"],
    },
)


class Rbac:
    """Decides by the roles and bindings that are stored now."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def allows(
        self, user: User, verb: str, api_group: str, resource: str, subresource: str, namespace: str, name: str
    ) -> bool:
        """Whether `user` may do this; `namespace` "" is the whole cluster, `name` "" no one in particular."""
        return any(_allows(rule, verb, api_group, resource, subresource, name) for rule in self.rules(user, namespace))

    def allows_path(self, user: User, verb: str, path: str) -> bool:
        """Whether `user` may ask for a path that is no resource's; `verb` is the HTTP method in lower case."""
        return any(
            _has(rule.get("verbs"), verb) and _path_matches(rule, path)
            for rule in self.rules(user, "")
            if rule.get("nonResourceURLs")
        )

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """The PolicyRules that hold for a user in a namespace, or ("") for the whole cluster."""
        if MASTERS in user.groups:
            yield _ALL
            yield _ALL_PATHS
            return
        yield from EVERYBODY
        if AUTHENTICATED in user.groups:
            yield from AUTHENTICATED_RULES
        for binding in self._reader.objects(CLUSTER_ROLE_BINDINGS):
            if _binds(binding, user):
                yield from self._role(binding, "")
        if namespace:
            for binding in self._reader.objects(ROLE_BINDINGS, namespace):
                if _binds(binding, user):
                    yield from self._role(binding, namespace)

    def _role(self, binding: Object, namespace: str) -> Iterable[Object]:
        reference = binding.get("roleRef") or {}
        name = str(reference.get("name") or "")
        if reference.get("kind") == "Role":
            role = self._reader.get(ROLES, namespace, name) if namespace else None
            return (role or {}).get("rules") or ()
        role = self._reader.get(CLUSTER_ROLES, None, name)
        return () if role is None else self._cluster_rules(role)

    def _cluster_rules(self, role: Object, above: frozenset[str] = frozenset()) -> Iterable[Object]:
        """A role's rules; of an aggregated one, those of all that it selects, `above` being who selected it."""
        aggregation = role.get("aggregationRule")
        if aggregation is None:
            return role.get("rules") or ()
        wanted = [selectors.of_object(each) for each in aggregation.get("clusterRoleSelectors") or ()]
        above |= {name_of(role)}
        found: list[Object] = []
        for other in self._reader.objects(CLUSTER_ROLES):
            selected = any(selector is not None and selector.matches(labels_of(other)) for selector in wanted)
            if selected and name_of(other) not in above:
                found += self._cluster_rules(other, above)
        return found


def refusal(
    user: User, verb: str, api_group: str, resource: str, subresource: str, namespace: str, name: str
) -> StatusError:
    """The 403 for what `Rbac.allows` does not."""
    what = f"{resource}/{subresource}" if subresource else resource
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {verb} resource "{what}" in API group "{api_group}" {where}'
    return forbidden(f"{resource}.{api_group}" if api_group else resource, name, _sanitized(why))


def path_refusal(user: User, verb: str, path: str) -> StatusError:
    """The 403 for what `Rbac.allows_path` does not."""
    why = f'User "{user.name}" cannot {verb} path "{path}"'
    return StatusError(403, "Forbidden", f"forbidden: {_sanitized(why)}")


def _sanitized(text: str) -> str:
    """Nothing that a browser would take for HTML: the path and the names are the client's."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _allows(rule: Object, verb: str, api_group: str, resource: str, subresource: str, name: str) -> bool:
    return (
        _has(rule.get("verbs"), verb)
        and _has(rule.get("apiGroups"), api_group)
        and _resource_matches(rule.get("resources") or (), resource, subresource)
        and (not rule.get("resourceNames") or (bool(name) and name in rule["resourceNames"]))
    )


def _has(items: Iterable[str] | None, wanted: str) -> bool:
    return any(item in (_ANY, wanted) for item in items or ())


def _resource_matches(items: Iterable[str], resource: str, subresource: str) -> bool:
    """``*`` is everything, subresources too; ``*/scale`` that subresource of all."""
    whole = f"{resource}/{subresource}" if subresource else resource
    return any(item in (_ANY, whole) or (subresource and item == f"{_ANY}/{subresource}") for item in items)


def _path_matches(rule: Object, path: str) -> bool:
    return any(
        pattern in (_ANY, path) or (pattern.endswith(_ANY) and path.startswith(pattern[:-1]))
        for pattern in rule.get("nonResourceURLs") or ()
    )


def _binds(binding: Object, user: User) -> bool:
    return any(_is(subject, user, namespace_of(binding)) for subject in binding.get("subjects") or ())


def _is(subject: Mapping[str, Any], user: User, namespace: str) -> bool:
    name = str(subject.get("name") or "")
    match subject.get("kind"):
        case "User":
            return name == user.name
        case "Group":
            return name in user.groups
        case "ServiceAccount":
            return user.name == f"{_ACCOUNTS}{subject.get('namespace') or namespace}:{name}"
    return False
