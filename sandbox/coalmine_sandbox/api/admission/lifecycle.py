"""NamespaceLifecycle: nothing is made in a namespace that is missing or on its way out. Pure but for what is read."""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import NAMESPACES
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.admission.attributes import Attributes, Reader
from coalmine_sandbox.api.admission.matching import qualified

_IMMORTAL: Final = ("default", "kube-system", "kube-public")


def admit(attributes: Attributes, reader: Reader) -> None:
    """Raises StatusError: 403, or 404 without the namespace."""
    if attributes.resource == NAMESPACES:
        if attributes.operation == "DELETE" and attributes.name in _IMMORTAL:
            raise errors.forbidden(NAMESPACES.plural, attributes.name, "this namespace may not be deleted")
        return
    if not attributes.namespace or attributes.operation == "DELETE":
        return
    namespace = reader.get(NAMESPACES, None, attributes.namespace)
    if namespace is None:
        raise errors.not_found(NAMESPACES.plural, attributes.namespace)
    if attributes.operation != "CREATE" or (namespace.get("status") or {}).get("phase") != "Terminating":
        return
    why = f"unable to create new content in namespace {attributes.namespace} because it is being terminated"
    error = errors.forbidden(qualified(attributes), attributes.name, why)
    message = f"namespace {attributes.namespace} is being terminated"
    error.details["causes"] = [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]
    raise error
