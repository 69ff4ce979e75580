"""What pods ask for, added up.

Pure. Sources: a pod's effective request is the sum of its containers and restartable init containers, or the largest of
the other init containers, whichever is more (Kubernetes, "Sidecar Containers", resource sharing within containers).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from coalmine.model.names import SIDECAR_CONTAINER
from coalmine.model.quantities import canonical, parse

_MI: Final = 1 << 20
Resources = Mapping[str, Any]


def amount(text: Any) -> Fraction:
    """A quantity as a number; what is none counts nothing."""
    try:
        return parse(str(text))
    except ValueError:
        return Fraction(0)


def spelled(number: Fraction) -> str:
    """A number of an amount as people write it: cores, or bytes in Mi."""
    if number >= _MI:
        return canonical(f"{int(number / _MI)}Mi")
    return canonical(f"{float(number):.3f}", milli=True)


def of_pod(spec: Mapping[str, Any], kind: str, resource: str, sidecar: Resources) -> Fraction:
    """Of one pod with its sidecar; `kind` is requests or limits."""
    containers = [c for c in spec.get("containers") or () if c.get("name") != SIDECAR_CONTAINER]
    inits = [c for c in spec.get("initContainers") or () if c.get("name") != SIDECAR_CONTAINER]
    running = [*containers, *(c for c in inits if c.get("restartPolicy") == "Always")]
    total = sum((_of(c, kind, resource) for c in running), amount((sidecar.get(kind) or {}).get(resource, 0)))
    before = max((_of(c, kind, resource) for c in inits if c.get("restartPolicy") != "Always"), default=Fraction(0))
    return max(total, before)


def _of(container: Mapping[str, Any], kind: str, resource: str) -> Fraction:
    resources = container.get("resources") or {}
    given = (resources.get(kind) or {}).get(resource)
    if given is None and kind == "requests":
        given = (resources.get("limits") or {}).get(resource)  # the API server's default
    return amount(given or 0)
