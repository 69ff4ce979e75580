"""What decoding makes of an object of a built-in kind: its defaults, in the one spelling that is stored. Pure.

One file a group of kinds, each with a table from kind to the function that fills in an object. What the API server
sets later, when it stores (addresses, Job selectors, a Namespace's finalizer), is not here but in `api.strategy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.defaults import access, cluster, configuration, extension, network, workload
from coalmine_sandbox.api.schema import builtin, spelling

_BY_KIND: Final[Mapping[tuple[str, str], Callable[[Object], None]]] = {
    **access.DEFAULTS,
    **cluster.DEFAULTS,
    **configuration.DEFAULTS,
    **extension.DEFAULTS,
    **network.DEFAULTS,
    **workload.DEFAULTS,
}


def complete(resource: Resource, obj: Object) -> Object:
    """A new object, complete and canonically spelled; of a custom resource only the metadata is spelled anew.

    Idempotent. The object's values must have their fields' types (`schema.decoding.refusal`).
    """
    node = builtin.structure(resource)
    if node is None:
        metadata = spelling.spelled(builtin.definition(builtin.OBJECT_META), obj.get("metadata") or {})
        return {**obj, "metadata": metadata}
    made = spelling.spelled(node, obj)
    fill = _BY_KIND.get((resource.api_version, resource.kind))
    if fill is not None:
        fill(made)
    return made
