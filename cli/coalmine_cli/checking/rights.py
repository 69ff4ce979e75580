"""Who may do what: who asks, and the two service accounts.

Pure. The tables say what is needed; the API server answers by access reviews. What the service accounts need is what
manifests/base/rbac.yaml gives them, told again: an installation whose roles were edited is what this looks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from coalmine.model import names
from coalmine_cli.checking.findings import CLUSTER, Finding, Result, failed, ok, skipped, warning
from coalmine_cli.checking.sight import Access, Sight
from coalmine_cli.checking.webhook import CERTIFICATES, REGISTRATION

_RBAC: Final = "rbac.authorization.k8s.io"
_SYSTEM: Final = names.SYSTEM_NAMESPACE
WEBHOOK_USER: Final = f"system:serviceaccount:{_SYSTEM}:{names.WEBHOOK_SERVICE_ACCOUNT}"

#: Who installs.
INSTALLER: Final = (
    Access("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    Access("create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    Access("create", "", "namespaces"),
    Access("create", _RBAC, "clusterroles"),
    Access("create", _RBAC, "clusterrolebindings"),
    # or the API server refuses roles with more rights than their writer has
    Access("escalate", _RBAC, "clusterroles"),
    Access("bind", _RBAC, "clusterroles"),
    Access("create", _RBAC, "roles", namespace=_SYSTEM),
    Access("create", "apps", "deployments", namespace=_SYSTEM),
    Access("create", "", "services", namespace=_SYSTEM),
)
#: Without these, who writes the very same rights in roles may still do it.
_EITHER: Final = ("escalate", "bind")


def of_person(namespace: str) -> tuple[Access, ...]:
    """Who uses the verbs in `namespace` ("": in all)."""
    return (
        Access("get", "apps", "deployments", namespace=namespace),
        Access("patch", "apps", "deployments", namespace=namespace),
        Access("list", "apps", "replicasets", namespace=namespace),
        Access("list", "", "pods", namespace=namespace),
        Access("list", names.GROUP, "rollouts", namespace=namespace),
        Access("patch", names.GROUP, "rollouts", namespace=namespace),
        Access("list", names.GROUP, "analysisruns", namespace=namespace),
    )


def _each(
    verbs: str,
    group: str,
    resource: str,
    subresource: str = "",
    namespace: str = "",
    name: str = "",
    user: str = names.CONTROLLER_USER,
) -> list[Access]:
    return [Access(verb, group, resource, subresource, namespace, name, user) for verb in verbs.split()]


CONTROLLER: Final = (
    *_each("get list watch patch", "apps", "deployments"),
    *_each("patch", "apps", "deployments", "status"),
    *_each("list watch create patch delete", "apps", "replicasets"),
    *_each("list watch delete", "", "pods"),
    *_each("create", "", "pods", "eviction"),
    *_each("create", "", "configmaps"),
    *_each("get patch", "", "configmaps", name=names.KEYS_CONFIGMAP),
    *_each("create", "", "events"),
    *_each("get list watch create delete", names.GROUP, "rollouts"),
    *_each("update", names.GROUP, "rollouts", "status"),
    *_each("get list watch create patch", names.GROUP, "analysisruns"),
    *_each("update", names.GROUP, "analysisruns", "status"),
    *_each("list watch", names.GROUP, "analysistemplates"),
    *_each("list watch", names.GROUP, "clusteranalysistemplates"),
    *_each("create", "", "secrets", namespace=_SYSTEM),
    *_each("get patch", "", "secrets", namespace=_SYSTEM, name=names.SIGNING_SECRET),
    *_each("create", "coordination.k8s.io", "leases", namespace=_SYSTEM),
    *_each("get update", "coordination.k8s.io", "leases", namespace=_SYSTEM, name=names.LEASE),
)
WEBHOOK: Final = (
    Access("get", "apps", "replicasets", user=WEBHOOK_USER),
    Access("get", "", "persistentvolumeclaims", user=WEBHOOK_USER),
)
#: Of a webhook that makes its certificates itself: with cert-manager it reads files, and may do none of this.
WEBHOOK_CERTIFICATES: Final = (
    *_each("create", "", "secrets", namespace=_SYSTEM, user=WEBHOOK_USER),
    *_each("get update watch", "", "secrets", namespace=_SYSTEM, name=CERTIFICATES, user=WEBHOOK_USER),
    *_each(
        "get patch watch",
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        name=REGISTRATION,
        user=WEBHOOK_USER,
    ),
)


def needed(namespace: str, *, before: bool) -> tuple[Access, ...]:
    """What is to be asked of the API server."""
    return INSTALLER if before else (*of_person(namespace), *CONTROLLER, *WEBHOOK, *WEBHOOK_CERTIFICATES)


def check(sight: Sight, *, before: bool) -> Iterator[Finding]:
    """Rights of who asks; after an installation, of the service accounts too."""
    spared = () if _makes_certificates(sight) else WEBHOOK_CERTIFICATES
    asked = [a for a in sight.rights if a not in spared]
    if before:
        advice = "install as a cluster administrator, or ask for these rights"
        yield _told("rights to install", [a for a in asked if not a.user], sight, "you", advice)
        return
    mine = _told("rights", [a for a in asked if not a.user], sight, "you", "ask who runs the cluster for these rights")
    # a fault of nobody's: somebody else may have them
    yield replace(mine, result=Result.WARNING) if mine.result is Result.FAILED else mine
    for check_, user in (("controller rights", names.CONTROLLER_USER), ("webhook rights", WEBHOOK_USER)):
        account = f"the service account {user.rpartition(':')[2]}"
        advice = "apply the roles again: kubectl apply -f manifests/base/rbac.yaml"
        yield _told(check_, [a for a in asked if a.user == user], sight, account, advice)


def _makes_certificates(sight: Sight) -> bool:
    """Whether the webhook does, rather than reading files; one that runs outside of the cluster is given files."""
    deployment = sight.webhook.object
    if deployment is None:
        return False
    containers = deployment["spec"]["template"]["spec"].get("containers") or ()
    return not any(str(a).partition("=")[0] == "--certs" for c in containers for a in c.get("args") or ())


def _told(check_: str, asked: Iterable[Access], sight: Sight, who: str, advice: str) -> Finding:
    asked = list(asked)
    unknown = [a for a in asked if sight.rights[a] is None]
    denied = [a for a in asked if sight.rights[a] is False]
    hard = [a for a in denied if a.verb not in _EITHER]
    if hard:
        return failed(check_, CLUSTER, _lacking(who, hard), advice)
    if denied:
        advice = "a cluster administrator has them; without, roles can only be written by who has all that they give"
        return warning(check_, CLUSTER, _lacking(who, denied), advice)
    if unknown or not asked:
        return skipped(check_, CLUSTER, f"the API server does not say what {who} may do")
    return ok(check_, CLUSTER, f"{who} may do what is needed")


def _lacking(who: str, denied: list[Access]) -> str:
    more = f" and {len(denied) - 4} more" if len(denied) > 4 else ""
    return f"{who} may not {', '.join(a.text for a in denied[:4])}{more}"
