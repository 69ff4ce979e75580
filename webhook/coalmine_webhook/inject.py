"""Injection: a pod gets the sidecar, and its port name moves to it.

PURE. Rules:
- The sidecar takes over the **name** that the Service targets; the application keeps its number. So
  the Service is untouched, and pods with and without a sidecar stand side by side behind it.
- What else used that name in the pod (probes and lifecycle hooks) gets the number: the kubelet
  must go on asking the application, not the proxy.
- Nothing else of the pod changes: ``terminationGracePeriodSeconds`` and security settings are the user's.
- A second pass finds its own work and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from coalmine.kube.resources import Object, annotations_of
from coalmine.model.errors import SpecError
from coalmine.model.names import INJECTED, SKIPPED
from coalmine.model.reasons import Reason
from coalmine.model.wire import Injection
from coalmine_webhook.fitness import obstacle
from coalmine_webhook.patch import Operation, add, members, remove, replace
from coalmine_webhook.ports import Options, Taken, choose_port, free_pair, is_tcp, serving_containers
from coalmine_webhook.review import Allowed, Outcome, Patched, notice
from coalmine_webhook.sidecar import Kind, Settings, container, volumes

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")
_HANDLERS: Final = ("httpGet", "tcpSocket")


def inject(pod: Object, settings: Settings, options: Options, *, canary: bool) -> Outcome:
    """The answer for a pod that asks for a sidecar."""
    spec: Mapping[str, Any] = pod["spec"]
    unfit = obstacle(spec)
    if unfit is not None:
        # our own first pass left its annotation; a pod that brought its own sidecar has none
        ours = unfit is Reason.SKIP_ALREADY and INJECTED in annotations_of(pod)
        return Allowed() if ours else skip(pod, unfit)
    try:
        taken = choose_port(spec, options.port)
        proxy_port, admin_port = free_pair(spec)
    except SpecError as error:
        return skip(pod, Reason.SKIP_NO_PORT, error=error)
    injection = Injection(taken.name, taken.number, proxy_port, admin_port, canary)
    patch = (
        *members(_annotations(pod), {INJECTED: injection.to_json()}, "metadata", "annotations"),
        *_give_up_name(spec, taken),
        *_add_container(spec, settings, injection, options),
        *_add_volumes(spec),
    )
    return Patched(patch, note=notice(Reason.INJECTED, port=taken.name))


def _annotations(pod: Object) -> Mapping[str, str] | None:
    found: Mapping[str, str] | None = pod["metadata"].get("annotations")
    return found


def skip(pod: Object, reason: Reason, **fields: object) -> Outcome:
    """Let the pod be, and leave the code on it for people."""
    patch = members(_annotations(pod), {SKIPPED: reason.value}, "metadata", "annotations")
    told = notice(reason, **fields)
    return Patched(patch, note=told) if patch else Allowed()


def _give_up_name(spec: Mapping[str, Any], taken: Taken) -> Iterator[Operation]:
    # before the sidecar is put in front, so that the indexes are those of the pod that came in
    for key, index, one in serving_containers(spec):
        for at, port in enumerate(one.get("ports") or ()):
            if port.get("name") == taken.name and is_tcp(port):
                yield remove("spec", key, index, "ports", at, "name")
    for key in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(key) or ()):
            number = _number_of(one, taken)
            for path, handler in _handlers(one):
                if handler.get("port") == taken.name:
                    yield replace(number, "spec", key, index, *path, "port")


def _number_of(one: Mapping[str, Any], taken: Taken) -> int:
    """The kubelet looks a name up among the ports of the same container."""
    for port in one.get("ports") or ():
        if port.get("name") == taken.name and is_tcp(port):
            return int(port["containerPort"])
    return taken.number


def _handlers(one: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    lifecycle = one.get("lifecycle") or {}
    found: list[tuple[tuple[str, ...], Any]] = [((probe,), one.get(probe)) for probe in _PROBES]
    found += [(("lifecycle", hook), lifecycle.get(hook)) for hook in _HOOKS]
    for path, handler in found:
        for kind in _HANDLERS:
            target = (handler or {}).get(kind)
            if target is not None:
                yield (*path, kind), target


def _add_container(
    spec: Mapping[str, Any], settings: Settings, injection: Injection, options: Options
) -> Iterator[Operation]:
    ours = container(settings, injection, options)
    if settings.kind is Kind.CLASSIC:
        # last, so that what takes "the first container" (kubectl logs, exec) still finds the application
        yield add(ours, "spec", "containers", "-")
    elif spec.get("initContainers"):
        yield add(ours, "spec", "initContainers", 0)
    else:
        yield add([ours], "spec", "initContainers")


def _add_volumes(spec: Mapping[str, Any]) -> Iterator[Operation]:
    if spec.get("volumes") is None:
        yield add(volumes(), "spec", "volumes")
    else:
        yield from (add(volume, "spec", "volumes", "-") for volume in volumes())
