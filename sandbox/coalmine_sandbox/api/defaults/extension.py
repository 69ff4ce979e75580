"""Webhooks and CRDs (pkg/apis/admissionregistration/v1/defaults.go, apiextensions' v1/defaults.go)."""

from __future__ import annotations

from typing import Any, Final

from coalmine.kube.resources import Object

_HTTPS: Final = 443


def _webhooks(obj: Object) -> None:
    for webhook in obj.get("webhooks") or ():
        defaults: dict[str, Any] = {
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "timeoutSeconds": 10,
            "reinvocationPolicy": "Never",
        }
        for name, value in defaults.items():
            webhook.setdefault(name, value)
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")
        if (service := webhook["clientConfig"].get("service")) is not None:
            service.setdefault("port", _HTTPS)


def _definition(obj: Object) -> None:
    spec = obj["spec"]
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    if names["kind"]:
        names.setdefault("listKind", f"{names['kind']}List")
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    if (service := ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")) is not None:
        service.setdefault("port", _HTTPS)
    if not obj["status"].get("storedVersions"):
        stored = [version["name"] for version in spec["versions"] or () if version["storage"]]
        obj["status"]["storedVersions"] = stored[:1] or None


DEFAULTS: Final = {
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"): _webhooks,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): _definition,
}
