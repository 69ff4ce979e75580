"""Whether a pod can have a sidecar at all, whatever its ports are.

PURE. One answer for the Deployment webhook, which refuses such a template (no canary could stand on it), and for the
Pod webhook, which lets such a pod be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from coalmine.model.names import KEYS_VOLUME, SIDECAR_CONTAINER, STATE_VOLUME
from coalmine.model.reasons import Reason

_OS_LABEL: Final = "kubernetes.io/os"
_WINDOWS: Final = "windows"


def obstacle(pod_spec: Mapping[str, Any]) -> Reason | None:
    """Why a pod with this spec gets no sidecar; None when it can have one."""
    if pod_spec.get("hostNetwork"):
        return Reason.SKIP_HOST_NETWORK
    system = (pod_spec.get("os") or {}).get("name") or (pod_spec.get("nodeSelector") or {}).get(_OS_LABEL)
    if system == _WINDOWS:
        return Reason.SKIP_WINDOWS
    if _brings_its_own(pod_spec):
        return Reason.SKIP_ALREADY
    return None


def _brings_its_own(spec: Mapping[str, Any]) -> bool:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return any(c.get("name") == SIDECAR_CONTAINER for c in containers) or any(
        v.get("name") in (STATE_VOLUME, KEYS_VOLUME) for v in spec.get("volumes") or ()
    )
