"""The identity of a pod template.

Rules: two templates have one fingerprint exactly when the native Deployment controller
holds them equal, that is when they are equal but for the label ``pod-template-hash``
(EqualIgnoreHash in k8s.io/kubernetes/pkg/controller/deployment/util). Both sides come
from the API server, which has written them from the same Go types, so absent and empty
fields are spelled alike; only the ``creationTimestamp: null`` of older servers is noise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from coalmine.model.names import POD_TEMPLATE_HASH


def fingerprint(template: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for the pod template `template` (raw JSON)."""
    metadata = dict(template.get("metadata") or {})
    if metadata.get("creationTimestamp") is None:
        metadata.pop("creationTimestamp", None)
    labels = dict(metadata.get("labels") or {})
    labels.pop(POD_TEMPLATE_HASH, None)
    metadata["labels"] = labels
    canonical = json.dumps(
        {**template, "metadata": metadata}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
