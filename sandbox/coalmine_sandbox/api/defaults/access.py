"""Roles and tokens (pkg/apis/{rbac,authentication}/v1/defaults.go)."""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import Object

_RBAC: Final = "rbac.authorization.k8s.io"
_TOKEN_SECONDS: Final = 3600


def _binding(obj: Object) -> None:
    obj["roleRef"]["apiGroup"] = obj["roleRef"].get("apiGroup") or _RBAC
    for subject in obj.get("subjects") or ():
        if subject["kind"] in {"User", "Group"}:
            subject.setdefault("apiGroup", _RBAC)


def _token_request(obj: Object) -> None:
    if obj["spec"].get("expirationSeconds") is None:
        obj["spec"]["expirationSeconds"] = _TOKEN_SECONDS


DEFAULTS: Final = {
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _binding,
    ("authentication.k8s.io/v1", "TokenRequest"): _token_request,
}
