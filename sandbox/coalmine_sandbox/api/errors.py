"""What a request is refused with: a metav1.Status, as kube-apiserver words it.

The words matter: kubectl prints them, and our components read `reason` (apimachinery's
pkg/api/errors).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of an object: field.Error."""

    reason: str  # FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, FieldManagerConflict, ...
    message: str
    field: str


class StatusError(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})

    def to_json(self) -> dict[str, Any]:
        """metav1.Status."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: str, name: str, why: str) -> StatusError:
    """`resource` is ``plural`` or ``plural.group``."""
    of = f' "{name}"' if name else ""
    return StatusError(403, "Forbidden", f"{resource}{of} is forbidden: {why}", _about(resource, name))


def not_found(resource: str, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', _about(resource, name))


def method_not_allowed(resource: str) -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, _about(resource, ""))


def already_exists(resource: str, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{resource} "{name}" already exists', _about(resource, name))


def conflict(resource: str, name: str, why: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return StatusError(409, "Conflict", message, _about(resource, name))


#: What a stale resourceVersion is told.
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def expired(version: int, oldest: int) -> StatusError:
    return StatusError(410, "Expired", f"too old resource version: {version} ({oldest})")


def unsupported_media_type(sent: str, accepted: Iterable[str]) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", f"{message} (sent: {sent})")


def invalid(kind: str, name: str, causes: Iterable[Cause]) -> StatusError:
    """422; `kind` is ``Kind`` or ``Kind.group``."""
    every = list(causes)
    said = [f"{c.field}: {c.message}" for c in every]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = {
        "name": name,
        "kind": kind.partition(".")[0],
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in every],
    }
    if group := kind.partition(".")[2]:
        details["group"] = group
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")


def _about(resource: str, name: str) -> dict[str, Any]:
    plural, _, group = resource.partition(".")
    about = {"kind": plural}
    if name:
        about["name"] = name
    if group:
        about["group"] = group
    return about
