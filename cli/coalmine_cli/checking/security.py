"""Pod Security Standards: whether a namespace's level takes the pods, the sidecar's part and the application's.

Pure. Source: kubernetes.io/docs/concepts/security/pod-security-standards. Our container fits `restricted`. What the
application's own containers violate is not ours, but its pods, canary pods too, would be refused all the same. Only
rules that are often broken are looked at: the API server's own dry run is the judge (`kubectl label --dry-run=server`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from coalmine.kube.resources import Object, labels_of, namespace_of
from coalmine.model.names import SIDECAR_CONTAINER
from coalmine_cli.checking.findings import Finding, about, ok, warning
from coalmine_cli.checking.sidecars import containers_of
from coalmine_cli.checking.sight import Sight

ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_LEVELS: Final = ("baseline", "restricted")
_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "image",
}
_CAPABILITIES: Final = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
}


def check(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """What the enforced level says of its pods."""
    space = sight.namespace(namespace_of(deployment))
    level = labels_of(space).get(ENFORCE, "privileged") if space else "privileged"
    where = about(deployment)
    found = list(violations(deployment["spec"]["template"]["spec"], level))
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        told = f"{', '.join(found[:3])}{more}"
        message = f"its own containers do not fit {level}, which {namespace_of(deployment)} enforces: {told}"
        yield warning(
            "pod security", where, message, "mend the pod template, or its pods (with and without us) are refused"
        )
    elif level in _LEVELS:
        yield ok("pod security", where, f"sidecar and application fit {level}, which the namespace enforces")
    else:
        yield ok("pod security", where, "the namespace enforces no level that could refuse the sidecar")


def violations(spec: Mapping[str, Any], level: str) -> Iterator[str]:
    """The fields of a pod's spec that break `level`, as paths below it."""
    if level in _LEVELS:
        yield from _baseline(spec)
    if level == "restricted":
        yield from _restricted(spec)


def _own(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (c for c in containers_of(spec) if c.get("name") != SIDECAR_CONTAINER)


def _baseline(spec: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    yield from (
        f"volumes[{v.get('name')}].hostPath" for v in spec.get("volumes") or () if v.get("hostPath") is not None
    )
    for container in _own(spec):
        name, context = container.get("name"), container.get("securityContext") or {}
        if context.get("privileged"):
            yield f"{name}: privileged"
        if set((context.get("capabilities") or {}).get("add") or ()) - _CAPABILITIES:
            yield f"{name}: capabilities.add"
        if any(port.get("hostPort") for port in container.get("ports") or ()):
            yield f"{name}: hostPort"


def _restricted(spec: Mapping[str, Any]) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    for volume in spec.get("volumes") or ():
        if set(volume) - {"name"} - _VOLUMES - {"hostPath"}:
            yield f"volumes[{volume.get('name')}]"
    for container in _own(spec):
        name, context = container.get("name"), container.get("securityContext") or {}
        capabilities = context.get("capabilities") or {}
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if "ALL" not in (capabilities.get("drop") or ()):
            yield f"{name}: capabilities.drop"
        if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities.add"
        if not context.get("runAsNonRoot", pod.get("runAsNonRoot")):
            yield f"{name}: runAsNonRoot"
        if context.get("runAsUser", pod.get("runAsUser")) == 0:
            yield f"{name}: runAsUser"
        profile = (context.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
