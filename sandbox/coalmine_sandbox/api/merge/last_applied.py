"""kubectl's annotation of its client-side apply, where plain kubectl goes over to server-side apply.

It may take what the annotation shows to be its own without a conflict; as long as the annotation stands it is kept
current, so that kubectl can go back.
"""

from __future__ import annotations

import copy
import json
from typing import Final

from coalmine.kube.resources import Object, annotations_of
from coalmine_sandbox.api.merge import typed
from coalmine_sandbox.api.merge.fields import EMPTY, Fields
from coalmine_sandbox.api.schema.node import Node

ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"


def owned(node: Node, live: Object, api_version: str) -> Fields:
    """The fields that were applied by client-side apply and are still as they were then."""
    text = annotations_of(live).get(ANNOTATION)
    if not text:
        return EMPTY
    try:
        applied = json.loads(text)
        if not isinstance(applied, dict) or applied.get("apiVersion") != api_version:
            return EMPTY
        difference = typed.compare(node, applied, live)
        return typed.of(node, applied) - difference.modified - difference.added - difference.removed
    except (ValueError, RecursionError, typed.TypedError):
        return EMPTY


def refreshed(obj: Object, applied: Object) -> Object:
    """The object, its annotation, if it has one, telling of what was applied now."""
    if not annotations_of(obj).get(ANNOTATION):
        return obj
    told = copy.deepcopy(applied)
    annotations = told.get("metadata", {}).get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(ANNOTATION, None)
    obj["metadata"]["annotations"][ANNOTATION] = json.dumps(told, sort_keys=True, separators=(",", ":")) + "\n"
    return obj
