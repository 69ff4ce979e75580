"""Secrets and claims (pkg/apis/core/v1/defaults.go and conversion.go)."""

from __future__ import annotations

import base64
from typing import Final

from coalmine.kube.resources import Object


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None)  # only ever written
    if plain:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _claim(obj: Object) -> None:
    obj["spec"].setdefault("volumeMode", "Filesystem")
    obj["status"].setdefault("phase", "Pending")


DEFAULTS: Final = {
    ("v1", "Secret"): _secret,
    ("v1", "PersistentVolumeClaim"): _claim,
}
