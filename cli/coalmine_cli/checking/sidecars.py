"""What injection gives the pods of a Deployment: which ports, which resources.

Pure. As the webhook would choose now; where a pod has been injected, what it was really given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from coalmine.kube.resources import Object, annotations_of
from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.names import INJECTED, SIDECAR_CONTAINER
from coalmine.model.wire import Injection
from coalmine_webhook.ports import DEFAULTS, choose_port, free_pair, read_options
from coalmine_webhook.sidecar import Kind, Settings, container


def ports_of(deployment: Object, pods: Iterable[Object]) -> Injection | None:
    """The ports of the sidecars; None for a template that no sidecar fits into."""
    for pod in pods:
        if (found := injection_of(pod)) is not None:
            return found
    spec = deployment["spec"]["template"]["spec"]
    try:
        taken = choose_port(spec, read_options(annotations_of(deployment)).port)
        proxy, admin = free_pair(spec)
    except SpecError:
        return None
    return Injection(taken.name, taken.number, proxy, admin, canary=False)


def injection_of(pod: Object) -> Injection | None:
    """What an injected pod's sidecar was given."""
    try:
        return Injection.from_json(annotations_of(pod)[INJECTED])
    except (KeyError, RemoteError):
        return None


def containers_of(spec: Mapping[str, Any]) -> Iterator[Object]:
    """All containers of a pod's spec."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def sidecar_of(pod: Object) -> Object | None:
    """The sidecar's container in a pod."""
    return next((c for c in containers_of(pod["spec"]) if c.get("name") == SIDECAR_CONTAINER), None)


def resources_of(injection: Injection, pods: Iterable[Object]) -> Mapping[str, Any]:
    """Requests and limits of the sidecar: a pod's, else the webhook's defaults."""
    for pod in pods:
        if (ours := sidecar_of(pod)) is not None:
            return ours.get("resources") or {}
    found: Mapping[str, Any] = container(Settings("unknown", Kind.NATIVE), injection, DEFAULTS)["resources"]
    return found
