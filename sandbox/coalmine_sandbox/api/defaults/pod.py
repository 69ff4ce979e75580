"""A pod's specification, as a Pod or in a template (pkg/apis/core/v1/defaults.go and conversion.go).

What admission adds to pods alone (tolerations, the service account's token, priority) is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from coalmine.kube.resources import Object

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
#: rw-r--r--
_MODE: Final = 0o644
_TOKEN_SECONDS: Final = 3600


def template(found: Object) -> None:
    """A PodTemplateSpec."""
    specification(found["spec"])


def pod(obj: Object) -> None:
    """A Pod: besides its specification, requests are what is limited, and host ports what the host's network needs."""
    spec = obj["spec"]
    specification(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in _containers(spec, ("containers", "initContainers")):
        resources = container["resources"]
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **(resources.get("requests") or {})}
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                port.setdefault("hostPort", port["containerPort"])


def specification(spec: Object) -> None:
    """A PodSpec."""
    for name, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30),
        ("securityContext", {}),
    ):
        spec.setdefault(name, dict(value) if isinstance(value, dict) else value)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:  # the older field is kept equal
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        _volume(volume)
    for container in _containers(spec, ("containers", "initContainers", "ephemeralContainers")):
        _container(container)


def _containers(spec: Object, kinds: Iterable[str]) -> Iterable[Object]:
    for kind in kinds:
        yield from spec.get(kind) or ()


def _container(container: Object) -> None:
    container.setdefault("imagePullPolicy", pull_policy(container.get("image", "")))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        _field_reference((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in _PROBES:
        if (probe := container.get(name)) is not None:
            _probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook.get("httpGet"))


def pull_policy(image: str) -> str:
    """Always for a tag that moves: ``latest``, said or meant."""
    name, digest, _ = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    latest = tag == "latest" if colon else not digest
    return "Always" if latest else "IfNotPresent"


def _probe(probe: Object) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe.setdefault(name, value)
    _http_get(probe.get("httpGet"))


def _http_get(action: Object | None) -> None:
    if action is not None:
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def _field_reference(found: Object | None) -> None:
    if found is not None:
        found.setdefault("apiVersion", "v1")


def _volume(volume: Object) -> None:
    sources = [name for name in volume if name != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for name in sources:
        fill = _SOURCES.get(name)
        if fill is not None:
            fill(volume[name])


def _mode(source: Object) -> None:
    source.setdefault("defaultMode", _MODE)


def _downward(source: Object) -> None:
    _mode(source)
    _downward_items(source)


def _downward_items(source: Object) -> None:
    for item in source.get("items") or ():
        _field_reference(item.get("fieldRef"))


def _projected(source: Object) -> None:
    _mode(source)
    for part in source.get("sources") or ():
        if (token := part.get("serviceAccountToken")) is not None:
            token.setdefault("expirationSeconds", _TOKEN_SECONDS)
        _downward_items(part.get("downwardAPI") or {})


def _host_path(source: Object) -> None:
    source.setdefault("type", "")


def _image(source: Object) -> None:
    source.setdefault("pullPolicy", pull_policy(source.get("reference", "")))


def _claim_template(source: Object) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        template["spec"].setdefault("volumeMode", "Filesystem")


_SOURCES: Final[Mapping[str, Callable[[Any], None]]] = {
    "configMap": _mode,
    "downwardAPI": _downward,
    "ephemeral": _claim_template,
    "hostPath": _host_path,
    "image": _image,
    "projected": _projected,
    "secret": _mode,
}
