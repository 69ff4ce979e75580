"""PodSecurity: which standard a namespace enforces or warns of, by its labels.

Every version of a standard is judged as the newest: the sandbox has one version of Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from coalmine.kube.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, Object, Resource, labels_of
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.admission.attributes import Attributes, Reader
from coalmine_sandbox.api.admission.pod_standards import violations
from coalmine_sandbox.api.errors import Cause

_PREFIX: Final = "pod-security.kubernetes.io/"
_LEVELS: Final = ("privileged", "baseline", "restricted")
_JOBS: Final = Resource("batch/v1", "Job", "jobs")
_WITH_TEMPLATE: Final = (DEPLOYMENTS, REPLICA_SETS, _JOBS)


class Standard(NamedTuple):
    level: str
    version: str

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


def enforce(attributes: Attributes, reader: Reader) -> None:
    """Raises StatusError: 403 for a pod that violates its namespace's standard, 422 for labels that name none."""
    if attributes.object is None or attributes.operation == "DELETE" or attributes.subresource:
        return
    if attributes.resource == NAMESPACES:
        _check_labels(attributes.object, attributes.old)
        return
    if attributes.resource != PODS or attributes.operation != "CREATE":
        return  # what a pod may change later is no matter of these standards, but for images
    standard = _standard("enforce", _labels(attributes, reader))
    found = violations(standard.level, *_pod_of(attributes.object))
    if found:
        why = f'violates PodSecurity "{standard}": {", ".join(map(str, found))}'
        raise errors.forbidden(PODS.plural, attributes.name, why)


def warnings(attributes: Attributes, reader: Reader) -> list[str]:
    """What a pod, or a template of pods, would be told; nothing for what is refused anyway."""
    if attributes.object is None or attributes.operation == "DELETE" or attributes.subresource:
        return []
    labels = _labels(attributes, reader)
    warned = _warned(labels)
    if attributes.resource == PODS:
        enforced = _standard("enforce", labels)
        if attributes.operation != "CREATE" or violations(enforced.level, *_pod_of(attributes.object)):
            return []
        found = violations(warned.level, *_pod_of(attributes.object))
    elif attributes.resource in _WITH_TEMPLATE:
        found = violations(warned.level, *_pod_of(attributes.object["spec"]["template"]))
    else:
        return []
    return [f'would violate PodSecurity "{warned}": {", ".join(map(str, found))}'] if found else []


def _labels(attributes: Attributes, reader: Reader) -> Mapping[str, str]:
    namespace = reader.get(NAMESPACES, None, attributes.namespace) if attributes.namespace else None
    return labels_of(namespace) if namespace is not None else {}


def _pod_of(obj: Object) -> tuple[Object, Mapping[str, str]]:
    return obj.get("spec") or {}, (obj.get("metadata") or {}).get("annotations") or {}


def _standard(mode: str, labels: Mapping[str, str]) -> Standard:
    level = labels.get(f"{_PREFIX}{mode}", "privileged")
    if level not in _LEVELS:
        level = "restricted" if mode == "enforce" else "privileged"
    return Standard(level, labels.get(f"{_PREFIX}{mode}-version", "latest"))


def _warned(labels: Mapping[str, str]) -> Standard:
    """What is enforced is warned of too, where nothing else is said: templates are not refused."""
    if f"{_PREFIX}warn" in labels or labels.get(f"{_PREFIX}enforce") not in _LEVELS:
        return _standard("warn", labels)
    enforced, warned = _standard("enforce", labels), _standard("warn", labels)
    if enforced.level == "privileged":
        return warned
    version = warned.version if f"{_PREFIX}warn-version" in labels else enforced.version
    return Standard(enforced.level, version)


def _check_labels(namespace: Object, old: Object | None) -> None:
    labels = labels_of(namespace)
    ours = {key: value for key, value in labels.items() if key.startswith(_PREFIX)}
    if old is not None and ours == {k: v for k, v in labels_of(old).items() if k.startswith(_PREFIX)}:
        return
    faults = []
    for mode in ("enforce", "audit", "warn"):
        for key, good, wanted in (
            (f"{_PREFIX}{mode}", "|".join(_LEVELS), f"must be one of {', '.join(_LEVELS)}"),
            (f"{_PREFIX}{mode}-version", r"latest|v1\.(0|[1-9][0-9]*)", 'must be "latest" or "v1.x"'),
        ):
            value = ours.get(key)
            if value is not None and not re.fullmatch(good, value):
                field = f"metadata.labels[{key}]"
                faults.append(Cause("FieldValueInvalid", f'Invalid value: "{value}": {wanted}', field))
    if faults:
        raise errors.invalid(NAMESPACES.kind, str(namespace["metadata"].get("name") or ""), faults)
