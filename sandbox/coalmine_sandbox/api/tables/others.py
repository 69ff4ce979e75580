"""The other built-in kinds as rows."""

from __future__ import annotations

from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.tables.column import (
    AGE,
    NAME,
    NONE,
    Column,
    Layout,
    age_of,
    aged,
    first,
    joined,
    wide,
)

CREATED: Final = Column("Created At", "date", description="The server time when this object was created.")


def _plain(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]


def _aged(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], age_of(obj, now)]


def _namespace(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("status") or {}).get("phase", ""), age_of(obj, now)]


_ROLE: Final = "node-role.kubernetes.io/"


def _node(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = next((c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    standing = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    if spec.get("unschedulable"):
        standing += ",SchedulingDisabled"
    labels = obj["metadata"].get("labels") or {}
    roles = sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))
    info = status.get("nodeInfo") or {}
    addresses = {each["type"]: each["address"] for each in reversed(status.get("addresses") or ())}
    kernel, architecture = info.get("kernelVersion") or "", info.get("architecture") or ""
    return [
        obj["metadata"]["name"],
        standing,
        ",".join(roles) or NONE,
        age_of(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        f"{kernel} ({architecture})" if kernel and architecture else kernel or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _service(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    outside = list(spec.get("externalIPs") or ())
    if kind == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        outside = [each.get("ip") or each.get("hostname", "") for each in ingress] + outside
        external = ",".join(outside) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName", "")
    else:
        external = ",".join(outside) or NONE
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return [
        obj["metadata"]["name"],
        kind,
        spec.get("clusterIP") or NONE,
        external,
        ",".join(ports) or NONE,
        age_of(obj, now),
        joined(spec.get("selector")),
    ]


def _event(obj: Object, now: float) -> list[Any]:
    series = obj.get("series") or {}
    began = obj.get("firstTimestamp") or obj.get("eventTime")
    seen = series.get("lastObservedTime") or obj.get("lastTimestamp") or began
    about = obj.get("involvedObject") or {}
    target = str(about.get("kind", "")).lower()
    if about.get("name"):
        target += f"/{about['name']}"
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        aged(seen, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        target,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(obj.get("message", "")).strip(),
        aged(began, now),
        series.get("count") or obj.get("count") or 1,
        obj["metadata"]["name"],
    ]


def _config_map(obj: Object, now: float) -> list[Any]:
    count = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    return [obj["metadata"]["name"], count, age_of(obj, now)]


def _secret(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or {}), age_of(obj, now)]


def _claim(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    bound = bool(spec.get("volumeName"))
    modes = ",".join(short.get(mode, mode) for mode in status.get("accessModes") or ()) if bound else ""
    return [
        obj["metadata"]["name"],
        phase,
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        modes,
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        age_of(obj, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _quota(obj: Object, now: float) -> list[Any]:
    status = obj.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or {}
    said = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = ", ".join(text for name, text in said.items() if name.startswith("limits."))
    requests = ", ".join(text for name, text in said.items() if not name.startswith("limits."))
    return [obj["metadata"]["name"], requests, limits, age_of(obj, now)]


def _slice(obj: Object, now: float) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") else "*" for port in obj.get("ports") or ()]
    addresses = [address for each in obj.get("endpoints") or () for address in each.get("addresses") or ()]
    return [obj["metadata"]["name"], obj.get("addressType", ""), first(ports), first(addresses), age_of(obj, now)]


def _lease(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("spec") or {}).get("holderIdentity") or "", age_of(obj, now)]


def _webhooks(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("webhooks") or ()), age_of(obj, now)]


def _binding(obj: Object, now: float) -> list[Any]:
    role = obj.get("roleRef") or {}
    users: list[str] = []
    groups: list[str] = []
    accounts: list[str] = []
    for subject in obj.get("subjects") or ():
        if subject["kind"] == "ServiceAccount":
            accounts.append(f"{subject.get('namespace', '')}/{subject['name']}")
        else:
            (users if subject["kind"] == "User" else groups).append(subject["name"])
    said = [", ".join(users), ", ".join(groups), ", ".join(accounts)]
    return [obj["metadata"]["name"], f"{role.get('kind')}/{role.get('name')}", age_of(obj, now), *said]


PLAIN: Final = Layout((NAME, CREATED), _plain)
AGED: Final = Layout((NAME, AGE), _aged)
NAMESPACES: Final = Layout((NAME, Column("Status", description="The status of the namespace"), AGE), _namespace)
NODES: Final = Layout(
    (
        NAME,
        Column("Status", description="The status of the node"),
        Column("Roles", description="The roles of the node"),
        AGE,
        Column("Version"),
        *(wide(name) for name in ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")),
    ),
    _node,
)
SERVICES: Final = Layout(
    (
        NAME,
        *(Column(name) for name in ("Type", "Cluster-IP", "External-IP", "Port(s)")),
        AGE,
        wide("Selector"),
    ),
    _service,
)
EVENTS: Final = Layout(
    (
        *(Column(name) for name in ("Last Seen", "Type", "Reason", "Object")),
        wide("Subobject"),
        wide("Source"),
        Column("Message"),
        wide("First Seen"),
        wide("Count"),
        Column("Name", format="name", priority=1),
    ),
    _event,
)
CONFIG_MAPS: Final = Layout((NAME, Column("Data"), AGE), _config_map)
SECRETS: Final = Layout((NAME, Column("Type"), Column("Data"), AGE), _secret)
CLAIMS: Final = Layout(
    (
        NAME,
        *(Column(n) for n in ("Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass")),
        AGE,
        wide("VolumeMode"),
    ),
    _claim,
)
QUOTAS: Final = Layout((NAME, Column("Request"), Column("Limit"), AGE), _quota)
SLICES: Final = Layout((NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE), _slice)
LEASES: Final = Layout((NAME, Column("Holder"), AGE), _lease)
WEBHOOKS: Final = Layout((NAME, Column("Webhooks"), AGE), _webhooks)
BINDINGS: Final = Layout(
    (NAME, Column("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")),
    _binding,
)
