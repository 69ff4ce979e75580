"""Kubeconfig files: one cluster, one user, by certificate or by token."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import yaml

from coalmine_sandbox.certificates import Pair


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def certificate_user(pair: Pair) -> dict[str, Any]:
    """The user entry of a client certificate."""
    return {"client-certificate-data": _text(pair.certificate), "client-key-data": _text(pair.key)}


def authority(path: Path) -> bytes:
    """The certificates (PEM) of the authority of the current context's cluster; nothing when it names none."""
    config = yaml.safe_load(path.read_text())
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    if "certificate-authority-data" in cluster:
        return base64.b64decode(cluster["certificate-authority-data"])
    file = cluster.get("certificate-authority")
    return (path.parent / file).read_bytes() if file else b""


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
