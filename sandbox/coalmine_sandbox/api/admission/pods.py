"""What admission adds to a new pod: its service account and that one's token, tolerations, its priority.

The plugins ServiceAccount, Priority and DefaultTolerationSeconds of a real API server. Each gives back a new
object, or the same one where it has nothing to add; each may be asked twice about one pod. Pure but for what is read.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from coalmine.kube.resources import PODS, SERVICE_ACCOUNTS, Object
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.admission.attributes import Attributes, Reader

#: The service account of who names none.
DEFAULT_ACCOUNT: Final = "default"
_ACCESS: Final = "kube-api-access-"
_ACCESS_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
#: An hour and seven seconds, which tells tokens that the real plugin asked for from those that somebody else did.
_ACCESS_SECONDS: Final = 3607
_TOLERATED: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATED_SECONDS: Final = 300
#: Kubernetes' own two; there are no others here, for there is no kind PriorityClass.
_PRIORITIES: Final = {"": 0, "system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def is_new(attributes: Attributes) -> bool:
    """Whether a pod is being made."""
    return attributes.resource == PODS and attributes.operation == "CREATE" and not attributes.subresource


def complete(attributes: Attributes, reader: Reader, chance: random.Random) -> Object:
    """The pod with all that is added. Raises StatusError (403)."""
    pod = attributes.object
    assert pod is not None, "a pod that is being made"
    return _with_tolerations(_with_priority(_with_account(pod, attributes, reader, chance), attributes))


def check_account(attributes: Attributes, reader: Reader) -> Object:
    """The pod's service account. Raises StatusError (403) where there is none."""
    assert attributes.object is not None, "a pod that is being made"
    name = str(attributes.object["spec"].get("serviceAccountName") or DEFAULT_ACCOUNT)
    account = reader.get(SERVICE_ACCOUNTS, attributes.namespace, name)
    if account is None:
        why = f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found'
        raise errors.forbidden(PODS.plural, attributes.name, why)
    return account


def _with_account(pod: Object, attributes: Attributes, reader: Reader, chance: random.Random) -> Object:
    account = check_account(attributes, reader)
    name = account["metadata"]["name"]
    spec = dict(pod["spec"])
    # the second is the first's old name, which is kept alike
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    wanted = next((e["automountServiceAccountToken"] for e in (spec, account) if _says(e)), True)
    if wanted:
        _mount_token(spec, chance)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]
    return pod if spec == pod["spec"] else {**pod, "spec": spec}


def _says(of: Object) -> bool:
    return of.get("automountServiceAccountToken") is not None


def _mount_token(spec: Object, chance: random.Random) -> None:
    volumes = spec.get("volumes") or []
    present = next((str(v["name"]) for v in volumes if str(v["name"]).startswith(_ACCESS)), "")
    name = present or _ACCESS + "".join(chance.choices(_LETTERS, k=5))
    mounted = False
    for group in ("initContainers", "containers"):
        if spec.get(group):
            containers = [_with_mount(container, name) for container in spec[group]]
            mounted = mounted or containers != spec[group]
            spec[group] = containers
    if mounted and not present:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_volume()}]


def _with_mount(container: Object, volume: str) -> Object:
    mounts = container.get("volumeMounts") or []
    if any(mount["mountPath"] == _ACCESS_PATH for mount in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, {"name": volume, "readOnly": True, "mountPath": _ACCESS_PATH}]}


def _token_volume() -> Object:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _ACCESS_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
        ],
        "defaultMode": 0o644,
    }


def _with_priority(pod: Object, attributes: Attributes) -> Object:
    spec = pod["spec"]
    name = str(spec.get("priorityClassName") or "")
    if name not in _PRIORITIES:
        why = f"no PriorityClass with name {name} was found"
        raise errors.forbidden(PODS.plural, attributes.name, why)
    value = _PRIORITIES[name]
    if (given := spec.get("priority")) is not None and given != value:
        why = f"the integer value of priority ({given}) must not be provided in pod spec; "
        why += f"priority admission controller computed {value} from the given PriorityClass name"
        raise errors.forbidden(PODS.plural, attributes.name, why)
    added = {"priority": value, "preemptionPolicy": spec.get("preemptionPolicy") or "PreemptLowerPriority"}
    return pod if spec.items() >= added.items() else {**pod, "spec": {**spec, **added}}


def _with_tolerations(pod: Object) -> Object:
    present = pod["spec"].get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}
        for key in _TOLERATED
        if not any(_tolerates(each, key) for each in present)
    ]
    return {**pod, "spec": {**pod["spec"], "tolerations": [*present, *added]}} if added else pod


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)


def containers(spec: Object) -> Iterator[Any]:
    """All containers of a pod's spec, in the order in which errors name them."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or ()
