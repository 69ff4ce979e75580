"""The sidecar's container and volumes, as they stand in an injected pod.

PURE. Rules: it fits the `restricted` Pod Security Standard whatever the pod says; nothing in it
is a secret; what differs from pod to pod is arguments and the downward API only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coalmine.kube.resources import Object
from coalmine.model.names import KEYS_CONFIGMAP, KEYS_VOLUME, POD_TEMPLATE_HASH, SIDECAR_CONTAINER, STATE_VOLUME
from coalmine.model.wire import Injection
from coalmine_webhook.ports import HTTP, Options
from coalmine_webhook.resources import USUAL, Resources

STATE_DIRECTORY: Final = "/var/run/coalmine"
KEYS_DIRECTORY: Final = "/etc/coalmine/keys"
#: Not an account of any image: the same number in every pod, and not root (`runAsNonRoot` asks for a number).
USER: Final = 65_532
#: How long preStop lets new connections still arrive while endpoints lag behind, in seconds.
DRAIN_SECONDS: Final = 5

#: A native sidecar's startupProbe holds up every later container, so it is asked each second, the
#: least there is; sixty failures give an interpreter on a starved node a minute.
_STARTUP: Final = {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 60}
#: The weight of a step moves when canary pods are Ready, and a draining pod should leave its
#: Service at once: each second here is one of the rollout's. Three failures, so that one slow second is no outage.
_READINESS: Final = {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3}
#: Two documents of at most 1 MiB (`wire.MAX_DOCUMENT`), old and new, and their signatures.
_STATE_SIZE: Final = "8Mi"


class Kind(StrEnum):
    """How the sidecar runs: a restartable init container (Kubernetes 1.33 and later), or a plain one."""

    NATIVE = "native"
    CLASSIC = "classic"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the installation decides."""

    image: str
    kind: Kind = Kind.NATIVE
    resources: Resources = USUAL
    #: "" leaves it to Kubernetes: Always for an image tagged latest, else IfNotPresent.
    pull_policy: str = ""


def container(settings: Settings, injection: Injection, options: Options) -> Object:
    """The sidecar's container."""
    result: Object = {
        "name": SIDECAR_CONTAINER,
        "image": settings.image,
        "args": _arguments(injection, options),
        "env": _environment(options),
        "ports": [
            {"name": injection.port_name, "containerPort": injection.proxy_port, "protocol": "TCP"},
            {"containerPort": injection.admin_port, "protocol": "TCP"},
        ],
        "startupProbe": {"httpGet": {"path": "/live", "port": injection.admin_port}, **_STARTUP},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": injection.admin_port}, **_READINESS},
        "lifecycle": {"preStop": {"exec": {"command": _drain(injection)}}},
        "resources": settings.resources.for_container(options.settings.workers or 1),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": STATE_VOLUME, "mountPath": STATE_DIRECTORY},
            {"name": KEYS_VOLUME, "mountPath": KEYS_DIRECTORY, "readOnly": True},
        ],
    }
    if settings.pull_policy:
        result["imagePullPolicy"] = settings.pull_policy
    if settings.kind is Kind.NATIVE:
        result["restartPolicy"] = "Always"
    return result


def volumes() -> list[Object]:
    """The sidecar's volumes. The keys may come later: a pod must start without the controller."""
    return [
        {"name": STATE_VOLUME, "emptyDir": {"sizeLimit": _STATE_SIZE}},
        {"name": KEYS_VOLUME, "configMap": {"name": KEYS_CONFIGMAP, "optional": True}},
    ]


def _environment(options: Options) -> list[Object]:
    variables = [_from_field("COALMINE_POD_UID", "metadata.uid"), _from_field("COALMINE_POD_IP", "status.podIP")]
    if options.settings.istio:
        # what the labels of Istio's metrics say of a workload
        variables += [
            {"name": "COALMINE_WORKLOAD", "value": options.workload},
            _from_field("COALMINE_NAMESPACE", "metadata.namespace"),
            _from_field("COALMINE_VERSION", f"metadata.labels['{POD_TEMPLATE_HASH}']"),
        ]
    return variables


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _arguments(injection: Injection, options: Options) -> list[str]:
    arguments = ["proxy", "--listen-port", str(injection.proxy_port), "--admin-port", str(injection.admin_port)]
    arguments += ["--app-port", str(injection.app_port), "--state", STATE_DIRECTORY, "--keys", KEYS_DIRECTORY]
    if injection.canary:
        arguments.append("--canary")
    # said even when there is none: without it the sidecar has a default of its own
    arguments += ["--local-paths", ",".join(options.local_paths)]
    if options.protocol != HTTP:
        arguments += ["--protocol", options.protocol]
    settings = options.settings.for_injection()
    return [*arguments, "--settings", settings] if settings else arguments


def _drain(injection: Injection) -> list[str]:
    return ["coalmine", "proxy", "drain", "--admin-port", str(injection.admin_port), "--seconds", str(DRAIN_SECONDS)]
