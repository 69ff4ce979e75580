"""Patches that know nothing of a schema: RFC 7386 (merge) and RFC 6902 (JSON patch).

Refused as kube-apiserver refuses them: what is no patch is 400, one that does not fit the object is 422.
"""

from __future__ import annotations

import copy
import json
from typing import Any, Final, cast

import jsonpatch
import jsonpointer

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import StatusError, bad_request

#: maxJSONPatchOperations of the real one: each operation walks the object.
OPERATIONS_LIMIT: Final = 10_000
#: A copy of the whole into itself, thirty times, would fill any memory.
COPIED_LIMIT: Final = 3 << 20
#: What the real one answers to a patch that does not fit (apimachinery's NewGenericServerResponse).
_REJECTED: Final = "the server rejected our request due to an error in our request"


def merge_patch(current: Object, patch: Any) -> Object:
    """RFC 7386. Raises StatusError 400 for a patch that is no object."""
    if not isinstance(patch, dict):
        raise bad_request("Invalid JSON Patch")
    return cast("Object", _merged(current, patch))


def _merged(current: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return {key: value if key in patch else copy.deepcopy(value) for key, value in found.items()}


def json_patch(current: Object, operations: Any) -> Object:
    """RFC 6902. Raises StatusError: 400 for what is no patch, 413 for too long a one, 422 where it does not fit."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > OPERATIONS_LIMIT:
        message = f"The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {len(operations)}"
        raise StatusError(413, "RequestEntityTooLarge", message)
    patched: Any = copy.deepcopy(current)
    copied = 0
    try:
        for operation in operations:
            if operation.get("op") == "copy":
                copied += len(json.dumps(jsonpointer.resolve_pointer(patched, operation["from"])))
                if copied > COPIED_LIMIT:
                    raise rejected()
            patched = jsonpatch.JsonPatch([operation]).apply(patched, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError) as error:
        raise rejected() from error
    if not isinstance(patched, dict):
        raise rejected()
    return patched


def rejected() -> StatusError:
    """422: a well-formed patch that cannot be applied to this object. Nothing of the object, which may be a Secret."""
    return StatusError(422, "Invalid", _REJECTED)
