"""Kubeconfig files: one cluster, one user, by certificate or by token."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from coalmine_sandbox.certificates import Pair


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def certificate_user(pair: Pair) -> dict[str, Any]:
    """The user entry of a client certificate."""
    return {"client-certificate-data": _text(pair.certificate), "client-key-data": _text(pair.key)}


def write(path: Path, server: str, authority: bytes, user: dict[str, Any], namespace: str = "default") -> Path:
    """Write a kubeconfig (JSON is YAML), readable by its owner only; its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}}],
        "clusters": [
            {"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": _text(authority)}}
        ],
        "users": [{"name": "sandbox", "user": user}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(config, file, indent=1)
    return path
