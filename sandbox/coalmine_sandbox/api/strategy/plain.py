"""The kinds that have little of their own: each a few lines of rules. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api import crd_rules
from coalmine_sandbox.api.admission import configuration
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import names
from coalmine_sandbox.api.strategy.faults import forbidden, immutable, invalid, required, too_long
from coalmine_sandbox.api.strategy.rules import PATH_NAMED, Generational, Stateful, Strategy, change_metadata, put

#: core/validation's MaxSecretSize, for ConfigMaps as well.
_MOST: Final = 1 << 20


class Namespaces(Stateful):
    shows_deleted = True
    name_faults = staticmethod(names.dns_label)

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = list((obj.get("spec") or {}).get("finalizers") or ())
        obj["spec"] = {"finalizers": finalizers if "kubernetes" in finalizers else [*finalizers, "kubernetes"]}

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        put(new, "spec", old.get("spec"))

    def may_vanish(self, new: Object) -> bool:
        return not (new.get("spec") or {}).get("finalizers")


class Nodes(Strategy):
    """Its status may be given at its creation: kubelets do."""

    def prepare_update(self, new: Object, old: Object) -> None:
        put(new, "status", old.get("status"))


class ServiceAccounts(Strategy):
    shows_deleted = True


class Quotas(Stateful):
    shows_deleted = True


class Claims(Stateful):
    shows_deleted = True

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"phase": "Pending"}

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        now, was = dict(new["spec"]), dict(old["spec"])
        for spec in (now, was):
            spec.pop("resources", None)
            spec.pop("volumeAttributesClassName", None)
        if was.get("volumeName") in (None, ""):
            now.pop("volumeName", None)
            was.pop("volumeName", None)
        if now != was:
            detail = (
                "spec is immutable after creation except resources.requests "
                "and volumeAttributesClassName for bound claims"
            )
            return [forbidden("spec", detail)]
        return []


class ConfigMaps(Strategy):
    def validate(self, obj: Object) -> list[Cause]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        faults = _keys(data, "data") + _keys(binary, "binaryData")
        for key in data:
            if key in binary:
                faults.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        if sum(len(str(value).encode()) for value in (*data.values(), *binary.values())) > _MOST:
            faults.append(too_long("", _MOST))
        return faults

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        return _immutable(new, old, ("data", "binaryData"))


class Secrets(Strategy):
    def prepare_create(self, obj: Object) -> None:
        _encode_strings(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        _encode_strings(new)

    def validate(self, obj: Object) -> list[Cause]:
        data = obj.get("data") or {}
        faults = _keys(data, "data")
        size = 0
        for key, value in data.items():
            try:
                size += len(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError, TypeError):
                faults.append(invalid(f"data[{key}]", "<redacted>", "must be base64"))
        if size > _MOST:
            faults.append(too_long("data", _MOST))
        return faults

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        return immutable("type", new.get("type"), old.get("type")) + _immutable(new, old, ("data",))


def _encode_strings(obj: Object) -> None:
    """stringData is for writing only: it goes into data."""
    if strings := obj.pop("stringData", None):
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in strings.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _keys(data: Object, path: str) -> list[Cause]:
    return [invalid(f"{path}[{key}]", key, fault) for key in data for fault in names.config_key(key)]


def _immutable(new: Object, old: Object, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    detail = "field is immutable when `immutable` is set"
    faults = [forbidden(field, detail) for field in fields if new.get(field) != old.get(field)]
    if not new.get("immutable"):
        faults.append(forbidden("immutable", detail))
    return faults


class Events(Strategy):
    creates_on_update = True
    propagation = ""


class Leases(Strategy):
    creates_on_update = True
    unconditional = False

    def validate(self, obj: Object) -> list[Cause]:
        spec = obj.get("spec") or {}
        faults = []
        if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
            faults.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        if (count := spec.get("leaseTransitions")) is not None and count < 0:
            faults.append(invalid("spec.leaseTransitions", count, "must be greater than or equal to 0"))
        return faults


class EndpointSlices(Generational):
    """All of it counts, its labels too."""

    has_status = False

    def changed(self, new: Object, old: Object) -> bool:
        bare = [{k: v for k, v in each.items() if k != "metadata"} for each in (new, old)]
        labels = [each["metadata"].get("labels") or {} for each in (new, old)]
        return bare[0] != bare[1] or labels[0] != labels[1]

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        return immutable("addressType", new.get("addressType"), old.get("addressType"))


class Webhooks(Generational):
    has_status = False
    counted = ("webhooks",)
    needs_schema = True
    unconditional = False

    def validate(self, obj: Object) -> list[Cause]:
        return configuration.faults(obj)


class Definitions(Generational):
    """CustomResourceDefinitions."""

    needs_schema = True
    unconditional = False
    status_keeps = ("labels", "annotations", "ownerReferences", "finalizers")

    def validate(self, obj: Object) -> list[Cause]:
        return crd_rules.faults(obj)

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        faults = immutable("spec.group", new["spec"].get("group"), old["spec"].get("group"))
        faults += immutable("spec.scope", new["spec"].get("scope"), old["spec"].get("scope"))
        for field in ("kind", "plural"):
            now, was = ((o["spec"].get("names") or {}).get(field) for o in (new, old))
            faults += immutable(f"spec.names.{field}", now, was)
        return faults


class Roles(Strategy):
    creates_on_update = True
    name_faults = PATH_NAMED

    def validate(self, obj: Object) -> list[Cause]:
        faults = []
        namespaced = obj["kind"] == "Role"
        for number, rule in enumerate(obj.get("rules") or ()):
            path = f"rules[{number}]"
            if not rule.get("verbs"):
                faults.append(required(f"{path}.verbs", "verbs must contain at least one value"))
            if rule.get("nonResourceURLs"):
                if namespaced:
                    detail = "namespaced rules cannot apply to non-resource URLs"
                    faults.append(invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
                continue
            if not rule.get("apiGroups"):
                detail = "resource rules must supply at least one api group"
                faults.append(required(f"{path}.apiGroups", detail))
            if not rule.get("resources"):
                detail = "resource rules must supply at least one resource"
                faults.append(required(f"{path}.resources", detail))
        return faults


class Bindings(Strategy):
    creates_on_update = True
    name_faults = PATH_NAMED

    def validate(self, obj: Object) -> list[Cause]:
        faults = []
        role = obj.get("roleRef") or {}
        if not role.get("name"):
            faults.append(required("roleRef.name"))
        for number, subject in enumerate(obj.get("subjects") or ()):
            path = f"subjects[{number}]"
            if not subject.get("name"):
                faults.append(required(f"{path}.name"))
            if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
                if obj["kind"] == "RoleBinding":
                    continue  # defaulted to the binding's own by the real one, too
                faults.append(required(f"{path}.namespace"))
        return faults

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        if new.get("roleRef") != old.get("roleRef"):
            return [invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]
        return []


class CustomObjects(Strategy):
    """Objects of a CustomResourceDefinition; their faults are found with its schema."""

    unconditional = False

    def __init__(self, *, status: bool) -> None:
        self._status = status

    def prepare_create(self, obj: Object) -> None:
        if self._status:
            obj.pop("status", None)
        change_metadata(obj, {"generation": 1})

    def prepare_update(self, new: Object, old: Object) -> None:
        if self._status:
            put(new, "status", old.get("status"))
        bare = [{k: v for k, v in each.items() if k != "metadata"} for each in (new, old)]
        if bare[0] != bare[1]:
            change_metadata(new, {"generation": old["metadata"].get("generation", 0) + 1})

    def prepare_status(self, new: Object, old: Object) -> None:
        status, managed = new.get("status"), new["metadata"].get("managedFields")
        version = new["metadata"].get("resourceVersion")
        new.clear()
        new.update(old)
        put(new, "status", status)
        change_metadata(new, {"managedFields": managed, "resourceVersion": version})
