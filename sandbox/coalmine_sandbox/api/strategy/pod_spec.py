"""What a pod's spec, also that of a template, must hold to beyond its schema (core/validation's ValidatePodSpec). Pure.

As far as people meet it: names, ports, variables, volumes and the mounts that use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine.model.quantities import parse
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import metadata, names
from coalmine_sandbox.api.strategy.faults import (
    duplicate,
    forbidden,
    invalid,
    negative,
    not_found,
    not_supported,
    required,
)

_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")


def validate_template(template: Object, path: str) -> list[Cause]:
    """Faults of a pod template."""
    about = template.get("metadata") or {}
    return [
        *metadata.label_faults(about.get("labels"), f"{path}.labels"),
        *metadata.annotation_faults(about.get("annotations"), f"{path}.annotations"),
        *validate(template.get("spec") or {}, f"{path}.spec"),
    ]


def validate(spec: Object, path: str) -> list[Cause]:
    """Faults of a pod's spec."""
    faults: list[Cause] = []
    volumes = _volumes(spec.get("volumes") or (), f"{path}.volumes", faults)
    containers = spec.get("containers") or []
    if not containers:
        faults.append(required(f"{path}.containers"))
    known: set[str] = set()
    for group in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(group) or ()):
            where = f"{path}.{group}[{number}]"
            _container(container, where, volumes, faults, init=group == "initContainers")
            if (name := container.get("name")) and name in known:
                faults.append(duplicate(f"{where}.name", name))
            known.add(name)
    if (policy := spec.get("restartPolicy")) not in (None, "Always", "OnFailure", "Never"):
        faults.append(not_supported(f"{path}.restartPolicy", policy, ("Always", "Never", "OnFailure")))
    if isinstance(seconds := spec.get("activeDeadlineSeconds"), int) and not 1 <= seconds < 2**31:
        faults.append(invalid(f"{path}.activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive"))
    faults += negative(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    faults += metadata.label_faults(spec.get("nodeSelector"), f"{path}.nodeSelector")
    return faults


def _volumes(volumes: Iterable[Object], path: str, faults: list[Cause]) -> set[str]:
    known: set[str] = set()
    for number, volume in enumerate(volumes):
        where = f"{path}[{number}]"
        name = volume.get("name") or ""
        faults += _named(name, f"{where}.name")
        if name in known:
            faults.append(duplicate(f"{where}.name", name))
        known.add(name)
        sources = [key for key in volume if key != "name"]
        if not sources:
            faults.append(required(where, "must specify a volume type"))
        faults += [forbidden(f"{where}.{key}", "may not specify more than 1 volume type") for key in sources[1:]]
    return known


def _named(name: str, path: str) -> list[Cause]:
    return [invalid(path, name, fault) for fault in names.dns_label(name)] if name else [required(path)]


def _container(container: Object, path: str, volumes: set[str], faults: list[Cause], *, init: bool) -> None:
    faults += _named(container.get("name") or "", f"{path}.name")
    image = container.get("image") or ""
    if not image:
        faults.append(required(f"{path}.image"))
    elif image != image.strip():
        faults.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    _ports(container.get("ports") or (), f"{path}.ports", faults)
    _environment(container.get("env") or (), f"{path}.env", faults)
    mounted: set[str] = set()
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{number}]"
        if not (name := mount.get("name")):
            faults.append(required(f"{where}.name"))
        elif name not in volumes:
            faults.append(not_found(f"{where}.name", name))
        if not (at := mount.get("mountPath")):
            faults.append(required(f"{where}.mountPath"))
        elif at in mounted:
            faults.append(invalid(f"{where}.mountPath", at, "must be unique"))
        mounted.add(at)
    restarts = container.get("restartPolicy") == "Always"
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(kind)) is not None:
            if init and not restarts:
                detail = "may not be set for init containers without restartPolicy=Always"
                faults.append(forbidden(f"{path}.{kind}", detail))
            _probe(probe, f"{path}.{kind}", faults, once=kind != "readinessProbe")
    _resources(container.get("resources") or {}, f"{path}.resources", faults)


def _ports(ports: Iterable[Object], path: str, faults: list[Cause]) -> None:
    known: set[str] = set()
    for number, port in enumerate(ports):
        where = f"{path}[{number}]"
        if name := port.get("name"):
            faults += [invalid(f"{where}.name", name, fault) for fault in names.port_name(name)]
            if name in known:
                faults.append(duplicate(f"{where}.name", name))
            known.add(name)
        if not (value := port.get("containerPort")):
            faults.append(required(f"{where}.containerPort"))
        else:
            faults += in_port_range(value, f"{where}.containerPort")
        if (protocol := port.get("protocol")) not in (None, "TCP", "UDP", "SCTP"):
            faults.append(not_supported(f"{where}.protocol", protocol, ("SCTP", "TCP", "UDP")))


def in_port_range(value: Any, path: str) -> list[Cause]:
    if isinstance(value, int) and not 1 <= value <= 65535:
        return [invalid(path, value, "must be between 1 and 65535, inclusive")]
    return []


def _environment(variables: Iterable[Object], path: str, faults: list[Cause]) -> None:
    for number, variable in enumerate(variables):
        where = f"{path}[{number}]"
        if not (name := variable.get("name")):
            faults.append(required(f"{where}.name"))
        else:
            faults += [invalid(f"{where}.name", name, fault) for fault in names.environment(name)]
        if variable.get("value") and variable.get("valueFrom"):
            faults.append(invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not empty"))


def _probe(probe: Object, path: str, faults: list[Cause], *, once: bool) -> None:
    handlers = [key for key in _HANDLERS if probe.get(key) is not None]
    if not handlers:
        faults.append(required(path, "must specify a handler type"))
    faults += [forbidden(f"{path}.{key}", "may not specify more than 1 handler type") for key in handlers[1:]]
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        faults += negative(f"{path}.{field}", probe.get(field))
    if once and probe.get("successThreshold") not in (None, 0, 1):
        faults.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    for key in ("httpGet", "tcpSocket"):
        if isinstance(handler := probe.get(key), dict):
            faults += in_port_range(handler.get("port"), f"{path}.{key}.port")


def _resources(resources: Object, path: str, faults: list[Cause]) -> None:
    limits = resources.get("limits") or {}
    for name, asked in (resources.get("requests") or {}).items():
        limit = limits.get(name)
        if limit is None:
            continue
        try:
            above = parse(str(asked)) > parse(str(limit))
        except ValueError:
            continue  # what is no quantity was refused with the schema
        if above:
            detail = f"must be less than or equal to {name} limit of {limit}"
            faults.append(invalid(f"{path}.requests", asked, detail))
